"""A source as a script of events: what a camera or microphone may do to us, item by item, the same each time."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.capture.picture import FrameDecimator
from edge.engine.manifest import AudioGeometry, Geometry, MemoryGeometry, SensorChannel, VideoGeometry
from edge.types import F32, NS_PER_S, AudioChunk, Batch, Frame, Gap, LumaSample, MediaItem, Stream, nanoseconds

SMALL = Geometry(
    hop_s=0.5,
    video=VideoGeometry(fps=4, frames=2, width=32, height=16),
    audio=AudioGeometry(rate_hz=8000, window_s=1.0),
    sensors=(
        SensorChannel(name="temperature", unit="°C", mean=20, std=10),
        SensorChannel(name="light", unit="lx", mean=200, std=300),
    ),
    memory=MemoryGeometry(tokens=4, dim=8),
)


def empty_batch(geometry: Geometry = SMALL, size: int = 1) -> Batch:
    """Arrays as a runtime would give them, full of what earlier windows left."""
    v, s = geometry.video, len(geometry.sensors)
    return Batch(
        frames=np.full((size, v.frames, v.height, v.width, 3), 77, np.uint8),
        video_ok=np.full((size, v.frames), 7, np.float32),
        audio=np.full((size, geometry.audio.samples), 7, np.float32),
        audio_ok=np.full(size, 7, np.float32),
        sensors=np.full((size, s), 7, np.float32),
        sensor_ok=np.full((size, s), 7, np.float32),
    )


@dataclass(frozen=True)
class Play:
    """The source delivers for ``s`` seconds."""

    s: float


@dataclass(frozen=True)
class Jump:
    """The media clock leaps by ``s`` (either way) while time goes on; ``announced`` as a decoder would, by a Gap."""

    s: float
    announced: bool = True


@dataclass(frozen=True)
class Drop:
    """What ``stream`` had for the next ``s`` seconds is lost; the other one goes on."""

    stream: Stream
    s: float


@dataclass(frozen=True)
class Delay:
    """From now on ``stream`` comes ``s`` seconds late."""

    stream: Stream
    s: float


@dataclass(frozen=True)
class Stall:
    """Nothing comes for ``s`` seconds, then all of it in one burst."""

    s: float


@dataclass(frozen=True)
class Drift:
    """From now on the source's clock runs ``ppm`` fast."""

    ppm: float


@dataclass(frozen=True)
class Jitter:
    """From now on every item comes up to ``s`` late, at random."""

    s: float


@dataclass(frozen=True)
class Reconnect:
    """The connection breaks for ``s`` seconds; then the media clock starts at zero again."""

    s: float


Script = Sequence[Play | Jump | Drop | Delay | Stall | Drift | Jitter | Reconnect]


def tone(first: int, n: int) -> F32:
    """Samples that tell their own position."""
    i = np.arange(first, first + n, dtype=np.int64)
    return ((i * 7919 % 16_777_213) / 8_388_608.0 - 1.0).astype(np.float32)


def shade(media_ns: int) -> int:
    """A grey that tells a picture's media time."""
    return media_ns // 1_000_000 % 251


@dataclass
class SourceSim:
    """Plays a script. What a picture or sample holds depends on media time alone, never on arrival."""

    script: Script
    geometry: Geometry = SMALL
    fps: float = 15.0
    chunk_s: float = 0.02
    video: bool = True
    audio: bool = True
    video_first_s: float = 0.0
    audio_first_s: float = 0.0
    pts_base_ns: int = 0
    audio_base_ns: int = 0
    seed: int = 0
    _arrived: list[tuple[int, int, MediaItem]] = field(default_factory=list)

    def items(self) -> list[MediaItem]:
        """All items in the order of their arrival; pictures of one stream stay in order."""
        self._run()
        return [item for _, _, item in sorted(self._arrived, key=lambda entry: entry[:2])]

    def _run(self) -> None:
        self._arrived = []
        self._random = random.Random(self.seed)
        self._media_ns = 0
        self._true_ns = 0
        self._shift_ns = self.pts_base_ns
        self._audio_pts_shift_ns = self.audio_base_ns
        self._ppm = self._jitter_s = 0.0
        self._late_ns = {Stream.VIDEO: 0, Stream.AUDIO: 0}
        self._dropped_until = {Stream.VIDEO: 0, Stream.AUDIO: 0}
        self._held_until_ns = 0
        self._newest = {Stream.VIDEO: 0, Stream.AUDIO: 0}
        self._next_frame_ns = nanoseconds(self.video_first_s)
        self._next_sample = round(self.audio_first_s * self.geometry.audio.rate_hz)
        self._chooser = FrameDecimator(self.geometry.frame_ns)
        self._chooser_is_new = True
        self._held: tuple[int, int, int] | None = None
        for event in self.script:
            self._do(event)
        self._flush()

    def _do(self, event: object) -> None:
        match event:
            case Play(s):
                self._play(s)
            case Jump(s, announced):
                self._shift_ns += nanoseconds(s)
                if announced:
                    self._gap("jump")
            case Drop(stream, s):
                self._dropped_until[stream] = self._media_ns + nanoseconds(s)
            case Delay(stream, s):
                self._late_ns[stream] = nanoseconds(s)
            case Stall(s):
                self._held_until_ns = self._true_ns + nanoseconds(s)
            case Drift(ppm):
                self._ppm = ppm
            case Jitter(s):
                self._jitter_s = s
            case Reconnect(s):
                self._true_ns += nanoseconds(s)
                self._gap("reconnect")
                self._shift_ns = self.pts_base_ns - self._media_ns

    def _flush(self) -> None:
        if self._chooser.choose_last() and self._held is not None:
            self._put(self._newest[Stream.VIDEO], self._image(*self._held))
        self._held = None

    def _gap(self, reason: str) -> None:
        self._flush()
        at_ns = max(self._true_ns, *self._newest.values())
        self._newest = dict.fromkeys(self._newest, at_ns)
        self._arrived.append((at_ns, len(self._arrived), Gap(reason, at_ns)))
        self._chooser_is_new = True

    def _play(self, s: float) -> None:
        end_ns = self._media_ns + nanoseconds(s)
        start_media_ns, start_true_ns = self._media_ns, self._true_ns
        rate, n = self.geometry.audio.rate_hz, round(self.chunk_s * self.geometry.audio.rate_hz)

        def true_ns(media_ns: int) -> int:
            return start_true_ns + round((media_ns - start_media_ns) / (1 + self._ppm * 1e-6))

        while True:
            frame_ns = self._next_frame_ns
            sound_ns = self._next_sample * NS_PER_S // rate
            sound_end_ns = (self._next_sample + n) * NS_PER_S // rate
            if min(frame_ns, sound_end_ns) >= end_ns + (0 if frame_ns < sound_end_ns else 1):
                break
            if frame_ns < sound_end_ns:
                if self.video:
                    self._frame(frame_ns, true_ns(frame_ns))
                self._next_frame_ns += round(NS_PER_S / self.fps)
            else:
                if self.audio:
                    self._chunk(sound_ns, self._next_sample, n, true_ns(sound_end_ns))
                self._next_sample += n
        self._media_ns, self._true_ns = end_ns, true_ns(end_ns)

    def _frame(self, media_ns: int, true_ns: int) -> None:
        if media_ns < self._dropped_until[Stream.VIDEO]:
            return
        pts_ns, arrival_ns = media_ns + self._shift_ns, self._arrival_ns(Stream.VIDEO, true_ns)
        if self._chooser_is_new:
            self._chooser.restart(pts_ns)
            self._chooser_is_new = False
        take_held, take_now = self._chooser.choose(pts_ns)
        if take_held and self._held is not None:
            self._put(arrival_ns, self._image(*self._held))
        self._held = None if take_now else (media_ns, pts_ns, arrival_ns)
        if take_now:
            self._put(arrival_ns, self._image(media_ns, pts_ns, arrival_ns))
        self._put(arrival_ns, LumaSample(pts_ns, arrival_ns, 100.0))

    def _image(self, media_ns: int, pts_ns: int, arrival_ns: int) -> Frame:
        v = self.geometry.video
        image = np.full((v.height, v.width, 3), shade(media_ns), np.uint8)
        return Frame(pts_ns, arrival_ns, image, (0.0, 0.0, 1.0, 1.0))

    def _chunk(self, media_ns: int, first: int, n: int, true_ns: int) -> None:
        if media_ns < self._dropped_until[Stream.AUDIO]:
            return
        arrival_ns = self._arrival_ns(Stream.AUDIO, true_ns)
        pts_ns = media_ns + self._shift_ns + self._audio_pts_shift_ns
        self._put(arrival_ns, AudioChunk(pts_ns, arrival_ns, tone(first, n)))

    def _arrival_ns(self, stream: Stream, true_ns: int) -> int:
        late_ns = self._late_ns[stream] + nanoseconds(self._random.random() * self._jitter_s)
        arrival_ns = max(true_ns + late_ns, self._held_until_ns, self._newest[stream])
        self._newest[stream] = arrival_ns
        return arrival_ns

    def _put(self, arrival_ns: int, item: MediaItem) -> None:
        self._arrived.append((arrival_ns, len(self._arrived), item))


def on_time(items: Sequence[MediaItem]) -> Iterator[tuple[int, MediaItem]]:
    """Items with the local time at which they come."""
    for item in items:
        yield item.arrival_ns, item
