"""The newest encoded packets of one camera, in memory: what clips with pre-roll are cut from.

`begin` and `push` are called by capture threads, `cut` and `hold` by the evidence thread. Packets hold what the camera
sent, privacy masks not applied: they never leave this process but through a clip, which applies them.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.types import NS_PER_S, Packet, Stream, nanoseconds

_JUMP_NS = 2 * NS_PER_S
_KEY_MARGIN_NS = 12 * NS_PER_S  # cameras send a key picture every 1 to 10 s
_LATEST_NS = 15 * NS_PER_S  # how much later than it began an event may be told


@dataclass(frozen=True, slots=True)
class Cut:
    """Packets for a clip from ``begin_ns`` to ``end_ns``, on their own pts axis, in the order in which they came.

    The picture starts at the last key packet at or before the begin. ``begin_ns`` is later than asked where the tape
    began later. ``template`` opened with PyAV has the streams to copy, picture first; picture packets of codec
    ``mjpeg`` come from cameras that encode nothing themselves. ``shift_ns`` moves the source's axis onto this one.
    """

    template: bytes
    packets: Sequence[Packet]
    begin_ns: int
    end_ns: int
    shift_ns: int = 0


@dataclass(slots=True)
class _Run:
    """Packets on one unbroken axis, of one connection."""

    template: bytes
    packets: deque[Packet] = field(default_factory=deque)
    last_ns: dict[Stream, int] = field(default_factory=dict)
    late_ns: dict[Stream, int] = field(default_factory=dict)

    @property
    def offset_ns(self) -> int:
        """Local time over pts: the picture's least delayed packet wins, the sound's where there is no picture."""
        return self.late_ns.get(Stream.VIDEO, self.late_ns.get(Stream.AUDIO, 0))

    def joins(self, packet: Packet) -> bool:
        """Whether a packet goes on from the last of its stream."""
        last_ns = self.last_ns.get(packet.stream)
        return last_ns is None or abs(packet.dts_ns - last_ns) <= _JUMP_NS

    def append(self, packet: Packet) -> None:
        self.packets.append(packet)
        self.last_ns[packet.stream] = packet.dts_ns
        lasts_ns = packet.duration_ns if packet.stream is Stream.AUDIO else 0  # sound comes when it is over
        late_ns = packet.arrival_ns - packet.pts_ns - lasts_ns
        self.late_ns[packet.stream] = min(late_ns, self.late_ns.get(packet.stream, late_ns))


class Tape:
    """Keeps at least ``before_s`` seconds and what `hold` asks for, at most ``most_bytes``.

    ``own_axis``: its packets come from another connection than the frames the model saw (a camera's main stream), so
    only local time relates the two. ``sound``: the tape of a microphone that is this camera's sound.
    """

    def __init__(self, before_s: float, most_bytes: int, *, own_axis: bool = False, sound: Tape | None = None) -> None:
        self._least_ns = nanoseconds(before_s) + _KEY_MARGIN_NS + _LATEST_NS
        self._most_bytes = most_bytes
        self._own_axis = own_axis
        self._sound = sound
        self._runs: deque[_Run] = deque()
        self._bytes = 0
        self._hold_ns: int | None = None
        self._lock = threading.Lock()

    def begin(self, template: bytes) -> None:
        """A connection was opened; one with the same streams may go on where the last one ended (a file's loop)."""
        with self._lock:
            if not self._runs or self._runs[-1].template != template:
                self._runs.append(_Run(template))

    def push(self, packet: Packet) -> None:
        """Keep a packet, and let go of what is too old."""
        with self._lock:
            if not self._runs:
                return
            if not self._runs[-1].joins(packet):
                self._runs.append(_Run(self._runs[-1].template))
            self._runs[-1].append(packet)
            self._bytes += len(packet.data)
            self._trim(packet.arrival_ns)

    def hold(self, since_ns: int | None) -> None:
        """Let nothing go that came since local time ``since_ns``, as far as the memory holds; None: as usual."""
        with self._lock:
            self._hold_ns = None if since_ns is None else since_ns - _KEY_MARGIN_NS
        if self._sound is not None:
            self._sound.hold(since_ns)

    def newest_ns(self, near_ns: int, mono_ns: int) -> int | None:
        """Up to when media came, on the axis on which ``near_ns`` is local time ``mono_ns``; None without any."""
        with self._lock:
            run = self._run_at(near_ns, mono_ns)
            if run is None:
                return None
            newest_ns = max(run.last_ns.values(), default=None)
            return None if newest_ns is None else newest_ns - self._shift_ns(run, near_ns, mono_ns)

    def cut(self, begin_ns: int, end_ns: int, mono_ns: int) -> Cut | None:
        """What there is from ``begin_ns`` to ``end_ns`` of the source's media clock; None when there is nothing.

        ``mono_ns`` is the local time of ``begin_ns``; it tells apart connections whose clocks start over.
        """
        with self._lock:
            run = self._run_at(begin_ns, mono_ns)
            packets = list(run.packets) if run is not None else []
            shift_ns = self._shift_ns(run, begin_ns, mono_ns) if run is not None else 0
        cut = None if run is None else _cut(run.template, packets, begin_ns + shift_ns, end_ns + shift_ns, shift_ns)
        if self._sound is None:
            return cut
        heard = self._sound.cut(begin_ns, end_ns, mono_ns)
        return _joined(cut, heard)

    def _run_at(self, t_ns: int, mono_ns: int) -> _Run | None:
        """The run whose packets of that time came nearest to ``mono_ns``."""
        runs = [run for run in self._runs if run.packets]
        if not runs:
            return None
        if self._own_axis:
            return next((r for r in reversed(runs) if r.packets[0].arrival_ns <= mono_ns), runs[0])
        return min(runs, key=lambda run: (abs(run.offset_ns + t_ns - mono_ns), -run.packets[-1].arrival_ns))

    def _shift_ns(self, run: _Run, t_ns: int, mono_ns: int) -> int:
        return mono_ns - run.offset_ns - t_ns if self._own_axis else 0

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


def _cut(template: bytes, packets: Sequence[Packet], begin_ns: int, end_ns: int, shift_ns: int) -> Cut | None:
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
    return Cut(template, chosen, begin_ns, end_ns, shift_ns) if chosen else None


def _joined(seen: Cut | None, heard: Cut | None) -> Cut | None:
    """A picture's cut with the sound of another tape, moved onto the picture's axis."""
    if seen is None or heard is None:
        return seen or heard
    pictures = [p for p in seen.packets if p.stream is Stream.VIDEO]
    move_ns = seen.shift_ns - heard.shift_ns
    sounds = [
        Packet(p.stream, p.pts_ns + move_ns, p.dts_ns + move_ns, p.duration_ns, p.arrival_ns, p.is_key, p.data)
        for p in heard.packets
    ]
    packets = sorted([*pictures, *sounds], key=lambda p: p.dts_ns)
    template = _template(seen.template, heard.template)
    return Cut(template, packets, seen.begin_ns, seen.end_ns, seen.shift_ns)


def _template(seen: bytes, heard: bytes) -> bytes:
    """The first one's picture stream and the second one's sound stream, in one file without packets."""
    import av

    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(seen)) as pictures,
        av.open(io.BytesIO(heard)) as sounds,
        av.open(buffer, "w", format="mov", options={"movflags": "empty_moov"}) as out,
    ):
        out.add_stream_from_template(pictures.streams.video[0], opaque=True)
        out.add_stream_from_template(sounds.streams.audio[0], opaque=True)
        out.start_encoding()
    return buffer.getvalue()
