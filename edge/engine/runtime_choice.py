"""What was measured on this box of ways to run the model's graphs, and which of them follows from it.

A note in ``<model folder>/built`` keeps the measurements. It holds for these graphs, these libraries, this CPU and this
number of threads; anything else is measured anew. Choosing is a function of the note, so that it can be explained.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

from edge.engine.built import build_dir
from edge.engine.manifest import ModelFolder
from edge.engine.precision.variants import PARTS, Part, list_variants
from edge.errors import ModelError, SinkError
from edge.files import atomic_write

MEMORY_PRICE_MB = 1000.0
"""Memory's price: a choice that needs this many MB more must halve the processor time; 100 MB more, save a tenth."""
MAX_COST_SHARE = 0.95
"""What is chosen instead of 32 bits on ONNX Runtime costs at most this share of it: less is noise."""
_SCHEMA = 2


@dataclass(frozen=True, slots=True)
class ExecutionMode:
    """One way to run a graph: ``onnx`` or ``openvino``, and a precision."""

    runtime: str
    precision: str

    def __str__(self) -> str:
        return f"{self.runtime} {self.precision}"


REFERENCE = ExecutionMode("onnx", "fp32")


@dataclass(frozen=True, slots=True)
class GraphMeasurement:
    """A graph in one way: processor and wall milliseconds a row (the least of several), resident MB that it added.

    ``fault`` says why it cannot be used: it does not load, or does not reproduce the golden file.
    """

    part: Part
    how: ExecutionMode
    cpu_ms: float = 0.0
    wall_ms: float = 0.0
    memory_mb: float = 0.0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class MeasurementTable:
    """Everything measured on one occasion; ``library_mb`` is what loading a runtime's library took."""

    rows: tuple[GraphMeasurement, ...]
    library_mb: Mapping[str, float]


Choice = Mapping[Part, ExecutionMode]


def graph_parts(folder: ModelFolder) -> tuple[Part, ...]:
    """The graphs that make up the model here."""
    return ("whole",) if folder.manifest.parts is None else tuple(part for part in PARTS if part != "whole")


def execution_modes(folder: ModelFolder, part: Part, has_bf16: bool | None) -> list[ExecutionMode]:
    """How ``part`` could be run with what is installed and made; ``has_bf16`` is None without OpenVINO."""
    modes = [REFERENCE]
    if has_bf16 is not None:
        modes += [ExecutionMode("openvino", "fp32"), *([ExecutionMode("openvino", "bf16")] if has_bf16 else [])]
    if any(v.part == part and v.precision == "int8" and v.is_admitted for v in list_variants(folder)):
        modes += [ExecutionMode("onnx", "int8"), *([ExecutionMode("openvino", "int8")] if has_bf16 is not None else [])]
    return modes


def choose_modes(
    table: MeasurementTable, parts: Sequence[Part], precision: str = "auto", spare_mb: float | None = None
) -> Choice | None:
    """The cheapest way for each part, memory counted in; None where nothing measured fits ``precision``.

    A choice costs its processor time times ``1 + more MB / 1000``, more than `REFERENCE` needs; more than ``spare_mb``
    is out of the question. It must cost at most `MAX_COST_SHARE` of `REFERENCE`, which is taken otherwise. With a
    precision named, parts that do not come in it run in 32 bits, and at least one must come in it. ``auto`` leaves 8
    bits out: some labels lose by them (docs/reference/engines.md), so they are for those who ask by name.
    """
    wanted = {"fp32", "bf16"} if precision == "auto" else {precision}
    usable: list[list[GraphMeasurement]] = [
        [m for m in table.rows if m.part == part and not m.fault and m.how.precision in wanted]
        or [m for m in table.rows if m.part == part and not m.fault and m.how.precision == "fp32"]
        for part in parts
    ]
    if precision not in {"auto", "fp32"} and not any(m.how.precision == precision for row in usable for m in row):
        return None
    reference = tuple(m for part in parts for m in table.rows if m.part == part and m.how == REFERENCE and not m.fault)
    plain_mb = _memory_mb(table, reference)
    fitting = [mix for mix in product(*usable) if spare_mb is None or _memory_mb(table, mix) - plain_mb <= spare_mb]
    if not fitting:
        return None
    best = min(fitting, key=lambda mix: _cost(table, mix, plain_mb))
    is_open = precision in {"auto", "fp32"} and len(reference) == len(parts)
    if is_open and _cost(table, best, plain_mb) > MAX_COST_SHARE * _cost(table, reference, plain_mb):
        best = reference
    return {m.part: m.how for m in best}


def explain_choice(table: MeasurementTable, choice: Choice) -> str:
    """One line: what the choice was measured to cost, beside 32 bits on ONNX Runtime."""
    taken = tuple(m for m in table.rows if choice.get(m.part) == m.how)
    plain = tuple(m for m in table.rows if m.how == REFERENCE)
    chosen, reference = sum(m.cpu_ms for m in taken), sum(m.cpu_ms for m in plain)
    if taken == plain:
        others = len(table.rows) - len(plain)
        return f"measured here, {chosen:.1f} ms a row; {others} other ways are not worth their memory or not faster"
    more = _memory_mb(table, taken) - _memory_mb(table, plain)
    return f"measured here, {chosen:.1f} ms a row instead of {reference:.1f} on {REFERENCE}, {more:+.0f} MB"


def read_measurements(folder: ModelFolder, threads: int) -> MeasurementTable | None:
    """What was measured for exactly this; None where nothing was, or it cannot be read."""
    try:
        raw = json.loads(measurements_path(folder, threads).read_text(encoding="utf-8"))
        if raw["box"] != machine_fingerprint(folder, threads):
            return None
        rows = tuple(GraphMeasurement(**{**row, "how": ExecutionMode(**row["how"])}) for row in raw["rows"])
        return MeasurementTable(rows, {str(name): float(mb) for name, mb in raw["library_mb"].items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def save_measurements(folder: ModelFolder, threads: int, table: MeasurementTable) -> Path:
    """Keep ``table`` for this box; ModelError when the disk refuses."""
    path = measurements_path(folder, threads)
    note = {
        "box": machine_fingerprint(folder, threads),
        "rows": [asdict(m) for m in table.rows],
        "library_mb": dict(table.library_mb),
    }
    try:
        atomic_write(path, json.dumps(note, indent=1), "free space or rights there")
    except SinkError as error:
        raise ModelError(str(error)) from error
    return path


def measurements_path(folder: ModelFolder, threads: int) -> Path:
    """The note of this box and number of threads."""
    digest = hashlib.sha256(json.dumps(machine_fingerprint(folder, threads), sort_keys=True).encode()).hexdigest()[:16]
    return build_dir(folder) / f"chosen-{digest}.json"


def machine_fingerprint(folder: ModelFolder, threads: int) -> dict[str, Any]:
    """All that a measurement depends on."""
    manifest = folder.manifest
    parts = () if (p := manifest.parts) is None else (p.vision, p.audio, p.fusion)
    return {
        "schema": _SCHEMA,
        "graphs": [manifest.sha256, *(part.sha256 for part in parts), manifest.golden.sha256],
        "variants": sorted(v.sha256 for v in list_variants(folder) if v.is_admitted),
        "libraries": {name: installed_version(name) for name in ("onnxruntime", "openvino")},
        "cpu": _cpu(Path("/proc/cpuinfo")),
        "cores": os.cpu_count(),
        "threads": threads,
    }


def installed_version(name: str) -> str:
    """The version of a package, without importing it; empty where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def spare_mb(path: Path = Path("/proc/meminfo")) -> float | None:
    """Half of the memory that programs could still take; None where the system does not say."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 2048
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def _memory_mb(table: MeasurementTable, mix: Iterable[GraphMeasurement]) -> float:
    taken = tuple(mix)
    return sum(m.memory_mb for m in taken) + sum(
        table.library_mb.get(name, 0) for name in {m.how.runtime for m in taken}
    )


def _cost(table: MeasurementTable, mix: Sequence[GraphMeasurement], plain_mb: float) -> float:
    return sum(m.cpu_ms for m in mix) * (1 + max(0.0, _memory_mb(table, mix) - plain_mb) / MEMORY_PRICE_MB)


def _cpu(path: Path) -> str:
    """Model and instructions of the first core, as the kernel tells them."""
    try:
        first = path.read_text(encoding="utf-8", errors="replace").split("\n\n", maxsplit=1)[0]
    except OSError:
        return platform.processor() or platform.machine()
    told = ("model name", "flags", "Features", "CPU part", "CPU implementer")
    return "\n".join(line for line in first.splitlines() if line.startswith(told)) or platform.machine()
