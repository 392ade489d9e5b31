"""The model's graphs in other precisions, made here: files in ``<model folder>/built``, each with a note beside it.

A variant belongs to one source graph, by digest: after an update of the model the old ones are not found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from edge.engine.built import build_dir
from edge.engine.manifest import ModelFolder, sha256_of
from edge.errors import ModelError

Precision = Literal["fp16", "int8"]
Part = Literal["whole", "vision", "audio", "fusion"]
PARTS: tuple[Part, ...] = get_args(Part)
_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class VariantAccuracy:
    """How far a variant's answers are from those of the source graph, over ``windows`` it was not calibrated on.

    ``mean`` and ``worst`` are absolute differences of a label's probability; ``crossed`` is the share of answers that
    lie on the other side of the label's threshold; ``golden`` is the largest difference of a probability on the golden
    inputs. ``fault`` says why it is not admitted, empty where it is.
    """

    windows: int
    mean: float
    worst: float
    crossed: float
    golden: float
    fault: str = ""


@dataclass(frozen=True, slots=True)
class GraphVariant:
    """One graph file: ``source`` is the digest of the graph that it was made from, ``sha256`` its own; ``made`` says
    how (library, method, recordings)."""

    path: Path
    part: Part
    precision: Precision
    source: str
    sha256: str
    made: Mapping[str, str] = field(default_factory=dict)
    accuracy: VariantAccuracy | None = None

    @property
    def is_admitted(self) -> bool:
        """Whether its answers were compared and found near enough."""
        return self.accuracy is not None and not self.accuracy.fault


def source_graph(folder: ModelFolder, part: Part = "whole") -> tuple[Path, str]:
    """The fp32 graph of ``part`` and its digest in model.yaml; ModelError where the model has no parts."""
    if part == "whole":
        return folder.graph, folder.manifest.sha256
    parts = folder.manifest.parts
    if parts is None:
        raise ModelError(f"{folder.path}: the model has no graph for {part!r} alone; use the whole graph")
    file = {"vision": parts.vision, "audio": parts.audio, "fusion": parts.fusion}[part]
    return folder.path / file.file, file.sha256


def admitted_path(folder: ModelFolder, precision: Precision, part: Part = "whole") -> Path:
    """The admitted graph file of ``part`` in ``precision``; ModelError says what to do where there is none."""
    found = find_variant(folder, precision, part)
    build_command = f"edge engine build --model {folder.path} --precision {precision}"
    build_command += " --from RECORDING..." if precision == "int8" else ""
    what = f"{folder.manifest.name} in {precision}" + ("" if part == "whole" else f" (part {part})")
    if found is None:
        raise ModelError(f"{what} has not been made of this graph on this machine; make it: {build_command}")
    if found.accuracy is None or found.accuracy.fault:
        why = found.accuracy.fault if found.accuracy is not None else "its answers were not compared yet"
        raise ModelError(f"{what} is not admitted: {why}; use precision fp32, or make it again: {build_command}")
    if sha256_of(found.path) != found.sha256:
        raise ModelError(f"{found.path}: the file is damaged or was exchanged; make it again: {build_command}")
    return found.path


def find_variant(folder: ModelFolder, precision: Precision, part: Part = "whole") -> GraphVariant | None:
    """What was made of this very graph, admitted or not."""
    path = variant_path(folder, precision, part)
    found = _read(path)
    return found if found is not None and found.source == source_graph(folder, part)[1] else None


def list_variants(folder: ModelFolder) -> list[GraphVariant]:
    """Everything made of the folder's present graphs, by part and precision."""
    names: tuple[Part, ...] = PARTS if folder.manifest.parts is not None else ("whole",)
    precisions: tuple[Precision, ...] = get_args(Precision)
    found = (find_variant(folder, precision, part) for part in names for precision in precisions)
    return [one for one in found if one is not None]


def variant_path(folder: ModelFolder, precision: Precision, part: Part = "whole") -> Path:
    """Where the variant of the present graph lies, made or not."""
    return build_dir(folder) / f"{part}-{precision}-{source_graph(folder, part)[1][:16]}.onnx"


def save_variant(one: GraphVariant, content: bytes | None = None) -> None:
    """Write the graph (left as it is for None) and then its note, each whole or not at all; ModelError when the disk
    refuses. Until the note is there the graph is not found."""
    note = _note_of(one.path)
    files = [] if content is None else [(one.path, content)]
    files.append((note, json.dumps(_note(one), indent=1).encode()))
    try:
        one.path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            note.unlink(missing_ok=True)
        for path, data in files:
            part = path.with_suffix(path.suffix + ".part")
            part.write_bytes(data)
            part.replace(path)
    except OSError as error:
        raise ModelError(f"{one.path}: cannot be written ({error.strerror}); free space or rights there") from error


def _note_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _note(one: GraphVariant) -> dict[str, Any]:
    facts = {"schema": _SCHEMA, "part": one.part, "precision": one.precision, "source": one.source}
    accuracy = asdict(one.accuracy) if one.accuracy is not None else None
    return {**facts, "sha256": one.sha256, "made": dict(one.made), "accuracy": accuracy}


def _read(path: Path) -> GraphVariant | None:
    try:
        raw = json.loads(_note_of(path).read_text(encoding="utf-8"))
        if raw["schema"] != _SCHEMA or not path.is_file():
            return None
        accuracy = VariantAccuracy(**raw["accuracy"]) if raw["accuracy"] is not None else None
        made = {str(key): str(value) for key, value in raw["made"].items()}
        return GraphVariant(path, raw["part"], raw["precision"], raw["source"], raw["sha256"], made, accuracy)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
