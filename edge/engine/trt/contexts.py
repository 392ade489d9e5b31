"""Execution contexts of a TensorRT engine, one for each number of rows, with all addresses set.

A CUDA graph is bound to the context that it was recorded from, and must not be launched once that context was given
other shapes; hence a context for each graph, with one scratch memory for all of them, since they run one after the
other on one stream (TensorRT developer guide, "CUDA Graphs"). TensorRT-RTX keeps graphs for all shapes of one context
itself, and compiles kernels for a context anew; it gets one context, whose shapes are set again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from edge.engine.contract import Array
from edge.engine.trt.cuda_graph import RecordedGraph
from edge.engine.trt.library import TensorRtLibrary
from edge.errors import RuntimeUnavailable

MAX_CONTEXTS = 32
"""Numbers of rows that are kept at once; the one not used for longest goes first."""


class PreparedCall:
    """One number of rows: views of the buffers, the context that computes them, and its recording, once there."""

    def __init__(self, context: Any, inputs: Mapping[str, Array], outputs: Mapping[str, Array], rows: int) -> None:
        self.context = context
        self.inputs = {name: array[:rows] for name, array in inputs.items()}
        self.results = {name: array[:rows] for name, array in outputs.items()}
        self.is_warm = False
        self.recording: RecordedGraph | None = None

    def close(self) -> None:
        """Drop recording and context."""
        if self.recording is not None:
            self.recording.close()
        self.recording, self.context, self.inputs, self.results = None, None, {}, {}


class ExecutionContexts:
    """Makes contexts of ``engine`` and sets them up; RuntimeUnavailable whenever the library refuses."""

    def __init__(self, library: TensorRtLibrary, engine: Any, allocate: Callable[[int], int]) -> None:
        """``allocate`` gives device memory: address of that many bytes."""
        self._library = library
        self._engine = engine
        self._strategy = getattr(library.module, "ExecutionContextAllocationStrategy", None)
        self._scratch, self._size = 0, 0
        if self._strategy is not None and not library.has_own_graphs:
            self._size = int(engine.device_memory_size_v2)
            self._scratch = allocate(self._size)

    def make(self) -> Any:
        """A context; it needs shapes and addresses yet."""
        if self._library.has_own_graphs:
            config = self._engine.create_runtime_config()
            config.cuda_graph_strategy = self._library.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
            context = self._engine.create_execution_context(config)
        elif self._scratch and self._strategy is not None:
            context = self._engine.create_execution_context(self._strategy.USER_MANAGED)
        else:  # before TensorRT 10.1: each context has its own scratch memory
            context = self._engine.create_execution_context()
        if context is None:
            raise self._library.unavailable(f"{self._library} makes no execution context")
        if self._scratch:
            context.set_device_memory(self._scratch, self._size)
        return context

    def shape(self, context: Any, inputs: Mapping[str, Array], rows: int) -> None:
        """Tell the context how many rows there are."""
        for name, array in inputs.items():
            self.require(context.set_input_shape(name, (rows, *array.shape[1:])), f"{rows} rows of {name}")

    def address(self, context: Any, addresses: Mapping[str, int]) -> None:
        """Tell the context where everything lies."""
        for name, address in addresses.items():
            self.require(context.set_tensor_address(name, address), f"the address of {name}")

    def enqueue(self, context: Any, stream: int) -> None:
        """Queue the work of one call."""
        self.require(context.execute_async_v3(stream), "the call")

    def require(self, is_accepted: bool, what: str) -> None:
        """RuntimeUnavailable unless ``is_accepted``."""
        if not is_accepted:
            raise self._refused(what)

    def _refused(self, what: str) -> RuntimeUnavailable:
        return self._library.unavailable(f"{self._library} refused {what}", "build the engine again: edge engine build")
