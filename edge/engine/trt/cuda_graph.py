"""CUDA graphs: the work of one call, recorded once from the stream and launched as a whole from then on.

Through ctypes on the driver's own library, because pycuda (2026.1) has no graphs. Signatures as in the CUDA driver API
reference, "Stream Management" and "Graph Management"; the driver keeps them stable (CUDA 11.4 and newer).
"""

from __future__ import annotations

import ctypes
from typing import Any

from edge.errors import RuntimeUnavailable

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
