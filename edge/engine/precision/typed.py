"""A graph with 16-bit types in it, for libraries that take precision from the graph (strongly typed TensorRT).

Learned convolutions and the elementwise work between them become 16 bits. All else stays 32: spectra and their
logarithm, movement between pictures, boxes, distributions and their normalisation. Inputs and outputs keep their types.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.engine.precision.graphs import OnnxGraphEditor, open_onnx, topologically_sorted

if TYPE_CHECKING:
    import onnx


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
