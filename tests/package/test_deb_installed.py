"""The Debian package under a real systemd: installed, started, upgraded, removed, purged."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from package_parts import Packages, run
from systemd_box import SystemdBox, skip_without_systemd

import edge

pytestmark = [pytest.mark.package, pytest.mark.systemd, pytest.mark.slow, pytest.mark.timeout(900)]

NEWER = "99.0.0"
CONFIG = "/etc/edge/config.yaml"
BOOKKEEPING = re.compile(  # of dpkg, apt, systemd and the account files
    r"/var/(lib/(dpkg|apt|systemd|PackageKit)|cache/(apt|debconf|ldconfig|man))\b|/etc/(passwd|group|g?shadow|sub[ug]id)-$"
    r"|/etc/(\.pwd\.lock|ld\.so\.cache)$|/var/lib/private$|/var/cache/private$"
)
APT = "DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends -o Dpkg::Options::=--force-confold"


def raise_version(deb: Path, work: Path) -> Path:
    """The same package as a later release would be: a higher version, and a sample configuration that changed."""
    tree = work / "tree"
    run("dpkg-deb", "--raw-extract", deb, tree)
    control = tree / "DEBIAN" / "control"
    assert f"Version: {edge.__version__}\n" in control.read_text()
    control.write_text(control.read_text().replace(f"Version: {edge.__version__}\n", f"Version: {NEWER}\n"))
    (tree / "etc/edge/config.yaml").write_text((tree / "etc/edge/config.yaml").read_text() + "# and more\n")
    (program,) = tree.glob("opt/edge/venv/lib/python*/site-packages/edge")
    init = program / "__init__.py"
    init.write_text(init.read_text().replace(edge.__version__, NEWER))
    compiled = ("-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", tree, "-p", "/", init)
    run("/usr/bin/python3", *compiled)
    newer = work / f"edge-monitor_{NEWER}.deb"
    run("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, newer)
    return newer


@pytest.fixture(scope="module")
def box(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdBox]:
    skip_without_systemd()
    work = tmp_path_factory.mktemp("newer")
    raise_version(packages.one("*.deb"), work).rename(packages.folder / "newer.deb")
    shutil.rmtree(work)
    made = SystemdBox(f"package-{os.getpid()}", f"{packages.folder}:/packages")
    yield made
    made.power_off()


def files(box: SystemdBox) -> set[str]:
    """What lies where a package may leave something."""
    found = box.sh("find /etc /opt /usr /var/lib /var/cache -xdev -not -name '__pycache__' -not -name '*.pyc'")
    return {name for name in found.splitlines() if not BOOKKEEPING.search(name)}


def events(box: SystemdBox) -> set[str]:
    """The ids of what the event store holds."""
    told = json.loads(box.sh(f"edge events -c {CONFIG} --json --limit 1000 2>/dev/null"))
    return {event["id"] for event in told["events"]}


def first_alert(box: SystemdBox) -> dict[str, object]:
    """The next event that the daemon's own broker passes on."""
    return dict(json.loads(box.sh(f"timeout 90 edge watch -c {CONFIG} --json --count 1 2>/dev/null").splitlines()[0]))


def test_a_life_of_the_package(box: SystemdBox) -> None:
    before = files(box)
    said = box.sh(f"{APT} install /packages/edge-monitor_*.deb")
    assert "systemctl start edge" in said
    assert box.sh("systemctl is-enabled edge", check=False) == "enabled"
    assert not box.up(), "installed, it does not start before it is configured"
    assert box.sh("stat -c '%U %G %a' /etc/edge /etc/edge/config.yaml") == "root edge 750\nroot edge 640"

    assert "picture and sound arrive" in box.sh(f"edge check -c {CONFIG}")
    box.sh("systemctl start edge")
    assert "sources" in box.show("StatusText")
    assert box.sh(f"stat -c %U /proc/{box.show('MainPID')}") == "edge"
    assert first_alert(box)["node"] == "edge-01"

    configuration = box.sh(f"sed -i 's/id: edge-01/id: gate-07/' {CONFIG} && cat {CONFIG}")
    kept = events(box)
    assert kept
    box.sh("touch /var/lib/edge/of-mine")
    added = box.sh("echo /opt/edge/venv/lib/python3*/site-packages").strip() + "/added_later.py"
    box.write(added, "")
    pid = box.show("MainPID")
    box.sh(f"{APT} install /packages/newer.deb")
    assert box.sh("edge --version") == f"edge {NEWER}"
    assert box.up()
    assert box.show("MainPID") != pid
    assert f"edge {NEWER} starts" in box.journal()
    assert first_alert(box)["node"] == "gate-07"
    assert box.sh(f"cat {CONFIG}") == configuration
    assert box.sh(f"stat -c '%G %a' {CONFIG}") == "edge 640"
    assert kept <= events(box)
    box.sh(f"test -e /var/lib/edge/of-mine && test -e {added}")

    box.sh("systemctl disable --now edge")
    box.sh(f"{APT} install --reinstall /packages/newer.deb")
    assert box.sh("systemctl is-enabled edge", check=False) == "disabled", "what the administrator chose stays"
    assert not box.up()

    box.sh(f"systemctl start edge && {APT} remove edge-monitor")
    assert not box.up()
    box.sh(f"test ! -e /opt/edge && test ! -e /usr/bin/edge && test -e {CONFIG} && test -e /var/lib/edge/of-mine")
    box.sh(f"{APT} purge edge-monitor")
    assert files(box) - before == set()
    assert box.sh("getent passwd edge; getent group edge", check=False) == ""
    assert box.sh("systemctl list-units --all --no-legend 'edge*'") == ""
