"""Events as JSON lines, to a file or to standard output: the object of the event topic, one a line."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

from edge.errors import SinkError
from edge.publish.payloads import to_json

log = logging.getLogger(__name__)


class JsonLines:
    """Appends lines to ``path`` (``-``: standard output); SinkError when the file cannot be opened."""

    def __init__(self, path: str | Path) -> None:
        self._lock = threading.Lock()
        self._path = str(path)
        self._failed = self._torn = False
        self._file: FileIO | None = None
        if self._path != "-":
            try:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                self._file = FileIO(path, "a")
            except OSError as error:
                raise SinkError(f"jsonl.path: {path} cannot be written ({error.strerror}); check the path") from error

    def write(self, payload: Mapping[str, Any]) -> None:
        """One line, at once. A line that the disk or the reader does not take is lost, with one warning."""
        with self._lock:
            try:
                self._put(to_json(payload) + b"\n")
                self._failed = False
            except (OSError, ValueError) as error:
                if not self._failed:
                    log.warning("jsonl.path: %s takes no more lines (%s)", self._path, error)
                self._failed = True

    def close(self) -> None:
        """Close the file; standard output stays open."""
        with self._lock, contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()

    def _put(self, line: bytes) -> None:
        if self._file is None:
            sys.stdout.write(line.decode())
            sys.stdout.flush()
            return
        whole = b"\n" + line if self._torn else line
        self._torn = self._file.write(whole) != len(whole)  # a disk that is full in mid-line
