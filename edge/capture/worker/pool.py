"""The capture workers of a daemon: started when the first camera is opened, and again after they ended."""

from __future__ import annotations

import logging
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence

from edge.capture.worker.messages import Opening
from edge.errors import SourceError

CAMERAS_PER_WORKER = 56
"""Quiet cameras that one process reads with time to spare (docs/measurements/benchmarks.md)."""
_REAPED_S = 2.0
_CLOSING_S = 2.0
_ANSWERS_S = 5.0  # for which a worker may be too busy to take a camera


def worker_count(wanted: int | None, cameras: int, cores: int) -> int:
    """How many workers read ``cameras`` network cameras: ``wanted``, or for None none while one process holds them, or
    where there is one core alone."""
    if wanted is not None:
        return min(wanted, cameras)
    if cameras <= CAMERAS_PER_WORKER or cores == 1:
        return 0
    return -(-cameras // CAMERAS_PER_WORKER)


class WorkerProcess:
    """One capture worker. `open` may be called from any thread."""

    def __init__(self, number: int) -> None:
        self._name = f"capture worker {number}"
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ended_ns = self._running_ns = 0

    @property
    def pid(self) -> int | None:
        """The number of its process; None while there is none."""
        return self._process.pid if self._process is not None else None

    @property
    def processor_ns(self) -> int:
        """Processor time of all its runs, as last told."""
        return self._ended_ns + self._running_ns

    def note_processor(self, processor_ns: int) -> None:
        """Note the processor time of the current run; it only grows."""
        self._running_ns = max(self._running_ns, processor_ns)

    def open(self, opening: Opening) -> socket.socket:
        """Have a camera read; the socket over which its batches come. SourceError when there is no worker for it."""
        ours, theirs = socket.socketpair()
        try:
            with self._lock, theirs:
                socket.send_fds(self._started(), [pickle.dumps(opening)], [theirs.fileno()])
        except OSError as error:
            ours.close()
            raise SourceError(f"{self._name} does not take the camera ({error}); it is tried again") from error
        return ours

    def why_ended(self) -> str:
        """A sentence on a camera's stream that broke off."""
        process = self._process
        if process is None:
            return f"{self._name} does not run"
        try:
            code = process.wait(_REAPED_S)
        except subprocess.TimeoutExpired:
            return f"{self._name} gave the camera up"
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"{self._name}, which reads it beside other cameras, ended ({how}); it is started again"

    def close(self) -> None:
        """End the worker, in order if it can."""
        with self._lock:
            control, process = self._control, self._process
            self._control = self._process = None
        if control is not None:
            control.close()
        if process is not None:
            try:
                process.wait(_CLOSING_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _started(self) -> socket.socket:
        """The socket of the running worker, which is started if it does not run."""
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        if self._control is not None:
            self._control.close()
        self._ended_ns, self._running_ns = self._ended_ns + self._running_ns, 0
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_ANSWERS_S)
        verbose = ["--verbose"] if logging.getLogger().isEnabledFor(logging.DEBUG) else []
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "edge.capture.worker", str(theirs.fileno()), *verbose],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        return self._control


class WorkerPool:
    """``count`` workers, among which cameras are dealt out."""

    def __init__(self, count: int) -> None:
        self.workers: Sequence[WorkerProcess] = [WorkerProcess(k + 1) for k in range(count)]
        self._dealt = 0

    def deal(self) -> WorkerProcess:
        """The worker of the next camera."""
        self._dealt += 1
        return self.workers[(self._dealt - 1) % len(self.workers)]

    @property
    def processor_ns(self) -> int:
        """Processor time of all workers so far."""
        return sum(worker.processor_ns for worker in self.workers)

    def close(self) -> None:
        """End all workers."""
        for worker in self.workers:
            worker.close()
