"""Turns decoded pictures and sound of one source into items. Runs on the capture thread.

`EpochTracker` finds breaks of the media clock over both streams of a container.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Any, cast

import numpy as np

from edge.capture.base import DEFAULT_OPTIONS, SourceOptions
from edge.capture.picture import FrameDecimator, FrameScaler, pixel_aspect
from edge.capture.sound import AudioBlockAssembler, Resampler
from edge.clock import Clock
from edge.engine.manifest import Geometry
from edge.metrics import Metrics
from edge.types import NS_PER_S, U8, AudioChunk, Frame, Gap, LumaSample, MediaItem, SkippedPictures, Stream, seconds

ArrivalPacer = Callable[[int], int]
"""Media time of a frame or block -> its arrival, local monotonic ns; may wait."""
JUMP_NS = NS_PER_S // 2
_STALE_NS = NS_PER_S
_SPARSE = 3  # steps of a slow stream up to which a gap is no jump


class MediaNormaliser:
    """Decimates and scales pictures, assembles and resamples sound, and notices breaks of the media clock.

    One for the life of a source. Media arrives at ``arrival_ns``, which the owner sets, or when ``pace`` returns.
    """

    def __init__(
        self, name: str, geometry: Geometry, clock: Clock, metrics: Metrics, options: SourceOptions = DEFAULT_OPTIONS
    ) -> None:
        self._name = name
        self._clock = clock
        self._metrics = metrics
        self._frames = metrics.frames.labels(name)
        self._decode_s = metrics.decode_s.labels(name)
        self._decimator = FrameDecimator(geometry.frame_ns)
        self._scaler = FrameScaler(geometry.video, options.masks)
        self._resampler = Resampler(geometry.audio.rate_hz)
        self._assembler = AudioBlockAssembler(geometry.hop_ns)
        self._epochs = EpochTracker()
        self._held: tuple[Any, int, int] | None = None
        self._unseen: Any = None
        self._ready_ns: int | None = None
        self._scaled: Any = None
        self.arrival_ns = clock.mono_ns()
        self.pace: ArrivalPacer | None = None
        self.step_ns = NS_PER_S // 25
        self.decoded = 0
        self._took_ns: list[int] = []

    @property
    def end_ns(self) -> int | None:
        """The end of the media so far, over both streams."""
        return self._epochs.end_ns

    def expected_ns(self, stream: Stream) -> int:
        """The pts of a frame or block that has none."""
        return self._epochs.expected_ns(stream)

    def is_continuous(self, stream: Stream, pts_ns: int, length_ns: int) -> bool:
        """Whether media at ``pts_ns`` continues the epoch: it is neither the stream's first nor a jump."""
        return self._epochs.is_continuous(stream, pts_ns, length_ns)

    def is_break(self, step_ns: int) -> bool:
        """Whether pictures ``step_ns`` apart do not follow each other."""
        return abs(step_ns) > jump_ns(self.step_ns)

    def sound_due_ns(self, start_ns: int) -> int | None:
        """The pts up to which sound from ``start_ns`` on is collected before it becomes a chunk.

        None while that is unknown: sound was collected already, or none has arrived yet.
        """
        return self._assembler.due_ns(start_ns)

    def note_arrival(self, pts_ns: int) -> int:
        """Note that media at ``pts_ns`` arrives now, or wait for it; its arrival."""
        if self.pace is not None:
            self.arrival_ns = self.pace(pts_ns)
        return self.arrival_ns

    def pass_over(self, stream: Stream, pts_ns: int, length_ns: int) -> Iterator[MediaItem]:
        """Media that is left out undecoded: what follows it goes on in the same epoch, after a hole."""
        if stream is Stream.AUDIO:
            yield from self._resampled()
            yield from self._resampler.flush(self.arrival_ns)
        self._epochs.pass_over(stream, pts_ns, length_ns)

    def drop(self, place: str, count: int = 1) -> None:
        """Count what is lost."""
        self._metrics.drops.labels(self._name, place).inc(count)

    def add_picture(self, frame: Any, pts_ns: int, started_ns: int) -> Iterator[MediaItem]:
        """Add an ``av.VideoFrame``; ``started_ns``: when work on it began."""
        verdict = self._epochs.classify(Stream.VIDEO, pts_ns, self.step_ns)
        if verdict in {PtsContinuity.STALE, PtsContinuity.BACKWARD}:
            self.drop("order")
            return
        yield from self._follow(verdict, pts_ns)
        arrival_ns = self.note_arrival(pts_ns)
        self.decoded, self._unseen = self.decoded + 1, None
        with self._metrics.stage("scale"):
            luma = self._scaler.mean_luma(frame)
        take_held, take_now = self._decimator.choose(pts_ns)
        if take_held and self._held is not None:
            yield self._frame(*self._held)
        self._held = None if take_now else (frame, pts_ns, arrival_ns)
        item = self._frame(frame, pts_ns, arrival_ns) if take_now else None
        self._took_ns.append(self._clock.mono_ns() - started_ns)
        if item is not None:
            self._count()
            yield item
        yield LumaSample(pts_ns, arrival_ns, luma, self._ready_ns)

    def skip_pictures(self, pictures: Sequence[tuple[int, int]], ready_ns: int) -> Iterator[MediaItem]:
        """Add pictures that were not decoded, as (pts, arrival), because they are like the last one added.

        Where that one was not chosen itself, it is shown in place of the first that is.
        """
        stand_ins: list[tuple[int, int]] = []
        count, last_ns = 0, 0
        for pts_ns, arrival_ns in sorted(pictures):
            verdict = self._epochs.classify(Stream.VIDEO, pts_ns, self.step_ns)
            if verdict in {PtsContinuity.STALE, PtsContinuity.BACKWARD}:
                self.drop("order")
                continue
            yield from self._follow(verdict, pts_ns)
            last_ns, count = pts_ns, count + 1
            take_held, take_now = self._decimator.choose(pts_ns)
            if take_held and self._held is not None:
                yield from self._stand_in(*self._held, stand_ins)
            elif self._held is not None and self._held[0] is not None:
                self._unseen = self._held[0]
            self._held = None if take_now else (None, pts_ns, arrival_ns)
            if take_now:
                yield from self._stand_in(None, pts_ns, arrival_ns, stand_ins)
        if count:
            self._count()
            yield SkippedPictures(tuple(stand_ins), count, last_ns, ready_ns)

    def _stand_in(
        self, frame: Any, pts_ns: int, arrival_ns: int, stand_ins: list[tuple[int, int]]
    ) -> Iterator[Frame | SkippedPictures]:
        """A chosen picture: the item of a decoded one, or one of ``stand_ins``."""
        frame, self._unseen = self._unseen if frame is None else frame, None
        if frame is None:
            stand_ins.append((pts_ns, arrival_ns))
        else:
            yield self._frame(frame, pts_ns, arrival_ns)

    @contextmanager
    def late(self, arrival_ns: int, ready_ns: int) -> Iterator[None]:
        """Within it, pictures arrived at ``arrival_ns`` and are decoded after the fact, at ``ready_ns``."""
        before_ns, self.arrival_ns, self._ready_ns = self.arrival_ns, arrival_ns, ready_ns
        try:
            yield
        finally:
            self.arrival_ns, self._ready_ns = before_ns, None

    def release(self) -> None:
        """Keep no decoded picture, with which the decoder's memory stays: one that is held back is kept scaled."""
        if self._held is not None and self._held[0] is not None:
            frame, pts_ns, arrival_ns = self._held
            self._held = (self.scaled(frame).copy(), pts_ns, arrival_ns)
        self._scaled = None

    def scaled(self, frame: Any) -> U8:
        """An ``av.VideoFrame`` at the model's size, u8[H,W,3], valid until the next one; one that is, as it is."""
        if isinstance(frame, np.ndarray):
            return cast("U8", frame)
        if frame is not self._scaled:
            with self._metrics.stage("scale"):
                self._image = self._scaler.scale(frame, pixel_aspect(frame))
            self._scaled = frame
        return self._image

    def add_sound(self, frame: Any, pts_ns: int, *, has_arrived: bool = False) -> Iterator[MediaItem]:
        """Add an ``av.AudioFrame``; ``has_arrived``: its arrival was noted already."""
        rate = frame.sample_rate
        verdict = self._epochs.classify(Stream.AUDIO, pts_ns, frame.samples * NS_PER_S // rate)
        if verdict is PtsContinuity.JUMP:
            yield from self._break()
        if verdict is PtsContinuity.STALE:
            self.drop("order")
            return
        if not has_arrived:
            self.note_arrival(pts_ns)
        self.decoded += 1
        if not self._assembler.fits(rate, pts_ns):
            yield from self._resampled()
        with self._metrics.stage("sound"):
            is_complete = self._assembler.add(frame, pts_ns)
        if is_complete:
            yield from self._resampled()

    def flush(self) -> Iterator[MediaItem]:
        """The items that were held back, at the end of the media or of an epoch."""
        if self._decimator.choose_last() and self._held is not None:
            yield self._frame(*self._held)
        self._held = self._unseen = None
        self._count()
        yield from self._resampled()
        yield from self._resampler.flush(self.arrival_ns)
        self._assembler.origin_ns = None

    def _resampled(self) -> list[AudioChunk]:
        block, pts_ns = self._assembler.take()
        if not len(block):
            return []
        with self._metrics.stage("sound"):
            chunks = self._resampler.push(block, self._assembler.rate_hz, pts_ns, self.arrival_ns)
        self._assembler.lag_ns = max(self._assembler.lag_ns, self._resampler.lag_ns)
        return chunks

    def _count(self) -> None:
        """Add pictures to the metrics a few at a time: taking their locks between decoder calls is slower."""
        self._frames.inc(len(self._took_ns))
        for took_ns in self._took_ns:
            self._decode_s.observe(seconds(took_ns))
        self._took_ns.clear()

    def _follow(self, verdict: PtsContinuity, pts_ns: int) -> Iterator[MediaItem]:
        """Begin an epoch with this picture, or go on with it."""
        if verdict is PtsContinuity.NEXT:
            self.step_ns = self._epochs.step_ns
            return
        if verdict is PtsContinuity.JUMP:
            yield from self._break()
        self._decimator.restart(pts_ns)
        self._assembler.origin_ns = pts_ns

    def _break(self) -> Iterator[MediaItem]:
        """End an epoch: yield what is held back, then the Gap."""
        yield from self.flush()
        self._metrics.gaps.labels(self._name, "jump").inc()
        yield Gap("jump", self.arrival_ns)

    def _frame(self, frame: Any, pts_ns: int, arrival_ns: int) -> Frame | SkippedPictures:
        """The item of a picture; ``frame`` None: one that was not decoded."""
        if frame is None:
            return SkippedPictures(((pts_ns, arrival_ns),), 0, pts_ns, self.arrival_ns)
        return Frame(pts_ns, arrival_ns, self.scaled(frame), self._scaler.content, self._ready_ns)


def jump_ns(length_ns: int) -> int:
    """From how far off what is expected media of this length jumps."""
    return max(JUMP_NS, _SPARSE * length_ns)


class PtsContinuity(Enum):
    """How the next pts of a stream relates to its last."""

    NEXT = "next"
    FIRST = "first"
    """The stream's first one in this epoch."""
    JUMP = "jump"
    """More than half a second from the expected pts, either way: a new epoch begins with it."""
    STALE = "stale"
    """Belongs to the former epoch, after the other stream has jumped already."""
    BACKWARD = "backward"
    """Not after the last pts, but not far enough back for a jump."""


class EpochTracker:
    """Follows the pts of picture and sound. When one stream jumps, the other one's jump belongs to the same break."""

    def __init__(self) -> None:
        self._last: dict[Stream, int] = {}
        self._next: dict[Stream, int] = {}
        self._old: dict[Stream, int] = {}
        self._stale_ns = 0
        self.origin_ns: int | None = None
        self.end_ns: int | None = None
        self.step_ns = 0

    def classify(self, stream: Stream, pts_ns: int, length_ns: int) -> PtsContinuity:
        """Classify and follow a frame or block that starts at ``pts_ns`` and should last ``length_ns``."""
        if stream not in self._next:
            if self._is_stale(stream, pts_ns, length_ns):
                return PtsContinuity.STALE
            self._follow(stream, pts_ns, length_ns)
            return PtsContinuity.FIRST
        if self._jumps(stream, pts_ns, length_ns):
            self._old = {s: t for s, t in self._next.items() if s is not stream}
            self._next, self._last = {}, {}
            self._stale_ns = 0
            self.origin_ns = None
            self._follow(stream, pts_ns, length_ns)
            return PtsContinuity.JUMP
        step_ns = pts_ns - self._last[stream]
        if step_ns <= 0:
            return PtsContinuity.BACKWARD
        self.step_ns = step_ns
        self._follow(stream, pts_ns, length_ns)
        return PtsContinuity.NEXT

    def pass_over(self, stream: Stream, pts_ns: int, length_ns: int) -> None:
        """Follow media that is left out; where its clock breaks, what comes after it shows so."""
        if self.is_continuous(stream, pts_ns, length_ns) and pts_ns > self._last[stream]:
            self._follow(stream, pts_ns, length_ns)

    def is_continuous(self, stream: Stream, pts_ns: int, length_ns: int) -> bool:
        """Whether `classify` would put it into the current epoch: neither the stream's first nor a jump."""
        return stream in self._next and not self._jumps(stream, pts_ns, length_ns)

    def expected_ns(self, stream: Stream) -> int:
        """The pts of a frame or block that has none."""
        return self._next.get(stream, self.origin_ns or 0)

    def _jumps(self, stream: Stream, pts_ns: int, length_ns: int) -> bool:
        return abs(pts_ns - self._next[stream]) > jump_ns(length_ns)

    def _is_stale(self, stream: Stream, pts_ns: int, length_ns: int) -> bool:
        old_ns = self._old.get(stream)
        if old_ns is None or self.origin_ns is None or abs(pts_ns - old_ns) > JUMP_NS:
            return False
        if abs(pts_ns - self.origin_ns) <= JUMP_NS or self._stale_ns >= _STALE_NS:
            return False
        self._old[stream] = pts_ns + length_ns
        self._stale_ns += length_ns
        return True

    def _follow(self, stream: Stream, pts_ns: int, length_ns: int) -> None:
        self._last[stream] = pts_ns
        self._next[stream] = pts_ns + length_ns
        self.origin_ns = pts_ns if self.origin_ns is None else self.origin_ns
        self.end_ns = self._next[stream] if self.end_ns is None else max(self.end_ns, self._next[stream])
