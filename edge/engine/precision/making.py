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
from edge.engine.precision.admission import SPLIT, Graphs, compare
from edge.engine.precision.calibration import Recorded, with_holes
from edge.engine.precision.graphs import read_net
from edge.engine.precision.quantise import Plan, layers_to_quantise, quantise
from edge.engine.precision.typed import halve
from edge.engine.precision.variants import Part, Precision, Variant, path_for, source_of
from edge.errors import ModelError

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], bool]
"""``progress(phase, step, steps)`` is told of each step; False stops."""


def make(
    folder: ModelFolder,
    precision: Precision,
    parts: Iterable[Part],
    recorded: Recorded,
    origin: str,
    progress: Progress,
    plan: Plan | None = None,
) -> list[Variant]:
    """Make, compare and keep the graphs of ``parts`` in ``precision``; ``origin`` names the recordings.

    Each is compared alone, the other parts in fp32; where there are several they are compared together too, and where
    they fail together the one that is farthest off is not admitted. What is not admitted is kept, with the reason.
    """
    folder.verify()
    plan = plan or Plan()
    made = [_make(folder, precision, part, recorded, origin, progress, plan) for part in parts]
    while len(good := [one for one in made if one.is_admitted]) > 1:
        together = compare(folder, precision, {one.part: one.path for one in good}, recorded.compare)
        if not together.fault:
            break
        worst = max(good, key=lambda one: one.accuracy.mean if one.accuracy is not None else 0.0)
        failed = replace(worst, accuracy=replace(together, fault=f"with the other parts {together.fault}"))
        variants.save(failed)
        made[made.index(worst)] = failed
    return made


def parts_for(folder: ModelFolder, runtime: str, precision: Precision, plan: Plan | None = None) -> tuple[Part, ...]:
    """The graphs that ``runtime`` reads and that have layers for ``precision``: TensorRT the whole, CPUs the parts."""
    if runtime == "tensorrt" or folder.manifest.parts is None:
        return ("whole",)
    if precision == "fp16":
        return SPLIT
    nets = {part: read_net(source_of(folder, part)[0]) for part in SPLIT}
    return tuple(part for part, net in nets.items() if layers_to_quantise(net, plan or Plan()))


def _make(
    folder: ModelFolder,
    precision: Precision,
    part: Part,
    recorded: Recorded,
    origin: str,
    progress: Progress,
    plan: Plan,
) -> Variant:
    source, digest = source_of(folder, part)
    if precision == "fp16":
        content, how = halve(source), "layers in 16 bits"
    else:
        content, how = quantise(source, _given(folder, part, recorded, progress), plan), str(plan)
    made = {
        "how": how,
        "with": f"onnxruntime {version('onnxruntime')}, onnx {version('onnx')}",
        "windows": str(len(recorded.calibrate)),
        "from": origin,
    }
    path = path_for(folder, precision, part)
    one = Variant(path, part, precision, digest, hashlib.sha256(content).hexdigest(), made)
    variants.save(one, content)
    _tell(progress, f"comparing {part}", 0, 1)
    one = replace(one, accuracy=compare(folder, precision, {part: path}, recorded.compare))
    variants.save(one)
    _tell(progress, f"comparing {part}", 1, 1)
    return one


def _given(folder: ModelFolder, part: Part, recorded: Recorded, progress: Progress) -> Iterable[Mapping[str, Array]]:
    """What ``part`` is given in the windows for calibrating, telling how many are done."""
    import onnx

    names = [i.name for i in onnx.load(str(source_of(folder, part)[0]), load_external_data=False).graph.input]
    rows = list(with_holes(recorded.calibrate))
    graphs = Graphs(folder) if part == "fuse" else None
    for done, inputs in enumerate(rows, 1):
        known = graphs.known(inputs) if graphs is not None else inputs
        yield {name: known[name] for name in names}
        _tell(progress, f"calibrating {part}", done, len(rows))
    if graphs is not None:
        graphs.close()


def _tell(progress: Progress, phase: str, step: int, steps: int) -> None:
    if not progress(phase, step, steps):
        raise KeyboardInterrupt


def told(made: Iterable[Variant]) -> list[str]:
    """A line a graph: what it is, how near it is, whether it is used; ModelError where none is."""
    lines, is_any = [], False
    for one in made:
        a = one.accuracy
        is_any |= one.is_admitted
        if a is None:
            continue
        state = "admitted" if one.is_admitted else f"not admitted: {a.fault}"
        lines.append(
            f"{one.path}: {one.part} in {one.precision}, probabilities off by {a.mean:.4f} on average and "
            f"{a.worst:.3f} at most over {a.windows} windows, {100 * a.crossed:.2f} % across a threshold: {state}"
        )
    if not is_any:
        raise ModelError("\n".join([*lines, "no graph was admitted: use precision fp32, or give other recordings"]))
    return lines
