"""What wakes the engine's thread: set from any thread, waited for by one."""

from __future__ import annotations

import threading


class WakeEvent:
    """As an event that `wait` clears, out of one lock: ringing and waking run no Python of their own."""

    def __init__(self) -> None:
        self._unset = threading.Lock()
        self._unset.acquire()

    def set(self) -> None:
        """Ring; once or many times before the next `wait` is the same."""
        if self._unset.locked():
            try:
                self._unset.release()
            except RuntimeError:  # another thread rang in between
                return

    def wait(self, timeout_s: float) -> bool:
        """Until it was rung since the last call, for at most ``timeout_s``; whether it was."""
        return self._unset.acquire(timeout=timeout_s)
