"""What one row of the model asks of the processor: operations counted from the shapes that ONNX Runtime really ran.

ONNX Runtime's profile names every node with the shapes of what it read and wrote. Counted are the multiplications and
additions of convolutions and matrix products, which are nearly all of a graph's; each of both is an operation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_PRODUCTS = {"MatMul", "FusedMatMul", "Gemm", "FusedGemm", "MatMulInteger", "QLinearMatMul", "QGemm",
             "MatMulIntegerToFloat", "DynamicQuantizeMatMul"}  # fmt: skip
_CONVOLUTIONS = {"Conv", "FusedConv", "NhwcFusedConv", "ConvInteger", "QLinearConv"}
PROFILE_RUNS = 6


@dataclass(frozen=True, slots=True)
class GraphWork:
    """One row of one graph: operations, bytes read and written, and milliseconds by kind of node (best run)."""

    operations: float
    bytes: float
    ms_by_kind: Mapping[str, float]

    @property
    def ms(self) -> float:
        """All nodes together."""
        return sum(self.ms_by_kind.values())


def profile_graph(graph: Path, feed: Mapping[str, Any]) -> GraphWork:
    """Profile ``graph`` on one thread with ``feed`` (one row); shared ONNX Runtime options with the daemon."""
    import onnxruntime as ort

    from edge.engine.cpu.onnx import session_options

    with TemporaryDirectory() as folder:
        chosen = session_options(1)
        chosen.enable_profiling = True
        chosen.profile_file_prefix = f"{folder}/profile"
        session = ort.InferenceSession(str(graph), chosen, providers=["CPUExecutionProvider"])
        for _ in range(PROFILE_RUNS):
            session.run(None, dict(feed))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return sum_profile(events)


def sum_profile(events: Sequence[Mapping[str, Any]]) -> GraphWork:
    """The profile of several equal runs as one row's work: each node's counts once, its shortest time."""
    nodes: dict[str, tuple[Mapping[str, Any], float]] = {}
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        shortest = nodes[event["name"]][1] if event["name"] in nodes else float("inf")
        nodes[event["name"]] = (event["args"], min(shortest, event["dur"]))
    ms: dict[str, float] = {}
    for args, us in nodes.values():
        ms[args["op_name"]] = ms.get(args["op_name"], 0.0) + us / 1000
    return GraphWork(
        sum(node_operations(args) for args, _ in nodes.values()),
        sum(float(args.get("activation_size", 0)) + float(args.get("parameter_size", 0))
            + float(args.get("output_size", 0)) for args, _ in nodes.values()),
        dict(sorted(ms.items(), key=lambda one: -one[1])),
    )  # fmt: skip


def node_operations(args: Mapping[str, Any]) -> float:
    """Multiplications and additions of one node, from its profile's ``args``; 0 for what is neither kind of product."""
    kind = args["op_name"]
    out, inputs = _shapes(args["output_type_shape"]), _shapes(args["input_type_shape"])
    if not out or not inputs:
        return 0.0
    if kind in _PRODUCTS:
        return 2.0 * prod(out[0]) * inputs[0][-1]
    if kind in _CONVOLUTIONS:
        kernel = next((shape for shape in inputs[1:] if len(shape) == len(out[0])), None)
        return 2.0 * prod(out[0]) * prod(kernel[1:]) if kernel else 0.0
    return 0.0


def _shapes(typed: Sequence[Mapping[str, Sequence[int]]]) -> list[Sequence[int]]:
    return [shape for one in typed for shape in one.values() if shape]
