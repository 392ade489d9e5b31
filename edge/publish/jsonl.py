"""Events as JSON lines, to a file or to standard output: the object of the event topic, one a line.

`put` only queues and may be called from any thread; `step`, on one, writes what waits, as long as that takes.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from edge.errors import InputError
from edge.publish.payloads import to_json

log = logging.getLogger(__name__)


class JsonLinesSink:
    """Appends lines to ``path`` (``-``: standard output). InputError where that is a folder or below a file; what the
    disk refuses is told once, and tried again with every line."""

    MAX_LINES = 10_000

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque(maxlen=self.MAX_LINES)
        self._path = str(path)
        self._failed = self._torn = False
        self._file: FileIO | None = None
        self.lost = 0  # lines for which no room was left, since it was logged last
        try:
            self._open()
        except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
            raise InputError(f"jsonl.path: {path} cannot be written ({error.strerror}); check the path") from error
        except OSError as error:
            self._fail(error)

    def put(self, payloads: Iterable[Mapping[str, Any]]) -> None:
        """Queue lines; the oldest of too many are lost, and how many is logged."""
        lines = [to_json(payload) + b"\n" for payload in payloads]
        self.lost += max(0, len(self._waiting) + len(lines) - self.MAX_LINES)
        self._waiting.extend(lines)

    def step(self) -> None:
        """Write what is queued. A line that the disk or the reader does not take is lost, with one warning."""
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
        self._torn = file.write(whole) != len(whole)  # a disk that is full in mid-line
