"""The packet ring: the newest encoded packets of one camera, in memory, from which clips with pre-roll are cut.

`begin`, `push` and `start_epoch` are called by capture threads, `extract` and `hold` by the evidence thread. Packets
hold what the camera sent, without privacy masks. They leave this process only through a clip, which applies the masks.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edge.media_time import MediaTime
from edge.types import NS_PER_S, EpochStart, Packet, Stream, nanoseconds

_JUMP_NS = 2 * NS_PER_S
_BACK_NS = NS_PER_S // 2  # as far as a source's clock may go back before an epoch ends
_KEY_MARGIN_NS = 12 * NS_PER_S  # cameras send a key picture every 1 to 10 s
_LATEST_NS = 15 * NS_PER_S  # how much later than its begin an event may be reported


@dataclass(frozen=True, slots=True)
class PacketRange:
    """Packets for a clip from ``begin_ns`` to ``end_ns``, on their own pts axis, in order of arrival.

    The picture starts at the last key packet at or before the begin. ``begin_ns`` is later than requested when the
    ring begins later. ``template``, opened with PyAV, has the streams to copy, picture first. Picture packets of codec
    ``mjpeg`` come from cameras that encode nothing themselves. ``shift_ns`` moves the media times of ``epoch`` onto
    this axis.
    """

    template: bytes
    packets: Sequence[Packet]
    begin_ns: int
    end_ns: int
    epoch: int = 0
    shift_ns: int = 0

    def pts_of(self, time: MediaTime) -> int:
        """A media time on the packets' axis; ValueError for another epoch."""
        return self.shift_ns + time.since(MediaTime(self.epoch, 0))

    def time_of(self, pts_ns: int) -> MediaTime:
        """The media time of a pts of the packets' axis."""
        return MediaTime(self.epoch, pts_ns - self.shift_ns)


@dataclass(slots=True)
class _PacketRun:
    """Packets of one connection on one unbroken axis, without duplicate pts. ``epochs`` are all epochs on it.

    ``shift_ns`` aligns a stream with the others when the pts of a source's streams are unrelated.
    """

    template: bytes
    packets: deque[Packet] = field(default_factory=deque)
    epochs: set[int] = field(default_factory=set)
    shift_ns: dict[Stream, int] = field(default_factory=dict)
    first_ns: dict[Stream, int] = field(default_factory=dict)
    last_ns: dict[Stream, int] = field(default_factory=dict)
    arrival_ns: dict[Stream, int] = field(default_factory=dict)
    late_ns: dict[Stream, int] = field(default_factory=dict)

    @property
    def offset_ns(self) -> int:
        """Local time minus pts, by the least delayed packet of the picture, or of the sound without picture."""
        return self.late_ns.get(Stream.VIDEO, self.late_ns.get(Stream.AUDIO, 0))

    @property
    def newest_ns(self) -> int | None:
        """The newest pts on the picture's axis."""
        return max((t + self.shift_ns.get(stream, 0) for stream, t in self.last_ns.items()), default=None)

    def continues(self, packet: Packet) -> bool:
        """Whether a packet follows the last one of its stream; the first of a stream always does."""
        last_ns = self.last_ns.get(packet.stream)
        if last_ns is None:
            return True
        step_ns, passed_ns = packet.dts_ns - last_ns, packet.arrival_ns - self.arrival_ns[packet.stream]
        return step_ns >= -_BACK_NS and step_ns - max(0, passed_ns) <= _JUMP_NS

    def is_near(self, packet: Packet) -> bool:
        """Whether a packet's pts is near the run's media."""
        ends = [*self.first_ns.values(), *self.last_ns.values()]
        return not ends or min(ends) - _JUMP_NS <= packet.dts_ns <= max(ends) + _JUMP_NS

    def holds(self, stream: Stream, pts_ns: int) -> bool:
        """Whether a packet of ``stream`` has exactly this pts; searched from the newest back."""
        return any(p.pts_ns == pts_ns and p.stream is stream for p in reversed(self.packets))

    def spans(self, stream: Stream, pts_ns: int) -> bool:
        """Whether ``pts_ns`` lies between the first and the last packet of ``stream``, with some tolerance."""
        if stream not in self.last_ns:
            return False
        return self.first_ns[stream] - _BACK_NS <= pts_ns <= self.last_ns[stream] + _BACK_NS

    def append(self, packet: Packet) -> None:
        """Add a packet that `continues` the run."""
        self.packets.append(packet)
        self.first_ns.setdefault(packet.stream, packet.dts_ns)
        self.last_ns[packet.stream] = packet.dts_ns
        self.arrival_ns[packet.stream] = packet.arrival_ns
        lasts_ns = packet.duration_ns if packet.stream is Stream.AUDIO else 0  # sound arrives when it ends
        late_ns = packet.arrival_ns - packet.pts_ns - lasts_ns
        self.late_ns[packet.stream] = min(late_ns, self.late_ns.get(packet.stream, late_ns))

    def aligned_packets(self) -> list[Packet]:
        """All packets, each stream on the axis that they share."""
        return [shifted(p, shift) if (shift := self.shift_ns.get(p.stream, 0)) else p for p in self.packets]


class PacketRing:
    """Keeps at least ``before_s`` seconds and what `hold` asks for, at most ``most_bytes``.

    Media times are found by their epoch; `start_epoch` notes where one begins. ``own_axis``: the packets come from
    another connection than the pictures of the model (a camera's main stream), so only local time relates the two.
    ``sound``: the ring of a microphone that is this camera's sound.
    """

    def __init__(
        self, before_s: float, most_bytes: int, *, own_axis: bool = False, sound: PacketRing | None = None
    ) -> None:
        self._least_ns = nanoseconds(before_s) + _KEY_MARGIN_NS + _LATEST_NS
        self._most_bytes = most_bytes
        self._own_axis = own_axis
        self._sound = sound
        self._runs: deque[_PacketRun] = deque()
        self._bytes = 0
        self._hold_ns: int | None = None
        self._lock = threading.Lock()

    def begin(self, template: bytes) -> None:
        """Note a new connection; with the same streams it may go on where the last one ended (a file's loop)."""
        with self._lock:
            if not self._runs or self._runs[-1].template != template:
                self._runs.append(_PacketRun(template))

    def push(self, packet: Packet) -> None:
        """Keep a packet, and drop those that are too old."""
        with self._lock:
            if not self._runs:
                return
            self._run_for(packet).append(packet)
            self._bytes += len(packet.data)
            self._trim(packet.arrival_ns)

    def start_epoch(self, start: EpochStart) -> None:
        """Note that an epoch begins with a picture or sound whose packet was pushed just before."""
        with self._lock:
            found = next((run for run in reversed(self._runs) if run.holds(start.stream, start.pts_ns)), None)
            if found is None:  # sound is assembled from packets, and damaged packets are left out
                found = next((run for run in reversed(self._runs) if run.spans(start.stream, start.pts_ns)), None)
            if found is not None:
                found.epochs.add(start.epoch)
                found.shift_ns[start.stream] = start.shift_ns

    def hold(self, since_ns: int | None) -> None:
        """Keep what arrived since local time ``since_ns``, as far as the memory limit allows; None: as usual."""
        with self._lock:
            self._hold_ns = None if since_ns is None else since_ns - _KEY_MARGIN_NS
        if self._sound is not None:
            self._sound.hold(since_ns)

    def newest(self, near: MediaTime, local_ns: int) -> MediaTime | None:
        """The end of the media in the epoch of ``near``, which is at local time ``local_ns``; None without any."""
        with self._lock:
            run = self._run_at(near, local_ns)
            newest_ns = run.newest_ns if run is not None else None
            if run is None or newest_ns is None:
                return None
            return MediaTime(near.epoch, newest_ns - self._shift_ns(run, near, local_ns))

    @property
    def size_bytes(self) -> int:
        """Bytes of the packets that are kept."""
        return self._bytes

    @property
    def packets(self) -> list[Packet]:
        """The packets that are kept, oldest first in each run."""
        return [packet for run in self._runs for packet in run.packets]

    def extract(self, begin: MediaTime, end: MediaTime, local_ns: int) -> PacketRange | None:
        """The packets from ``begin`` to ``end`` of the source's media; None when there are none.

        ``local_ns`` is the local time of ``begin``, by which packets of another connection are found.
        """
        with self._lock:
            run = self._run_at(begin, local_ns)
            packets = run.aligned_packets() if run is not None else []
            shift_ns = self._shift_ns(run, begin, local_ns) if run is not None else 0
        cut = None
        if run is not None and packets:
            cut = _select(PacketRange(run.template, packets, begin.pts_ns, end.pts_ns, begin.epoch), shift_ns)
        if self._sound is None:
            return cut
        sound = self._sound.extract(begin, end, local_ns)
        return _with_sound(cut, sound)

    def _run_for(self, packet: Packet) -> _PacketRun:
        """The run of a packet: the newest, the one before its break (for a late packet), or a new one."""
        newest = self._runs[-1]
        if not newest.continues(packet):
            self._runs.append(_PacketRun(newest.template))
        elif packet.stream not in newest.last_ns and len(self._runs) > 1 and not newest.is_near(packet):
            former = self._runs[-2]
            if former.packets and packet.stream in former.last_ns and former.continues(packet):
                return former
        return self._runs[-1]

    def _run_at(self, time: MediaTime, local_ns: int) -> _PacketRun | None:
        """The run that contains a media time; found by local time alone with ``own_axis``."""
        runs = [run for run in self._runs if run.packets]
        if self._own_axis:
            return next((r for r in reversed(runs) if r.packets[0].arrival_ns <= local_ns), runs[0] if runs else None)
        return next((run for run in reversed(runs) if time.epoch in run.epochs), None)

    def _shift_ns(self, run: _PacketRun, time: MediaTime, local_ns: int) -> int:
        return local_ns - run.offset_ns - time.pts_ns if self._own_axis else 0

    def _trim(self, now_ns: int) -> None:
        keep_ns = now_ns - self._least_ns
        if self._hold_ns is not None:
            keep_ns = min(keep_ns, self._hold_ns)
        while self._runs:
            run = self._runs[0]
            if not run.packets:
                if len(self._runs) == 1:
                    return
                self._runs.popleft()
                continue
            if run.packets[0].arrival_ns >= keep_ns and self._bytes <= self._most_bytes:
                return
            self._bytes -= len(run.packets.popleft().data)


def shifted(packet: Packet, by_ns: int) -> Packet:
    """The same packet, later by ``by_ns``."""
    return replace(packet, pts_ns=packet.pts_ns + by_ns, dts_ns=packet.dts_ns + by_ns)


def _select(requested: PacketRange, shift_ns: int) -> PacketRange | None:
    """The packets of ``requested`` that show its span, which ``shift_ns`` moves onto their axis."""
    packets, begin_ns, end_ns = requested.packets, requested.begin_ns + shift_ns, requested.end_ns + shift_ns
    pictures = [i for i, p in enumerate(packets) if p.stream is Stream.VIDEO]
    keys = [i for i in pictures if packets[i].is_key]
    if pictures and not keys:
        return None
    if keys:
        first = next((i for i in reversed(keys) if packets[i].pts_ns <= begin_ns), keys[0])
        begin_ns = max(begin_ns, packets[first].pts_ns)
        last = max((i for i in pictures if i >= first and packets[i].pts_ns < end_ns), default=None)
        if last is None or packets[last].pts_ns + _JUMP_NS <= begin_ns:
            return None
    else:
        first, last = 0, -1
        begin_ns = max(begin_ns, packets[0].pts_ns)
    chosen = [
        p
        for i, p in enumerate(packets)
        if (
            first <= i <= last
            if p.stream is Stream.VIDEO
            else begin_ns < p.pts_ns + p.duration_ns and p.pts_ns < end_ns
        )
    ]
    return replace(requested, packets=chosen, begin_ns=begin_ns, end_ns=end_ns, shift_ns=shift_ns) if chosen else None


def _with_sound(pictures_cut: PacketRange | None, sound_cut: PacketRange | None) -> PacketRange | None:
    """Packets of a picture with the sound of another ring, moved onto the picture's axis."""
    if pictures_cut is None or sound_cut is None:
        return pictures_cut or sound_cut
    pictures = [p for p in pictures_cut.packets if p.stream is Stream.VIDEO]
    sounds = [shifted(p, pictures_cut.shift_ns - sound_cut.shift_ns) for p in sound_cut.packets]
    packets = sorted([*pictures, *sounds], key=lambda p: p.dts_ns)
    return replace(pictures_cut, template=_template(pictures_cut.template, sound_cut.template), packets=packets)


def _template(picture_template: bytes, sound_template: bytes) -> bytes:
    """The picture stream of the first and the sound stream of the second, in one file without packets."""
    import av

    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(picture_template)) as pictures,
        av.open(io.BytesIO(sound_template)) as sounds,
        av.open(buffer, "w", format="mov", options={"movflags": "empty_moov"}) as out,
    ):
        out.add_stream_from_template(pictures.streams.video[0], opaque=True)
        out.add_stream_from_template(sounds.streams.audio[0], opaque=True)
        out.start_encoding()
    return buffer.getvalue()
