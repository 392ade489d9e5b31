"""Graphs on OpenVINO's CPU plugin, in 32 bits.

A row is a call of its own, as on ONNX Runtime: its bytes never depend on what else is due. Shapes are fixed when the
graph is compiled, which this library's CPU plugin runs faster than open ones. What was compiled is kept in a cache
folder by the library, which knows when it no longer fits.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from edge.engine.contract import Array, TensorSpec
from edge.engine.runtime import RuntimeInfo
from edge.errors import ModelError, RuntimeUnavailable
from edge.heap import trim_heap


class OpenVinoGraph:
    """One graph of a model (`runtime.InferenceGraph`), on the CPU, one row a call."""

    def __init__(self, path: Path, threads: int, cache: Path | None = None) -> None:
        """Load an ONNX or IR file; ``threads`` 0 is one a core; ``cache`` is used where it can be written.

        ModelError when the file does not load.
        """
        core = ov.Core()
        if cache is not None and _is_writable(cache):
            core.set_property({"CACHE_DIR": str(cache)})
        try:
            model = core.read_model(path)
            model.reshape({port.get_any_name(): [1, *list(port.get_partial_shape())[1:]] for port in model.inputs})
            compiled = core.compile_model(model, "CPU", _properties(threads))
        except RuntimeError as error:
            raise ModelError(f"{path}: OpenVINO {version()} cannot load it: {_first_line(error)}") from error
        self._ports = {port.get_any_name(): port for port in (*compiled.inputs, *compiled.outputs)}
        self.inputs = {port.get_any_name(): _tensor(port) for port in compiled.inputs}
        self.outputs = {port.get_any_name(): _tensor(port) for port in compiled.outputs}
        self._request = compiled.create_infer_request()
        self._lock = threading.Lock()
        self.chunk = 1
        self.info = RuntimeInfo("openvino", version(), "cpu", "fp32")
        del model
        trim_heap()

    def run(self, feed: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        """Read ``feed`` and write ``out`` in place, row by row. One call at a time, whatever the thread."""
        try:
            with self._lock:
                for row in range(len(next(iter(feed.values())))):
                    for name, array in (*feed.items(), *out.items()):
                        shared = ov.Tensor(array[row : row + 1], shared_memory=True)
                        self._request.set_tensor(self._ports[name], shared)
                    self._request.infer(share_outputs=True)
        except RuntimeError as error:
            raise RuntimeUnavailable(f"OpenVINO failed while running the model: {_first_line(error)}") from error

    def close(self) -> None:
        """Drop the request and with it the compiled graph."""
        self._request, self._ports = None, {}


def version() -> str:
    """``2026.4.1`` of ``2026.4.1-22982-0a1b2c3``."""
    return str(ov.__version__).split("-", maxsplit=1)[0]


def _properties(threads: int) -> dict[str, Any]:
    chosen: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}  # it may be less on some CPUs
    return {**chosen, "INFERENCE_NUM_THREADS": threads} if threads else chosen


def _tensor(port: Any) -> TensorSpec:
    tail = tuple(int(size) for size in port.get_shape())[1:]
    return TensorSpec(port.get_any_name(), np.dtype(port.get_element_type().to_dtype()), tail)


def _is_writable(folder: Path) -> bool:
    """Whether there is such a folder, made if need be, that this user may write to."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder.is_dir() and os.access(folder, os.W_OK)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
