"""The node's data folder: made, checked for writing, and held by one daemon at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import TextIO

from edge.errors import InputError


class DataFolder:
    """Holds a lock file in ``path`` while open; InputError says what to do when it cannot."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: TextIO | None = None

    def __enter__(self) -> DataFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "edge.lock").open("a+")
        except OSError as error:
            raise InputError(
                f"{self.path}: the data folder cannot be written ({error.strerror}); "
                f"make it writable for user id {os.getuid()} or set node.data_dir"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise InputError(
                f"{self.path}: another daemon (process {holder}) uses this data folder; stop it or set node.data_dir"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
