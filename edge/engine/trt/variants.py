"""The model's graph in other precisions, made here: files in ``<model folder>/built``, each with a note beside it.

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
from edge.errors import ModelError, SinkError
from edge.files import atomic_write

Precision = Literal["fp16", "int8"]
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
    precision: Precision
    source: str
    sha256: str
    made: Mapping[str, str] = field(default_factory=dict)
    accuracy: VariantAccuracy | None = None

    @property
    def is_admitted(self) -> bool:
        """Whether its answers were compared and found near enough."""
        return self.accuracy is not None and not self.accuracy.fault


def admitted_path(folder: ModelFolder, precision: Precision) -> Path:
    """The admitted graph file in ``precision``; ModelError says what to do where there is none."""
    found = find_variant(folder, precision)
    build_command = f"edge engine build --model {folder.path} --precision {precision}"
    build_command += " --from RECORDING..." if precision == "int8" else ""
    what = f"{folder.manifest.name} in {precision}"
    if found is None:
        raise ModelError(f"{what} has not been made of this graph on this machine; make it: {build_command}")
    if found.accuracy is None or found.accuracy.fault:
        why = found.accuracy.fault if found.accuracy is not None else "its answers were not compared yet"
        raise ModelError(f"{what} is not admitted: {why}; use precision fp32, or make it again: {build_command}")
    if sha256_of(found.path) != found.sha256:
        raise ModelError(f"{found.path}: the file is damaged or was exchanged; make it again: {build_command}")
    return found.path


def find_variant(folder: ModelFolder, precision: Precision) -> GraphVariant | None:
    """What was made of this very graph, admitted or not."""
    found = _read(variant_path(folder, precision))
    return found if found is not None and found.source == folder.manifest.sha256 else None


def list_variants(folder: ModelFolder) -> list[GraphVariant]:
    """Everything made of the folder's present graph, by precision."""
    precisions: tuple[Precision, ...] = get_args(Precision)
    found = (find_variant(folder, precision) for precision in precisions)
    return [one for one in found if one is not None]


def variant_path(folder: ModelFolder, precision: Precision) -> Path:
    """Where the variant of the present graph lies, made or not."""
    return build_dir(folder) / f"whole-{precision}-{folder.manifest.sha256[:16]}.onnx"


def save_variant(one: GraphVariant, content: bytes | None = None) -> None:
    """Write the graph (left as it is for None) and then its note, each whole or not at all; ModelError when the disk
    refuses. Until the note is there the graph is not found."""
    note = _note_of(one.path)
    try:
        if content is not None:
            note.unlink(missing_ok=True)
            atomic_write(one.path, content, "free space or rights there")
        atomic_write(note, json.dumps(_note(one), indent=1), "free space or rights there")
    except (OSError, SinkError) as error:
        raise ModelError(str(error)) from error


def _note_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _note(one: GraphVariant) -> dict[str, Any]:
    facts = {"schema": _SCHEMA, "precision": one.precision, "source": one.source}
    accuracy = asdict(one.accuracy) if one.accuracy is not None else None
    return {**facts, "sha256": one.sha256, "made": dict(one.made), "accuracy": accuracy}


def _read(path: Path) -> GraphVariant | None:
    try:
        raw = json.loads(_note_of(path).read_text(encoding="utf-8"))
        if raw["schema"] != _SCHEMA or not path.is_file():
            return None
        accuracy = VariantAccuracy(**raw["accuracy"]) if raw["accuracy"] is not None else None
        made = {str(key): str(value) for key, value in raw["made"].items()}
        return GraphVariant(path, raw["precision"], raw["source"], raw["sha256"], made, accuracy)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
