"""The model as a TensorRT engine: pinned inputs, one stream, addresses set once, shapes only when they change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edge.engine import built, contract
from edge.engine.built import BuiltEngine, EngineKey
from edge.engine.contract import Array, Tensor
from edge.engine.cuda import Cuda
from edge.engine.library import Library, load_library
from edge.engine.manifest import ModelFolder
from edge.engine.runtime import RuntimeInfo, check_rows
from edge.errors import ModelError, RuntimeUnavailable


class TensorRtRuntime:
    """A deserialised engine with its buffers."""

    def __init__(self, folder: ModelFolder, library: Library, cuda: Cuda, engine: BuiltEngine, max_batch: int) -> None:
        """Load ``engine``; `close` closes ``cuda`` too. RuntimeUnavailable or ModelError when it does not load or fit;
        ``cuda`` is the caller's to close then."""
        self._cuda = cuda
        self._max_batch = max_batch
        self._rows = 0
        self._info = RuntimeInfo(library.name, library.version, f"{cuda.name} {cuda.capability}", engine.key.precision)
        self._runtime: Any = library.module.Runtime(library.logger())
        self._engine: Any = self._runtime.deserialize_cuda_engine(engine.path.read_bytes())
        self._context: Any = self._engine.create_execution_context() if self._engine is not None else None
        if self._context is None:
            raise RuntimeUnavailable(
                f"{engine.path.name} does not load with {library.name} {library.version}; build it again: "
                "edge engine build"
            )
        expected = contract.inputs_of(folder)
        contract.check(f"{engine.path}: inputs", expected, library.tensors(self._engine, inputs=True))
        outputs = library.tensors(self._engine, inputs=False)
        contract.check(f"{engine.path}: outputs", contract.outputs_of(folder), outputs)
        self._inputs = {t.name: cuda.pinned(t, max_batch) for t in expected}
        self._shape(max_batch)
        self._outputs = {t.name: cuda.pinned(self._sized(t), max_batch) for t in outputs.values()}
        self._addresses = {name: cuda.allocate(array) for name, array in {**self._inputs, **self._outputs}.items()}
        for name, address in self._addresses.items():
            self._demand(self._context.set_tensor_address(name, address), f"the address of {name}")

    @classmethod
    def open(cls, folder: ModelFolder, precision: str, max_batch: int) -> TensorRtRuntime:
        """The admitted engine for this graph, library, GPU and ``precision`` (auto: 16 bits before 32).

        RuntimeUnavailable when TensorRT, CUDA, a GPU or the engine is missing.
        """
        library = load_library()
        cuda = Cuda()
        try:
            return cls(folder, library, cuda, _find(folder, library, cuda, precision, max_batch), max_batch)
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
        if rows != self._rows:
            self._shape(rows)
        for name, array in self._inputs.items():
            self._cuda.upload(self._addresses[name], array[:rows])
        self._demand(self._context.execute_async_v3(self._cuda.stream.handle), "the call")
        results = {name: array[:rows] for name, array in self._outputs.items()}
        for name, array in results.items():
            self._cuda.download(array, self._addresses[name])
        self._cuda.wait()
        return results

    def close(self) -> None:
        """Context, engine and runtime first, then the memory they used."""
        if self._engine is None:
            return
        self._context = None
        self._engine = None
        self._runtime = None
        self._inputs, self._outputs = {}, {}
        self._cuda.close()

    def _shape(self, rows: int) -> None:
        for name, array in self._inputs.items():
            self._demand(self._context.set_input_shape(name, (rows, *array.shape[1:])), f"{rows} rows of {name}")
        self._rows = rows

    def _sized(self, tensor: Tensor) -> Tensor:
        """``tensor`` with the sizes that the engine works out from its inputs' shapes."""
        sizes = tuple(int(n) for n in tuple(self._context.get_tensor_shape(tensor.name))[1:])
        if any(n < 0 for n in sizes):
            raise ModelError(f"output {tensor} has no size before it is computed; export the graph with fixed sizes")
        return Tensor(tensor.name, tensor.dtype, sizes)

    def _demand(self, is_accepted: bool, what: str) -> None:
        if not is_accepted:
            raise RuntimeUnavailable(f"{self._info}: refused {what}; build the engine again: edge engine build")


def _find(folder: ModelFolder, library: Library, cuda: Cuda, precision: str, max_batch: int) -> BuiltEngine:
    wanted = ("fp16", "fp32") if precision == "auto" else (precision,)
    keys = [key_for(folder, library, cuda, one) for one in wanted]
    found = next((e for key in keys if (e := built.find(folder, key, max_batch)) is not None), None)
    if found is None:
        raise RuntimeUnavailable(
            f"no engine is built for {folder.manifest.name} with {library.name} {library.version} on "
            f"{keys[0].device}, {precision}, {max_batch} rows; run: edge engine build"
        )
    return found


def key_for(folder: ModelFolder, library: Library, cuda: Cuda, precision: str) -> EngineKey:
    """What an engine must have been built for to run here. RTX engines fit a compute capability, others one GPU."""
    device = cuda.capability if library.name == "tensorrt_rtx" else f"{cuda.name} {cuda.capability}"
    return EngineKey(folder.manifest.sha256, library.name, library.version, device, precision)
