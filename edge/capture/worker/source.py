"""A network camera that a capture worker reads, and the demand for its pictures, as the daemon sees them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator, Iterator

from edge.capture.packet_sink import PacketSink
from edge.capture.worker.messages import (
    BatchReceiver,
    Began,
    CaptureBatch,
    Ended,
    EndKind,
    MalformedBatchError,
    Opened,
    Opening,
    PacketsBegin,
    attend_command,
    unpack,
    want_command,
)
from edge.capture.worker.pool import WorkerPool, WorkerProcess
from edge.capture.worker.recorded_metrics import add_changes
from edge.demand import CaptureProgress, PictureDemand, WakeReason
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.types import MediaItem, Packet


class WorkerDemand(PictureDemand):
    """The demand for pictures of a camera that a worker reads: passed on to it, and answered by it."""

    def __init__(self) -> None:
        super().__init__()
        self._socket: socket.socket | None = None

    def connect(self, to_worker: socket.socket | None) -> None:
        """Pass on what is asked, and from now on; None: there is nobody to ask, and nothing is known of the capture."""
        self._socket = to_worker
        if to_worker is None:
            self.follow(CaptureProgress())
            return
        self._send(attend_command(self.key_stride, is_limited=self.is_limited))
        for reason, until_ns in self.asked().items():
            self._send(want_command(reason, until_ns))

    def want(self, reason: WakeReason, until_ns: int) -> None:
        """Ask for pictures. What cannot be sent at once is not: it is asked for again with the next window."""
        super().want(reason, until_ns)
        self._send(want_command(reason, until_ns))

    def attend(self, key_stride: int, *, is_limited: bool) -> None:
        """Set how closely the camera is looked at."""
        super().attend(key_stride, is_limited=is_limited)
        self._send(attend_command(key_stride, is_limited=is_limited))

    def _send(self, command: bytes) -> None:
        to_worker = self._socket
        if to_worker is not None:
            with contextlib.suppress(OSError):
                to_worker.send(command, socket.MSG_DONTWAIT)


class WorkerSource:
    """The camera of ``opening``, read by a worker of ``pool``: a `MediaSource`. Packets go to ``sink``.

    A worker that ends is a SourceError like a camera that does: the next `items` starts another.
    """

    def __init__(
        self,
        opening: Opening,
        pool: WorkerPool,
        metrics: Metrics,
        demand: WorkerDemand | None = None,
        sink: PacketSink | None = None,
    ) -> None:
        self.name = opening.name
        self.live = True
        self.has_video = self.has_audio = False
        self._opening, self._pool, self._metrics = opening, pool, metrics
        self._demand, self._sink = demand, sink
        self._closed = threading.Event()
        self._socket: socket.socket | None = None

    def items(self) -> Generator[MediaItem, None, None]:
        """Have the camera read until closed; SourceError when there is no connection, or it ends."""
        self._closed.clear()
        worker = self._pool.worker_of(self.name)
        self._socket = ours = worker.open(self._opening)
        if self._demand is not None:
            self._demand.connect(ours)
        try:
            yield from self._read(worker, BatchReceiver(ours))
        finally:
            self._socket = None
            if self._demand is not None:
                self._demand.connect(None)
            ours.close()

    def close(self) -> None:
        """Make `items` end, at once."""
        self._closed.set()
        ours = self._socket
        if ours is not None:
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_RDWR)

    def _read(self, worker: WorkerProcess, batches: BatchReceiver) -> Iterator[MediaItem]:
        while True:
            try:
                batch = unpack(batches.next())
                self._note(batch)
            except (EOFError, OSError):
                if self._closed.is_set():
                    return
                raise self._broke_off(worker) from None
            except (MalformedBatchError, ValueError) as error:
                raise SourceError(f"its capture worker sent nonsense ({error}); it is opened again") from error
            worker.note_processor(batch.processor_ns)
            for record in batch.records:
                match record:
                    case Began(thread):
                        worker.note_thread(thread, self.name)
                    case Packet() | PacketsBegin():
                        self._keep(record)
                    case Opened(has_video, has_audio):
                        self.has_video, self.has_audio = has_video, has_audio
                    case Ended():
                        return self._end(record)
                    case _:
                        yield record

    def _broke_off(self, worker: WorkerProcess) -> SourceError:
        """The error of a stream that ended by itself; who crashed the worker gets one of its own."""
        error = SourceError(worker.why_ended())
        if worker.crashed_by == self.name:
            self._pool.set_apart(self.name)
        return error

    def _note(self, batch: CaptureBatch) -> None:
        add_changes(self._metrics, batch.metrics)
        if self._demand is not None and batch.progress is not None:
            self._demand.follow(batch.progress)

    def _keep(self, record: Packet | PacketsBegin) -> None:
        if self._sink is None:
            return
        if isinstance(record, Packet):
            self._sink.push(record)
        else:
            self._sink.begin(record.template)

    def _end(self, ended: Ended) -> None:
        if ended.kind is EndKind.SOURCE:
            raise SourceError(ended.text)
        if ended.kind is EndKind.FAULT:
            raise RuntimeError(f"a capture worker failed while it read {self.name}:\n{ended.text}")
