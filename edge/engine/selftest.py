"""The self-test before READY: a runtime must reproduce the model folder's golden outputs."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.engine.contract import Array
from edge.engine.manifest import GoldenSpec, ModelFolder
from edge.engine.runtime import Runtime
from edge.errors import ModelError


class NotReproducedError(ModelError):
    """A runtime's answers differ from the golden ones by more than the manifest allows."""


def load_golden(path: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """Golden inputs and outputs by tensor name (keys ``in_<name>``, ``out_<name>``); ModelError when unreadable."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"{path}: cannot be read as golden file ({error}); restore the model folder") from error
    inputs = {key.removeprefix("in_"): value for key, value in arrays.items() if key.startswith("in_")}
    outputs = {key.removeprefix("out_"): value for key, value in arrays.items() if key.startswith("out_")}
    if not inputs or not outputs:
        raise ModelError(f"{path}: holds no in_ or no out_ arrays; export the model again")
    return inputs, outputs


def self_test(folder: ModelFolder, runtime: Runtime) -> None:
    """Run the golden inputs, at most ``max_batch`` rows at a time; leaves the input buffers zeroed.

    NotReproduced names the worst tensor that differs by more than model.yaml allows (`manifest.Golden` in 32 bits,
    `manifest.Reduced` where any part has fewer); ModelError when the golden file does not fit the graph.
    """
    inputs, outputs = load_golden(folder.golden)
    rows = _rows(folder.golden, runtime, inputs, outputs)
    worst = ("", 0.0, 0.0)
    limits = _tolerances(folder.manifest.golden, runtime.info.precision, outputs)
    for start in range(0, rows, runtime.max_batch):
        batch = min(runtime.max_batch, rows - start)
        for name, buffer in runtime.inputs.items():
            buffer[:batch] = inputs[name][start : start + batch]
        found = runtime.run(batch)
        for name, expected in outputs.items():
            part = expected[start : start + batch]
            worst = max(worst, (name, *_excess(found, name, part, limits[name])), key=lambda w: w[1])
    for buffer in runtime.inputs.values():
        buffer[...] = 0
    if worst[1] > 1:
        raise NotReproducedError(
            f"{runtime.info} does not reproduce {folder.golden.name}: {worst[0]} differs by {worst[2]:.3g}, "
            f"{worst[1]:.1f} times what model.yaml allows; use another runtime or precision, or build the engine again"
        )


def _rows(path: Path, runtime: Runtime, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> int:
    missing = sorted(set(runtime.inputs) - set(inputs))
    if missing:
        raise ModelError(f"{path}: has no in_{missing[0]}; export the model again")
    for name, buffer in runtime.inputs.items():
        if inputs[name].shape[1:] != buffer.shape[1:]:
            raise ModelError(f"{path}: in_{name} is {inputs[name].shape}, the graph takes {('B', *buffer.shape[1:])}")
    counts = {len(a) for a in (*inputs.values(), *outputs.values())}
    if len(counts) != 1 or not min(counts):
        raise ModelError(f"{path}: its arrays have different numbers of rows; export the model again")
    return counts.pop()


@dataclass(frozen=True, slots=True)
class _Tolerance:
    """What one tensor may be off: ``atol + rtol * |golden|``, or of ``scale`` where there is one."""

    atol: float
    rtol: float
    scale: float | None = None
    as_probability: bool = False

    def excess_ratio(self, found: Array, golden: Array) -> tuple[Array, Array]:
        """Times the tolerance that each element is off (infinite for NaN), and its absolute difference."""
        a, b = found.astype(np.float64), golden.astype(np.float64)
        if self.as_probability:
            a, b = _probability(a), _probability(b)
        difference = np.abs(a - b)
        allowed = self.atol + self.rtol * (np.abs(b) if self.scale is None else self.scale)
        return np.where(np.isfinite(difference), difference / allowed, np.inf), difference


def _tolerances(golden: GoldenSpec, precision: str, outputs: Mapping[str, Array]) -> dict[str, _Tolerance]:
    if precision == "fp32":
        return dict.fromkeys(outputs, _Tolerance(golden.atol, golden.rtol))
    reduced = golden.reduced
    found = {
        name: _Tolerance(reduced.atol, reduced.rtol, float(np.abs(array).max(initial=0.0)))
        for name, array in outputs.items()
    }
    if "logits" in found:
        found["logits"] = _Tolerance(reduced.atol, 0.0, 0.0, as_probability=True)
    return found


def _probability(logits: Array) -> Array:
    """The logistic function; NaN stays NaN."""
    return np.asarray(0.5 * (1 + np.tanh(logits / 2)))


def _excess(found: Mapping[str, Array], name: str, golden: Array, limit: _Tolerance) -> tuple[float, float]:
    """How many times the tolerance the worst element is off (infinite for NaN), and its absolute difference."""
    if name not in found or found[name].shape != golden.shape:
        shape = found[name].shape if name in found else "nothing"
        raise ModelError(f"golden output {name} is {golden.shape}, the runtime gave {shape}; export the model again")
    ratio, difference = limit.excess_ratio(found[name], golden)
    if not ratio.size:
        return 0.0, 0.0
    at = int(np.argmax(ratio))
    return float(ratio.flat[at]), float(difference.flat[at])
