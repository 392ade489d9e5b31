"""The import ladder: who may import whom, and which heavy libraries the command line must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GROUND = {"types", "clock", "errors", "metrics"}
CONFIG = {"config", "engine.manifest"}
STAGES = {"capture", "buffer", "engine", "detect", "evidence", "publish"}
TOP = {"node", "tune", "web", "replay", "checks", "watch", "notify"}
HEAVY = ("av", "cv2", "sounddevice", "soxr", "onnxruntime", "tensorrt", "pycuda", "torch", "fastapi", "paho", "iotcore")
MODULES = sorted((ROOT / "edge").rglob("*.py"))


def room_of(module: str) -> str:
    """The room of a dotted module below `edge`."""
    return module if module in CONFIG else module.split(".")[0]


def floor_of(room: str) -> int:
    if room in GROUND:
        return 1
    if room in CONFIG:
        return 2
    if room in STAGES:
        return 3
    return {"pipeline": 4, "cli": 6, "__main__": 6, "learn": 5}.get(room, 5)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT / "edge").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edge"):
            base = (node.module or "").removeprefix("edge").removeprefix(".")
            found |= {f"{base}.{alias.name}".strip(".") if not base else base for alias in node.names}
            if base == "engine":
                found |= {f"engine.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("edge.") for alias in node.names if alias.name.startswith("edge.")}
    return found


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_down(path: Path) -> None:
    module = module_name(path)
    if not module:
        return
    room = room_of(module)
    for target in imports_of(path):
        other = room_of(target)
        if other == room or not other:
            continue
        if room in STAGES | CONFIG and room_of(target) == "engine" and module.startswith("engine"):
            continue
        if module.startswith("engine") and other.startswith("engine"):
            continue
        assert floor_of(other) < floor_of(room) or floor_of(room) >= 5, f"{module} imports {target}: that is not below it"
        assert floor_of(other) <= floor_of(room), f"{module} imports {target}: that is above it"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_torch_stays_in_learn(path: Path) -> None:
    module = module_name(path)
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert "torch" not in names or module.startswith("learn")


def test_the_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, edge.cli; edge.cli.build_parser(); print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
