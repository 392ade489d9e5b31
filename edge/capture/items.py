"""Decoded pictures and sound of one source become items, whoever decoded them. Runs on the capture thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from edge.capture.base import BARE, Fittings
from edge.capture.epochs import Epochs, Verdict
from edge.capture.picture import Chooser, Scaler
from edge.capture.sound import Collector, Resampler
from edge.clock import Clock
from edge.engine.manifest import Geometry
from edge.metrics import Metrics
from edge.types import NS_PER_S, AudioChunk, Frame, Gap, Glance, Item, Stream, seconds

Pace = Callable[[int], int]
"""Media time of a frame or block -> when it is to be taken as arrived, local monotonic ns; may wait."""


class ItemMaker:
    """Chooses and scales pictures, collects and resamples sound, and notices breaks of the media clock.

    One for the life of a source. Things arrive at ``arrival_ns``, which the owner sets, or when ``pace`` says.
    """

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
        self._resampler = Resampler(geometry.audio.rate_hz)
        self._collector = Collector(geometry.hop_ns)
        self._epochs = Epochs()
        self._held: tuple[Any, int, int] | None = None
        self.arrival_ns = clock.mono_ns()
        self.pace: Pace | None = None
        self.step_ns = NS_PER_S // 25
        self.decoded = 0
        self._took_ns: list[int] = []

    @property
    def end_ns(self) -> int | None:
        """Where the media so far ends, over both streams."""
        return self._epochs.end_ns

    def expected_ns(self, stream: Stream) -> int:
        """Where something without pts belongs."""
        return self._epochs.expected_ns(stream)

    def follows(self, stream: Stream, pts_ns: int, length_ns: int) -> bool:
        """Whether what lies at ``pts_ns`` goes on in the epoch, as neither the stream's first nor a jump."""
        return self._epochs.follows(stream, pts_ns, length_ns)

    def sound_due_ns(self, start_ns: int) -> int | None:
        """Up to which pts sound from ``start_ns`` on is collected before a chunk is made of it.

        None while that cannot be said: something was collected already, or nothing came yet.
        """
        return self._collector.due_ns(start_ns)

    def arrive(self, pts_ns: int) -> int:
        """What lies at ``pts_ns`` arrives now, or is waited for; when that was."""
        if self.pace is not None:
            self.arrival_ns = self.pace(pts_ns)
        return self.arrival_ns

    def drop(self, place: str) -> None:
        """Count a loss."""
        self._metrics.drops.labels(self._name, place).inc()

    def picture(self, frame: Any, pts_ns: int, started_ns: int) -> Iterator[Item]:
        """An ``av.VideoFrame``; ``started_ns``: when work on it began."""
        verdict = self._epochs.check(Stream.VIDEO, pts_ns, self.step_ns)
        if verdict is Verdict.JUMP:
            yield from self._break()
        if verdict in {Verdict.STALE, Verdict.BACKWARD}:
            self.drop("order")
            return
        arrival_ns = self.arrive(pts_ns)
        if verdict is not Verdict.NEXT:
            self._chooser.restart(pts_ns)
            self._collector.origin_ns = pts_ns
        else:
            self.step_ns = self._epochs.step_ns
        self.decoded += 1
        luma = self._scaler.luma(frame)
        take_held, take_now = self._chooser.choose(pts_ns)
        if take_held and self._held is not None:
            yield self._frame(*self._held)
        self._held = None if take_now else (frame, pts_ns, arrival_ns)
        item = self._frame(frame, pts_ns, arrival_ns) if take_now else None
        self._took_ns.append(self._clock.mono_ns() - started_ns)
        if item is not None:
            self._count()
            yield item
        yield Glance(pts_ns, arrival_ns, luma)

    def sound(self, frame: Any, pts_ns: int, *, has_arrived: bool = False) -> Iterator[Item]:
        """An ``av.AudioFrame``; ``has_arrived``: it was waited for already."""
        rate = frame.sample_rate
        verdict = self._epochs.check(Stream.AUDIO, pts_ns, frame.samples * NS_PER_S // rate)
        if verdict is Verdict.JUMP:
            yield from self._break()
        if verdict is Verdict.STALE:
            self.drop("order")
            return
        if not has_arrived:
            self.arrive(pts_ns)
        self.decoded += 1
        if not self._collector.fits(rate, pts_ns):
            yield from self._collected()
        if self._collector.add(frame, pts_ns):
            yield from self._collected()

    def rest(self) -> Iterator[Item]:
        """What is held back, at the end of the media or of an epoch."""
        if self._chooser.choose_last() and self._held is not None:
            yield self._frame(*self._held)
        self._held = None
        self._count()
        yield from self._collected()
        yield from self._resampler.flush(self.arrival_ns)
        self._collector.origin_ns = None

    def _collected(self) -> list[AudioChunk]:
        block, pts_ns = self._collector.take()
        if not len(block):
            return []
        chunks = self._resampler.push(block, self._collector.rate_hz, pts_ns, self.arrival_ns)
        self._collector.lag_ns = max(self._collector.lag_ns, self._resampler.lag_ns)
        return chunks

    def _count(self) -> None:
        """Pictures into the metrics, a few at a time: their locks cost more beside a decoder than in a row."""
        self._frames.inc(len(self._took_ns))
        for took_ns in self._took_ns:
            self._decode_s.observe(seconds(took_ns))
        self._took_ns.clear()

    def _break(self) -> Iterator[Item]:
        """The end of an epoch: what is held back belongs to it, then the Gap."""
        yield from self.rest()
        self._metrics.gaps.labels(self._name, "jump").inc()
        yield Gap("jump", self.arrival_ns)

    def _frame(self, frame: Any, pts_ns: int, arrival_ns: int) -> Frame:
        ratio = frame.sample_aspect_ratio if hasattr(frame, "sample_aspect_ratio") else None
        image = self._scaler.scale(frame, float(ratio) if ratio else 1.0)
        return Frame(pts_ns, arrival_ns, image, self._scaler.content)
