"""What is published, brought to the disk: the outbox at once, then the JSON lines of what is safe there.

Two thin threads drive it, ``outbox`` and ``jsonl``: a reader of standard output that has stopped reading holds up
neither the outbox nor anybody else.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from edge.clock import Clock
from edge.errors import exhausted_resource
from edge.publish.jsonl import JsonLinesSink
from edge.publish.outbox import Outbox

log = logging.getLogger(__name__)


class WorkerThreads:
    """Named threads of one owner. A bug in one lands in ``fault``."""

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}
        self.fault: BaseException | None = None

    def start(self, name: str, work: Callable[[], None]) -> None:
        """Run ``work`` on a thread called ``name``."""
        thread = threading.Thread(target=self._run, args=(name, work), name=name, daemon=True)
        thread.start()
        self._threads[name] = thread

    def joined(self, name: str, timeout_s: float) -> bool:
        """Whether that thread has ended within ``timeout_s``, or was never started."""
        thread = self._threads.get(name)
        if thread is not None:
            thread.join(timeout_s)
        return thread is None or not thread.is_alive()

    def _run(self, name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.fault = error
            reason = exhausted_resource(error)
            log.critical("thread %s failed: %s", name, reason or error, exc_info=None if reason else error)


class DiskWriter:
    """``after`` is called after each flush, on the thread that flushed."""

    RETRY_S = 1.0  # between two tries of a disk that refuses

    def __init__(self, outbox: Outbox, jsonl: JsonLinesSink | None, clock: Clock, after: Callable[[], None]) -> None:
        self._outbox, self._jsonl, self._clock, self._after = outbox, jsonl, clock, after
        self._lines: deque[dict[str, Any]] = deque(maxlen=JsonLinesSink.MAX_LINES)
        self._wake, self._lines_wake, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._flushing = threading.Lock()
        self._is_driven = False
        outbox.wake = self._wake.set

    def write_lines(self, lines: Iterable[dict[str, Any]]) -> None:
        """Write ``lines`` when what was appended to the outbox so far is on the disk, or was refused by it."""
        if self._jsonl is not None:
            before = len(self._lines)
            self._lines.extend(more := list(lines))
            self._jsonl.lost += before + len(more) - len(self._lines)
            self._wake.set()

    def flush(self) -> bool:
        """Write what waits, on the calling thread and as long as that takes; whether the disk has it all."""
        with self._flushing:
            count = len(self._lines)
            is_written = self._outbox.flush()
            if self._jsonl is not None and count:
                self._jsonl.put([self._lines.popleft() for _ in range(count)])
                self._lines_wake.set()
                if not self._is_driven:
                    self._jsonl.step()
        self._after()
        return is_written

    def start(self, threads: WorkerThreads) -> None:
        """Start the threads that write."""
        self._is_driven = True
        threads.start("outbox", self._run)
        if self._jsonl is not None:
            threads.start("jsonl", self._run_lines)

    def stop(self, threads: WorkerThreads, timeout_s: float) -> None:
        """Write what waits, for ``timeout_s`` where the disk hangs, and close the files."""
        self._ended.set()
        self._wake.set()
        if threads.joined("outbox", timeout_s):
            self.flush()
            self._outbox.close()
        if self._outbox.held:
            log.error("%d messages are lost: the disk did not take them, nor the broker", self._outbox.held)
        self._lines_wake.set()
        if self._jsonl is not None and threads.joined("jsonl", 1.0):
            self._jsonl.step()
            self._jsonl.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.clear()
            is_written = self.flush()
            self._clock.wait(self._wake if is_written else self._ended, self.RETRY_S)

    def _run_lines(self) -> None:
        while self._jsonl is not None and not self._ended.is_set():
            self._lines_wake.clear()
            self._jsonl.step()
            self._clock.wait(self._lines_wake, self.RETRY_S)
