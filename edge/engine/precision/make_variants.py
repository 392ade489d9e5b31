"""From recorded windows to admitted graphs of another precision: what `edge engine build --precision` does.

Nothing is found by anyone before it is whole, and nothing is used before it was compared.

Whether a graph of reduced precision may be used: its answers beside those of fp32.
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
from edge.engine.precision import variants
from edge.engine.precision.onnx_editing import open_onnx, to_fp16
from edge.engine.precision.quantise import (
    CalibrationRow,
    CalibrationSet,
    QuantisationPlan,
    layers_to_quantise,
    quantise,
    with_missing_inputs,
)
from edge.engine.precision.variants import GraphVariant, Part, Precision, VariantAccuracy, source_graph, variant_path
from edge.engine.runtime import InferenceGraph, Runtime
from edge.engine.selftest import NotReproducedError, load_golden, self_test
from edge.errors import ModelError

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], bool]
"""``progress(phase, step, steps)`` is told of each step; False stops."""


def make_variants(
    folder: ModelFolder,
    precision: Precision,
    parts: Iterable[Part],
    recorded: CalibrationSet,
    origin: str,
    progress: Progress,
    plan: QuantisationPlan | None = None,
) -> list[GraphVariant]:
    """Make, compare and keep the graphs of ``parts`` in ``precision``; ``origin`` names the recordings.

    Each is compared alone, the other parts in fp32; where there are several they are compared together too, and where
    they fail together the one that is farthest off is not admitted. What is not admitted is kept, with the reason.
    """
    folder.verify()
    plan = plan or QuantisationPlan()
    variants_made = [_make(folder, precision, part, recorded, origin, progress, plan) for part in parts]
    while len(good := [one for one in variants_made if one.is_admitted]) > 1:
        together = measure_accuracy(folder, precision, {one.part: one.path for one in good}, recorded.compare)
        if not together.fault:
            break
        worst = max(good, key=lambda one: one.accuracy.mean if one.accuracy is not None else 0.0)
        failed = replace(worst, accuracy=replace(together, fault=f"with the other parts {together.fault}"))
        variants.save_variant(failed)
        variants_made[variants_made.index(worst)] = failed
    return variants_made


def parts_for(
    folder: ModelFolder, runtime: str, precision: Precision, plan: QuantisationPlan | None = None
) -> tuple[Part, ...]:
    """The graphs that ``runtime`` reads and that have layers for ``precision``: TensorRT the whole, CPUs the parts."""
    if runtime == "tensorrt" or folder.manifest.parts is None:
        return ("whole",)
    if precision == "fp16":
        return GRAPH_PARTS
    nets = {part: open_onnx(source_graph(folder, part)[0]) for part in GRAPH_PARTS}
    return tuple(part for part, net in nets.items() if layers_to_quantise(net, plan or QuantisationPlan()))


def _make(
    folder: ModelFolder,
    precision: Precision,
    part: Part,
    recorded: CalibrationSet,
    origin: str,
    progress: Progress,
    plan: QuantisationPlan,
) -> GraphVariant:
    source, digest = source_graph(folder, part)
    if precision == "fp16":
        content, method = to_fp16(source), "layers in 16 bits"
    else:
        content, method = quantise(source, _part_inputs(folder, part, recorded, progress), plan), str(plan)
    made = {
        "how": method,
        "with": f"onnxruntime {version('onnxruntime')}, onnx {version('onnx')}",
        "windows": str(len(recorded.calibrate)),
        "from": origin,
    }
    path = variant_path(folder, precision, part)
    variant = GraphVariant(path, part, precision, digest, hashlib.sha256(content).hexdigest(), made)
    variants.save_variant(variant, content)
    _report_progress(progress, f"comparing {part}", 0, 1)
    variant = replace(variant, accuracy=measure_accuracy(folder, precision, {part: path}, recorded.compare))
    variants.save_variant(variant)
    _report_progress(progress, f"comparing {part}", 1, 1)
    return variant


def _part_inputs(
    folder: ModelFolder, part: Part, recorded: CalibrationSet, progress: Progress
) -> Iterable[Mapping[str, Array]]:
    """What ``part`` is given in the windows for calibrating, telling how many are done."""
    import onnx

    names = [i.name for i in onnx.load(str(source_graph(folder, part)[0]), load_external_data=False).graph.input]
    rows = list(with_missing_inputs(recorded.calibrate))
    graphs = ChainedGraphs(folder) if part == "fusion" else None
    for done, inputs in enumerate(rows, 1):
        known = graphs.known(inputs) if graphs is not None else inputs
        yield {name: known[name] for name in names}
        _report_progress(progress, f"calibrating {part}", done, len(rows))
    if graphs is not None:
        graphs.close()


def _report_progress(progress: Progress, phase: str, step: int, steps: int) -> None:
    if not progress(phase, step, steps):
        raise KeyboardInterrupt


def report_lines(made: Iterable[GraphVariant]) -> list[str]:
    """A line a graph: what it is, how near it is, whether it is used; ModelError where none is."""
    lines, is_any = [], False
    for variant in made:
        a = variant.accuracy
        is_any |= variant.is_admitted
        if a is None:
            continue
        state = "admitted" if variant.is_admitted else f"not admitted: {a.fault}"
        lines.append(
            f"{variant.path}: {variant.part} in {variant.precision}, probabilities off by {a.mean:.4f} on average and "
            f"{a.worst:.3f} at most over {a.windows} windows, {100 * a.crossed:.2f} % across a threshold: {state}"
        )
    if not is_any:
        raise ModelError("\n".join([*lines, "no graph was admitted: use precision fp32, or give other recordings"]))
    return lines


GRAPH_PARTS: Final[tuple[Part, ...]] = ("vision", "audio", "fusion")


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
    folder: ModelFolder, precision: Precision, files: Mapping[Part, Path], rows: Sequence[CalibrationRow]
) -> VariantAccuracy:
    """The answers of ``files`` (other parts stay fp32) against those that ``rows`` were recorded with, and judged.

    ModelError where there is no row.
    """
    if not rows:
        raise ModelError("no window to compare answers on; give longer recordings: edge engine build --from FILE")
    runtime = _composed(folder, precision, files)
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


def _composed(folder: ModelFolder, precision: Precision, files: Mapping[Part, Path]) -> Runtime:
    from edge.engine.onnx_graph import OnnxGraph
    from edge.engine.select import compose_runtime

    names = _parts(folder, files)
    graphs: dict[Part, InferenceGraph] = {
        name: OnnxGraph(
            files.get(name) or source_graph(folder, name)[0], 1, precision=precision if name in files else "fp32"
        )
        for name in names
    }
    return compose_runtime(folder, graphs, 1)


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


def _parts(folder: ModelFolder, files: Mapping[Part, Path]) -> tuple[Part, ...]:
    return GRAPH_PARTS if folder.manifest.parts is not None and "whole" not in files else ("whole",)


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


class ChainedGraphs:
    """The model's graphs on ONNX Runtime, some of them exchanged for ``files``: the whole, or its parts in turn."""

    def __init__(self, folder: ModelFolder, files: Mapping[Part, Path] | None = None) -> None:
        """Parts where the model has them and ``files`` does not name the whole; ModelError when one does not load."""
        from edge.engine.onnx_graph import OnnxGraph

        files = files or {}
        names = _parts(folder, files)
        self._graphs = [OnnxGraph(files.get(name) or source_graph(folder, name)[0], threads=1) for name in names]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The answers to rows of the whole graph's ``inputs``."""
        return self._chained(inputs)[1]

    def known(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """``inputs`` and everything that the graphs say: what each part is given is among it."""
        return self._chained(inputs)[0]

    def close(self) -> None:
        """Free the graphs."""
        for graph in self._graphs:
            graph.close()

    def _chained(self, inputs: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array]]:
        known, found = dict(inputs), {}
        rows = len(next(iter(inputs.values())))
        for graph in self._graphs:
            found = contract.allocate_buffers(tuple(graph.outputs.values()), rows)
            graph.run({name: np.ascontiguousarray(known[name]) for name in graph.inputs}, found)
            known |= found
        return known, found
