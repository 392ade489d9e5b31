"""A graph whose layers take 8-bit integers: Q/DQ pairs before convolutions, ranges from recorded windows.

The form is what TensorRT reads: signed integers, zero at 0, a scale for each output channel of the
weights and one for each input, pairs at inputs only, bias in floats. Q/DQ after a convolution would keep the activation
that follows from being computed in more bits.

Which recorded windows ranges are found on and answers are compared on: few, and as different as there are.

A window here is a row of the whole graph's inputs, memory included, with what the fp32 graphs said to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from edge.engine.contract import Array
from edge.engine.trt.onnx_editing import OnnxGraphEditor, open_onnx, topologically_sorted
from edge.errors import ModelError
from edge.types import F32

if TYPE_CHECKING:
    import onnx

Method = Literal["percentile", "entropy", "minmax"]
_BINS: Final = 2048


@dataclass(frozen=True, slots=True)
class QuantisationPlan:
    """What becomes 8 bits, and how ranges are found: ``percentile`` of the absolute values is kept, of layers with at
    least ``narrowest`` input channels. ``depthwise``: layers with a channel each, too; ``sound``: those that hear,
    too."""

    method: Method = "percentile"
    percentile: float = 99.99
    depthwise: bool = False
    sound: bool = False
    narrowest: int = 16

    def __str__(self) -> str:
        what = f"{self.method} {self.percentile}" if self.method == "percentile" else self.method
        kind = "layers of pictures" + " and sound" * self.sound + ("" if self.depthwise else " but depthwise ones")
        return f"{what}, {kind}, from {self.narrowest} channels"


def layers_to_quantise(net: OnnxGraphEditor, plan: QuantisationPlan) -> list[onnx.NodeProto]:
    """The layers that bear 8 bits: not those that look at the media themselves, not those whose answer is read as it is
    (boxes, scores, features), not what joins the senses, not what ``plan`` leaves out."""
    layers = net.learned_convolutions()
    chain = net.elementwise_chain(layers)
    later = net.downstream_of(node.output[0] for node in layers)
    picture_tensors, audio_tensors = (net.downstream_of({name}) for name in ("frames", "audio"))
    senses = (picture_tensors - audio_tensors) | ((audio_tensors - picture_tensors) if plan.sound else set())
    return [
        node
        for node in layers
        if node.input[0] in later & senses
        and any(reader.output[0] in chain for reader in net.consumers.get(node.output[0], ()))
        and (plan.depthwise or not net.is_depthwise(node))
        and (net.is_depthwise(node) or net.weights[node.input[1]].shape[1] >= plan.narrowest)
    ]


def quantise(
    source: Path,
    rows: Iterable[Mapping[str, Array]],
    plan: QuantisationPlan,
    progress: Callable[[int], bool] = lambda _done: True,
) -> bytes:
    """The graph of ``source`` in 8 bits, as ONNX, its ranges found on ``rows`` (the graph's inputs, a row each).

    ``progress`` is told how many rows are done; KeyboardInterrupt where it says False. ModelError where there is
    nothing to quantise or no row.
    """
    net = open_onnx(source)
    layers = layers_to_quantise(net, plan)
    if not layers:
        raise ModelError(f"{source}: no layer of it bears 8 bits; use precision fp32")
    ranges = _ranges(net.model, sorted({node.input[0] for node in layers}), rows, plan, progress)
    return _with_qdq_pairs(net.model, [node.name for node in layers], ranges)


def _ranges(
    model: onnx.ModelProto,
    names: list[str],
    rows: Iterable[Mapping[str, Array]],
    plan: QuantisationPlan,
    progress: Callable[[int], bool],
) -> Any:
    """The library's record of the values that ``names`` take over ``rows``."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, HistogramCollector, TensorsData

    session = _session_with_outputs(model, names)
    method = "percentile" if plan.method == "minmax" else plan.method
    kept = 100.0 if plan.method == "minmax" else plan.percentile
    collector = HistogramCollector(
        method=method, symmetric=True, num_bins=_BINS, num_quantized_bins=128, percentile=kept, scenario="same"
    )
    done = 0
    for done, row in enumerate(rows, 1):
        values = session.run(names, dict(row))
        with redirect_stdout(StringIO()):  # the library prints
            collector.collect({name: [value] for name, value in zip(names, values, strict=True)})
        if not progress(done):
            raise KeyboardInterrupt
    if not done:
        raise ModelError("no window to calibrate with; give recordings: edge engine build --precision int8 --from FILE")
    kind = CalibrationMethod.Entropy if method == "entropy" else CalibrationMethod.Percentile
    with redirect_stdout(StringIO()):
        return TensorsData(kind, collector.compute_collection_result())


def _session_with_outputs(model: onnx.ModelProto, names: list[str]) -> Any:
    """A session that gives ``names``."""
    import onnx
    import onnxruntime as ort

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    there = {output.name for output in watched.graph.output}
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in there)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])


@contextmanager
def _root_logger_muted() -> Iterator[None]:
    """The library tells the root logger of every layer."""
    root = logging.getLogger()

    def is_trouble(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING

    root.addFilter(is_trouble)
    try:
        yield
    finally:
        root.removeFilter(is_trouble)


def _with_qdq_pairs(model: onnx.ModelProto, names: list[str], ranges: Any) -> bytes:
    import onnx
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    typed = onnx.shape_inference.infer_shapes(model)
    quantizer = QDQQuantizer(
        typed,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=ranges,
        nodes_to_quantize=names,
        nodes_to_exclude=[],
        op_types_to_quantize=["Conv"],
        extra_options={
            "ActivationSymmetric": True,
            "WeightSymmetric": True,
            "OpTypesToExcludeOutputQuantization": ["Conv"],
            "QuantizeBias": False,
            "QDQDisableWeightAdjustForInt32Bias": True,
        },
    )
    with _root_logger_muted():
        quantizer.quantize_model()
    made = quantizer.model.model
    graph = made.graph
    nodes = topologically_sorted(list(graph.node), [i.name for i in graph.input] + [t.name for t in graph.initializer])
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return bytes(made.SerializeToString())


BLOCK: Final = 10
HELD_OUT: Final = 3
"""Of each `BLOCK` windows of a recording the last `HELD_OUT` are for comparing, the others for calibrating: neighbours
share most of their sound, so that they are split in blocks."""
_CELLS: Final = 8
_BANDS: Final = 8
_DARK: Final = 8


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """One window: the graph's inputs by name, each with one row, and the label log-odds of the fp32 graph [C]."""

    inputs: Mapping[str, Array]
    logits: F32


class DiverseSampler:
    """Keeps at most ``most`` rows, those farthest from each other: a new one takes the place of one of the nearest two,
    where it is farther from all others than they are (greedy k-centre, Gonzalez 1985, on a stream)."""

    def __init__(self, most: int) -> None:
        if most < 2:
            raise ValueError(f"most is {most}; at least 2")
        self._most = most
        self._rows: list[CalibrationRow] = []
        self._descriptors: list[F32] = []
        self._near: F32 = np.full((most, most), np.inf, np.float32)

    def offer(self, row: CalibrationRow) -> bool:
        """Whether ``row`` is kept for now."""
        descriptor = row_descriptor(row.inputs)
        away = np.array([np.linalg.norm(descriptor - other) for other in self._descriptors], np.float32)
        if len(self._rows) < self._most:
            self._put(len(self._rows), row, descriptor, away)
            return True
        nearest = self._near.min(axis=1)
        later = int(max(np.argsort(nearest, kind="stable")[:2]))
        if np.delete(away, later).min() <= nearest[later]:
            return False
        self._put(later, row, descriptor, away)
        return True

    @property
    def rows(self) -> list[CalibrationRow]:
        """What is kept."""
        return list(self._rows)

    def _put(self, at: int, row: CalibrationRow, descriptor: F32, away: F32) -> None:
        if at == len(self._rows):
            self._rows.append(row)
            self._descriptors.append(descriptor)
        else:
            self._rows[at], self._descriptors[at] = row, descriptor
        n = len(away)
        self._near[at, :n] = away
        self._near[:n, at] = away
        self._near[at, at] = np.inf


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Windows for finding ranges, and others for comparing answers."""

    calibrate: list[CalibrationRow]
    compare: list[CalibrationRow]


def split_recordings(recordings: Iterable[Iterable[CalibrationRow]], most: int) -> CalibrationSet:
    """At most ``most`` diverse windows for calibrating and half as many for comparing, of all recordings."""
    calibrate, compare = DiverseSampler(most), DiverseSampler(max(2, most // 2))
    for rows in recordings:
        for at, row in enumerate(rows):
            (compare if at % BLOCK >= BLOCK - HELD_OUT else calibrate).offer(row)
    return CalibrationSet(calibrate.rows, compare.rows)


def with_missing_inputs(rows: Iterable[CalibrationRow], every: int = 16) -> Iterator[Mapping[str, Array]]:
    """The inputs of ``rows``, and of each ``every``-th again dark, silent, or without its picture, in turns: ranges
    must hold there too."""
    for at, row in enumerate(rows):
        yield row.inputs
        if at % every == 0:
            yield _without_input(row.inputs, at // every % 3)


def row_descriptor(inputs: Mapping[str, Array]) -> F32:
    """What a row looks and sounds like in about a hundred numbers of 0 to 1: mean colour of the picture's cells, what
    changed, loudness by stretches of the window, and what is there."""
    frames = np.asarray(inputs["frames"][0], np.float32)[:, ::4, ::4] / 255
    f, h, w, c = frames.shape
    rows, columns = max(1, h // _CELLS), max(1, w // _CELLS)
    cut = frames[:, : h // rows * rows, : w // columns * columns]
    cells = cut.reshape(f, h // rows, rows, w // columns, columns, c).mean(axis=(2, 4))
    changed = np.abs(cells[-1] - cells[0]).mean(-1)
    sound = np.asarray(inputs["audio"][0], np.float32)
    loud = np.array([np.sqrt((part * part).mean()) if part.size else 0.0 for part in np.array_split(sound, _BANDS)])
    level = 1 + np.log10(np.maximum(loud, 1e-5)) / 5
    present = np.concatenate([np.ravel(inputs["video_ok"][0]), np.ravel(inputs["audio_ok"][0])])
    return np.concatenate([cells[-1].mean(-1).ravel(), 2 * changed.ravel(), level, present]).astype(np.float32)


def _without_input(inputs: Mapping[str, Array], kind: int) -> dict[str, Array]:
    changed = dict(inputs)
    if kind == 0:
        changed["frames"] = inputs["frames"] // _DARK
    elif kind == 1:
        changed["audio"] = np.zeros_like(inputs["audio"])
    else:
        changed["frames"] = np.zeros_like(inputs["frames"])
        changed["video_ok"] = np.zeros_like(inputs["video_ok"])
    return changed
