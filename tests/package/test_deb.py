"""The Debian package: what is in it. That it installs, runs and goes again: test_deb_installed.py."""

from __future__ import annotations

import re
import subprocess
import tarfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest
from package_parts import Packages, run

import edge
from edge.config import load

pytestmark = [pytest.mark.package, pytest.mark.slow, pytest.mark.timeout(900)]

TOP = Path(__file__).parents[2]
VENV = "./opt/edge/venv/"
DOC = "./usr/share/doc/edge-monitor/"
UNCHECKED = 1  # PEP 552: a hash stands in the header, and the source is not looked at
FORBIDDEN = ("nvidia", "torch", "tensorrt", "openvino", "setuptools")


@dataclass(frozen=True, slots=True)
class Content:
    """The package's members by name, and the bytes of the small ones."""

    members: dict[str, tarfile.TarInfo]
    data: dict[str, bytes]

    def text(self, name: str) -> str:
        return self.data[name].decode()


@pytest.fixture(scope="module")
def deb(packages: Packages) -> Path:
    return packages.one("*.deb")


@pytest.fixture(scope="module")
def content(deb: Path) -> Content:
    found = Content({}, {})
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE) as reader,
        tarfile.open(fileobj=reader.stdout, mode="r|") as archive,
    ):
        for member in archive:
            found.members[member.name] = member
            file = archive.extractfile(member) if member.isfile() and member.size < 2_000_000 else None
            if file is not None:
                found.data[member.name] = file.read()
    return found


def field(deb: Path, name: str) -> str:
    return run("dpkg-deb", "--field", deb, name).strip()


def test_it_says_what_it_is_and_needs(deb: Path) -> None:
    minor = int(run("/usr/bin/python3", "-c", "import sys; print(sys.version_info.minor)"))
    assert (field(deb, "Package"), field(deb, "Version")) == ("edge-monitor", edge.__version__)
    assert field(deb, "Architecture") == run("dpkg", "--print-architecture").strip()
    needs = field(deb, "Depends").split(", ")
    assert {f"python3 (>= 3.{minor})", f"python3 (<< 3.{minor + 1})", "libportaudio2"} <= set(needs)
    assert int(field(deb, "Installed-Size")) > 100_000
    assert "@" not in run("dpkg-deb", "--field", deb).replace("edge@example.invalid", "")


def test_the_units_and_accounts_are_the_repositorys(content: Content) -> None:
    for source, place in (
        ("systemd/edge.service", "./usr/lib/systemd/system/edge.service"),
        ("systemd/edge@.service", "./usr/lib/systemd/system/edge@.service"),
        ("systemd/edge.sysusers", "./usr/lib/sysusers.d/edge.conf"),
        ("systemd/edge.tmpfiles", "./usr/lib/tmpfiles.d/edge.conf"),
        ("packaging/config.yaml", "./etc/edge/config.yaml"),
        ("docs/how-to/systemd.md", f"{DOC}how-to/systemd.md"),
    ):
        assert content.data[place] == (TOP / source).read_bytes(), place
    unit = content.text("./usr/lib/systemd/system/edge.service")
    program = re.search(r"^ExecStart=(\S+)", unit, re.MULTILINE)
    documentation = re.search(r"^Documentation=file://(\S+)", unit, re.MULTILINE)
    assert program is not None
    assert documentation is not None
    for path in (program.group(1), documentation.group(1)):
        assert f".{path}" in content.members


def test_everything_is_roots_and_no_newer_than_the_release(content: Content) -> None:
    changelog = (TOP / "CHANGELOG.md").read_text()
    day = re.search(r"^## \S+, (\S+)$", changelog, re.MULTILINE)
    assert day is not None
    newest = datetime.fromisoformat(day.group(1)).replace(tzinfo=timezone.utc).timestamp()
    for member in content.members.values():
        assert (member.uid, member.gid) == (0, 0), member.name
        assert member.mtime <= newest, member.name
        assert member.issym() or not member.mode & 0o022, member.name


def test_its_programs_name_the_place_where_they_will_lie(content: Content) -> None:
    assert content.text(f"{VENV}bin/edge").startswith("#!/opt/edge/venv/bin/python\n")
    assert "venv /opt/edge/venv\n" in content.text(f"{VENV}pyvenv.cfg")
    assert content.members["./usr/bin/edge"].linkname == "/opt/edge/venv/bin/edge"
    assert content.members[f"{VENV}bin/python3"].linkname == "/usr/bin/python3"
    built_in = [name for name, data in content.data.items() if b"edge-package." in data]
    assert built_in == [], "the folder in which it was made is named"


def test_all_modules_are_compiled_and_never_compared_with_their_source(content: Content) -> None:
    compiled = {name: data for name, data in content.data.items() if name.endswith(".pyc")}
    assert {int.from_bytes(data[4:8], "little") for data in compiled.values()} == {UNCHECKED}
    ours = [name for name in content.data if re.search(r"/site-packages/edge/.*\.py$", name)]
    assert len(ours) > 100
    for name in ours:
        folder, _, module = name.rpartition("/")
        assert any(other.startswith(f"{folder}/__pycache__/{module[:-3]}.") for other in compiled), name


def test_neither_cuda_nor_torch_come_along(content: Content) -> None:
    packages = {name.split("/site-packages/")[1].split("/")[0] for name in content.members if "/site-packages/" in name}
    packages.discard("")
    assert {"edge", "uvicorn", "fastapi", "iotcore", "onnxruntime"} <= packages
    assert [name for name in packages if name.startswith(FORBIDDEN)] == []


def test_the_licence_of_everything_inside_is_told(content: Content) -> None:
    told = content.text(f"{DOC}copyright")
    about = re.compile(r"site-packages/([^/]+)-[^-/]+\.dist-info/METADATA$")
    bundled = {match.group(1) for name in content.members if (match := about.search(name))}
    assert len(bundled) > 20
    for name in bundled - {"edge_monitor"}:
        assert re.search(rf"^- {re.sub('[-_.]', '[-_.]', name)} \S+: \S", told, re.MULTILINE | re.IGNORECASE), name
    assert (TOP / "LICENSE").read_text().strip() in told
    assert (TOP / "NOTICE").read_text().strip() in told


def test_its_configuration_is_valid_and_names_files_of_the_package(content: Content, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content.data["./etc/edge/config.yaml"])
    config = load(file).config
    assert config.node.data_dir == Path("/var/lib/edge")
    (camera,) = config.cameras.values()
    assert f".{camera.source.path}" in content.members
