"""Engines that were built here, in ``<model folder>/built``, each with a note of what it was built for and with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from edge.engine.manifest import ModelFolder
from edge.errors import ModelError


@dataclass(frozen=True, slots=True)
class EngineKey:
    """An engine runs only where all of this is the same."""

    graph: str
    library: str
    version: str
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """One engine file: ``max_batch`` rows at most; ``is_admitted`` once it reproduced the golden file."""

    path: Path
    key: EngineKey
    max_batch: int
    is_admitted: bool


def folder_of(folder: ModelFolder) -> Path:
    """Where built engines and timing caches lie; not in git, safe to delete."""
    return folder.path / "built"


def path_for(folder: ModelFolder, key: EngineKey, max_batch: int) -> Path:
    """The engine file of ``key``."""
    parts = "\0".join((*dataclasses.astuple(key), str(max_batch)))
    digest = hashlib.sha256(parts.encode()).hexdigest()[:16]
    return folder_of(folder) / f"{key.library}-{key.version}-{key.precision}-{digest}.engine"


def save(engine: BuiltEngine, content: bytes) -> None:
    """Write engine and note so that a half-written one is never found; ModelError when the disk refuses."""
    note = {**dataclasses.asdict(engine.key), "max_batch": engine.max_batch, "is_admitted": engine.is_admitted}
    files = ((engine.path, content), (engine.path.with_suffix(".json"), json.dumps(note, indent=1).encode()))
    try:
        engine.path.parent.mkdir(parents=True, exist_ok=True)
        for path, data in files:
            part = path.with_suffix(path.suffix + ".part")
            part.write_bytes(data)
            part.replace(path)
    except OSError as error:
        raise ModelError(f"{engine.path}: cannot be written ({error.strerror}); free space or rights there") from error


def remove(engine: BuiltEngine) -> None:
    """Delete engine and note."""
    engine.path.with_suffix(".json").unlink(missing_ok=True)
    engine.path.unlink(missing_ok=True)


def listing(folder: ModelFolder) -> list[BuiltEngine]:
    """All engines with a readable note, sorted by file name."""
    return [engine for note in sorted(folder_of(folder).glob("*.json")) if (engine := _read(note)) is not None]


def find(folder: ModelFolder, key: EngineKey, max_batch: int) -> BuiltEngine | None:
    """The smallest admitted engine of ``key`` that takes ``max_batch`` rows."""
    fitting = [e for e in listing(folder) if e.key == key and e.is_admitted and e.max_batch >= max_batch]
    return min(fitting, key=lambda e: e.max_batch, default=None)


def _read(note: Path) -> BuiltEngine | None:
    path = note.with_suffix(".engine")
    try:
        raw = json.loads(note.read_text(encoding="utf-8"))
        key = EngineKey(*(str(raw[field.name]) for field in dataclasses.fields(EngineKey)))
        engine = BuiltEngine(path, key, int(raw["max_batch"]), bool(raw["is_admitted"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return engine if path.is_file() else None
