"""The capture workers of a daemon: started when the first camera is opened, and again after they ended."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from edge.capture.worker.messages import Opening
from edge.errors import SourceError

_log = logging.getLogger(__name__)
CAMERAS_PER_WORKER = 56
"""Quiet cameras that one process reads with time to spare (docs/measurements/benchmarks.md)."""
PROGRAM: Sequence[str] = (sys.executable, "-m", "edge.capture.worker")
_REAPED_S = 2.0
_CLOSING_S = 2.0
_ANSWERS_S = 5.0  # for which a worker may be too busy to take a camera
_CRASHED_THREAD = re.compile(rb"Current thread 0x([0-9a-f]+)")  # as `faulthandler` writes it


def worker_count(wanted: int | None, cameras: int, cores: int) -> int:
    """How many workers read ``cameras`` network cameras: ``wanted``, or for None none while one process holds them, or
    where there is one core alone."""
    if wanted is not None:
        return min(wanted, cameras)
    if cameras <= CAMERAS_PER_WORKER or cores == 1:
        return 0
    return -(-cameras // CAMERAS_PER_WORKER)


class WorkerProcess:
    """One running capture worker, called ``name`` in messages. Callable from any thread."""

    def __init__(self, name: str, program: Sequence[str] = PROGRAM) -> None:
        self._name = name
        self.processor_ns = 0
        """Processor time so far, as last told."""
        self._threads: dict[int, str] = {}
        self._crashed_by: str | None = None
        self._lock = threading.Lock()
        self._faults = os.memfd_create("edge-faults")
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_ANSWERS_S)
        verbose = ["--verbose"] if logging.getLogger().isEnabledFor(logging.DEBUG) else []
        passed = [theirs.fileno(), self._faults]
        with theirs:
            self._process = subprocess.Popen(
                [*program, *map(str, passed), *verbose], stdin=subprocess.DEVNULL, pass_fds=passed
            )

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def open(self, opening: Opening) -> socket.socket:
        """Have a camera read; the socket over which its batches come. SourceError when it cannot be asked."""
        ours, theirs = socket.socketpair()
        try:
            with self._lock, theirs:
                socket.send_fds(self._control, [pickle.dumps(opening)], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise SourceError(f"{self._name} does not take the camera ({error}); it is tried again") from error
        return ours

    def note_thread(self, ident: int, camera: str) -> None:
        """Note which of its threads reads a camera."""
        self._threads[ident] = camera

    def note_processor(self, processor_ns: int) -> None:
        """Note its processor time, which only grows."""
        self.processor_ns = max(self.processor_ns, processor_ns)

    def why_ended(self) -> str:
        """A sentence on a camera's stream that broke off."""
        try:
            code = self._process.wait(_REAPED_S)
        except subprocess.TimeoutExpired:
            return f"{self._name} gave the camera up"
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        culprit = self.crashed_by
        because = f" because of the stream of {culprit}" if culprit is not None else ""
        return f"{self._name}, which reads it, ended ({how}){because}; it is started again"

    @property
    def crashed_by(self) -> str | None:
        """The camera on whose thread it crashed; None when it did not crash, or on no camera's thread."""
        with self._lock:
            if self._faults >= 0 and not self.is_running:
                found = _CRASHED_THREAD.search(os.pread(self._faults, 1 << 20, 0))
                self._crashed_by = self._threads.get(int(found[1], 16)) if found is not None else None
                os.close(self._faults)
                self._faults = -1
            return self._crashed_by

    def close(self) -> None:
        """End it, in order if it can."""
        self._control.close()
        try:
            self._process.wait(_CLOSING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._lock, contextlib.suppress(OSError):
            os.close(self._faults)
            self._faults = -1


@dataclass(slots=True, eq=False)
class _Place:
    """Where some cameras are read: the worker's name, its process once there is one, and the time of those before."""

    name: str
    process: WorkerProcess | None = None
    ended_ns: int = 0

    @property
    def processor_ns(self) -> int:
        return self.ended_ns + (self.process.processor_ns if self.process is not None else 0)


class WorkerPool:
    """``count`` workers, among which cameras are dealt out. Each runs ``program``.

    A camera whose stream crashed a worker gets one of its own, so that it disturbs no other again.
    """

    def __init__(self, count: int, program: Sequence[str] = PROGRAM) -> None:
        self._program = program
        self._shared = [_Place(f"capture worker {k + 1}") for k in range(count)]
        self._place_of: dict[str, _Place] = {}
        self._lock = threading.Lock()

    @property
    def is_used(self) -> bool:
        """Whether there are workers at all."""
        return bool(self._shared)

    @property
    def processor_ns(self) -> int:
        """Processor time of all workers so far."""
        with self._lock:
            return sum(place.processor_ns for place in self._places())

    def add(self, camera: str) -> None:
        """Deal out a camera."""
        with self._lock:
            self._place_of[camera] = self._shared[len(self._place_of) % len(self._shared)]

    def worker_of(self, camera: str) -> WorkerProcess:
        """The running worker of a camera, which is started if it does not run. SourceError when it cannot be."""
        with self._lock:
            place = self._place_of[camera]
            if place.process is not None and place.process.is_running:
                return place.process
            if place.process is not None:
                place.process.close()
                place.ended_ns, place.process = place.processor_ns, None
            try:
                place.process = WorkerProcess(place.name, self._program)
            except OSError as error:
                raise SourceError(f"{place.name} cannot be started ({error.strerror}); it is tried again") from error
            return place.process

    def set_apart(self, camera: str) -> None:
        """Have a camera read by a worker of its own from now on."""
        with self._lock:
            if self._place_of[camera] in self._shared:
                self._place_of[camera] = _Place(f"the capture worker of {camera}")
                _log.warning("%s: its stream crashed the decoder; a process of its own reads it from now on", camera)

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            for place in self._places():
                if place.process is not None:
                    place.process.close()
                    place.ended_ns, place.process = place.processor_ns, None

    def _places(self) -> list[_Place]:
        return [*self._shared, *(place for place in self._place_of.values() if place not in self._shared)]
