"""The node's data folder: made, checked for writing, and held by one daemon at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from edge.errors import InputError


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Make ``path`` and hold its lock file meanwhile; InputError says what to do when that cannot be."""
    with _open(path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            raise InputError(
                f"{path}: another daemon (process {holder}) uses this data folder; stop it or set node.data_dir"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _open(path: Path) -> TextIO:
    try:
        path.mkdir(parents=True, exist_ok=True)
        return (path / "edge.lock").open("a+")
    except OSError as error:
        raise InputError(
            f"{path}: the data folder cannot be written ({error.strerror}); "
            f"make it writable for user id {os.getuid()} or set node.data_dir"
        ) from error
