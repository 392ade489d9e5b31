"""The model on ONNX Runtime: the CPU everywhere, CUDA where that provider really loads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from edge.engine import contract
from edge.engine.contract import Array, TensorSpec
from edge.engine.manifest import ModelFolder
from edge.engine.runtime import RuntimeInfo, WholeRuntime
from edge.errors import ModelError, RuntimeUnavailable
from edge.heap import trim_heap

_log = logging.getLogger(__name__)
MAX_BINDINGS = 256
"""Sets of rows that are kept bound; each row is one."""
_FAILED = (errors.Fail, errors.RuntimeException, errors.InvalidArgument, errors.EPFail, errors.EngineError)
_UNREADABLE = (
    errors.InvalidProtobuf,
    errors.InvalidGraph,
    errors.InvalidArgument,
    errors.NoSuchFile,
    errors.NotImplemented,
    errors.NoModel,
    errors.Fail,
)
_CUDA = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"


def open_whole_graph(folder: ModelFolder, threads: int, max_batch: int, *, cuda: bool = True) -> WholeRuntime:
    """The whole graph of ``folder``, on CUDA where that provider loads; ModelError when it does not load or fit.

    On the CPU each row is a call of its own: a batch is no faster there and needs far more memory
    (docs/reference/engines.md), and so a camera's scores never depend on which others happened to be due. CUDA takes
    the whole batch.
    """
    return WholeRuntime(folder, OnnxGraph(folder.graph, threads, cuda_rows=max_batch if cuda else 0), max_batch)


class OnnxGraph:
    """One graph (`runtime.InferenceGraph`) that reads and writes its rows where they lie."""

    def __init__(self, path: Path, threads: int, precision: str = "fp32", *, cuda_rows: int = 0) -> None:
        """``threads`` 0 is one a core; ``precision`` is what the graph was made in, for
        comparing those of TensorRT; with ``cuda_rows`` it runs on CUDA
        where that loads, so many rows a call. ModelError when it does not load."""
        self._session = _session(path, threads, cuda_rows > 0)
        device = "cuda" if _CUDA in self._session.get_providers() else "cpu"
        self.inputs = _tensors(self._session.get_inputs())
        self.outputs = _tensors(self._session.get_outputs())
        self.chunk = cuda_rows if device == "cuda" else 1
        self.info = RuntimeInfo("onnx", str(ort.__version__), device, precision)
        self._bound: dict[tuple[object, ...], tuple[Any, list[Array]]] = {}

    def run(self, feed: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        """Straight into ``out``: nothing is allocated by this side, and rows seen before are still bound.

        Several threads may run different rows at a time: they share the weights.
        """
        try:
            self._session.run_with_iobinding(self._binding(feed, out))
        except _FAILED as error:
            raise RuntimeUnavailable(f"ONNX Runtime failed while running the model: {_first_line(error)}") from error

    def close(self) -> None:
        """Drop the session."""
        self._bound.clear()
        self._session = None

    def _binding(self, feed: Mapping[str, Array], out: Mapping[str, Array]) -> Any:
        """The arrays bound where they lie; they are kept, so that nothing else can come to lie there."""
        arrays = [*feed.values(), *out.values()]
        key = (*feed, *((array.__array_interface__["data"][0], len(array)) for array in arrays))
        bound = self._bound.get(key)
        if bound is None:
            if len(self._bound) >= MAX_BINDINGS:
                self._bound.clear()
            if not all(array.flags.c_contiguous for array in arrays):
                raise ValueError("rows are bound where they lie: they must lie in one piece")
            binding = self._session.io_binding()
            for name, array in feed.items():
                binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            for name, array in out.items():
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            bound = self._bound[key] = binding, arrays
        return bound[0]


def session_options(threads: int) -> Any:
    """Session options, each on purpose; the measurements are in docs/measurements/engines.md."""
    chosen = ort.SessionOptions()
    chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    chosen.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    chosen.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    chosen.enable_mem_pattern = False  # plans memory for one batch size; ours varies from hop to hop
    chosen.log_severity_level = 3
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a hop is long, cores are few
    chosen.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return chosen


def has_cuda_provider() -> bool:
    """Whether this build of ONNX Runtime has CUDA; whether it really works only a session shows."""
    return _CUDA in ort.get_available_providers()


def _session(graph: Path, threads: int, cuda: bool) -> Any:
    wanted = [_CUDA, _CPU] if cuda and _CUDA in ort.get_available_providers() else [_CPU]
    try:
        session = ort.InferenceSession(str(graph), session_options(threads), providers=wanted)
    except _UNREADABLE as error:
        raise ModelError(f"{graph}: ONNX Runtime {ort.__version__} cannot load it: {_first_line(error)}") from error
    except _FAILED as error:
        raise RuntimeUnavailable(f"{graph}: ONNX Runtime {ort.__version__} failed: {_first_line(error)}") from error
    if wanted[0] not in session.get_providers():
        _log.info("ONNX Runtime lists %s but could not load it; running on the CPU", wanted[0])
    trim_heap()
    return session


def _tensors(nodes: Any) -> dict[str, TensorSpec]:
    return {
        node.name: TensorSpec(
            node.name,
            contract.dtype_of(node.type),
            tuple(size if isinstance(size, int) else None for size in node.shape[1:]),
        )
        for node in nodes
    }


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
