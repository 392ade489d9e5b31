"""The self-test before READY: a runtime must reproduce the model folder's golden outputs."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder
from edge.engine.runtime import Runtime
from edge.errors import ModelError


class NotReproduced(ModelError):  # noqa: N818 - reads as what happened
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

    NotReproduced names the worst tensor when ``|out - golden| <= atol + rtol * |golden|`` does not hold;
    ModelError when the golden file does not fit the graph.
    """
    inputs, outputs = load_golden(folder.golden)
    rows = _rows(folder.golden, runtime, inputs, outputs)
    golden, worst = folder.manifest.golden, ("", 0.0, 0.0)
    for start in range(0, rows, runtime.max_batch):
        batch = min(runtime.max_batch, rows - start)
        for name, buffer in runtime.inputs.items():
            buffer[:batch] = inputs[name][start : start + batch]
        found = runtime.run(batch)
        for name, expected in outputs.items():
            part = expected[start : start + batch]
            worst = max(worst, (name, *_excess(found, name, part, golden.atol, golden.rtol)), key=lambda w: w[1])
    for buffer in runtime.inputs.values():
        buffer[...] = 0
    if worst[1] > 1:
        raise NotReproduced(
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


def _excess(found: Mapping[str, Array], name: str, golden: Array, atol: float, rtol: float) -> tuple[float, float]:
    """How many times the tolerance the worst element is off (infinite for NaN), and its absolute difference."""
    if name not in found or found[name].shape != golden.shape:
        shape = found[name].shape if name in found else "nothing"
        raise ModelError(f"golden output {name} is {golden.shape}, the runtime gave {shape}; export the model again")
    difference = np.abs(found[name].astype(np.float64) - golden)
    ratio = np.where(np.isfinite(difference), difference / (atol + rtol * np.abs(golden)), np.inf)
    if not ratio.size:
        return 0.0, 0.0
    at = int(np.argmax(ratio))
    return float(ratio.flat[at]), float(difference.flat[at])
