"""The unit files under a real systemd: PID 1 of its own namespaces, with the real daemon."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from systemd_box import SystemdBox, skip_without_systemd

pytestmark = [pytest.mark.systemd, pytest.mark.slow]

TOP = Path(__file__).parents[2]

CONFIG = """
node: {data_dir: /var/lib/edge}
cameras: {yard: {source: {type: file, path: /opt/edge/samples/yard.mp4, pace: live, loop: true}}}
mqtt: null
jsonl: {path: /var/lib/edge/events.jsonl}
"""
PROGRAM = """#!/opt/edge/venv/bin/python
import sys
sys.path.insert(0, "/opt/edge")
from edge.cli import main
sys.exit(main())
"""
# The interpreter of this test run may live in a home folder, which the sandbox hides: it is shown at /opt/python.
DROP_IN = """[Service]
Environment=LD_LIBRARY_PATH=/opt/python/lib
WatchdogSec=5
"""


class Box(SystemdBox):
    """A booted systemd with edge installed from the checkout."""

    def __init__(self) -> None:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        super().__init__(
            f"test-{os.getpid()}",
            *(f"{TOP / name}:/opt/edge/{name}" for name in ("edge", "engines", "samples", "systemd")),
            f"{sys.base_prefix}:/opt/python",
            f"{sysconfig.get_path('purelib')}:/opt/edge/venv/lib/{version}/site-packages",
        )
        self.sh(f"mkdir -p /opt/edge/venv/bin && ln -s /opt/python/bin/{version} /opt/edge/venv/bin/python")
        self.write("/opt/edge/venv/pyvenv.cfg", "home = /opt/python/bin\n")
        self.write("/opt/edge/venv/bin/edge", PROGRAM)
        self.sh("chmod +x /opt/edge/venv/bin/edge")
        self.sh("cp /opt/edge/systemd/*.service /etc/systemd/system/")
        self.sh("install -D /opt/edge/systemd/edge.sysusers /usr/lib/sysusers.d/edge.conf && systemd-sysusers")
        self.sh("install -D /opt/edge/systemd/edge.tmpfiles /usr/lib/tmpfiles.d/edge.conf")
        self.write("/etc/edge/config.yaml", CONFIG)
        self.sh("systemd-tmpfiles --create edge.conf")
        for unit in ("edge", "edge@"):
            self.write(f"/etc/systemd/system/{unit}.service.d/test.conf", DROP_IN)
        self.sh("systemctl daemon-reload")


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    skip_without_systemd()
    made = Box()
    yield made
    made.power_off()


@pytest.fixture
def fresh(box: Box) -> Iterator[Box]:
    """Everything stopped, counters at zero, the journal of this test alone."""
    box.sh("journalctl --rotate --vacuum-time=1s -q; rm -rf /var/lib/edge /etc/systemd/system/edge.service.d/more.conf")
    box.write("/etc/edge/config.yaml", CONFIG)
    box.sh("chgrp edge /etc/edge/config.yaml; chmod 640 /etc/edge/config.yaml")
    box.sh("systemctl daemon-reload; systemctl reset-failed", check=False)
    yield box
    box.sh("systemctl kill -s KILL 'edge*'; systemctl stop edge 'edge@*'; systemctl reset-failed", check=False)


def started(box: Box) -> int:
    done = box.sh("systemctl start edge || echo FAILED")
    assert "FAILED" not in done, box.journal()
    assert box.up()
    return int(box.show("MainPID"))


def test_verify_has_nothing_to_say(box: Box) -> None:
    box.sh("cp /etc/edge/config.yaml /etc/edge/north.yaml")
    assert box.sh("systemd-analyze verify edge.service edge@north.service") == ""


@pytest.mark.parametrize("unit", ["edge.service", "edge@north.service"])
def test_exposure_is_low(box: Box, unit: str) -> None:
    found = re.search(r"Overall exposure level .*: ([\d.]+)", box.sh(f"systemd-analyze security --no-pager {unit}"))
    assert found is not None
    assert float(found.group(1)) < 2.5


def test_it_starts_tells_its_status_and_runs_as_its_own_user(fresh: Box) -> None:
    pid = started(fresh)
    assert "sources" in fresh.show("StatusText")
    assert fresh.sh(f"stat -c %U /proc/{pid}") == "edge"
    assert fresh.sh("stat -c '%U %a' /var/lib/edge") == "edge 750"
    fresh.until(lambda: fresh.sh("ls /var/lib/edge/outbox.db", check=False) == "/var/lib/edge/outbox.db")
    assert fresh.sh("stat -c '%U %a' /var/lib/edge/outbox.db") == "edge 640"


def test_the_sandbox_holds_but_the_data_folder_is_there(fresh: Box) -> None:
    pid = started(fresh)

    def inside(command: str) -> str:
        return fresh.sh(f"nsenter -t {pid} -m -- sh -c '{command}'", check=False)

    assert "Read-only" in inside("touch /opt/edge/x")
    assert "Read-only" in inside("touch /etc/edge/x")
    assert inside("ls -A /root /home | grep -v :") == ""
    assert inside("touch /var/lib/edge/x && echo written") == "written"
    status = fresh.sh(f"grep -E 'NoNewPrivs|CapBnd|Seccomp:' /proc/{pid}/status").split()
    assert status == ["CapBnd:", "0000000000000000", "NoNewPrivs:", "1", "Seccomp:", "2"]
    assert "video" in fresh.sh("id -nG edge").split()


def test_killed_it_comes_back(fresh: Box) -> None:
    first = started(fresh)
    fresh.sh(f"kill -KILL {first}")
    fresh.until(lambda: fresh.up() and fresh.show("MainPID") not in {"0", str(first)})
    assert fresh.show("NRestarts") == "1"


def test_hung_it_is_killed_by_the_watchdog_and_comes_back(fresh: Box) -> None:
    first = started(fresh)
    fresh.sh(f"kill -STOP {first}")
    fresh.until(lambda: fresh.show("NRestarts") == "1" and fresh.up())
    assert "Watchdog timeout" in fresh.journal()
    assert int(fresh.show("MainPID")) != first


def test_reload_takes_a_threshold_over_without_a_restart(fresh: Box) -> None:
    pid = started(fresh)
    fresh.write("/etc/edge/config.yaml", CONFIG + "events: {fire: {enter: 0.9, leave: 0.1}}\n")
    fresh.sh("systemctl reload edge")
    fresh.until(lambda: "reload" in fresh.journal() and fresh.up())
    fresh.write("/etc/edge/config.yaml", CONFIG + "events: {fire: {enter: 7}}\n")
    fresh.sh("systemctl reload edge")
    fresh.until(lambda: "the running configuration stays" in fresh.journal() and fresh.up())
    assert int(fresh.show("MainPID")) == pid


def test_stop_is_clean(fresh: Box) -> None:
    started(fresh)
    fresh.sh("systemctl stop edge")
    assert (fresh.show("Result"), fresh.show("ExecMainStatus"), fresh.show("ActiveState")) == (
        "success", "0", "inactive",
    )  # fmt: skip
    assert "Killing process" not in fresh.journal()


def test_a_wrong_configuration_is_said_and_not_tried_again(fresh: Box) -> None:
    fresh.write("/etc/edge/config.yaml", CONFIG + "camera: {}\n")
    fresh.sh("systemctl start edge", check=False)
    fresh.until(lambda: fresh.show("ActiveState") == "failed")
    assert (fresh.show("ExecMainStatus"), fresh.show("NRestarts")) == ("2", "0")
    assert "did you mean 'cameras'?" in fresh.journal()


def test_it_is_ready_without_the_broker_and_reads_its_password_as_a_credential(fresh: Box) -> None:
    mqtt = 'mqtt: {url: "mqtt://127.0.0.1:1", username: u, password_file: "${CREDENTIALS_DIRECTORY}/mqtt-password"}'
    fresh.write("/etc/edge/config.yaml", CONFIG.replace("mqtt: null", mqtt))
    fresh.write("/etc/edge/mqtt-password", "s3cret\n")
    fresh.sh("chmod 600 /etc/edge/mqtt-password")
    fresh.sh("cp /opt/edge/systemd/drop-ins/credentials.conf /etc/systemd/system/edge.service.d/more.conf")
    fresh.sh("systemctl daemon-reload")
    pid = started(fresh)
    fresh.until(lambda: "refuses connections" in fresh.show("StatusText"))
    assert fresh.sh(f"grep -c s3cret /proc/{pid}/environ", check=False) == "0"
    assert "s3cret" not in fresh.journal()


def test_commands_beside_the_service_do_not_need_its_credentials(fresh: Box) -> None:
    mqtt = 'mqtt: {url: "mqtt://127.0.0.1:1", username: u, password_file: "${CREDENTIALS_DIRECTORY}/mqtt-password"}'
    fresh.write("/etc/edge/config.yaml", CONFIG.replace("mqtt: null", mqtt))
    fresh.write("/etc/edge/mqtt-password", "s3cret\n")
    edge = "/opt/edge/venv/bin/edge"
    library = "LD_LIBRARY_PATH=/opt/python/lib"
    found = fresh.sh(f"{library} {edge} check -c /etc/edge/config.yaml 2>&1", check=False)
    assert "CREDENTIALS_DIRECTORY is not set: systemd sets it for the service alone" in found
    assert "picture and sound arrive" in found
    given = "-p LoadCredential=mqtt-password:/etc/edge/mqtt-password"
    inside = f"systemd-run --quiet --pipe --wait -p User=edge {given} -p Environment={library}"
    for told in (
        fresh.sh(f"{library} CREDENTIALS_DIRECTORY=/etc/edge {edge} watch -c /etc/edge/config.yaml 2>&1", check=False),
        fresh.sh(f"{inside} {edge} check -c /etc/edge/config.yaml 2>&1", check=False),
    ):
        assert "refuses connections" in told, "so far it came: the password was read"
        assert "CREDENTIALS_DIRECTORY" not in told
        assert "s3cret" not in told


def test_shards_live_side_by_side(fresh: Box) -> None:
    for name in ("north", "south"):
        fresh.write(f"/etc/edge/{name}.yaml", CONFIG.replace("/var/lib/edge", f"/var/lib/edge/{name}"))
        fresh.sh(f"chgrp edge /etc/edge/{name}.yaml")
    fresh.sh("systemctl start edge@north edge@south")
    assert fresh.up("edge@north")
    assert fresh.up("edge@south")
    assert fresh.sh("stat -c %U /var/lib/edge/north /var/lib/edge/south") == "edge\nedge"
    fresh.sh("systemctl stop 'edge@*'")
    assert fresh.show("Result", "edge@north") == "success"
