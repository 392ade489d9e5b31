"""From recorded windows to admitted graphs of another precision: what `edge engine build --precision` does.

Nothing is found by anyone before it is whole, and nothing is used before it was compared.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version

from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder
from edge.engine.precision import variants
from edge.engine.precision.admission import GRAPH_PARTS, ChainedGraphs, measure_accuracy
from edge.engine.precision.calibration import CalibrationSet, with_missing_inputs
from edge.engine.precision.graphs import open_onnx
from edge.engine.precision.quantise import QuantisationPlan, layers_to_quantise, quantise
from edge.engine.precision.typed import to_fp16
from edge.engine.precision.variants import GraphVariant, Part, Precision, source_graph, variant_path
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
    graphs = ChainedGraphs(folder) if part == "fuse" else None
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
