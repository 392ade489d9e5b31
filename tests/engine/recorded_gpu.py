"""Doubles of TensorRT that record every call in one list, and hold the caller to the documented order.

Sources: TensorRT developer guide, "Performing Inference" (shapes and addresses before enqueue; the stream's work is
asynchronous) and "CUDA Graphs" (one plain call first; a context whose graph is kept is not given other shapes).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import toy_model
from recorded_cuda import Recorder

LABELS = len(toy_model.LABELS)
INPUTS = {
    "frames": ("UINT8", (-1, toy_model.FRAMES, toy_model.HEIGHT, toy_model.WIDTH, 3)),
    "video_ok": ("FLOAT", (-1, toy_model.FRAMES)),
    "audio": ("FLOAT", (-1, toy_model.SAMPLES)),
    "audio_ok": ("FLOAT", (-1,)),
    "sensors": ("FLOAT", (-1, toy_model.SENSORS)),
    "sensor_ok": ("FLOAT", (-1, toy_model.SENSORS)),
    "memory": ("FLOAT", (-1, toy_model.MEMORY, toy_model.DIM)),
    "memory_ok": ("FLOAT", (-1, toy_model.MEMORY)),
}
OUTPUTS = {
    "logits": ("FLOAT", (-1, LABELS)),
    "contribution": ("FLOAT", (-1, LABELS, 3)),
    "embedding": ("FLOAT", (-1, toy_model.DIM)),
    "token": ("FLOAT", (-1, toy_model.DIM)),
    "boxes": ("FLOAT", (-1, len(toy_model.BOXES), 6)),
    "evidence": ("FLOAT", (-1, 2, 3)),
    "tags": ("FLOAT", (-1, len(toy_model.TAGS))),
    **{name: ("FLOAT", (-1, *tail)) for name, tail in toy_model.FEATURES.items()},
}
NUMPY = {"UINT8": np.uint8, "FLOAT": np.float32}


def _flags(*names: str) -> Any:
    return SimpleNamespace(**{name: n for n, name in enumerate(names)})


FLAGS = ("FP16", "INT8", "TF32", "VERSION_COMPATIBLE")


def fake_tensorrt(
    r: Recorder, version: str = "10.3.0", *, fp16: bool = True, monitor: bool = True, scratch: bool = True
) -> Any:
    """The module ``tensorrt``."""
    return SimpleNamespace(
        __version__=version,
        ILogger=type("ILogger", (), {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4}),
        BuilderFlag=SimpleNamespace(**{name: name for name in (FLAGS if fp16 else FLAGS[2:])}),
        NetworkDefinitionCreationFlag=_flags("EXPLICIT_BATCH", "STRONGLY_TYPED"),
        MemoryPoolType=_flags("WORKSPACE"),
        TensorIOMode=_flags("INPUT", "OUTPUT"),
        Runtime=lambda logger: _Runtime(r, logger),
        Builder=lambda logger: _Builder(r, logger),
        OnnxParser=lambda network, logger: _Parser(r),
        **({"IProgressMonitor": type("IProgressMonitor", (), {})} if monitor else {}),
        **({"ExecutionContextAllocationStrategy": SimpleNamespace(USER_MANAGED="user managed")} if scratch else {}),
    )


def fake_rtx(r: Recorder) -> Any:
    """The module ``tensorrt_rtx``: types from the graph, its own CUDA graphs."""
    module = fake_tensorrt(r, "1.7.1", fp16=False)
    module.NetworkDefinitionCreationFlag = _flags("STRONGLY_TYPED")
    module.CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE="whole graph")
    module.ComputeCapability = _flags("SM86", "SM89")
    return module


class _Parser:
    def __init__(self, r: Recorder) -> None:
        self._r = r
        self.num_errors = len(r.parse_errors)

    def parse_from_file(self, path: str) -> bool:
        self._r.note("parse", path)
        return not self._r.parse_errors

    def get_error(self, i: int) -> str:
        return self._r.parse_errors[i]


class _Config:
    def __init__(self, r: Recorder) -> None:
        self._r = r
        r.flags = set()
        self.progress_monitor: Any = None
        self.max_aux_streams = -1
        self.num_compute_capabilities = 0

    def set_memory_pool_limit(self, pool: int, size: int) -> None:
        self._r.note("set_memory_pool_limit", size)

    def set_flag(self, flag: str) -> None:
        self._r.note("set_flag", flag)
        self._r.flags.add(flag)

    def clear_flag(self, flag: str) -> None:
        self._r.note("clear_flag", flag)
        self._r.flags.discard(flag)

    def set_compute_capability(self, capability: int, index: int) -> None:
        assert index < self.num_compute_capabilities
        self._r.note("set_compute_capability", capability)

    def add_optimization_profile(self, profile: Any) -> int:
        self._r.note("add_optimization_profile", profile.shapes)
        return 0

    def create_timing_cache(self, content: bytes) -> Any:
        self._r.note("create_timing_cache", content)
        return SimpleNamespace(serialize=lambda: b"timings")

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self.cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.cache


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self.shapes[name] = shapes


class _Builder:
    def __init__(self, r: Recorder, logger: Any) -> None:
        self._r = r
        self._logger = logger

    def create_network(self, flags: int) -> Any:
        self._r.note("create_network", flags)
        return SimpleNamespace()

    def create_builder_config(self) -> _Config:
        return _Config(self._r)

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: Any, config: _Config) -> bytes | None:
        self._r.note("build_serialized_network")
        assert config.max_aux_streams == 0, "one stream"
        if self._r.says:
            self._logger.log(1, self._r.says)
            return None
        if config.progress_monitor is not None:
            config.progress_monitor.phase_start("Tactics", None, 2)
            go_on = all(config.progress_monitor.step_complete("Tactics", n) for n in range(2))
            config.progress_monitor.phase_finish("Tactics")
            return self._r.serialized if go_on else None
        return self._r.serialized


class _Runtime:
    def __init__(self, r: Recorder, logger: Any) -> None:
        if r.refuse == "runtime":
            logger.log(1, r.says)
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._r = r
        self._logger = logger
        self.engine_host_code_allowed = False

    def deserialize_cuda_engine(self, content: bytes) -> Any:
        self._r.note("deserialize_cuda_engine", content, self.engine_host_code_allowed)
        if self._r.refuse == "engine":
            self._logger.log(1, self._r.says)
            return None
        return _Engine(self._r)


class _Engine:
    def __init__(self, r: Recorder) -> None:
        self._r = r
        self._all = {**INPUTS, **OUTPUTS}
        self.num_io_tensors = len(self._all)
        self.device_memory_size_v2 = 4096

    def get_tensor_name(self, i: int) -> str:
        return list(self._all)[i]

    def get_tensor_mode(self, name: str) -> int:
        return 0 if name in INPUTS else 1

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=self._all[name][0])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._all[name][1]

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(cuda_graph_strategy=None)

    def create_execution_context(self, how: Any = None) -> Any:
        self._r.note("create_execution_context", getattr(how, "cuda_graph_strategy", how))
        return None if self._r.refuse == "context" else _Context(self._r, needs_scratch=how == "user managed")


class _Context:
    """Computes the toy graph in numpy when the stream gets to it."""

    def __init__(self, r: Recorder, needs_scratch: bool) -> None:
        self._r = r
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._needs_scratch = needs_scratch
        self._is_warm = False
        self._state = 0  # a graph that was captured in another state must not be launched

    def __del__(self) -> None:
        self._r.note("context gone")

    def set_device_memory(self, address: int, size: int) -> None:
        assert size >= 4096
        assert len(self._r.memory[address]) >= size
        self._r.note("set_device_memory", address)
        self._needs_scratch = False

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._r.note("set_input_shape", name, shape)
        self._shapes[name] = shape
        self._state += 1
        self._is_warm = False
        return self._r.refuse != "shape"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert set(self._shapes) == set(INPUTS), "output sizes are known after all input shapes are"
        return (self._shapes["frames"][0], *OUTPUTS[name][1][1:])

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address in self._r.memory, "the address of device memory"
        self._r.note("set_tensor_address", name, address)
        self._addresses[name] = address
        return self._r.refuse != "address"

    def execute_async_v3(self, stream_handle: int) -> bool:
        assert set(self._addresses) == {*INPUTS, *OUTPUTS}, "all addresses are set before the call"
        assert stream_handle == 77
        assert not self._needs_scratch, "a context of the user's own memory has got it"
        assert self._is_warm or self._r.capture is None, "one plain call with these shapes before a capture"
        self._is_warm = True
        self._r.note("execute_async_v3")
        state = self._state

        def work() -> None:
            assert state == self._state, "this graph's context was given other shapes since"
            self._compute()

        if self._r.capture is not None and self._r.refuse == "record":
            return False
        self._r.push(work)
        return self._r.refuse != "execute"

    def _compute(self) -> None:
        inputs = {}
        for name, (kind, _) in INPUTS.items():
            shape = self._shapes[name]
            count = int(np.prod(shape))
            flat = np.frombuffer(bytes(self._r.memory[self._addresses[name]]), NUMPY[kind], count)
            inputs[name] = flat.reshape(shape)
        outputs = toy_model.golden_outputs(inputs)
        outputs["logits"] = outputs["logits"] + np.float32(self._r.wrong[self._r.precision])
        for name, value in outputs.items():
            content = np.ascontiguousarray(value, np.float32).tobytes()
            self._r.memory[self._addresses[name]][: len(content)] = content
