"""The wheel: what is in it, and that it runs where there is no checkout."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from package_parts import Packages, clean_environment, run

import edge

pytestmark = [pytest.mark.package, pytest.mark.slow, pytest.mark.timeout(900)]

TOP = Path(__file__).parents[2]
MODEL = {"fused/model.yaml", "fused/fused.onnx", "fused/golden.npz", "fused/data.csv", "fused/README.md"}
PAGE = {"index.html", "page.css", "page.js", "icon.svg"}
ABOUT = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE", "licenses/NOTICE"}
MINIMAL = """
node: {data_dir: data}
cameras: {yard: {source: {type: file, path: yard.mp4, pace: fast}}}
mqtt: null
jsonl: {path: "-"}
"""


def under(names: set[str], folder: str) -> set[str]:
    return {name.removeprefix(folder) for name in names if name.startswith(folder)}


def test_it_holds_the_program_the_page_the_model_and_the_schemas_and_nothing_else(packages: Packages) -> None:
    with zipfile.ZipFile(packages.one("*.whl")) as wheel:
        names = set(wheel.namelist())
    assert under(names, "edge/_engines/") == under(set(packages.tracked), "engines/") >= MODEL
    assert under(names, "edge/_schema/") == under(set(packages.tracked), "docs/schema/")
    assert under(names, "edge/web/static/") == under(set(packages.tracked), "edge/web/static/") >= PAGE
    assert under(names, f"edge_monitor-{edge.__version__}.dist-info/") == ABOUT
    made = {name for name in names if name.startswith(("edge/_engines/", "edge/_schema/", "edge_monitor-"))}
    assert names - made == {name for name in packages.tracked if name.startswith("edge/")}


def test_the_source_archive_holds_what_git_holds(packages: Packages) -> None:
    with tarfile.open(packages.one("*.tar.gz")) as archive:
        names = under({member.name for member in archive.getmembers()}, f"edge_monitor-{edge.__version__}/")
    assert names == {name for name in packages.tracked if not name.startswith(".ci/")} | {"PKG-INFO"}


def test_the_version_is_the_programs(packages: Packages) -> None:
    assert packages.one("*.whl").name == f"edge_monitor-{edge.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(packages.one("*.whl")) as wheel:
        about = wheel.read(f"edge_monitor-{edge.__version__}.dist-info/METADATA").decode()
    assert f"\nVersion: {edge.__version__}\n" in about


@pytest.fixture(scope="module")
def site(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the checkout: the wheel in an environment of its own, a recording, a minimal configuration."""
    folder = tmp_path_factory.mktemp("site")
    run(sys.executable, "-m", "venv", folder / "venv")
    run(folder / "venv" / "bin" / "python", "-m", "pip", "install", "--no-compile", packages.one("*.whl"))
    shutil.copy(TOP / "samples" / "yard.mp4", folder)
    (folder / "minimal.yaml").write_text(MINIMAL)
    return folder


def test_installed_it_is_not_this_checkout(site: Path) -> None:
    found = run(site / "venv" / "bin" / "python", "-c", "import edge; print(edge.__file__)", cwd=site)
    assert Path(found.strip()).is_relative_to(site)
    assert run(site / "venv" / "bin" / "edge", "--version", cwd=site) == f"edge {edge.__version__}\n"


def test_installed_it_checks_and_plays_a_minimal_configuration(site: Path) -> None:
    program = str(site / "venv" / "bin" / "edge")
    checked = run(program, "check", "-c", "minimal.yaml", cwd=site)
    assert "picture and sound arrive" in checked, checked
    with (
        (site / "log").open("w") as log,
        subprocess.Popen(
            [program, "run", "-c", "minimal.yaml"],
            cwd=site,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=log,
        ) as daemon,
    ):
        assert daemon.stdout is not None
        line = daemon.stdout.readline()  # the test's own time limit bounds it
        daemon.terminate()
        daemon.stdout.read()
    assert daemon.returncode == 0, (site / "log").read_text()
    first = json.loads(line)
    assert (first["camera"], first["label"], first["phase"]) == ("yard", "dog_bark", "begin")
