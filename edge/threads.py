"""Named threads that never fail silently, and a cheap event to wake a thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from edge.clock import Clock
from edge.errors import EdgeError, exhausted_resource
from edge.types import NS_PER_S, seconds

log = logging.getLogger(__name__)
Loop = Callable[[threading.Event], None]
SWITCH_S = 0.0001
"""A thread waits this long for the interpreter: the longer, the more capture and engine starve each other. Much
shorter, they do little but take turns."""


class ThreadGroup:
    """Threads running loops that take a cancel event. The first bug is kept in ``failure``, and ``on_failure`` is
    called once, from the failing thread."""

    def __init__(self, clock: Clock, on_failure: Callable[[], None]) -> None:
        self._clock = clock
        self._on_failure = on_failure
        self._lock = threading.Lock()
        self._members: list[tuple[threading.Thread, threading.Event]] = []
        self.failure: BaseException | None = None

    def start(self, name: str, loop: Loop) -> None:
        """Run ``loop(cancel)`` on a thread called ``name``."""
        cancel = threading.Event()
        thread = threading.Thread(target=self._guard, args=(name, loop, cancel), name=name, daemon=True)
        thread.start()
        self._members.append((thread, cancel))

    def stop(self, prefix: str, timeout_s: float) -> list[str]:
        """Cancel the threads whose name starts with ``prefix`` and join them within one shared deadline.

        Returns the names of those still running at the deadline.
        """
        chosen = [(thread, cancel) for thread, cancel in self._members if thread.name.startswith(prefix)]
        for _, cancel in chosen:
            cancel.set()
        deadline_ns = self._clock.mono_ns() + round(timeout_s * NS_PER_S)
        for thread, _ in chosen:
            thread.join(max(0.0, seconds(deadline_ns - self._clock.mono_ns())))
        return [thread.name for thread, _ in chosen if thread.is_alive()]

    def has_ended(self, name: str, timeout_s: float) -> bool:
        """Whether the thread called ``name`` ended by itself within ``timeout_s``, or was never started."""
        chosen = [thread for thread, _ in self._members if thread.name == name]
        for thread in chosen:
            thread.join(timeout_s)
        return not any(thread.is_alive() for thread in chosen)

    def note_failure(self, name: str, error: BaseException) -> None:
        """Note the error that ended thread ``name``; an expected or external error is logged as a sentence."""
        message = exhausted_resource(error) or (error if isinstance(error, EdgeError) else None)
        log.critical("thread %s failed: %s", name, message or error, exc_info=None if message else error)
        with self._lock:
            first = self.failure is None
            self.failure = self.failure or error
        if first:
            self._on_failure()

    def _guard(self, name: str, loop: Loop, cancel: threading.Event) -> None:
        try:
            loop(cancel)
        except BaseException as error:  # noqa: BLE001 - the daemon ends with it
            self.note_failure(name, error)


class WakeEvent:
    """An event that `wait` clears, made of one lock, so that setting it and waking up run no Python code.

    Set from any thread, waited for by one.
    """

    def __init__(self) -> None:
        self._unset = threading.Lock()
        self._unset.acquire()

    def set(self) -> None:
        """Wake the waiting thread; once or many times before the next `wait` is the same."""
        if self._unset.locked():
            try:
                self._unset.release()
            except RuntimeError:  # another thread set it in between
                return

    def wait(self, timeout_s: float) -> bool:
        """Until it was set since the last call, for at most ``timeout_s``; whether it was."""
        return self._unset.acquire(timeout=timeout_s)
