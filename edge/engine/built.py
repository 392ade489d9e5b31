"""Engines that were built here, in ``<model folder>/built``, each with a note of what it was built for and with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from edge.engine.manifest import ModelFolder
from edge.engine.trt.library import version_numbers
from edge.errors import ModelError, RuntimeUnavailable, SinkError
from edge.files import atomic_write


@dataclass(frozen=True, slots=True)
class EngineKey:
    """An engine runs only where all of this is the same. ``graph``: SHA-256 of the very file it was built from;
    ``device``: of an engine that was built ahead, all the capabilities it is for, with commas between."""

    graph: str
    library: str
    version: str
    device: str
    precision: str


@dataclass(frozen=True, slots=True)
class BuiltEngine:
    """One engine file: ``max_batch`` rows at most; ``is_admitted`` once it was proven on this GPU.

    One that ``is_version_compatible`` carries its runtime with it, and newer versions of the library take it too.
    """

    path: Path
    key: EngineKey
    max_batch: int
    is_admitted: bool
    is_version_compatible: bool = False

    def fits(self, here: EngineKey) -> bool:
        """Whether it runs where an engine of key ``here`` does."""
        device = here.device if here.device in self.key.device.split(",") else self.key.device
        is_old_enough = version_numbers(self.key.version) <= version_numbers(here.version)
        version = here.version if self.is_version_compatible and is_old_enough else self.key.version
        return dataclasses.replace(self.key, device=device, version=version) == here


def build_dir(folder: ModelFolder) -> Path:
    """Where built engines and timing caches lie; not in git, safe to delete."""
    return folder.path / "built"


def engine_path(folder: ModelFolder, key: EngineKey, max_batch: int, *, is_version_compatible: bool = False) -> Path:
    """The engine file of ``key``."""
    parts = "\0".join((*dataclasses.astuple(key), str(max_batch), *(["any"] if is_version_compatible else [])))
    digest = hashlib.sha256(parts.encode()).hexdigest()[:16]
    return build_dir(folder) / f"{key.library}-{key.version}-{key.precision}-{digest}.engine"


def save_engine(engine: BuiltEngine, content: bytes) -> None:
    """Write engine and note so that a half-written one is never found; ModelError when the disk refuses."""
    note = {
        **dataclasses.asdict(engine.key),
        "max_batch": engine.max_batch,
        "is_admitted": engine.is_admitted,
        "is_version_compatible": engine.is_version_compatible,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    files = ((engine.path, content), (engine.path.with_suffix(".json"), json.dumps(note, indent=1).encode()))
    for path, data in files:
        try:
            atomic_write(path, data, "free space or rights there")
        except SinkError as error:
            raise ModelError(str(error)) from error


def read_engine(engine: BuiltEngine) -> bytes:
    """The engine file's bytes; RuntimeUnavailable when they are not what was saved. Against damage, not against people:
    who may write to the folder may also write the note, and an engine is a program."""
    try:
        data = engine.path.read_bytes()
        note = json.loads(engine.path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RuntimeUnavailable(
            f"{engine.path}: cannot be read ({error}); build it again: edge engine build"
        ) from error
    if hashlib.sha256(data).hexdigest() != note.get("sha256"):
        raise RuntimeUnavailable(f"{engine.path} is damaged; build it again: edge engine build")
    return data


def remove_engine(engine: BuiltEngine) -> None:
    """Delete engine and note."""
    engine.path.with_suffix(".json").unlink(missing_ok=True)
    engine.path.unlink(missing_ok=True)


def list_engines(folder: ModelFolder) -> list[BuiltEngine]:
    """All engines with a readable note, sorted by file name."""
    return [engine for note in sorted(build_dir(folder).glob("*.json")) if (engine := _read(note)) is not None]


def find_engine(folder: ModelFolder, key: EngineKey, max_batch: int) -> BuiltEngine | None:
    """The smallest admitted engine for ``key`` that takes ``max_batch`` rows; of this very version, then older ones."""
    fitting = [e for e in list_engines(folder) if e.fits(key) and e.is_admitted and e.max_batch >= max_batch]
    return min(fitting, key=lambda e: (e.key != key, e.is_version_compatible, e.max_batch), default=None)


def _read(note: Path) -> BuiltEngine | None:
    path = note.with_suffix(".engine")
    try:
        raw = json.loads(note.read_text(encoding="utf-8"))
        key = EngineKey(*(str(raw[field.name]) for field in dataclasses.fields(EngineKey)))
        is_any = bool(raw.get("is_version_compatible", False))
        engine = BuiltEngine(path, key, int(raw["max_batch"]), bool(raw["is_admitted"]), is_any)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return engine if path.is_file() else None
