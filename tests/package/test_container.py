"""The Dockerfile, as far as it can be held without a container runtime: its sources, its commands, its user."""

from __future__ import annotations

import re
import shutil
from fnmatch import fnmatch
from pathlib import Path

import pytest
from package_parts import Packages, run

TOP = Path(__file__).parents[2]


def instructions() -> list[tuple[str, str]]:
    """Instruction and arguments, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (TOP / "Dockerfile").read_text())
    found = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in found]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest))
    return found


def copied(stage: list[tuple[str, str]]) -> list[str]:
    """The sources of a stage's COPY instructions that come from the checkout."""
    rests = [rest for name, rest in stage if name == "COPY" and "--from=" not in rest]
    return [source for rest in rests for source in rest.split()[:-1]]


def sent(source: str) -> bool:
    """Whether .dockerignore lets ``source`` through; a line holds for what lies under the folder that it names, too."""
    passes = True
    names = [source, *map(str, Path(source).parents)][:-1]
    for line in (TOP / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and any(fnmatch(name, line.lstrip("!")) for name in names):
            passes = line.startswith("!")
    return passes


def test_what_it_copies_is_there_and_is_sent() -> None:
    sources = [source for stage in stages() for source in copied(stage)]
    assert len(sources) > 5
    assert [source for source in sources if not (TOP / source).exists()] == []
    assert [source for source in sources if not sent(source)] == []


def test_it_makes_its_environment_as_the_debian_package_does() -> None:
    runs = [rest for name, rest in stages()[0] if name == "RUN"]
    package = (TOP / "scripts" / "package").read_text()
    assert "scripts/package wheel --out /out" in runs
    assert "packaging/venv /out/*.whl /opt/edge/venv" in runs
    assert "packaging/venv " in package
    assert "packaging/licences.py" in package
    assert any("packaging/licences.py" in command for command in runs)


def test_it_runs_as_a_user_of_its_own_with_a_health_check() -> None:
    last = stages()[-1]
    named = dict(last)
    assert named["USER"] == "edge"
    assert [name for name, _ in last].index("USER") < [name for name, _ in last].index("ENTRYPOINT")
    assert named["ENTRYPOINT"] == '["/opt/edge/venv/bin/edge"]'
    assert named["CMD"] == '["run", "-c", "/etc/edge/config.yaml"]'
    address = re.search(r"http://([\d.:]+)/metrics", named["HEALTHCHECK"])
    assert address is not None
    assert f'metrics: {{listen: "{address.group(1)}"}}' in (TOP / "packaging" / "config.yaml").read_text()
    assert not any("nvidia" in rest.lower() or "torch" in rest for _, rest in instructions())


@pytest.mark.package
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_it_copies_is_enough_to_make_the_wheel(packages: Packages, tmp_path: Path) -> None:
    context = tmp_path / "src"
    for source in copied(stages()[0]):
        (context / source).parent.mkdir(parents=True, exist_ok=True)
        if (TOP / source).is_dir():
            shutil.copytree(TOP / source, context / source)
        else:
            shutil.copy2(TOP / source, context / source)
    run(context / "scripts" / "package", "wheel", "--out", tmp_path / "out")
    (wheel,) = (tmp_path / "out").glob("*.whl")
    assert wheel.stat().st_size == pytest.approx(packages.one("*.whl").stat().st_size, rel=0.01)
