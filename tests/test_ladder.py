"""The import ladder: who may import whom, and which heavy libraries the command line must not load."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GROUND = {"types", "media_time", "status", "clock", "errors", "logs", "metrics", "signal_change", "demand"}
GROUND |= {"files", "heap", "threads", "sqlite", "sqlite_errors", "sqlite_schema"}
CONFIG = {"config", "engine.manifest", "profile"}
STAGES = {"capture", "buffer", "engine", "detect", "evidence", "publish", "prompts"}
HEAVY = (
    "av",
    "cv2",
    "sounddevice",
    "soxr",
    "onnxruntime",
    "tensorrt",
    "pycuda",
    "torch",
    "fastapi",
    "paho",
    "iotcore",
    "tokenizers",
    "safetensors",
)
MODULES = sorted((ROOT / "edge").rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT / "edge").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room_of(module: str) -> str:
    """The room that a dotted module below `edge` stands in."""
    return module if module == "engine.manifest" else module.split(".", maxsplit=1)[0]


def floor_of(room: str) -> int:
    if room in GROUND:
        return 1
    if room in CONFIG:
        return 2
    if room in STAGES:
        return 3
    return {"pipeline": 4, "assemble": 4, "cli": 6, "__main__": 7}.get(room, 5)


def imports_of(path: Path) -> set[str]:
    """Dotted names of everything imported, from anywhere in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def rooms_imported(path: Path) -> set[str]:
    ours = {name.removeprefix("edge.") for name in imports_of(path) if name.startswith("edge.")}
    return {"engine.manifest" if name.startswith("engine.manifest") else room_of(name) for name in ours}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_down(path: Path) -> None:
    room = room_of(module_name(path))
    if not room:
        return
    for other in rooms_imported(path) - {room, "__version__"}:
        beside = floor_of(other) == floor_of(room)
        allowed_beside = floor_of(room) in {1, 2, 4, 5} or {room, other} <= {"engine", "engine.manifest"}
        assert floor_of(other) < floor_of(room) or (beside and allowed_beside), f"{path} imports edge.{other}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_torch_stays_in_train(path: Path) -> None:
    uses_torch = any(name.split(".", maxsplit=1)[0] == "torch" for name in imports_of(path))
    assert not uses_torch or module_name(path).startswith("train")


def test_the_command_line_loads_nothing_heavy() -> None:
    code = f"import sys, edge.cli; edge.cli.build_parser(); print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
