"""The model on ONNX Runtime: the CPU everywhere, CUDA where that provider really loads."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from edge.engine import contract
from edge.engine.contract import Array, Tensor
from edge.engine.cpu.heap import return_unused_memory
from edge.engine.manifest import ModelFolder
from edge.engine.runtime import RuntimeInfo, check_rows
from edge.errors import ModelError, RuntimeUnavailable

_log = logging.getLogger(__name__)
_MOST_BOUND = 64  # sets of rows; a camera has one or two
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


class OnnxRuntime:
    """An ONNX Runtime session that reads preallocated inputs in place.

    On the CPU each row is a call of its own: a batch is no faster there and needs far more memory (docs/engines.md),
    and so a camera's scores never depend on which others happened to be due. CUDA takes the whole batch.
    """

    def __init__(self, folder: ModelFolder, threads: int, max_batch: int, *, cuda: bool = True) -> None:
        """Load the graph of ``folder``; ``threads`` 0 is one a core. ModelError when it does not load or fit."""
        self._session = _session(folder.graph, threads, cuda)
        expected = contract.inputs_of(folder)
        contract.check(f"{folder.graph}: inputs", expected, _tensors(self._session.get_inputs()))
        contract.check(f"{folder.graph}: outputs", contract.outputs_of(folder), _tensors(self._session.get_outputs()))
        self._names = [output.name for output in self._session.get_outputs()]
        self._inputs = contract.buffers(expected, max_batch)
        self._max_batch = max_batch
        self._outputs: dict[str, Array] = {}
        device = "cuda" if _CUDA in self._session.get_providers() else "cpu"
        self._chunk = max_batch if device == "cuda" else 1
        self._info = RuntimeInfo("onnx", str(ort.__version__), device, "fp32")

    @property
    def info(self) -> RuntimeInfo:
        """The provider that is really active."""
        return self._info

    @property
    def max_batch(self) -> int:
        """Rows of each input buffer."""
        return self._max_batch

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Plain host arrays."""
        return self._inputs

    def run(self, rows: int) -> Mapping[str, Array]:
        """Execute on the first ``rows`` rows."""
        check_rows(rows, self._max_batch)
        for start in range(0, rows, self._chunk):
            self._run_part(slice(start, min(rows, start + self._chunk)))
        return {name: array[:rows] for name, array in self._outputs.items()}

    def close(self) -> None:
        """Drop the session and the buffers."""
        self._session = None
        self._inputs, self._outputs = {}, {}

    def _run_part(self, part: slice) -> None:
        feed = {name: buffer[part] for name, buffer in self._inputs.items()}
        try:
            results = self._session.run(self._names, feed)
        except _FAILED as error:
            raise RuntimeUnavailable(f"ONNX Runtime failed while running the model: {_first_line(error)}") from error
        for name, result in zip(self._names, results, strict=True):
            if name not in self._outputs:
                self._outputs[name] = np.empty((self._max_batch, *result.shape[1:]), result.dtype)
            self._outputs[name][part] = result


class OnnxGraph:
    """One graph of a model in parts (`parts.Graph`), on the CPU."""

    def __init__(self, path: Path, threads: int, chunk: int = 1, precision: str = "fp32") -> None:
        """``precision`` is what the graph was made in. ModelError when it does not load."""
        self._session = _session(path, threads, cuda=False)
        self.inputs = _tensors(self._session.get_inputs())
        self.outputs = _tensors(self._session.get_outputs())
        self.chunk = chunk
        self.info = RuntimeInfo("onnx", str(ort.__version__), "cpu", precision)
        self._bound: dict[tuple[object, ...], tuple[Any, list[Array]]] = {}

    def run(self, feed: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        """Straight into ``out``: nothing is allocated by this side, and rows seen before are still bound."""
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
        if key not in self._bound:
            if len(self._bound) >= _MOST_BOUND:
                self._bound.clear()
            if not all(array.flags.c_contiguous for array in arrays):
                raise ValueError("rows are bound where they lie: they must lie in one piece")
            binding = self._session.io_binding()
            for name, array in feed.items():
                binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            for name, array in out.items():
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            self._bound[key] = binding, arrays
        return self._bound[key][0]


def options(threads: int) -> Any:
    """Session options, each on purpose; the measurements are in docs/engines.md."""
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


def cuda_loads() -> bool:
    """Whether this build of ONNX Runtime has CUDA; whether it really works only a session shows."""
    return _CUDA in ort.get_available_providers()


def _session(graph: Path, threads: int, cuda: bool) -> Any:
    wanted = [_CUDA, _CPU] if cuda and _CUDA in ort.get_available_providers() else [_CPU]
    try:
        session = ort.InferenceSession(str(graph), options(threads), providers=wanted)
    except _UNREADABLE as error:
        raise ModelError(f"{graph}: ONNX Runtime {ort.__version__} cannot load it: {_first_line(error)}") from error
    except _FAILED as error:
        raise RuntimeUnavailable(f"{graph}: ONNX Runtime {ort.__version__} failed: {_first_line(error)}") from error
    if wanted[0] not in session.get_providers():
        _log.info("ONNX Runtime lists %s but could not load it; running on the CPU", wanted[0])
    return_unused_memory()
    return session


def _tensors(nodes: Any) -> dict[str, Tensor]:
    return {
        node.name: Tensor(
            node.name,
            contract.dtype_of(node.type),
            tuple(size if isinstance(size, int) else None for size in node.shape[1:]),
        )
        for node in nodes
    }


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
