"""The model as a TensorRT engine: pinned inputs, one stream, addresses set once, the whole call as one CUDA graph.

Execution contexts of a TensorRT engine, one for each number of rows, with all addresses set.

A CUDA graph is bound to the context that it was recorded from, and must not be launched once that context was given
other shapes; hence a context for each graph, with one scratch memory for all of them, since they run one after the
other on one stream (TensorRT developer guide, "CUDA Graphs"). TensorRT-RTX keeps graphs for all shapes of one context
itself, and compiles kernels for a context anew; it gets one context, whose shapes are set again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.engine import built, contract
from edge.engine.built import BuiltEngine, EngineKey
from edge.engine.contract import Array, TensorSpec
from edge.engine.manifest import ModelFolder, sha256_of
from edge.engine.runtime import RuntimeInfo, check_rows
from edge.engine.trt.cuda import CaptureRefusedError, CudaContext, RecordedGraph
from edge.engine.trt.library import TensorRtLibrary, load_library
from edge.engine.trt.variants import admitted_path
from edge.errors import ModelError, RuntimeUnavailable

_log = logging.getLogger(__name__)
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


# 8 bits come before the others only when asked for by name: some labels lose by them (docs/reference/engines.md)
_AUTO = ("fp16", "fp32", "int8")


class TensorRtRuntime:
    """A deserialised engine with its buffers.

    The first call with a number of rows is queued piece by piece, which warms it up; the second is recorded, copies
    included, and from then on a call is one launch.
    """

    def __init__(
        self,
        folder: ModelFolder,
        library: TensorRtLibrary,
        cuda: CudaContext,
        engine: BuiltEngine,
        max_batch: int,
        *,
        graphs: bool = True,
    ) -> None:
        """Load ``engine``; `close` closes ``cuda`` too. RuntimeUnavailable or ModelError when it does not load or fit;
        ``cuda`` is the caller's to close then. ``graphs``: whether calls are recorded."""
        self._cuda = cuda
        self._max_batch = max_batch
        self._records = graphs and not library.has_own_graphs
        self._most = 1 if library.has_own_graphs else MAX_CONTEXTS
        self._info = RuntimeInfo(library.name, library.version, f"{cuda.name} {cuda.capability}", engine.key.precision)
        self._runtime: Any = library.make("Runtime")
        self._engine: Any = _deserialized(self._runtime, library, engine)
        expected = contract.input_specs(folder)
        contract.check_tensors(f"{engine.path}: inputs", expected, library.tensors(self._engine, inputs=True))
        outputs = library.tensors(self._engine, inputs=False)
        contract.check_tensors(f"{engine.path}: outputs", contract.output_specs(folder), outputs)
        self._contexts: Any = ExecutionContexts(library, self._engine, cuda.allocate)
        self._inputs = {t.name: cuda.pinned(t, max_batch) for t in expected}
        context = self._contexts.make()
        self._contexts.shape(context, self._inputs, max_batch)
        self._outputs = {t.name: cuda.pinned(_with_sizes(context, t), max_batch) for t in outputs.values()}
        everything = {**self._inputs, **self._outputs}
        self._addresses = {name: cuda.allocate(array.nbytes) for name, array in everything.items()}
        self._contexts.address(context, self._addresses)
        self._calls = {max_batch: PreparedCall(context, self._inputs, self._outputs, max_batch)}

    @classmethod
    def open(cls, folder: ModelFolder, precision: str, max_batch: int) -> TensorRtRuntime:
        """The admitted engine for this graph, library, GPU and ``precision`` (auto: the cheapest that was built).

        RuntimeUnavailable when no engine was built, or TensorRT, CUDA or a GPU is missing; nothing heavy is imported
        where no engine was built.
        """
        if not any(engine.is_admitted for engine in built.list_engines(folder)):
            raise RuntimeUnavailable(f"no TensorRT engine is built for {folder.manifest.name}; run: edge engine build")
        library = load_library()
        cuda = CudaContext()
        try:
            return cls(folder, library, cuda, _find_engine(folder, library, cuda, precision, max_batch), max_batch)
        except BaseException:
            cuda.close()
            raise

    @property
    def info(self) -> RuntimeInfo:
        """Library, GPU and precision."""
        return self._info

    @property
    def max_batch(self) -> int:
        """Rows of each input buffer."""
        return self._max_batch

    @property
    def inputs(self) -> Mapping[str, Array]:
        """Page-locked host arrays."""
        return self._inputs

    def run(self, rows: int) -> Mapping[str, Array]:
        """Execute on the first ``rows`` rows: copy in, enqueue, copy out, all on one stream; then wait."""
        check_rows(rows, self._max_batch)
        call = self._calls.pop(rows, None) or self._prepare(rows)
        self._calls[rows] = call  # the last is the one used last
        if call.recording is None and call.is_warm and self._records:
            self._record(call)
        if call.recording is None:
            self._queue(call)
        else:
            call.recording.launch()
        self._cuda.wait()
        call.is_warm = True
        return call.results

    def close(self) -> None:
        """Recordings, contexts, engine and runtime first, then the memory they used."""
        if self._engine is None:
            return
        for call in self._calls.values():
            call.close()
        self._calls = {}
        self._contexts = None
        self._engine = None
        self._runtime = None
        self._inputs, self._outputs = {}, {}
        self._cuda.close()

    def _prepare(self, rows: int) -> PreparedCall:
        """A context for ``rows``: a new one, or where the library wants only one, that one."""
        spare = self._calls.pop(next(iter(self._calls))) if len(self._calls) >= self._most else None
        if spare is not None and self._most == 1:
            context = spare.context
        else:
            if spare is not None:
                spare.close()
            context = self._contexts.make()
            self._contexts.address(context, self._addresses)
        self._contexts.shape(context, self._inputs, rows)
        return PreparedCall(context, self._inputs, self._outputs, rows)

    def _record(self, call: PreparedCall) -> None:
        try:
            call.recording = self._cuda.record(lambda: self._queue(call))
        except CaptureRefusedError as error:
            self._records = False
            _log.info("%s: calls are queued piece by piece, without a CUDA graph (%s)", self._info, error)

    def _queue(self, call: PreparedCall) -> None:
        for name, rows in call.inputs.items():
            self._cuda.upload(self._addresses[name], rows)
        self._contexts.enqueue(call.context, self._cuda.stream.handle)
        for name, rows in call.results.items():
            self._cuda.download(rows, self._addresses[name])


def engine_key(library: TensorRtLibrary, cuda: CudaContext, precision: str, graph: Path) -> EngineKey:
    """What an engine must have been built for to run here. RTX engines fit a compute capability, others one GPU."""
    device = cuda.capability if library.name == "tensorrt_rtx" else f"{cuda.name} {cuda.capability}"
    return EngineKey(sha256_of(graph), library.name, library.version, device, precision)


def graph_path(folder: ModelFolder, library: TensorRtLibrary, precision: str) -> Path:
    """The file that an engine of ``precision`` is built from; ModelError where it has to be made first.

    INT8 is explicit quantisation everywhere. 16 bits are the builder's choice where it takes flags, and in the graph
    where it does not.
    """
    if precision == "int8" or (precision == "fp16" and not library.is_weakly_typed):
        return admitted_path(folder, "int8" if precision == "int8" else "fp16")
    return folder.graph


def _deserialized(runtime: Any, library: TensorRtLibrary, engine: BuiltEngine) -> Any:
    if engine.is_version_compatible:  # such an engine carries code for this processor, which is run; see the docs
        runtime.engine_host_code_allowed = True
    loaded = runtime.deserialize_cuda_engine(built.read_engine(engine))
    if loaded is None:
        raise library.unavailable(
            f"{engine.path.name} does not load with {library}", "build it again: edge engine build"
        )
    return loaded


def _with_sizes(context: Any, tensor: TensorSpec) -> TensorSpec:
    """``tensor`` with the sizes that the engine works out from its inputs' shapes."""
    sizes = tuple(int(n) for n in tuple(context.get_tensor_shape(tensor.name))[1:])
    if any(n < 0 for n in sizes):
        raise ModelError(f"output {tensor} has no size before it is computed; export the graph with fixed sizes")
    return TensorSpec(tensor.name, tensor.dtype, sizes)


def _find_engine(
    folder: ModelFolder, library: TensorRtLibrary, cuda: CudaContext, precision: str, max_batch: int
) -> BuiltEngine:
    reasons = []
    for candidate in _AUTO if precision == "auto" else (precision,):
        try:
            key = engine_key(library, cuda, candidate, graph_path(folder, library, candidate))
        except ModelError as error:
            reasons.append(str(error))
            continue
        engine = built.find_engine(folder, key, max_batch)
        if engine is not None:
            return engine
    if precision != "auto" and reasons:
        raise RuntimeUnavailable(reasons[0])
    raise RuntimeUnavailable(_missing_message(folder, library, cuda, precision, max_batch))


def _missing_message(
    folder: ModelFolder, library: TensorRtLibrary, cuda: CudaContext, precision: str, max_batch: int
) -> str:
    """What there is instead, where it explains why it is not taken."""
    wanted = f"{folder.manifest.name} with {library} on {cuda.name} {cuda.capability}, {precision}, {max_batch} rows"
    others = sorted({f"{e.key.library} {e.key.version}" for e in built.list_engines(folder)} - {str(library)})
    hint = f" (there are engines of {', '.join(others)})" if others else ""
    return f"no TensorRT engine is built for {wanted}{hint}; run: edge engine build"
