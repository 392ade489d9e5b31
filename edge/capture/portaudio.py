"""PortAudio with time limits: every call that may hang runs on a helper thread.

PortAudio's state is global to a process, so the count of its open streams here is, too.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from edge.errors import SourceError

_Call = tuple[Callable[[], Any], "queue.SimpleQueue[tuple[Any, BaseException | None]]"]
_lock = threading.Lock()
_open_streams = 0


def sounddevice() -> Any:
    """The module; SourceError when it or its C library is missing."""
    try:
        import sounddevice as sd
    except OSError:
        raise SourceError("the PortAudio library is missing: apt install libportaudio2") from None
    except ImportError:
        raise SourceError("the package sounddevice is missing: pip install sounddevice") from None
    return sd


class CallThread:
    """Runs calls on a thread of its own, so that a call that hangs does not block the caller."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="portaudio", daemon=True)
        self._thread.start()

    def call(self, call: Callable[[], Any], limit_s: float) -> Any:
        """The call's result, or its exception; SourceError when it takes longer than ``limit_s``."""
        answer: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        self._calls.put((call, answer))
        try:
            result, error = answer.get(timeout=limit_s)
        except queue.Empty:
            raise SourceError(f"the sound server did not answer for {limit_s:g} s; is it running?") from None
        if error is not None:
            raise error
        return result

    def end(self) -> None:
        """End the thread after its current call."""
        self._calls.put(None)

    def _work(self) -> None:
        while (job := self._calls.get()) is not None:
            call, answer = job
            try:
                answer.put((call(), None))
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                answer.put((None, error))


def start_stream(make: Callable[[Any], Any]) -> Any:
    """Create a stream with ``make(sounddevice)`` and start it.

    PortAudio knows only the devices that existed when it was initialised. So it is initialised again first, unless
    another stream is open, which that would end.
    """
    global _open_streams  # noqa: PLW0603 - as global as the library
    sd = sounddevice()
    with _lock:
        if _open_streams == 0:
            sd._terminate()  # noqa: SLF001 - the documented way to look for devices again
            sd._initialize()  # noqa: SLF001
        stream = make(sd)
        try:
            stream.start()
        except BaseException:
            stream.close()
            raise
        _open_streams += 1
    return stream


def stop_stream(stream: Any) -> None:
    """Abort and close; hangs while the sound server does."""
    global _open_streams  # noqa: PLW0603
    try:
        stream.abort(ignore_errors=True)
        stream.close(ignore_errors=True)
    finally:
        with _lock:
            _open_streams -= 1
