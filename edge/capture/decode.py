"""An opened container, read as items: picture and sound of one demuxer, for recordings and network cameras alike.

Runs on the capture thread. Errors of the demuxer are passed on as they are; the leaf that opened it explains them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from edge.capture.base import BARE, Fittings
from edge.capture.epochs import Epochs, Verdict
from edge.capture.picture import Chooser, Scaler
from edge.capture.sound import Collector, Resampler
from edge.capture.tap import Feed
from edge.clock import Clock
from edge.engine.manifest import Geometry
from edge.metrics import Metrics
from edge.types import NS_PER_S, AudioChunk, Frame, Gap, Glance, Item, Stream, seconds

Pace = Callable[[int], int]
"""Media time of a frame or block -> when it is to be taken as arrived, local monotonic ns; may wait."""


class Decoder:
    """Turns packets into items. One for the life of a source: loops of a recording go on in the same epoch."""

    def __init__(
        self, name: str, geometry: Geometry, clock: Clock, metrics: Metrics, fittings: Fittings = BARE
    ) -> None:
        self._name = name
        self._clock = clock
        self._metrics = metrics
        self._frames = metrics.frames.labels(name)
        self._decode_s = metrics.decode_s.labels(name)
        self._chooser = Chooser(geometry.frame_ns)
        self._scaler = Scaler(geometry.video, fittings.masks)
        self._feed = Feed(fittings.tap, fittings.keep_sound) if fittings.tap is not None else None
        self._resampler = Resampler(geometry.audio.rate_hz)
        self._collector = Collector(geometry.hop_ns)
        self._epochs = Epochs()
        self._held: tuple[Any, int, int] | None = None
        self._arrival_ns = clock.mono_ns()
        self._step_ns = 0
        self._shift_ns = 0
        self._pace: Pace | None = None
        self.decoded = 0

    @property
    def end_ns(self) -> int | None:
        """Where the media read so far ends, over both streams."""
        return self._epochs.end_ns

    def items(
        self, container: Any, cancel: threading.Event, pace: Pace | None = None, shift_ns: int = 0
    ) -> Iterator[Item]:
        """Read to the end, or until ``cancel``; all pts are moved by ``shift_ns``.

        Things arrive when their packet was read, or when ``pace`` says.
        """
        video, audio = streams_of(container)
        chosen = [s for s in (video, audio) if s is not None]
        self._pace, self._shift_ns = pace, shift_ns
        if video is not None:
            video.thread_type = "NONE"
            self._step_ns = _nominal_step_ns(video)
        if self._feed is not None:
            self._feed.open(chosen)
        for packet in container.demux(*chosen):
            if cancel.is_set():
                return
            started_ns = self._clock.mono_ns()
            if pace is None:
                self._arrival_ns = started_ns
            if self._feed is not None:
                self._feed.push(packet, self._arrival_ns, shift_ns)
            frames = self._decode(packet)
            for frame in frames:
                if packet.stream is video:
                    yield from self._picture(frame, started_ns)
                    started_ns = self._clock.mono_ns()
                else:
                    yield from self._sound(frame)
        yield from self._rest()

    def _decode(self, packet: Any) -> list[Any]:
        import av

        try:
            return list(packet.decode())
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self._drop("decode")
            return []

    def _picture(self, frame: Any, started_ns: int) -> Iterator[Item]:
        if frame.is_corrupt:
            self._drop("decode")
            return
        pts_ns = self._pts_of(frame, Stream.VIDEO)
        verdict = self._epochs.check(Stream.VIDEO, pts_ns, self._step_ns)
        if verdict is Verdict.JUMP:
            yield from self._break()
        if verdict in {Verdict.STALE, Verdict.BACKWARD}:
            self._drop("order")
            return
        arrival_ns = self._arrive(pts_ns)
        if verdict is not Verdict.NEXT:
            self._chooser.restart(pts_ns)
            self._collector.origin_ns = pts_ns
        else:
            self._step_ns = self._epochs.step_ns
        self.decoded += 1
        self._frames.inc()
        luma = self._scaler.luma(frame)
        take_held, take_now = self._chooser.choose(pts_ns)
        if take_held and self._held is not None:
            yield self._frame(*self._held)
        self._held = None if take_now else (frame, pts_ns, arrival_ns)
        if take_now:
            item = self._frame(frame, pts_ns, arrival_ns)
            self._decode_s.observe(seconds(self._clock.mono_ns() - started_ns))
            yield item
        else:
            self._decode_s.observe(seconds(self._clock.mono_ns() - started_ns))
        yield Glance(pts_ns, arrival_ns, luma)

    def _sound(self, frame: Any) -> Iterator[Item]:
        rate = frame.sample_rate
        pts_ns = self._pts_of(frame, Stream.AUDIO)
        verdict = self._epochs.check(Stream.AUDIO, pts_ns, frame.samples * NS_PER_S // rate)
        if verdict is Verdict.JUMP:
            yield from self._break()
        if verdict is Verdict.STALE:
            self._drop("order")
            return
        self._arrive(pts_ns)
        self.decoded += 1
        if not self._collector.fits(rate, pts_ns):
            yield from self._collected()
        if self._collector.add(frame, pts_ns):
            yield from self._collected()

    def _collected(self) -> list[AudioChunk]:
        block, pts_ns = self._collector.take()
        if not len(block):
            return []
        chunks = self._resampler.push(block, self._collector.rate_hz, pts_ns, self._arrival_ns)
        self._collector.lag_ns = max(self._collector.lag_ns, self._resampler.lag_ns)
        return chunks

    def _break(self) -> Iterator[Item]:
        """The end of an epoch: what is held back belongs to it, then the Gap."""
        yield from self._rest()
        self._metrics.gaps.labels(self._name, "jump").inc()
        yield Gap("jump", self._arrival_ns)

    def _rest(self) -> Iterator[Item]:
        if self._chooser.choose_last() and self._held is not None:
            yield self._frame(*self._held)
        self._held = None
        yield from self._collected()
        yield from self._resampler.flush(self._arrival_ns)
        self._collector.origin_ns = None

    def _arrive(self, pts_ns: int) -> int:
        if self._pace is not None:
            self._arrival_ns = self._pace(pts_ns)
        return self._arrival_ns

    def _frame(self, frame: Any, pts_ns: int, arrival_ns: int) -> Frame:
        ratio = frame.sample_aspect_ratio if hasattr(frame, "sample_aspect_ratio") else None
        image = self._scaler.scale(frame, float(ratio) if ratio else 1.0)
        return Frame(pts_ns, arrival_ns, image, self._scaler.content)

    def _pts_of(self, frame: Any, stream: Stream) -> int:
        if frame.pts is None:
            return self._epochs.expected_ns(stream)
        return _ns(frame.pts, frame.time_base) + self._shift_ns

    def _drop(self, place: str) -> None:
        self._metrics.drops.labels(self._name, place).inc()


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
