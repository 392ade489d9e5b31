"""Rows of the model computed side by side: calls on worker threads, whose results are taken as they are done."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from edge.clock import core_count

_T = TypeVar("_T")


def available_workers(threads: int) -> int:
    """Calls of ``threads`` threads each (0: one a core) that this process's cores take side by side."""
    return max(1, core_count() // threads) if threads else 1


class RowPool(Generic[_T]):
    """Used on one thread; what it is given to call runs on its workers, or at once where there is one worker only."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.on_done: Callable[[], None] = lambda: None
        """Called by a worker that has a result."""
        self.pending = 0
        """Calls whose result was not taken yet."""
        self._busy = 0
        self._executor = ThreadPoolExecutor(workers, "model") if workers > 1 else None
        self._done: SimpleQueue[tuple[bool, _T | BaseException]] = SimpleQueue()

    @property
    def has_idle_worker(self) -> bool:
        """Whether what is deferred now is begun at once."""
        return self._executor is not None and self._busy < self.workers

    def call(self, call: Callable[[], _T]) -> None:
        """Compute at once, on this thread."""
        self.pending += 1
        self._done.put((False, call()))

    def defer(self, call: Callable[[], _T]) -> None:
        """Compute on a worker."""
        if self._executor is None:
            self.call(call)
            return
        self.pending += 1
        self._busy += 1
        self._executor.submit(self._work, call)

    def take(self, *, wait: bool) -> _T | None:
        """A result that is there, or with ``wait`` the next one; None without. What the call raised is raised here."""
        if not self.pending:
            return None
        try:
            was_deferred, result = self._done.get(block=wait)
        except Empty:
            return None
        self.pending -= 1
        self._busy -= was_deferred
        if isinstance(result, BaseException):
            raise result
        return result

    def close(self) -> None:
        """Wait for the calls that were begun and drop the others."""
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def _work(self, call: Callable[[], _T]) -> None:
        try:
            self._done.put((True, call()))
        except BaseException as error:  # noqa: BLE001 - raised again where results are taken
            self._done.put((True, error))
        self.on_done()
