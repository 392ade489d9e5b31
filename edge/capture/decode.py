"""Reads an opened container as items, for recordings and network cameras.

Runs on the capture thread. Errors of the demuxer pass through; the module that opened it explains them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from edge.capture.base import DEFAULT_OPTIONS, SourceOptions
from edge.capture.bursts import BurstReader, BurstTurn
from edge.capture.decoder_device import is_accelerated, no_picture_error
from edge.capture.lag import CaptureLag
from edge.capture.normaliser import ArrivalPacer, MediaNormaliser
from edge.capture.on_demand import KeptPacket, OnDemandDecoder
from edge.capture.packet_sink import ContainerPacketFeed
from edge.capture.picture_decoder import PictureDecoder
from edge.clock import Clock
from edge.demand import PictureDemand
from edge.engine.manifest import Geometry
from edge.metrics import Metrics
from edge.types import NS_PER_S, AudioChunk, MediaItem, Stream

_MAX_FAILED_PACKETS = 60  # packets in a row that a device could not decode
_BATCHED_PACKETS = 2  # packets of sound are decoded this many packet lengths before their chunk is due


class ContainerDecoder:
    """Turns packets into items. One for the life of a source: loops of a recording go on in the same epoch.

    Sound is decoded about once a hop, all packets since the last time together: alternating between the picture's and
    the sound's decoder costs three times as much, because each evicts the other from the CPU's caches. Packets are
    decoded when their chunk is due, so nothing waits for them, and before a break of the picture's clock, so the order
    stays the same. ``scaling``: for a stream on a device, a decoder that also scales, or None.
    """

    def __init__(
        self,
        name: str,
        geometry: Geometry,
        clock: Clock,
        metrics: Metrics,
        options: SourceOptions = DEFAULT_OPTIONS,
        scaling: Callable[[Any], Any | None] | None = None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._stage = metrics.stage
        self._normaliser = MediaNormaliser(name, geometry, clock, metrics, options)
        self._feed = (
            ContainerPacketFeed(options.packet_sink, options.keep_sound) if options.packet_sink is not None else None
        )
        self._shift_ns = 0
        self._threads, self._scaling = options.threads, scaling
        self._demand = options.demand or PictureDemand()
        self._on_demand: OnDemandDecoder | None = None
        self._lag = CaptureLag(self._demand)
        if options.demand is not None:
            self._on_demand = OnDemandDecoder(
                *(name, geometry, options.demand, self._normaliser, metrics),
                *(self._decode_picture, self._emit, lambda frame: self._pts_of(frame, Stream.VIDEO)),
            )
            self._bursts = BurstReader(options.burst_ns, options.demand.wake, options.burst_turn or BurstTurn())
        self._video: Any = None
        self._picture_decoder: PictureDecoder | None = None
        self._bases: dict[int, tuple[int, int]] = {}
        self._on_device = False
        self._failed = 0
        self._deferred: list[Any] = []
        self._due_ns = 0
        self._next_ns = 0
        self._read_ns = self._waited_ns = 0

    @property
    def decoded(self) -> int:
        """Pictures and blocks of sound so far."""
        return self._normaliser.decoded

    @property
    def end_ns(self) -> int | None:
        """The end of the media read so far, over both streams."""
        return self._normaliser.end_ns

    def items(
        self, container: Any, cancel: threading.Event, pace: ArrivalPacer | None = None, shift_ns: int = 0
    ) -> Iterator[MediaItem]:
        """Read to the end, or until ``cancel``; all pts are shifted by ``shift_ns``.

        An item arrives when its packet was read, or when ``pace`` returns. HardwareDecoderError when a device decodes
        nothing.
        """
        video, audio = streams_of(container)
        chosen = [s for s in (video, audio) if s is not None]
        self._normaliser.pace, self._shift_ns = pace, shift_ns
        self._deferred.clear()
        self._on_device, self._failed = is_accelerated(container), 0
        if video is not None:
            device = self._scaling(video) if self._on_device and self._scaling is not None else None
            self._picture_decoder = PictureDecoder(video, self._threads, device)
            self._normaliser.step_ns = _nominal_step_ns(video)
        if self._feed is not None:
            self._feed.open(chosen)
        self._video = video
        self._bases = {s.index: (s.time_base.numerator * NS_PER_S, s.time_base.denominator) for s in chosen}
        if self._on_demand is not None:
            self._on_demand.open()
            self._bursts.restart()
            self._lag.restart()
        try:
            for packet in self._demux(container, chosen):
                if packet is None:
                    yield from self._end_pictures()
                elif cancel.is_set():
                    return
                else:
                    yield from self._packet(packet)
        finally:
            if self._on_demand is not None:
                self._bursts.finish()
        yield from self._decode_deferred()
        yield from self._normaliser.flush()

    def _packet(self, packet: Any) -> Iterator[MediaItem]:
        normaliser, started_ns = self._normaliser, self._read_ns
        self._note_arrival(packet, started_ns)
        if self._feed is not None:
            self._feed.push(packet, normaliser.arrival_ns, self._shift_ns)
        if self._lag.discards:
            yield from self._discard(packet)
        elif packet.stream is not self._video:
            yield from self._sound(packet)
        elif self._on_demand is None:
            yield from self._pictures(self._decode_picture(packet), started_ns)
        else:
            yield from self._pictures_on_demand(self._on_demand, packet)
        if self._on_demand is not None:
            if not self._is_sparing:
                self._bursts.finish()
            elif normaliser.pace is None:
                yield from self._rest(self._on_demand)

    def _note_arrival(self, packet: Any, now_ns: int) -> None:
        """When a packet arrived: now, or while it lay unread; a recording's when its burst was waited for."""
        normaliser, pts_ns = self._normaliser, None
        if self._on_demand is not None and packet.pts is not None:
            pts_ns = self._packet_ns(packet, packet.pts) + self._shift_ns
        if normaliser.pace is not None:
            if pts_ns is not None and self._is_sparing:
                normaliser.arrival_ns = self._bursts.pace(pts_ns, normaliser.pace)
            return
        normaliser.arrival_ns = now_ns
        if pts_ns is not None:
            assert self._on_demand is not None
            arrival_ns = self._bursts.arrival(packet.stream_index, pts_ns, now_ns, self._waited_ns)
            self._lag.note(self._bursts.late_ns, now_ns)
            if self._demand.lags or self._on_demand.is_sparing:
                normaliser.arrival_ns = arrival_ns

    def _discard(self, packet: Any) -> Iterator[MediaItem]:
        """Leave out a packet of a backlog that the box does not get through: what is newest counts."""
        assert self._on_demand is not None
        yield from self._decode_deferred()
        if packet.pts is not None:
            pts_ns = self._packet_ns(packet, packet.pts) + self._shift_ns
            is_picture = packet.stream is self._video
            if is_picture:
                yield from self._on_demand.pass_by(packet, pts_ns)
            length_ns = self._packet_ns(packet, packet.duration or 0) or self._normaliser.step_ns
            stream = Stream.VIDEO if is_picture else Stream.AUDIO
            yield from self._normaliser.pass_over(stream, pts_ns, length_ns)
        self._demand.left_out_ns = self._normaliser.arrival_ns
        self._normaliser.drop("late")

    @property
    def _is_sparing(self) -> bool:
        return self._on_demand is not None and self._on_demand.is_sparing

    def _demux(self, container: Any, chosen: list[Any]) -> Iterator[Any]:
        """The packets, and None before the error that ends them, so that nothing that was kept is lost."""
        import av

        packets = container.demux(*chosen)
        try:
            while True:
                began_ns = self._clock.mono_ns()
                packet = next(packets, None)
                self._read_ns = self._clock.mono_ns()
                self._waited_ns = self._read_ns - began_ns
                if packet is None:
                    return
                yield packet
        except av.error.FFmpegError:
            yield None
            raise

    def _end_pictures(self) -> Iterator[MediaItem]:
        if self._on_demand is not None:
            yield from self._on_demand.end()

    def _rest(self, on_demand: OnDemandDecoder) -> Iterator[MediaItem]:
        """Let a burst gather while a live camera is quiet and what came was read."""
        self._demand.unread_since_ns = self._read_ns
        has_rested = self._bursts.go_on()
        self._demand.unread_since_ns = None
        if has_rested:
            now_ns = self._clock.mono_ns()
            self._lag.note_rest(now_ns - self._read_ns)
            yield from on_demand.look(now_ns)

    def _pictures_on_demand(self, on_demand: OnDemandDecoder, packet: Any) -> Iterator[MediaItem]:
        if not packet.size or packet.pts is None:  # the end, or a packet without time
            yield from on_demand.end()
            yield from self._pictures(self._decode_picture(packet), self._clock.mono_ns())
            return
        pts_ns = self._packet_ns(packet, packet.pts) + self._shift_ns
        yield from on_demand.add(KeptPacket(packet, pts_ns, self._normaliser.arrival_ns))

    def _emit(self, frame: Any) -> Iterator[MediaItem]:
        yield from self._pictures([frame], self._clock.mono_ns())

    def _pictures(self, frames: list[Any], started_ns: int) -> Iterator[MediaItem]:
        for frame in frames:
            self._failed = 0
            if frame.is_corrupt:
                self._normaliser.drop("decode")
                continue
            pts_ns = self._pts_of(frame, Stream.VIDEO)
            if self._deferred and not self._normaliser.is_continuous(Stream.VIDEO, pts_ns, self._normaliser.step_ns):
                yield from self._decode_deferred()
            yield from self._normaliser.add_picture(frame, pts_ns, started_ns)
            started_ns = self._clock.mono_ns()

    def _decode_picture(self, packet: Any | None) -> list[Any]:
        """Decode a picture's packet; None for what the decoder still holds, after which it starts over."""
        assert self._picture_decoder is not None
        if packet is not None:
            frames = self.decode_packet(packet)
        else:
            with self._stage("decode"):
                frames = self._picture_decoder.finish()
        if self._on_device and self._failed >= _MAX_FAILED_PACKETS:
            raise no_picture_error(self._name)
        return frames

    def _sound(self, packet: Any) -> Iterator[MediaItem]:
        if self._can_defer(packet):
            self._deferred.append(packet)
            return
        yield from self._decode_deferred()
        for frame in self.decode_packet(packet):
            yield from self._add_sound(frame, has_arrived=False)

    def _add_sound(self, frame: Any, *, has_arrived: bool) -> Iterator[MediaItem]:
        """A block of sound; before a break of its clock the pictures that are kept, and what its onset wakes."""
        pts_ns = self._pts_of(frame, Stream.AUDIO)
        if self._is_sparing and not self._normaliser.is_continuous(
            Stream.AUDIO, pts_ns, frame.samples * NS_PER_S // frame.sample_rate
        ):
            yield from self._end_pictures()
        for item in self._normaliser.add_sound(frame, pts_ns, has_arrived=has_arrived):
            yield item
            if self._on_demand is not None and isinstance(item, AudioChunk):
                yield from self._on_demand.add_sound(item)

    def _can_defer(self, packet: Any) -> bool:
        """Whether this packet continues the last one and its chunk is not due yet; notes its arrival if so."""
        if packet.pts is None or not packet.duration:
            return False
        pts_ns = self._packet_ns(packet, packet.pts) + self._shift_ns
        length_ns = self._packet_ns(packet, packet.duration)
        goes_on = 2 * abs(pts_ns - self._next_ns) <= length_ns
        self._next_ns = pts_ns + length_ns
        if not self._deferred:
            due_ns = self._normaliser.sound_due_ns(pts_ns)
            if due_ns is None or not self._normaliser.is_continuous(Stream.AUDIO, pts_ns, length_ns):
                return False
            self._due_ns = due_ns
        if not goes_on or pts_ns + _BATCHED_PACKETS * length_ns >= self._due_ns:
            return False
        self._normaliser.note_arrival(pts_ns)
        return True

    def _decode_deferred(self) -> Iterator[MediaItem]:
        packets, self._deferred = self._deferred, []
        for packet in packets:
            for frame in self.decode_packet(packet):
                yield from self._add_sound(frame, has_arrived=True)

    def decode_packet(self, packet: Any) -> list[Any]:
        """What a packet of either stream completes; what cannot be decoded is counted."""
        import av

        pictures = self._picture_decoder if packet.stream is self._video else None
        try:
            with self._stage("decode"):
                return list(packet.decode()) if pictures is None else pictures.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self._normaliser.drop("decode")
            self._failed += 1
            return []

    def _packet_ns(self, packet: Any, ticks: int) -> int:
        """Ticks of a packet's stream in ns; asking each packet for its time base makes a fraction each time."""
        numerator, denominator = self._bases[packet.stream_index]
        return ticks * numerator // denominator

    def _pts_of(self, frame: Any, stream: Stream) -> int:
        if frame.pts is None:
            return self._normaliser.expected_ns(stream)
        return _ns(frame.pts, frame.time_base or self._video.time_base) + self._shift_ns  # drained ones have none


def streams_of(container: Any) -> tuple[Any | None, Any | None]:
    """The first picture stream that is not cover art, and the first sound stream."""
    import av

    cover = av.stream.Disposition.attached_pic
    video = next((s for s in container.streams.video if not s.disposition & cover), None)
    audio = next(iter(container.streams.audio), None)
    return video, audio


def _nominal_step_ns(stream: Any) -> int:
    rate = stream.average_rate or stream.guessed_rate
    return round(NS_PER_S / rate) if rate else NS_PER_S // 25


def _ns(ticks: int, time_base: Any) -> int:
    numerator: int = ticks * NS_PER_S * time_base.numerator
    return numerator // int(time_base.denominator)
