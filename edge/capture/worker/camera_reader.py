"""Reads one camera in a capture worker, on a thread of its own, and sends what it reads to the daemon."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeAlias

from edge.capture.base import MediaSource, SourceOptions
from edge.capture.bursts import BurstTurn
from edge.capture.registry import open_main_stream
from edge.capture.rtsp import RtspCamera
from edge.capture.worker.messages import (
    Began,
    Ended,
    EndKind,
    Opened,
    Opening,
    PacketsBegin,
    Record,
    apply_command,
    framed,
    pack,
    plain_record,
)
from edge.capture.worker.recorded_metrics import RecordedMetrics
from edge.clock import Clock
from edge.demand import CaptureProgress, PictureDemand
from edge.errors import EdgeError
from edge.metrics import Metrics
from edge.threads import WakeEvent
from edge.types import NS_PER_MS, Frame, MediaItem, Packet

_GATHERED_NS = 100 * NS_PER_MS
"""For how long packets gather before they are sent by themselves."""


class _DaemonGoneError(Exception):
    """The daemon closed its end."""


class _FlushingWake(WakeEvent):
    """Sends what was read before the thread rests."""

    def __init__(self, flush: Callable[[], None]) -> None:
        super().__init__()
        self._flush = flush

    def wait(self, timeout_s: float) -> bool:
        self._flush()
        return super().wait(timeout_s)


SourceOpener: TypeAlias = Callable[[Opening, Clock, Metrics, SourceOptions], MediaSource]


def open_network_camera(opening: Opening, clock: Clock, metrics: Metrics, options: SourceOptions) -> MediaSource:
    """The camera of ``opening``, or its main stream; nothing is opened before its first item."""
    reads = open_main_stream if opening.is_main else RtspCamera
    return reads(opening.name, opening.config, opening.geometry, clock, metrics, options)


class CameraReader:
    """Reads the camera of ``opening`` and writes batches to ``to_daemon``, which it closes at the end.

    `run` belongs to the reading thread; `command` and `close` may be called from another.
    """

    def __init__(
        self,
        opening: Opening,
        to_daemon: socket.socket,
        clock: Clock,
        turn: BurstTurn,
        open_source: SourceOpener,
    ) -> None:
        self.name, self._is_main, self._rests = opening.name, opening.is_main, opening.burst_ns > 0
        self._socket, self._clock = to_daemon, clock
        self._metrics = RecordedMetrics()
        self._records: list[tuple[Any, ...]] = []
        self._sent_ns = clock.mono_ns()
        self._sent_progress: CaptureProgress | None = None
        self._is_closed = threading.Event()
        self.demand = PictureDemand(_FlushingWake(self.flush)) if opening.on_demand else None
        options = SourceOptions(
            opening.masks,
            self if opening.has_sink else None,
            keep_sound=opening.keep_sound,
            demand=self.demand,
            burst_ns=opening.burst_ns,
            burst_turn=turn,
        )
        self._source = open_source(opening, clock, self._metrics, options)

    def run(self) -> None:
        """Read until the camera, the daemon or an error ends it."""
        with contextlib.suppress(_DaemonGoneError):
            self._add(Began(threading.get_ident()))
            self.flush()
            ended = self._read()
            if ended is not None:
                self._add(ended)
                self.flush()
        self._socket.close()

    def command(self, data: bytes) -> None:
        """Carry out a command of the daemon."""
        demand = self.demand
        if demand is not None:
            apply_command(data, demand.want, lambda stride, limited: demand.attend(stride, is_limited=limited))

    def close(self) -> None:
        """Read no more."""
        self._is_closed.set()
        self._source.close()

    def begin(self, template: bytes) -> None:
        """A connection's packets begin (`PacketSink`)."""
        self._add(PacketsBegin(template))

    def push(self, packet: Packet) -> None:
        """A packet that is to be kept (`PacketSink`)."""
        self._add(packet)
        self._flush_gathered()

    def flush(self) -> None:
        """Send what was read, if anything is new."""
        demand = self.demand
        progress = demand.progress() if demand is not None else None
        if not self._records and progress == self._sent_progress:
            return
        data = framed(pack(self._records, self._metrics.take(), progress, time.process_time_ns()))
        self._records.clear()
        self._sent_ns, self._sent_progress = self._clock.mono_ns(), progress
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise _DaemonGoneError from error

    def _read(self) -> Ended | None:
        """Read to the end; what ended it, None where the daemon did."""
        is_open = False
        try:
            with closing(self._source.items()) as items:
                for item in items:
                    if not is_open:
                        is_open = True
                        self._add(Opened(self._source.has_video, self._source.has_audio))
                    self._add(item)
                    self._flush_after(item)
                    if self._is_closed.is_set():
                        return None
        except EdgeError as error:
            return Ended(EndKind.SOURCE, str(error))
        except _DaemonGoneError:
            return None
        except Exception:  # noqa: BLE001 - the daemon ends with it, as with a fault of its own
            return Ended(EndKind.FAULT, traceback.format_exc())
        return Ended(EndKind.ENDED)

    def _add(self, record: Record) -> None:
        self._records.append(plain_record(record))

    def _flush_after(self, item: MediaItem) -> None:
        """Send at once what completes a window: not a picture, because its brightness follows. What a quiet camera gave
        is sent when its burst was read."""
        if self._is_main or (self._rests and self.demand is not None and not self.demand.is_awake):
            self._flush_gathered()
        elif not isinstance(item, Frame):
            self.flush()

    def _flush_gathered(self) -> None:
        if self._clock.mono_ns() - self._sent_ns >= _GATHERED_NS:
            self.flush()
