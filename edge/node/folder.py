"""The node's data folder: made, checked for writing, and held by one daemon at a time."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from edge.errors import InputError

log = logging.getLogger(__name__)
LOCK = "edge.lock"


@contextmanager
def lock_data_dir(path: Path) -> Iterator[None]:
    """Make ``path`` and hold its lock file meanwhile. InputError when another daemon does, or when it is no folder.

    A disk on which nothing can be written is no reason not to look and alert: that is said, and nothing is held.
    """
    with _open_lock_file(path) as lock:
        if lock is not None:
            _acquire(lock, path)
        yield


def _acquire(lock: TextIO, path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        raise InputError(
            f"{path}: another daemon (process {holder}) uses this data folder; stop it or set node.data_dir"
        ) from error
    except OSError as error:
        log.warning("%s: cannot be locked (%s); make sure that no other daemon uses it", path, error.strerror)
    with contextlib.suppress(OSError):  # a full disk
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()


@contextmanager
def _open_lock_file(path: Path) -> Iterator[TextIO | None]:
    """The lock file; only for reading, or none at all, where the disk gives no more."""
    file: TextIO | None = None
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / LOCK).open("a+")
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{path}: the data folder cannot be written ({error.strerror}); set node.data_dir to a folder"
        ) from error
    except OSError as error:
        log.error(  # noqa: TRY400 - a sentence, no bug
            "%s: the data folder cannot be written (%s); make room, or make it writable for user id %d, or set "
            "node.data_dir. Until then everything is held in memory",
            *(path, error.strerror, os.getuid()),
        )
        with contextlib.suppress(OSError):
            file = (path / LOCK).open()
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            if file is not None:
                file.close()
