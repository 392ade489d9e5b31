"""What a graph's convolutions are and what lies around them, for whoever makes a graph of another precision.

Rules look at structure, never at names, so that they hold for the next export too.

A graph with 16-bit types in it, for libraries that take precision from the graph (strongly typed TensorRT).

Learned convolutions and the elementwise work between them become 16 bits. All else stays 32: spectra and their
logarithm, movement between pictures, boxes, distributions and their normalisation. Inputs and outputs keep their types.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edge.errors import ModelError, RuntimeUnavailable, install_command

if TYPE_CHECKING:
    import onnx

ELEMENTWISE: Final = frozenset(
    {"Add", "AveragePool", "Clip", "Concat", "HardSigmoid", "HardSwish", "MaxPool", "Mul", "Relu", "Resize", "Sigmoid"}
)
"""What stands between convolutions and costs as much as the memory that it moves."""
MIN_LEARNED_WEIGHTS: Final = 256
"""A convolution with fewer weights is arithmetic (luma, means), not a layer."""


class OnnxGraphEditor:
    """An ONNX graph with weights as plain float32, and who makes and reads each of its tensors."""

    def __init__(self, model: onnx.ModelProto) -> None:
        from onnx import numpy_helper

        _fold_weight_casts(model)
        self.model = model
        self.nodes: list[onnx.NodeProto] = list(model.graph.node)
        self.weights: dict[str, Any] = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.producer = {name: node for node in self.nodes for name in node.output}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.consumers.setdefault(name, []).append(node)

    def learned_convolutions(self) -> list[onnx.NodeProto]:
        """The learned convolutions, in order; those that make a spectrum are not among them."""
        spectral = self._spectral()
        return [
            node
            for node in self.nodes
            if node.op_type == "Conv"
            and node.input[1] in self.weights
            and self.weights[node.input[1]].size >= MIN_LEARNED_WEIGHTS
            and not spectral & set(node.output)
        ]

    def elementwise_chain(self, layers: Iterable[onnx.NodeProto]) -> set[str]:
        """Outputs of ``learned_convolutions`` and of all elementwise work that comes from layers alone and leads to a
        layer."""
        wanted = {node.output[0] for node in layers}
        made = set(wanted)
        for node in self.nodes:
            if node.op_type in ELEMENTWISE and all(i in made for i in self.inputs(node)) and self.inputs(node):
                made.add(node.output[0])
        for node in reversed(self.nodes):
            out = node.output[0]
            if out in made - wanted and not any(set(r.output) & wanted for r in self.consumers.get(out, ())):
                made.discard(out)
            elif out in made:
                wanted.add(out)
        return made

    def inputs(self, node: onnx.NodeProto) -> list[str]:
        """What a node reads that is neither weight nor absent."""
        return [name for name in node.input if name and name not in self.weights]

    def is_depthwise(self, node: onnx.NodeProto) -> bool:
        """Whether each channel of a convolution is its own."""
        return any(a.name == "group" and a.i > 1 for a in node.attribute)

    def downstream_of(self, names: Iterable[str]) -> set[str]:
        """Every tensor that depends on ``names``."""
        found = set(names)
        for node in self.nodes:
            if found & set(node.input):
                found |= set(node.output)
        return found

    def upstream_of(self, names: Iterable[str]) -> set[str]:
        """Every tensor that ``names`` depend on, themselves included."""
        found = set(names)
        for node in reversed(self.nodes):
            if found & set(node.output):
                found |= {name for name in node.input if name}
        return found

    def _spectral(self) -> set[str]:
        """All that lies between sound and the first logarithm of it."""
        audio_tensors = self.downstream_of(i.name for i in self.model.graph.input if i.name == "audio")
        logs = [n.output[0] for n in self.nodes if n.op_type == "Log" and set(n.input) & audio_tensors]
        first = [name for name in logs if not (self.upstream_of([name]) - {name}) & set(logs)]
        return self.upstream_of(first) & audio_tensors


def open_onnx(path: Path) -> OnnxGraphEditor:
    """The graph of a file; RuntimeUnavailable where onnx is not installed, ModelError where it is not readable."""
    try:
        import onnx
    except ImportError as error:
        raise RuntimeUnavailable(
            f"making graphs of other precisions needs onnx ({error}); {install_command('build')}"
        ) from error
    try:
        return OnnxGraphEditor(onnx.load(str(path)))
    except Exception as error:  # protobuf raises its own, by backend
        raise ModelError(f"{path}: not readable as ONNX ({error}); restore the model folder") from error


def topologically_sorted(nodes: Sequence[onnx.NodeProto], there: Iterable[str]) -> list[onnx.NodeProto]:
    """``nodes`` so that each comes after those it reads from, otherwise as they were."""
    known, waiting, found = {"", *there}, list(nodes), []
    while waiting:
        ready = [node for node in waiting if all(name in known for name in node.input)]
        if not ready:
            raise ValueError("the graph's nodes cannot be put in order")
        taken = {id(node) for node in ready}
        known |= {name for node in ready for name in node.output}
        found += ready
        waiting = [node for node in waiting if id(node) not in taken]
    return found


def _fold_weight_casts(model: onnx.ModelProto) -> None:
    """Weights that are stored as float16 behind a Cast become float32 themselves."""
    from onnx import TensorProto, numpy_helper

    stored = {t.name: t for t in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type != "Cast" or node.input[0] not in stored or node.attribute[0].i != TensorProto.FLOAT:
            continue
        value = numpy_helper.to_array(stored[node.input[0]]).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
        model.graph.node.remove(node)
    read = {name for node in model.graph.node for name in node.input} | {o.name for o in model.graph.output}
    unread = [t for t in model.graph.initializer if t.name not in read]
    for tensor in unread:
        model.graph.initializer.remove(tensor)


def to_fp16(source: Path) -> bytes:
    """The graph of ``source`` with its layers in 16 bits, as ONNX; the same graph where it has none."""
    net = open_onnx(source)
    half = net.elementwise_chain(net.learned_convolutions())
    writer = _HalfPrecisionWriter(net, half)
    nodes = [writer.convert(node) if node.output[0] in half else node for node in net.nodes]
    graph = net.model.graph
    outside = _fp32_consumed(net, half)
    nodes += [writer.cast(writer.named(name), name, wide=True) for name in sorted(outside)]
    nodes += writer.casts
    known = [i.name for i in graph.input] + [t.name for t in graph.initializer] + [t.name for t in writer.weights]
    del graph.node[:]
    graph.initializer.extend(writer.weights)
    graph.node.extend(topologically_sorted(nodes, known))
    _drop_unused(graph)
    del graph.value_info[:]
    return bytes(net.model.SerializeToString())


class _HalfPrecisionWriter:
    """Rewrites nodes to 16 bits; makes each weight and each cast once."""

    def __init__(self, net: OnnxGraphEditor, half: set[str]) -> None:
        self._net, self._half = net, half
        self.casts: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._made: dict[str, str] = {}

    def convert(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """``node`` reading and writing 16 bits."""
        import onnx

        new = onnx.NodeProto()
        new.CopyFrom(node)
        numbers = node.input[:1] if node.op_type == "Resize" else node.input  # the others are sizes
        for at, name in enumerate(numbers):
            new.input[at] = self.named(name) if name in self._half else self._narrow(name)
        for at, name in enumerate(node.output):
            new.output[at] = self.named(name)
        return new

    def named(self, name: str) -> str:
        """What a tensor is called in 16 bits."""
        return f"{name}_half"

    def cast(self, name: str, out: str, *, wide: bool) -> onnx.NodeProto:
        """A cast to 32 bits (``wide``) or 16."""
        from onnx import TensorProto, helper

        kind = TensorProto.FLOAT if wide else TensorProto.FLOAT16
        made: onnx.NodeProto = helper.make_node("Cast", [name], [out], to=kind, name=f"{out}_cast")
        return made

    def _narrow(self, name: str) -> str:
        """A weight or an outside tensor in 16 bits."""
        if not name:
            return name
        if name not in self._made:
            self._made[name] = self.named(name)
            if name in self._net.weights:
                self.weights.append(_fp16_tensor(self._net.weights[name], self._made[name]))
            else:
                self.casts.append(self.cast(name, self._made[name], wide=False))
        return self._made[name]


def _fp16_tensor(value: Any, name: str) -> onnx.TensorProto:
    from onnx import numpy_helper

    limit = float(np.finfo(np.float16).max)
    tensor: onnx.TensorProto = numpy_helper.from_array(np.clip(value, -limit, limit).astype(np.float16), name)
    return tensor


def _fp32_consumed(net: OnnxGraphEditor, half: set[str]) -> set[str]:
    """The 16-bit tensors that something of 32 bits reads, or that are answers."""
    read = {name for node in net.nodes if node.output[0] not in half for name in node.input}
    return half & (read | {output.name for output in net.model.graph.output})


def _drop_unused(graph: onnx.GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in read]:
        graph.initializer.remove(tensor)
