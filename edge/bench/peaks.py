"""How fast one thread of this CPU multiplies matrices and copies memory: the limits that the model is held against.

``python -m edge.bench.peaks`` prints them as JSON. Each limit is the best that any probe at hand reached, and is named
with its probe: numpy's sgemm, a product and a 3 x 3 convolution on ONNX Runtime, products on OpenVINO where it is
installed. A limit found by trying is a lower bound of the machine's true one: a share of it may come out too high,
never too low. Times are processor time, so that other load disturbs little.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

SIZE = 1024
CHANNELS, SIDE, KERNEL = 128, 56, 3
COPY_BYTES = 64 << 20
_FLOAT = 1


@dataclass(frozen=True, slots=True)
class PeakProbe:
    """One thing that was tried: ``kind`` is fp32 (operations a second) or copy (bytes a second)."""

    kind: str
    name: str
    work: float
    call: Callable[[], object]


def peak_rate(probe: PeakProbe, seconds: float) -> float:
    """The most work a second of processor time, over calls that take ``seconds`` together; the first is not counted."""
    probe.call()
    fastest_ns, began_ns = 1 << 62, time.process_time_ns()
    while time.process_time_ns() - began_ns < seconds * 1e9:
        start_ns = time.process_time_ns()
        probe.call()
        fastest_ns = min(fastest_ns, time.process_time_ns() - start_ns)
    return probe.work * 1e9 / fastest_ns


def measure_peaks(seconds: float) -> dict[str, dict[str, float]]:
    """By kind, what every probe reached, best first."""
    found: dict[str, dict[str, float]] = {}
    for probes in (_numpy(), _onnx(), _openvino()):
        with contextlib.suppress(ImportError):
            for probe in probes:
                found.setdefault(probe.kind, {})[probe.name] = peak_rate(probe, seconds)
    return {kind: dict(sorted(by.items(), key=lambda one: -one[1])) for kind, by in found.items()}


def _numpy() -> Iterator[PeakProbe]:
    import numpy as np

    random = np.random.default_rng(0)
    a, b = (random.random((SIZE, SIZE), dtype=np.float32) for _ in range(2))
    out = np.empty_like(a)
    yield PeakProbe("fp32", f"numpy, product of {SIZE}", 2.0 * SIZE**3, lambda: np.matmul(a, b, out=out))
    source, target = (np.zeros(COPY_BYTES, np.uint8) for _ in range(2))
    yield PeakProbe(
        "copy", "numpy, copying 64 MiB (read and written)", 2.0 * COPY_BYTES, lambda: np.copyto(target, source)
    )


def _onnx() -> Iterator[PeakProbe]:
    import numpy as np
    import onnxruntime as ort

    from edge.engine.onnx_graph import session_options

    random = np.random.default_rng(0)

    def session(model: bytes, given: Any) -> Callable[[], object]:
        run = ort.InferenceSession(model, session_options(1), providers=["CPUExecutionProvider"]).run
        return lambda: run(None, {"x": given})

    square = random.random((SIZE, SIZE), dtype=np.float32)
    one = node_model("MatMul", square.shape, _FLOAT, {"w": (square.shape, _FLOAT, square.tobytes())}, _FLOAT)
    yield PeakProbe("fp32", f"ONNX Runtime, product of {SIZE}", 2.0 * SIZE**3, session(one, square))
    pictures = random.random((1, CHANNELS, SIDE, SIDE), dtype=np.float32)
    kernel = random.random((CHANNELS, CHANNELS, KERNEL, KERNEL), dtype=np.float32)
    one = node_model("Conv", pictures.shape, _FLOAT, {"w": (kernel.shape, _FLOAT, kernel.tobytes())}, _FLOAT)
    work = 2.0 * kernel.size * (SIDE - KERNEL + 1) ** 2
    yield PeakProbe("fp32", "ONNX Runtime, convolution 3 x 3", work, session(one, pictures))


def _openvino() -> Iterator[PeakProbe]:
    import numpy as np
    import openvino as ov
    from openvino import opset13 as ops

    given = np.random.default_rng(0).random((SIZE, SIZE), dtype=np.float32)
    x = ops.parameter([SIZE, SIZE], np.float32, name="x")
    model = ov.Model([ops.matmul(x, ops.constant(given), False, False)], [x], "product")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    request.set_tensor("x", ov.Tensor(given, shared_memory=True))
    yield PeakProbe("fp32", f"OpenVINO, product of {SIZE}", 2.0 * SIZE**3, request.infer)


def node_model(
    operator: str, shape: tuple[int, ...], kind: int, weights: dict[str, tuple[tuple[int, ...], int, bytes]], out: int
) -> bytes:
    """An ONNX model of one node, y = operator(x, weights), written without the package onnx.

    Field numbers are those of onnx.proto3 (ModelProto, GraphProto, NodeProto, TensorProto, ValueInfoProto).
    """
    node = (
        b"".join(_field(1, name.encode()) for name in ("x", *weights)) + _field(2, b"y") + _field(4, operator.encode())
    )
    graph = _field(1, node) + _field(2, b"probe")
    for name, (dims, data_type, raw) in weights.items():
        sizes = b"".join(_number(1, size) for size in dims)
        graph += _field(5, sizes + _number(2, data_type) + _field(8, name.encode()) + _field(9, raw))
    sizes = b"".join(_field(1, _number(1, size)) for size in shape)
    graph += _field(11, _field(1, b"x") + _field(2, _field(1, _number(1, kind) + _field(2, sizes))))
    graph += _field(12, _field(1, b"y") + _field(2, _field(1, _number(1, out))))
    return _number(1, 8) + _field(7, graph) + _field(8, _number(2, 17))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out += struct.pack("B", value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + struct.pack("B", value)


if __name__ == "__main__":
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    print(json.dumps(measure_peaks(0.4)))
