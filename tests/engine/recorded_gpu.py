"""Doubles of TensorRT and pycuda that record every call in one list, and hold the caller to the documented order.

Sources: TensorRT developer guide, "Performing Inference" (shapes and addresses before enqueue; the stream's work is
asynchronous); pycuda reference, "Device Interface" (contiguous arrays; everything in a current context).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import toy_model

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


class Recorder:
    """One machine: what was called, device memory by address, and what is still queued on the stream."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.memory: dict[int, bytearray] = {}
        self.queue: list[Any] = []
        self.wrong = {"fp16": 0.0, "fp32": 0.0}  # added to every logit
        self.is_fp16 = False
        self.serialized: bytes | None = b"engine bytes"
        self.parse_errors: list[str] = []
        self.refuse: str = ""

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    def note(self, *call: Any) -> None:
        self.calls.append(call)


def _flags(*names: str) -> Any:
    return SimpleNamespace(**{name: n for n, name in enumerate(names)})


def fake_tensorrt(r: Recorder, version: str = "10.3.0", *, fp16: bool = True, monitor: bool = True) -> Any:
    """The module ``tensorrt``."""
    return SimpleNamespace(
        __version__=version,
        ILogger=type("ILogger", (), {"INTERNAL_ERROR": 0, "ERROR": 1, "WARNING": 2, "INFO": 3, "VERBOSE": 4}),
        BuilderFlag=_flags("FP16", "TF32") if fp16 else _flags("REFIT", "TF32"),
        NetworkDefinitionCreationFlag=_flags("EXPLICIT_BATCH") if fp16 else _flags("STRONGLY_TYPED"),
        MemoryPoolType=_flags("WORKSPACE"),
        TensorIOMode=_flags("INPUT", "OUTPUT"),
        Runtime=lambda logger: _Runtime(r),
        Builder=lambda logger: _Builder(r),
        OnnxParser=lambda network, logger: _Parser(r),
        **({"IProgressMonitor": type("IProgressMonitor", (), {})} if monitor else {}),
    )


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
        self.progress_monitor: Any = None

    def set_memory_pool_limit(self, pool: int, size: int) -> None:
        self._r.note("set_memory_pool_limit", size)

    def set_flag(self, flag: int) -> None:
        self._r.note("set_flag", flag)
        self._r.is_fp16 = flag == 0

    def clear_flag(self, flag: int) -> None:
        self._r.note("clear_flag", flag)
        self._r.is_fp16 = False

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
    def __init__(self, r: Recorder) -> None:
        self._r = r

    def create_network(self, flags: int) -> Any:
        self._r.note("create_network", flags)
        return SimpleNamespace()

    def create_builder_config(self) -> _Config:
        return _Config(self._r)

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: Any, config: _Config) -> bytes | None:
        self._r.note("build_serialized_network")
        if config.progress_monitor is not None:
            config.progress_monitor.phase_start("Tactics", None, 2)
            go_on = all(config.progress_monitor.step_complete("Tactics", n) for n in range(2))
            config.progress_monitor.phase_finish("Tactics")
            return self._r.serialized if go_on else None
        return self._r.serialized


class _Runtime:
    def __init__(self, r: Recorder) -> None:
        self._r = r

    def deserialize_cuda_engine(self, content: bytes) -> Any:
        self._r.note("deserialize_cuda_engine", content)
        return _Engine(self._r) if content == b"engine bytes" else None


class _Engine:
    def __init__(self, r: Recorder) -> None:
        self._r = r
        self._all = {**INPUTS, **OUTPUTS}
        self.num_io_tensors = len(self._all)

    def get_tensor_name(self, i: int) -> str:
        return list(self._all)[i]

    def get_tensor_mode(self, name: str) -> int:
        return 0 if name in INPUTS else 1

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=self._all[name][0])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._all[name][1]

    def create_execution_context(self) -> Any:
        self._r.note("create_execution_context")
        return _Context(self._r)


class _Context:
    """Computes the toy graph in numpy when the stream gets to it."""

    def __init__(self, r: Recorder) -> None:
        self._r = r
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def __del__(self) -> None:
        self._r.note("context gone")

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._r.note("set_input_shape", name, shape)
        self._shapes[name] = shape
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
        self._r.note("execute_async_v3")
        self._r.queue.append(self._compute)
        return self._r.refuse != "execute"

    def _compute(self) -> None:
        inputs = {}
        for name, (kind, _) in INPUTS.items():
            shape = self._shapes[name]
            count = int(np.prod(shape))
            flat = np.frombuffer(bytes(self._r.memory[self._addresses[name]]), NUMPY[kind], count)
            inputs[name] = flat.reshape(shape)
        outputs = toy_model.golden_outputs(inputs)
        outputs["logits"] = outputs["logits"] + np.float32(self._r.wrong["fp16" if self._r.is_fp16 else "fp32"])
        for name, value in outputs.items():
            content = np.ascontiguousarray(value, np.float32).tobytes()
            self._r.memory[self._addresses[name]][: len(content)] = content


class _Error(Exception):
    pass


class _Stream:
    handle = 77

    def __init__(self, r: Recorder) -> None:
        self._r = r

    def synchronize(self) -> None:
        self._r.note("synchronize")
        for work in self._r.queue:
            work()
        self._r.queue.clear()


def fake_driver(r: Recorder, has_gpu: bool = True) -> Any:
    """The module ``pycuda.driver``."""

    def init() -> None:
        if not has_gpu:
            raise _Error("cuInit failed: no CUDA-capable device is detected")
        r.note("init")

    def mem_alloc(size: int) -> Any:
        address = 0x1000 * (len(r.memory) + 1)
        r.memory[address] = bytearray(size)
        r.note("mem_alloc", size)

        class Allocation:
            def __int__(self) -> int:
                return address

            def free(self) -> None:
                r.note("free", address)

        return Allocation()

    def upload(address: int, rows: Any, stream: _Stream) -> None:
        assert rows.flags["C_CONTIGUOUS"]
        r.note("memcpy_htod_async", address, rows.shape)

        def work() -> None:
            content = rows.tobytes()
            r.memory[address][: len(content)] = content

        r.queue.append(work)

    def download(rows: Any, address: int, stream: _Stream) -> None:
        assert rows.flags["C_CONTIGUOUS"]
        r.note("memcpy_dtoh_async", address, rows.shape)

        def work() -> None:
            rows[...] = np.frombuffer(bytes(r.memory[address]), rows.dtype, rows.size).reshape(rows.shape)

        r.queue.append(work)

    context = SimpleNamespace(push=lambda: r.note("push"), pop=lambda: r.note("pop"), detach=lambda: r.note("detach"))
    device = SimpleNamespace(
        retain_primary_context=lambda: context, compute_capability=lambda: (8, 7), name=lambda: "Orin"
    )
    return SimpleNamespace(
        Error=_Error,
        init=init,
        Device=lambda n: device,
        Stream=lambda: _Stream(r),
        pagelocked_zeros=np.zeros,
        mem_alloc=mem_alloc,
        memcpy_htod_async=upload,
        memcpy_dtoh_async=download,
    )
