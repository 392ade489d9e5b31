"""The file worker's thread, and the lock of the data folder.

The thread ``files`` reads and writes files for the main thread and the engine thread. A disk that hangs delays only
reloads, drawings, marks and saving what was learned; scoring, alerting and the watchdog go on. `lock_data_dir` makes
the data folder, checks that it can be written, and keeps a second daemon out.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import queue
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from edge.clock import Clock
from edge.errors import EdgeError, InputError
from edge.types import NS_PER_S

log = logging.getLogger(__name__)
LOCK = "edge.lock"


@contextmanager
def lock_data_dir(path: Path) -> Iterator[None]:
    """Make ``path`` and hold its lock file meanwhile. InputError when another daemon holds it, or it is no folder.

    A folder that cannot be written is logged and not locked: the node still scores and alerts.
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
    """The lock file; opened for reading only, or None, when the disk allows no more."""
    file: TextIO | None = None
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / LOCK).open("a+")
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            f"{path}: the data folder cannot be written ({error.strerror}); set node.data_dir to a folder"
        ) from error
    except OSError as error:
        log.error(  # noqa: TRY400 - expected, so no traceback
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


class FileWorker:
    """Runs submitted work in order. ``folder`` is the node's data folder, whose free space is measured."""

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
        """Begin the next turn now."""
        self._wake_event.set()

    def run(self, cancel: threading.Event) -> None:
        """The thread's loop; queued work is done before it ends."""
        while not cancel.is_set():
            self.step()
            self._clock.wait(self._wake_event, self.TURN_S)
        self.step()

    def step(self) -> None:
        """Do the queued work and the work of every turn. Errors of the disk are logged; the loop goes on."""
        self._wake_event.clear()
        while not self._waiting.empty():
            self._do(self._waiting.get())
        for work in self.every_turn:
            self._do(work)
        if self._clock.mono_ns() >= self._measure_ns:
            self._measure_ns = self._clock.mono_ns() + self.MEASURE_NS
            self._measure()

    def free_bytes(self) -> int | None:
        """Free bytes of the disk, as last measured; None when it has not answered for a minute."""
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
