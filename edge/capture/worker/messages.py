"""What a capture worker and the daemon tell each other.

A camera has one stream socket. The worker sends batches over it: pickled tuples of numbers, texts and bytes alone,
which `unpack` refuses to read as anything else, because a worker decodes what strangers send. The daemon sends commands
of one fixed size. `Opening` goes once, from the daemon, with the socket.
"""

from __future__ import annotations

import io
import pickle
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

import numpy as np

from edge.capture.base import Polygons
from edge.capture.worker.recorded_metrics import MetricChange
from edge.config.sources import RtspSourceConfig
from edge.demand import CaptureProgress, DecodeState, DecodeStatus, WakeReason
from edge.engine.manifest import Geometry
from edge.types import AudioChunk, Frame, Gap, LumaSample, MediaItem, Packet, SkippedPictures, Stream

_LENGTH = struct.Struct("=I")
_READ_BYTES = 1 << 18
_MOST_BYTES = 1 << 28  # of a batch: far more than a worker gathers
_COMMAND = struct.Struct("=BBq")
COMMAND_BYTES = _COMMAND.size


@dataclass(frozen=True, slots=True)
class Opening:
    """The camera that a worker is to read, and how.

    ``is_main``: it is a main stream, whose packets alone are wanted. ``has_sink``: packets are wanted at all.
    ``on_demand``: its pictures are decoded on demand. The rest as in `SourceOptions`.
    """

    name: str
    config: RtspSourceConfig
    geometry: Geometry
    masks: Polygons = ()
    keep_sound: bool = True
    has_sink: bool = False
    on_demand: bool = False
    is_main: bool = False
    burst_ns: int = 0


@dataclass(frozen=True, slots=True)
class Began:
    """The first record of a camera: the worker's thread (`threading.get_ident`) that reads it."""

    thread: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The connection is open: which streams it has. Comes before the first item."""

    has_video: bool
    has_audio: bool


@dataclass(frozen=True, slots=True)
class PacketsBegin:
    """A connection's packets begin: see `PacketSink.begin`."""

    template: bytes


class EndKind(str, Enum):
    """Why a worker reads a camera no longer."""

    ENDED = "ended"
    SOURCE = "source"
    """A SourceError, to be tried again."""
    FAULT = "fault"
    """A bug."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The last record of a camera; ``text`` is the error's."""

    kind: EndKind
    text: str = ""


Record: TypeAlias = MediaItem | Packet | PacketsBegin | Began | Opened | Ended


@dataclass(frozen=True, slots=True)
class CaptureBatch:
    """What a worker sends at once: records in order, changes of metrics, how the capture gets on (None without
    decoding on demand), and the processor time of the whole worker so far."""

    records: Sequence[Record]
    metrics: Sequence[MetricChange] = ()
    progress: CaptureProgress | None = None
    processor_ns: int = 0


class MalformedBatchError(Exception):
    """A worker sent what no worker sends."""


_Plain: TypeAlias = tuple[Any, ...]


def _progress_of(progress: CaptureProgress) -> _Plain:
    status = progress.status
    return (
        *(status.state.value, status.reason.value, status.group_s, progress.lags, progress.lag_ns),
        *(progress.left_out_ns, progress.unread_since_ns, progress.packet_ns),
    )


def _to_progress(plain: _Plain) -> CaptureProgress:
    state, reason, group_s, *rest = plain
    return CaptureProgress(DecodeStatus(DecodeState(state), WakeReason(reason), group_s), *rest)


_TO_PLAIN: Mapping[type, tuple[str, Callable[[Any], _Plain]]] = {
    Frame: ("frame", lambda f: (f.pts_ns, f.arrival_ns, f.image.shape, f.image.tobytes(), f.content, f.ready_ns)),
    LumaSample: ("luma", lambda s: (s.pts_ns, s.arrival_ns, s.luma, s.ready_ns)),
    SkippedPictures: ("skipped", lambda s: (s.stand_ins, s.count, s.last_pts_ns, s.arrival_ns)),
    AudioChunk: ("sound", lambda c: (c.pts_ns, c.arrival_ns, np.asarray(c.samples, np.float32).tobytes())),
    Gap: ("gap", lambda g: (g.reason, g.arrival_ns)),
    Packet: (
        "packet",
        lambda p: (p.stream.value, p.pts_ns, p.dts_ns, p.duration_ns, p.arrival_ns, p.is_key, p.data),
    ),
    PacketsBegin: ("begin", lambda b: (b.template,)),
    Began: ("began", lambda b: (b.thread,)),
    Opened: ("opened", lambda o: (o.has_video, o.has_audio)),
    Ended: ("ended", lambda e: (e.kind.value, e.text)),
}
_FROM_PLAIN: Mapping[str, Callable[..., Record]] = {
    "frame": lambda pts_ns, arrival_ns, shape, pixels, content, ready_ns: Frame(
        pts_ns, arrival_ns, np.frombuffer(pixels, np.uint8).reshape(shape), content, ready_ns
    ),
    "luma": LumaSample,
    "skipped": SkippedPictures,
    "sound": lambda pts_ns, arrival_ns, samples: AudioChunk(pts_ns, arrival_ns, np.frombuffer(samples, np.float32)),
    "gap": Gap,
    "packet": lambda stream, *rest: Packet(Stream(stream), *rest),
    "begin": PacketsBegin,
    "began": Began,
    "opened": Opened,
    "ended": lambda kind, text: Ended(EndKind(kind), text),
}


def plain_record(record: Record) -> _Plain:
    """A record as a tuple; pixels and samples are copied, so that it outlives the next read."""
    kind, fields_of = _TO_PLAIN[type(record)]
    return (kind, *fields_of(record))


def pack(
    records: Sequence[_Plain], metrics: Sequence[MetricChange], progress: CaptureProgress | None, processor_ns: int
) -> bytes:
    """A batch of records that `plain_record` made."""
    plain = (tuple(records), tuple(metrics), None if progress is None else _progress_of(progress), processor_ns)
    return pickle.dumps(plain, protocol=5)


def unpack(data: bytes) -> CaptureBatch:
    """Read a batch; MalformedBatchError for anything else."""
    try:
        records, metrics, progress, processor_ns = _PlainUnpickler(io.BytesIO(data)).load()
        return CaptureBatch(
            [_FROM_PLAIN[kind](*fields) for kind, *fields in records],
            [(str(name), tuple(map(str, labels)), str(how), value) for name, labels, how, value in metrics],
            None if progress is None else _to_progress(progress),
            int(processor_ns),
        )
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, EOFError, AttributeError, IndexError) as error:
        raise MalformedBatchError(str(error)) from error


def framed(data: bytes) -> bytes:
    """A batch as it goes over a stream socket: after its length."""
    return _LENGTH.pack(len(data)) + data


class BatchReceiver:
    """Reads framed batches from a socket, with few calls: each hands the interpreter to another thread."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        self._read = bytearray()

    def next(self) -> bytes:
        """Wait for the next batch; EOFError when there is none any more, MalformedBatchError for one without bounds."""
        while not self._is_whole():
            more = self._source.recv(_READ_BYTES)
            if not more:
                raise EOFError
            self._read += more
        end = _LENGTH.size + self._length()
        data = bytes(self._read[_LENGTH.size : end])
        del self._read[:end]
        return data

    def _is_whole(self) -> bool:
        return len(self._read) >= _LENGTH.size and len(self._read) >= _LENGTH.size + self._length()

    def _length(self) -> int:
        length: int = _LENGTH.unpack_from(self._read)[0]
        if length > _MOST_BYTES:
            raise MalformedBatchError(f"a batch of {length} bytes")
        return length


class _PlainUnpickler(pickle.Unpickler):
    """Reads numbers, texts, bytes and tuples; nothing that would have to be looked up."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise pickle.UnpicklingError(f"{module_name}.{global_name} has no place in a batch")


def want_command(reason: WakeReason, until_ns: int) -> bytes:
    """Ask a worker for pictures: `PictureDemand.want`."""
    return _COMMAND.pack(0, list(WakeReason).index(reason), until_ns)


def attend_command(key_stride: int, *, is_limited: bool) -> bytes:
    """Set how closely a camera is looked at: `PictureDemand.attend`."""
    return _COMMAND.pack(1, int(is_limited), key_stride)


def apply_command(data: bytes, want: Callable[[WakeReason, int], None], attend: Callable[[int, bool], None]) -> None:
    """Carry out one command of `COMMAND_BYTES`."""
    kind, detail, value = _COMMAND.unpack(data)
    if kind == 0:
        want(list(WakeReason)[detail], value)
    else:
        attend(value, bool(detail))
