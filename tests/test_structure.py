"""What `scripts/structure` measures, held where it was brought: no circles, no long files, one class a name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "structure"


def measured(*arguments: str | Path) -> dict[str, Any]:
    done = subprocess.run([sys.executable, SCRIPT, "--json", *arguments], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def tree() -> dict[str, Any]:
    return measured()


def test_no_modules_import_each_other_in_a_circle(tree: dict[str, Any]) -> None:
    assert tree["circles"] == []


def test_no_file_is_long(tree: dict[str, Any]) -> None:
    module, lines = tree["longest"]
    assert lines <= 350, module


def test_public_class_names_are_unique(tree: dict[str, Any]) -> None:
    assert tree["public_class_names_used_twice"] == {}


def test_tests_look_from_outside(tree: dict[str, Any]) -> None:
    assert len(tree["private_attributes_in_tests"]) <= 10, "\n".join(tree["private_attributes_in_tests"])


def test_the_script_finds_what_it_looks_for(tmp_path: Path) -> None:
    files = {
        "edge/__init__.py": "",
        "edge/a.py": "from edge.b import B\n\n\nclass Twice:\n    pass\n",
        "edge/b.py": "class B:\n    pass\n\n\ndef late() -> None:\n    from edge import a\n",
        "edge/c.py": "class Twice:\n    pass\n" + "x = 1\n" * 400,
        "tests/test_a.py": "from edge import a\n\na._hidden\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = measured(tmp_path)
    assert found["circles"] == [["edge.a", "edge.b"]]
    assert found["longest"] == ["edge.c", 402]
    assert found["public_class_names_used_twice"] == {"Twice": ["edge.a", "edge.c"]}
    assert found["private_attributes_in_tests"] == ["tests/test_a.py:3 a._hidden"]
    assert found["files"] == 4
