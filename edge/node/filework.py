"""What touches files for the main and the engine's thread, done on a thread of its own, ``files``.

A disk that hangs holds up this thread: reloading, what is drawn, marks, and saving what was learned wait; looking,
alerting and the watchdog do not.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from edge.clock import Clock
from edge.errors import EdgeError
from edge.types import NS_PER_S

log = logging.getLogger(__name__)


class FileWorker:
    """``folder`` is the node's own, whose free space is measured now and then."""

    TURN_S = 0.25
    MEASURE_NS = 10 * NS_PER_S
    STALE_NS = 60 * NS_PER_S

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_event = threading.Event()
        self._free: tuple[int, int] | None = None  # when, bytes
        self._measure_ns = clock.mono_ns()
        self.every_turn: list[Callable[[], None]] = []  # called every turn

    def submit(self, work: Callable[[], None]) -> None:
        """Have ``work`` done soon, in the order of the calls; from any thread."""
        self._waiting.put(work)
        self._wake_event.set()

    def wake(self) -> None:
        """Have the next turn now."""
        self._wake_event.set()

    def run(self, cancel: threading.Event) -> None:
        """The thread's loop; what waits is done before it ends."""
        while not cancel.is_set():
            self.step()
            self._clock.wait(self._wake_event, self.TURN_S)
        self.step()

    def step(self) -> None:
        """Do what waits, and what is done every turn. What a disk refuses is logged; it is no reason to stop."""
        self._wake_event.clear()
        while not self._waiting.empty():
            self._do(self._waiting.get())
        for work in self.every_turn:
            self._do(work)
        if self._clock.mono_ns() >= self._measure_ns:
            self._measure_ns = self._clock.mono_ns() + self.MEASURE_NS
            self._measure()

    def free_bytes(self) -> int | None:
        """Free bytes of the disk, as measured last; None where it has not answered for a minute."""
        if self._free is None or self._clock.mono_ns() - self._free[0] > self.STALE_NS:
            return None
        return self._free[1]

    def _measure(self) -> None:
        with contextlib.suppress(OSError):  # then it is not known
            self._free = self._clock.mono_ns(), shutil.disk_usage(self._folder).free

    @staticmethod
    def _do(work: Callable[[], None]) -> None:
        try:
            work()
        except (EdgeError, OSError) as error:
            log.warning("%s", error)
