"""What is needed of CUDA, through pycuda: one context, one stream, pinned and device memory, recordings. One thread.

CUDA graphs: the work of one call, recorded once from the stream and launched as a whole from then on.

Through ctypes on the driver's own library, because pycuda (2026.1) has no graphs. Signatures as in the CUDA driver API
reference, "Stream Management" and "Graph Management"; the driver keeps them stable (CUDA 11.4 and newer).
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from typing import Any

from edge.engine.contract import Array, TensorSpec
from edge.engine.trt.library import explain_messages
from edge.errors import RuntimeUnavailable, install_command

_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do with the GPU, decoders say, is allowed
_HANDLE = ctypes.c_void_p
_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuStreamBeginCapture_v2": (_HANDLE, ctypes.c_int),
    "cuStreamEndCapture": (_HANDLE, ctypes.POINTER(_HANDLE)),
    "cuGraphInstantiateWithFlags": (ctypes.POINTER(_HANDLE), _HANDLE, ctypes.c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphDestroy": (_HANDLE,),
    "cuGraphExecDestroy": (_HANDLE,),
    "cuGetErrorName": (ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)),
}


class CaptureRefusedError(Exception):
    """The driver or the library did not let the work be recorded."""


class RecordedGraph:
    """Recorded work, ready to be launched; `close` frees it."""

    def __init__(self, driver: CudaGraphDriver, handle: int) -> None:
        self._driver = driver
        self._handle = handle

    def launch(self) -> None:
        """Queue all of it; RuntimeUnavailable when the driver does not take it."""
        try:
            self._driver.call("cuGraphLaunch", self._handle, self._driver.stream)
        except CaptureRefusedError as error:
            raise RuntimeUnavailable(f"the GPU failed while running the model: {error}") from error

    def close(self) -> None:
        """Free it; closing twice is fine."""
        if self._handle:
            self._driver.call("cuGraphExecDestroy", self._handle)
            self._handle = 0


class CudaGraphDriver:
    """Recording on one stream, in the context and on the thread that it belongs to."""

    def __init__(self, stream: int, library: Any = None) -> None:
        """``stream`` is a CUstream that is not the default one; Refused where the driver has no graphs."""
        self.stream = stream
        try:
            self._library = library or ctypes.CDLL("libcuda.so.1")
            for name, types in _SIGNATURES.items():
                function = getattr(self._library, name)
                function.argtypes, function.restype = types, ctypes.c_int
        except (OSError, AttributeError) as error:
            raise CaptureRefusedError(f"this driver has no CUDA graphs ({error})") from error

    def begin(self) -> None:
        """From here on what is queued is recorded and not executed; Refused when the stream cannot be recorded."""
        self.call("cuStreamBeginCapture_v2", self.stream, _THREAD_LOCAL)

    def end(self) -> RecordedGraph:
        """Stop recording, whatever became of it; Refused when something that was queued cannot be recorded."""
        graph, executable = _HANDLE(), _HANDLE()
        self.call("cuStreamEndCapture", self.stream, ctypes.byref(graph))
        try:
            self.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, 0)
        finally:
            self.call("cuGraphDestroy", graph)
        return RecordedGraph(self, executable.value or 0)

    def call(self, name: str, *arguments: Any) -> None:
        """One driver function; Refused with the driver's name of the error."""
        code = getattr(self._library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(code, ctypes.byref(text))
            raise CaptureRefusedError(f"{name}: {(text.value or b'CUDA error').decode()} ({code})")


class CudaContext:
    """The first GPU's primary context, current on the thread that made this, until `close`."""

    def __init__(self) -> None:
        """RuntimeUnavailable when pycuda, the driver or a GPU is missing."""
        try:
            from pycuda import driver
        except (ImportError, OSError) as error:
            raise RuntimeUnavailable(
                f"pycuda cannot be loaded ({error}); on a Jetson: pip install pycuda with nvcc on the PATH "
                f"(docs/how-to/jetson.md), on a PC: {install_command('gpu')}, beside NVIDIA's driver"
            ) from error
        self._driver = driver
        self._pinned: list[Any] = []
        self._device_memory: list[Any] = []
        self._graphs: CudaGraphDriver | None = None
        try:
            driver.init()
            device = driver.Device(0)
            self._context = device.retain_primary_context()
            self._context.push()
            self.stream = driver.Stream()
            # A thread that waits for a blocking event sleeps; the stream's own wait may spin on a core.
            self._done = driver.Event(driver.event_flags.BLOCKING_SYNC | driver.event_flags.DISABLE_TIMING)
        except driver.Error as error:
            advice = explain_messages([str(error)]) or "look at nvidia-smi (on a Jetson: tegrastats)"
            raise RuntimeUnavailable(f"no usable NVIDIA GPU ({error}): {advice}, or use runtime: onnx") from error
        major, minor = device.compute_capability()
        self.name = str(device.name())
        self.capability = f"sm_{major}{minor}"

    def pinned(self, tensor: TensorSpec, rows: int) -> Array:
        """A zeroed page-locked array f[rows, *tail]; RuntimeUnavailable when there is no memory."""
        try:
            array: Array = self._driver.pagelocked_zeros((rows, *(n or 0 for n in tensor.tail)), tensor.dtype)
        except self._driver.Error as error:
            raise RuntimeUnavailable(f"no page-locked memory for {tensor}: {error}; use a smaller batch") from error
        self._pinned.append(array)
        return array

    def allocate(self, size: int) -> int:
        """Address of ``size`` bytes of device memory; RuntimeUnavailable when there is none."""
        try:
            memory = self._driver.mem_alloc(max(1, size))
        except self._driver.Error as error:
            raise RuntimeUnavailable(
                f"no GPU memory for {size} bytes ({error}): stop what else uses the GPU, or use a smaller batch"
            ) from error
        self._device_memory.append(memory)
        return int(memory)

    def upload(self, address: int, rows: Array) -> None:
        """Queue a copy of contiguous ``rows`` to the device; RuntimeUnavailable when it is not taken."""
        if rows.nbytes:
            self._call(self._driver.memcpy_htod_async, address, rows, self.stream)

    def download(self, rows: Array, address: int) -> None:
        """Queue a copy from the device into contiguous ``rows``; RuntimeUnavailable when it is not taken."""
        if rows.nbytes:
            self._call(self._driver.memcpy_dtoh_async, rows, address, self.stream)

    def record(self, work: Callable[[], None]) -> RecordedGraph:
        """Record what ``work`` queues, which is not executed; Refused when some of it cannot be recorded."""
        if self._graphs is None:
            self._graphs = CudaGraphDriver(int(self.stream.handle))
        self._graphs.begin()
        try:
            work()
        except RuntimeUnavailable as error:
            with contextlib.suppress(CaptureRefusedError):
                self._graphs.end().close()
            raise CaptureRefusedError(str(error)) from error
        return self._graphs.end()

    def wait(self) -> None:
        """Sleep until all that was queued is done; RuntimeUnavailable when some of it failed."""
        self._call(self._done.record, self.stream)
        self._call(self._done.synchronize)

    def close(self) -> None:
        """Free everything and leave the context; on the thread that made it."""
        with contextlib.suppress(self._driver.Error):
            self.stream.synchronize()
        for memory in self._device_memory:
            memory.free()
        self._device_memory.clear()
        self._pinned.clear()
        del self.stream, self._done
        self._context.pop()
        self._context.detach()

    def _call(self, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            function(*arguments)
        except self._driver.Error as error:
            raise RuntimeUnavailable(f"the GPU failed while running the model: {error}") from error
