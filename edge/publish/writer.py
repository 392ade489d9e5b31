"""Writes published messages to disk: the outbox at once, then the JSON lines of messages that are safe there.

It runs on two threads, ``outbox`` and ``jsonl``, so that a stalled reader of standard output blocks nothing else.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.errors import InputError
from edge.publish.outbox import Outbox
from edge.publish.payloads import to_json
from edge.threads import ThreadGroup

log = logging.getLogger(__name__)


class JsonLinesSink:
    """Events as JSON lines, each the object of the event topic, appended to ``path`` (``-``: standard output).

    `put` only queues and may be called from any thread; `step`, on one thread, writes what waits. InputError when
    ``path`` is a folder or below a file. Errors of the disk are logged once; every line tries again."""

    MAX_LINES = 10_000

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque(maxlen=self.MAX_LINES)
        self._path = str(path)
        self._failed = self._torn = False
        self._file: FileIO | None = None
        self.lost = 0  # lines dropped for lack of room since the last log line
        try:
            self._open()
        except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
            raise InputError(f"jsonl.path: {path} cannot be written ({error.strerror}); check the path") from error
        except OSError as error:
            self._fail(error)

    def put(self, payloads: Iterable[Mapping[str, Any]]) -> None:
        """Queue lines; when too many wait, the oldest are dropped and their number is logged."""
        lines = [to_json(payload) + b"\n" for payload in payloads]
        self.lost += max(0, len(self._waiting) + len(lines) - self.MAX_LINES)
        self._waiting.extend(lines)

    def step(self) -> None:
        """Write what is queued. A line that the disk or the reader refuses is lost, with one warning."""
        with self._lock:
            while self._waiting:
                self._write(self._waiting.popleft())
            if self.lost:
                log.warning("jsonl.path: %s took no lines for so long that %d were lost", self._path, self.lost)
                self.lost = 0

    def close(self) -> None:
        """Close the file; standard output stays open."""
        with self._lock, contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()

    def _write(self, line: bytes) -> None:
        try:
            self._put(line)
            self._failed = False
        except (OSError, ValueError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if not self._failed:
            log.warning("jsonl.path: %s takes no lines (%s); check the path and the disk", self._path, error)
        self._failed = True

    def _open(self) -> FileIO | None:
        if self._file is None and self._path != "-":
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            self._file = FileIO(self._path, "a")
        return self._file

    def _put(self, line: bytes) -> None:
        file = self._open()
        if file is None:
            sys.stdout.write(line.decode())
            sys.stdout.flush()
            return
        whole = b"\n" + line if self._torn else line
        self._torn = file.write(whole) != len(whole)  # the disk was full in mid-line


class DiskWriter:
    """Writes the outbox and then the lines. ``after`` is called after each flush, on the thread that flushed."""

    RETRY_S = 1.0  # between two tries of a failing disk

    def __init__(self, outbox: Outbox, jsonl: JsonLinesSink | None, clock: Clock, after: Callable[[], None]) -> None:
        self._outbox, self._jsonl, self._clock, self._after = outbox, jsonl, clock, after
        self._lines: deque[dict[str, Any]] = deque(maxlen=JsonLinesSink.MAX_LINES)
        self._wake, self._lines_wake, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._flushing = threading.Lock()
        self._is_driven = False
        outbox.wake = self._wake.set

    def write_lines(self, lines: Iterable[dict[str, Any]]) -> None:
        """Write ``lines`` when all that was appended to the outbox so far is on disk, or was refused by it."""
        if self._jsonl is not None:
            before = len(self._lines)
            self._lines.extend(more := list(lines))
            self._jsonl.lost += before + len(more) - len(self._lines)
            self._wake.set()

    def flush(self) -> bool:
        """Write what waits, on the calling thread and as long as that takes; whether all of it is on disk."""
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

    def start(self, threads: ThreadGroup) -> None:
        """Start the threads that write."""
        self._is_driven = True
        threads.start("outbox", lambda _cancel: self._run())
        if self._jsonl is not None:
            threads.start("jsonl", lambda _cancel: self._run_lines())

    def stop(self, threads: ThreadGroup, timeout_s: float) -> None:
        """Write what waits, for at most ``timeout_s`` when the disk hangs, and close the files."""
        self._ended.set()
        self._wake.set()
        if threads.has_ended("outbox", timeout_s):
            self.flush()
            self._outbox.close()
        if self._outbox.held:
            log.error("%d messages are lost: the disk did not take them, nor the broker", self._outbox.held)
        self._lines_wake.set()
        if self._jsonl is not None and threads.has_ended("jsonl", 1.0):
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
