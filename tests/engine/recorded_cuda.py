"""Doubles of pycuda and of the driver's graphs that record every call in one list, and hold the caller to the
documented order; `recorded_gpu` has TensorRT's.

Sources: pycuda reference, "Device Interface" (contiguous arrays; everything in a current context); CUDA driver API,
"Stream Management" (nothing runs and nothing may be waited for while a stream is captured). The graph functions are C
function pointers, so that ctypes converts their arguments as it would for the driver.
"""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import numpy as np


class Recorder:
    """One machine: what was called, device memory by address, and what is still queued on the stream."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.memory: dict[int, bytearray] = {}
        self.queue: list[Any] = []
        self.capture: list[Any] | None = None  # what is being recorded instead of queued
        self.graphs: dict[int, Any] = {}  # captured graphs and instantiated ones, by handle
        self.says = ""  # what the library logs as an error when it refuses
        self.wrong = {"int8": 0.0, "fp16": 0.0, "fp32": 0.0}  # added to every logit
        self.flags: set[str] = set()
        self.serialized: bytes | None = b"engine bytes"
        self.parse_errors: list[str] = []
        self.refuse: str = ""

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]

    def note(self, *call: Any) -> None:
        self.calls.append(call)

    def push(self, work: Any) -> None:
        """Work for the stream: recorded while it is captured."""
        (self.queue if self.capture is None else self.capture).append(work)

    @property
    def precision(self) -> str:
        return next((name for name in ("int8", "fp16") if name.upper() in self.flags), "fp32")


class _Error(Exception):
    pass


class _Stream:
    handle = 77

    def __init__(self, r: Recorder) -> None:
        self._r = r

    def synchronize(self) -> None:
        assert self._r.capture is None, "a stream that is captured cannot be waited for"
        self._r.note("synchronize")
        _finish(self._r)


class _Event:
    def __init__(self, r: Recorder, flags: int) -> None:
        assert flags == 1 | 2, "a waiting thread sleeps"
        self._r = r
        self._is_recorded = False

    def record(self, stream: _Stream) -> None:
        self._r.note("record")
        self._is_recorded = True

    def synchronize(self) -> None:
        assert self._is_recorded
        assert self._r.capture is None, "a stream that is captured cannot be waited for"
        self._r.note("wait")
        if self._r.refuse == "wait":
            raise _Error("cuEventSynchronize failed: an illegal memory access was encountered")
        _finish(self._r)
        self._is_recorded = False


def _finish(r: Recorder) -> None:
    while r.queue:
        r.queue.pop(0)()


def _allocated(r: Recorder, size: int) -> Any:
    assert r.capture is None, "nothing is allocated while a stream is captured"
    if r.refuse == "memory":
        raise _Error("cuMemAlloc failed: out of memory")
    address = 0x1000 * (len(r.memory) + 1)
    r.memory[address] = bytearray(size)
    r.note("mem_alloc", size)

    class Allocation:
        def __int__(self) -> int:
            return address

        def free(self) -> None:
            r.note("free", address)

    return Allocation()


def fake_driver(r: Recorder, has_gpu: bool = True) -> Any:
    """The module ``pycuda.driver``."""

    def init() -> None:
        if not has_gpu:
            raise _Error("cuInit failed: no CUDA-capable device is detected")
        if r.refuse == "driver":
            raise _Error("cuInit failed: CUDA driver version is insufficient for CUDA runtime version")
        r.note("init")

    def upload(address: int, rows: Any, stream: _Stream) -> None:
        assert rows.flags["C_CONTIGUOUS"]
        r.note("memcpy_htod_async", address, rows.shape)

        def work() -> None:
            content = rows.tobytes()
            r.memory[address][: len(content)] = content

        r.push(work)

    def download(rows: Any, address: int, stream: _Stream) -> None:
        assert rows.flags["C_CONTIGUOUS"]
        r.note("memcpy_dtoh_async", address, rows.shape)

        def work() -> None:
            rows[...] = np.frombuffer(bytes(r.memory[address]), rows.dtype, rows.size).reshape(rows.shape)

        r.push(work)

    context = SimpleNamespace(push=lambda: r.note("push"), pop=lambda: r.note("pop"), detach=lambda: r.note("detach"))
    device = SimpleNamespace(
        retain_primary_context=lambda: context, compute_capability=lambda: (8, 7), name=lambda: "Orin"
    )
    return SimpleNamespace(
        Error=_Error,
        init=init,
        Device=lambda n: device,
        Stream=lambda: _Stream(r),
        Event=lambda flags: _Event(r, flags),
        event_flags=SimpleNamespace(BLOCKING_SYNC=1, DISABLE_TIMING=2),
        pagelocked_zeros=np.zeros,
        mem_alloc=lambda size: _allocated(r, size),
        memcpy_htod_async=upload,
        memcpy_dtoh_async=download,
    )


class _Graphs:
    """The driver's functions; error codes as the driver's."""

    def __init__(self, r: Recorder) -> None:
        self._r = r

    def begin(self, stream: int, mode: int) -> int:
        assert (stream, mode) == (77, 1), "this stream; other threads go on"
        assert self._r.capture is None
        self._r.note("begin capture")
        if self._r.refuse == "capture":
            return 900
        self._r.capture = []
        return 0

    def end(self, stream: int, graph: Any) -> int:
        assert stream == 77
        self._r.note("end capture")
        captured, self._r.capture = self._r.capture, None
        if self._r.refuse == "record":
            return 901
        graph[0] = self._kept(captured)
        return 0

    def instantiate(self, executable: Any, graph: int, flags: int) -> int:
        assert flags == 0
        self._r.note("instantiate")
        if self._r.refuse == "instantiate":
            return 2
        executable[0] = self._kept(self._r.graphs[graph])
        return 0

    def launch(self, executable: int, stream: int) -> int:
        assert stream == 77
        self._r.note("launch")
        for work in self._r.graphs[executable]:
            self._r.push(work)
        return 719 if self._r.refuse == "launch" else 0

    def destroy_graph(self, graph: int) -> int:
        return self._destroyed("destroy graph", graph)

    def destroy_recording(self, executable: int) -> int:
        return self._destroyed("destroy recording", executable)

    def name_of(self, code: int, text: Any) -> int:
        names = {900: b"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", 901: b"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}
        text[0] = names.get(code, b"CUDA_ERROR_UNKNOWN")
        return 0

    def _kept(self, work: Any) -> int:
        handle = 0xAB00_0000_0000 + len(self._r.graphs)  # longer than a C int
        self._r.graphs[handle] = work
        return handle

    def _destroyed(self, note: str, handle: int) -> int:
        self._r.note(note)
        assert self._r.graphs[handle] is not None, "destroyed once"
        self._r.graphs[handle] = None
        return 0


def fake_libcuda(r: Recorder) -> Any:
    """The driver's library, as far as graphs go."""
    pointer, number = ctypes.c_void_p, ctypes.c_int
    handles, graphs = ctypes.POINTER(pointer), _Graphs(r)
    return SimpleNamespace(
        cuStreamBeginCapture_v2=ctypes.CFUNCTYPE(number, pointer, number)(graphs.begin),
        cuStreamEndCapture=ctypes.CFUNCTYPE(number, pointer, handles)(graphs.end),
        cuGraphInstantiateWithFlags=ctypes.CFUNCTYPE(number, handles, pointer, ctypes.c_ulonglong)(graphs.instantiate),
        cuGraphLaunch=ctypes.CFUNCTYPE(number, pointer, pointer)(graphs.launch),
        cuGraphDestroy=ctypes.CFUNCTYPE(number, pointer)(graphs.destroy_graph),
        cuGraphExecDestroy=ctypes.CFUNCTYPE(number, pointer)(graphs.destroy_recording),
        cuGetErrorName=ctypes.CFUNCTYPE(number, number, ctypes.POINTER(ctypes.c_char_p))(graphs.name_of),
    )
