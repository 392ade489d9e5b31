"""From recorded windows to an admitted graph of another precision: what `edge engine build --precision` does.

Nothing is found by anyone before it is whole, and nothing is used before its answers were compared with those of fp32.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.engine import contract
from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder
from edge.engine.runtime import Runtime, WholeRuntime
from edge.engine.selftest import NotReproducedError, load_golden, self_test
from edge.engine.trt.onnx_editing import to_fp16
from edge.engine.trt.quantise import (
    CalibrationRow,
    CalibrationSet,
    QuantisationPlan,
    quantise,
    with_missing_inputs,
)
from edge.engine.trt.variants import GraphVariant, Precision, VariantAccuracy, save_variant, variant_path
from edge.errors import ModelError

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], bool]
"""``progress(phase, step, steps)`` is told of each step; False stops."""


def make_variant(
    folder: ModelFolder,
    precision: Precision,
    recorded: CalibrationSet,
    origin: str,
    progress: Progress,
    plan: QuantisationPlan | None = None,
) -> GraphVariant:
    """Make, compare and keep the model's graph in ``precision``; ``origin`` names the recordings.

    What is not admitted is kept, with the reason.
    """
    folder.verify()
    plan = plan or QuantisationPlan()
    if precision == "fp16":
        content, method = to_fp16(folder.graph), "layers in 16 bits"
    else:
        content, method = quantise(folder.graph, _graph_inputs(folder, recorded, progress), plan), str(plan)
    made = {
        "how": method,
        "with": f"onnxruntime {version('onnxruntime')}, onnx {version('onnx')}",
        "windows": str(len(recorded.calibrate)),
        "from": origin,
    }
    path = variant_path(folder, precision)
    digest = hashlib.sha256(content).hexdigest()
    variant = GraphVariant(path, precision, folder.manifest.sha256, digest, made)
    save_variant(variant, content)
    _report_progress(progress, "comparing", 0, 1)
    variant = replace(variant, accuracy=measure_accuracy(folder, precision, path, recorded.compare))
    save_variant(variant)
    _report_progress(progress, "comparing", 1, 1)
    return variant


def _graph_inputs(folder: ModelFolder, recorded: CalibrationSet, progress: Progress) -> Iterable[Mapping[str, Array]]:
    """What the graph is given in the windows for calibrating, reporting how many are done."""
    import onnx

    names = [i.name for i in onnx.load(str(folder.graph), load_external_data=False).graph.input]
    rows = list(with_missing_inputs(recorded.calibrate))
    for done, inputs in enumerate(rows, 1):
        yield {name: inputs[name] for name in names}
        _report_progress(progress, "calibrating", done, len(rows))


def _report_progress(progress: Progress, phase: str, step: int, steps: int) -> None:
    if not progress(phase, step, steps):
        raise KeyboardInterrupt


def report_line(variant: GraphVariant) -> str:
    """What was made, how near it is, and that it is used; ModelError where it is not admitted."""
    a = variant.accuracy
    if a is None:
        raise ModelError(f"{variant.path}: its answers were not compared yet; make it again: edge engine build")
    state = "admitted" if variant.is_admitted else f"not admitted: {a.fault}"
    line = (
        f"{variant.path}: {variant.precision}, probabilities off by {a.mean:.4f} on average and "
        f"{a.worst:.3f} at most over {a.windows} windows, {100 * a.crossed:.2f} % across a threshold: {state}"
    )
    if not variant.is_admitted:
        raise ModelError(f"{line}\nno graph was admitted: use precision fp32, or give other recordings")
    return line


@dataclass(frozen=True, slots=True)
class AccuracyLimits:
    """The most that a label's probability may differ: on average, at worst, and on the golden inputs; ``crossed`` is
    the share of answers that may come to lie on the other side of the label's threshold."""

    mean: float
    worst: float
    golden: float
    crossed: float


ACCURACY_LIMITS: Final[Mapping[Precision, AccuracyLimits]] = {
    "fp16": AccuracyLimits(mean=0.002, worst=0.15, golden=0.05, crossed=0.002),
    "int8": AccuracyLimits(mean=0.01, worst=0.5, golden=0.05, crossed=0.01),
}
"""Boxes are picked, so that a box that is picked or not makes a step: the largest difference may be large, the mean and
the thresholds decide."""


def sigmoid(logits: Array) -> NDArray[np.float64]:
    """Sigmoid of log-odds."""
    bounded: NDArray[np.float64] = np.clip(np.asarray(logits, np.float64), -60, 60)
    return 1 / (1 + np.exp(-bounded))


def golden_difference(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The largest difference of a label's probability from the golden file's; infinite where any answer is not a
    number or a tensor is missing."""
    for name, array in expected.items():
        if name not in found or found[name].shape != array.shape or not np.isfinite(found[name]).all():
            return float("inf")
    return float(np.abs(sigmoid(found["logits"]) - sigmoid(expected["logits"])).max())


def measure_accuracy(
    folder: ModelFolder, precision: Precision, graph: Path, rows: Sequence[CalibrationRow]
) -> VariantAccuracy:
    """The answers of ``graph`` on ONNX Runtime against those that ``rows`` were recorded with, and judged.

    ModelError where there is no row.
    """
    from edge.engine.onnx_graph import OnnxGraph

    if not rows:
        raise ModelError("no window to compare answers on; give longer recordings: edge engine build --from FILE")
    runtime = WholeRuntime(folder, OnnxGraph(graph, 1, precision=precision), 1)
    try:
        inputs, outputs = load_golden(folder.golden)
        golden = max(
            golden_difference(
                _run_row(runtime, inputs, at), {name: array[at : at + 1] for name, array in outputs.items()}
            )
            for at in range(len(outputs["logits"]))
        )
        broken = _self_test_fault(folder, runtime)
        found = [_run_row(runtime, row.inputs, 0) for row in rows]
    finally:
        runtime.close()
    if not all(np.isfinite(array).all() for answer in found for array in answer.values()):
        return VariantAccuracy(len(rows), float("inf"), float("inf"), 1.0, golden, "its answers are not all numbers")
    p = sigmoid(np.stack([answer["logits"][0] for answer in found]))
    reference = sigmoid(np.stack([row.logits for row in rows]))
    enter = np.array([label.enter for label in folder.manifest.labels])
    apart = np.abs(p - reference)
    crossed = float(((p >= enter) != (reference >= enter)).mean())
    measured = VariantAccuracy(len(rows), float(apart.mean()), float(apart.max()), crossed, golden)
    return replace(
        measured, fault="; ".join(filter(None, (accuracy_fault(measured, ACCURACY_LIMITS[precision]), broken)))
    )


def _run_row(runtime: Runtime, inputs: Mapping[str, Array], at: int) -> dict[str, Array]:
    for name, buffer in runtime.inputs.items():
        buffer[:1] = inputs[name][at : at + 1]
    return {name: array.copy() for name, array in runtime.run(1).items()}


def _self_test_fault(folder: ModelFolder, runtime: Runtime) -> str:
    """What the start's self-test would say against it: what is admitted must also start."""
    try:
        self_test(folder, runtime)
    except NotReproducedError as error:
        return str(error).split(";", maxsplit=1)[0]
    return ""


def accuracy_fault(measured: VariantAccuracy, limits: AccuracyLimits) -> str:
    """What ``measured`` exceeds, in words; empty where it keeps within ``limits``."""
    figures = (
        ("the mean difference of probabilities", measured.mean, limits.mean),
        ("the largest difference of a probability", measured.worst, limits.worst),
        ("the difference on the golden inputs", measured.golden, limits.golden),
        ("the share of answers across their threshold", measured.crossed, limits.crossed),
    )
    return "; ".join(
        f"{what} is {value:.3g}, {most:g} is allowed" for what, value, most in figures if not value <= most
    )


class ReferenceGraph:
    """The model's own graph on ONNX Runtime, in 32 bits: what others are compared with."""

    def __init__(self, folder: ModelFolder) -> None:
        """ModelError when it does not load."""
        from edge.engine.onnx_graph import OnnxGraph

        self._graph = OnnxGraph(folder.graph, threads=1)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The answers to rows of ``inputs``."""
        found = contract.allocate_buffers(tuple(self._graph.outputs.values()), len(next(iter(inputs.values()))))
        self._graph.run({name: np.ascontiguousarray(inputs[name]) for name in self._graph.inputs}, found)
        return found

    def close(self) -> None:
        """Free the graph."""
        self._graph.close()
