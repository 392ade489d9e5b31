"""What was measured on this box of the runtimes for the model's graphs, and which of them follows from it.

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
from typing import Any, Final, Literal

from edge.engine.built import build_dir
from edge.engine.manifest import ModelFolder, Part
from edge.errors import ModelError, SinkError
from edge.files import atomic_write

MEMORY_PRICE_MB = 1000.0
"""Memory's price: a choice that needs this many MB more must halve the processor time; 100 MB more, save a tenth."""
MAX_COST_SHARE = 0.95
"""What is chosen instead of 32 bits on ONNX Runtime costs at most this share of it: less is noise."""
_SCHEMA = 3


CpuRuntime = Literal["onnx", "openvino"]
"""What runs a graph on a CPU, in 32 bits."""
REFERENCE: Final[CpuRuntime] = "onnx"


@dataclass(frozen=True, slots=True)
class GraphMeasurement:
    """A graph on one runtime: processor and wall milliseconds a row (the least of several), resident MB that it added.

    ``fault`` says why it cannot be used: it does not load, or does not reproduce the golden file.
    """

    part: Part
    runtime: CpuRuntime
    cpu_ms: float = 0.0
    wall_ms: float = 0.0
    memory_mb: float = 0.0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class MeasurementTable:
    """Everything measured on one occasion; ``library_mb`` is what loading a runtime's library took."""

    rows: tuple[GraphMeasurement, ...]
    library_mb: Mapping[str, float]


Choice = Mapping[Part, CpuRuntime]


def choose_runtimes(table: MeasurementTable, parts: Sequence[Part], spare_mb: float | None = None) -> Choice | None:
    """The cheapest runtime for each part, memory counted in; None where nothing measured works.

    A choice costs its processor time times ``1 + more MB / 1000``, more than `REFERENCE` needs; more than ``spare_mb``
    is out of the question. It must cost at most `MAX_COST_SHARE` of `REFERENCE`, which is taken otherwise.
    """
    working = [m for m in table.rows if not m.fault]
    reference = tuple(m for part in parts for m in working if m.part == part and m.runtime == REFERENCE)
    plain_mb = _memory_mb(table, reference)
    mixes = product(*([m for m in working if m.part == part] for part in parts))
    fitting = [mix for mix in mixes if spare_mb is None or _memory_mb(table, mix) - plain_mb <= spare_mb]
    if not fitting:
        return None
    best = min(fitting, key=lambda mix: _cost(table, mix, plain_mb))
    is_whole = len(reference) == len(parts)
    if is_whole and _cost(table, best, plain_mb) > MAX_COST_SHARE * _cost(table, reference, plain_mb):
        best = reference
    return {m.part: m.runtime for m in best}


def explain_choice(table: MeasurementTable, choice: Choice) -> str:
    """One line: what the choice was measured to cost, beside ONNX Runtime for all parts."""
    taken = tuple(m for m in table.rows if choice.get(m.part) == m.runtime)
    plain = tuple(m for m in table.rows if m.runtime == REFERENCE)
    chosen, reference = sum(m.cpu_ms for m in taken), sum(m.cpu_ms for m in plain)
    if taken == plain:
        others = len(table.rows) - len(plain)
        return f"measured here, {chosen:.1f} ms a row; {others} others are not worth their memory or not faster"
    more = _memory_mb(table, taken) - _memory_mb(table, plain)
    return f"measured here, {chosen:.1f} ms a row instead of {reference:.1f} on {REFERENCE}, {more:+.0f} MB"


def read_choice(folder: ModelFolder, threads: int) -> tuple[MeasurementTable, Choice] | None:
    """What was measured for exactly this, and what follows from it; None where nothing was, or nothing works."""
    table = read_measurements(folder, threads)
    choice = choose_runtimes(table, folder.parts, spare_mb()) if table is not None else None
    return None if table is None or choice is None else (table, choice)


def measurement_json(measurement: GraphMeasurement, choice: Choice, key: str) -> dict[str, object]:
    """One measurement for programs; under ``key``: whether the part runs so."""
    figures = asdict(measurement)
    runtime = figures.pop("runtime")
    return {**figures, "how": f"{runtime} fp32", key: choice[measurement.part] == runtime}


def read_measurements(folder: ModelFolder, threads: int) -> MeasurementTable | None:
    """What was measured for exactly this; None where nothing was, or it cannot be read."""
    try:
        raw = json.loads(measurements_path(folder, threads).read_text(encoding="utf-8"))
        if raw["box"] != machine_fingerprint(folder, threads):
            return None
        rows = tuple(GraphMeasurement(**row) for row in raw["rows"])
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
    return sum(m.memory_mb for m in taken) + sum(table.library_mb.get(name, 0) for name in {m.runtime for m in taken})


def _cost(table: MeasurementTable, mix: Sequence[GraphMeasurement], plain_mb: float) -> float:
    return sum(m.cpu_ms for m in mix) * (1 + max(0.0, _memory_mb(table, mix) - plain_mb) / MEMORY_PRICE_MB)


def _cpu(path: Path) -> str:
    """Model and instructions of the first core, as the kernel tells them."""
    try:
        first = path.read_text(encoding="utf-8", errors="replace").split("\n\n", maxsplit=1)[0]
    except OSError:
        return platform.processor() or platform.machine()
    fields = ("model name", "flags", "Features", "CPU part", "CPU implementer")
    return "\n".join(line for line in first.splitlines() if line.startswith(fields)) or platform.machine()
