"""Health of a camera's streams: rate, age, level, time dark, silent or frozen, and a/v offset.

Not thread-safe; the owner holds its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from edge.buffer.av_offset import AvOffsetEstimator, FlashDetector, OnsetDetector
from edge.config.models import HealthConfig
from edge.engine.manifest import Geometry
from edge.status import StreamStatus
from edge.types import F32, NS_PER_S, U8, LumaSample, Stream, seconds

_RATE_NS = 5 * NS_PER_S
_BUCKET_NS = NS_PER_S // 2
_SAME = 0.02  # mean difference (0..255) up to which two pictures are the same; sensor noise alone gives more
_REPEAT_NS = 2 * NS_PER_S  # a frozen encoder repeats its last group of pictures
_GRID = 4
_SILENCE_DBFS = -120.0
_LOUDEST_OF = 4  # buckets


class RateMeter:
    """Rate per second, over the last five seconds."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque()
        self._first_ns: int | None = None

    def add(self, now_ns: int, n: int = 1) -> None:
        """Count ``n`` items."""
        self._first_ns = now_ns if self._first_ns is None else self._first_ns
        bucket = now_ns // _BUCKET_NS
        if self._buckets and self._buckets[-1][0] >= bucket:
            self._buckets[-1] = (self._buckets[-1][0], self._buckets[-1][1] + n)
        else:
            self._buckets.append((bucket, n))
        while (bucket - self._buckets[0][0]) * _BUCKET_NS > _RATE_NS:
            self._buckets.popleft()

    def hz(self, now_ns: int) -> float:
        """The rate at ``now_ns``; 0 when nothing came for five seconds."""
        bucket = now_ns // _BUCKET_NS
        recent = [n for b, n in self._buckets if 0 < bucket - b <= _RATE_NS // _BUCKET_NS]
        if not recent or self._first_ns is None:
            return 0.0
        span_ns = min(_RATE_NS, bucket * _BUCKET_NS - self._first_ns)
        return sum(recent) * NS_PER_S / max(span_ns, _BUCKET_NS)


class ConditionTimer:
    """For how long a condition has held, by arrival."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._last_ns = 0

    def update(self, is_so: bool, now_ns: int) -> None:
        """Set whether the condition holds at ``now_ns``."""
        self._last_ns = now_ns
        if not is_so:
            self._since_ns = None
        elif self._since_ns is None:
            self._since_ns = now_ns

    @property
    def duration_s(self) -> float:
        """Seconds up to the last update."""
        return 0.0 if self._since_ns is None else seconds(self._last_ns - self._since_ns)


class VideoMeter:
    """Measures the luma of every decoded picture, and the change between pictures of the model's size."""

    def __init__(self, dark_luma: float, height: int, width: int) -> None:
        self._dark_luma = dark_luma
        self._rate = RateMeter()
        self._dark = ConditionTimer()
        self._frozen = ConditionTimer()
        self._last_ns: int | None = None
        self._luma: float | None = None
        rows, columns = -(-height // _GRID), -(-width // _GRID)
        self._before = np.zeros((rows, columns), np.int16)
        self._now = np.zeros((rows, columns), np.int16)
        self._sums: deque[tuple[int, int]] = deque()

    def add_luma(self, luma: float, arrival_ns: int) -> None:
        """A decoded picture."""
        self._last_ns = arrival_ns
        self._rate.add(arrival_ns)
        self._luma = luma
        self._dark.update(luma < self._dark_luma, arrival_ns)

    def note_packet(self, arrival_ns: int) -> None:
        """A picture's packet came, which may not be decoded yet."""
        self._last_ns = arrival_ns if self._last_ns is None else max(self._last_ns, arrival_ns)

    def add_skipped(self, count: int, arrival_ns: int) -> None:
        """Pictures that were not decoded."""
        self._last_ns = arrival_ns
        self._rate.add(arrival_ns, count)

    def add_picture(self, image: U8, pts_ns: int, arrival_ns: int) -> None:
        """A picture u8[H,W,3] of the model's size."""
        self._last_ns = arrival_ns
        self._now[:] = image[::_GRID, ::_GRID, 1]
        mark = hash(self._now.tobytes())
        np.subtract(self._now, self._before, out=self._before)
        np.abs(self._before, out=self._before)
        same = bool(self._sums) and (
            any(mark == earlier for _, earlier in self._sums) or float(self._before.mean()) <= _SAME
        )
        self._frozen.update(same, arrival_ns)
        self._sums.append((pts_ns, mark))
        while not 0 <= pts_ns - self._sums[0][0] < _REPEAT_NS:
            self._sums.popleft()
        self._before, self._now = self._now, self._before

    def status(self, now_ns: int, drift_ppm: float | None) -> StreamStatus:
        """The stream at ``now_ns``."""
        return StreamStatus(
            age_s=None if self._last_ns is None else max(0.0, seconds(now_ns - self._last_ns)),
            rate_hz=self._rate.hz(now_ns),
            level=self._luma,
            quiet_s=self._dark.duration_s,
            frozen_s=self._frozen.duration_s,
            drift_ppm=drift_ppm,
        )


class AudioMeter:
    """Measures every chunk's peak."""

    def __init__(self, silent_dbfs: float) -> None:
        self._silent_dbfs = silent_dbfs
        self._rate = RateMeter()
        self._silent = ConditionTimer()
        self._stuck = ConditionTimer()
        self._last_ns: int | None = None
        self._peaks: deque[tuple[int, float]] = deque(maxlen=_LOUDEST_OF)

    def add_chunk(self, samples: F32, arrival_ns: int) -> None:
        """Add sound f32[n]."""
        self._last_ns = arrival_ns
        self._rate.add(arrival_ns, len(samples))
        if not len(samples):
            return
        low, high = float(samples.min()), float(samples.max())
        level = _dbfs(max(-low, high))
        self._silent.update(level < self._silent_dbfs, arrival_ns)
        self._stuck.update(low == high, arrival_ns)
        bucket = arrival_ns // _BUCKET_NS
        if self._peaks and self._peaks[-1][0] == bucket:
            self._peaks[-1] = (bucket, max(level, self._peaks[-1][1]))
        else:
            self._peaks.append((bucket, level))

    def status(self, now_ns: int, drift_ppm: float | None) -> StreamStatus:
        """The stream at ``now_ns``."""
        return StreamStatus(
            age_s=None if self._last_ns is None else max(0.0, seconds(now_ns - self._last_ns)),
            rate_hz=self._rate.hz(now_ns),
            level=max((level for _, level in self._peaks), default=None),
            quiet_s=self._silent.duration_s,
            frozen_s=self._stuck.duration_s,
            drift_ppm=drift_ppm,
        )


def _dbfs(amplitude: float) -> float:
    return _SILENCE_DBFS if amplitude <= 1e-6 else 20.0 * float(np.log10(amplitude))


class CameraMeters:
    """All measurements of one camera: its streams and the a/v offset.

    ``on_axis`` maps a pts to the axis that pictures and sound share.
    """

    def __init__(self, geometry: Geometry, health: HealthConfig) -> None:
        video = geometry.video
        self._video = VideoMeter(health.dark_luma, video.height, video.width)
        self._audio = AudioMeter(health.silent_dbfs)
        self._flashes, self._onsets = FlashDetector(), OnsetDetector(geometry.audio.rate_hz)
        self._offset = AvOffsetEstimator()

    @property
    def av_offset_s(self) -> float | None:
        """Seconds by which sound comes after the picture; None while unknown."""
        return self._offset.offset_s

    def add_picture(self, image: U8, pts_ns: int, arrival_ns: int) -> None:
        """A picture u8[H,W,3] of the model's size."""
        self._video.add_picture(image, pts_ns, arrival_ns)

    def add_skipped(self, count: int, arrival_ns: int) -> None:
        """Pictures that were not decoded, because they are like the last."""
        self._video.add_skipped(count, arrival_ns)

    def note_packet(self, arrival_ns: int) -> None:
        """A picture's packet came, which may not be decoded yet."""
        self._video.note_packet(arrival_ns)

    def add_luma(self, sample: LumaSample, on_axis: Callable[[int], int]) -> None:
        """A decoded picture."""
        self._video.add_luma(sample.luma, sample.arrival_ns)
        flash_ns = self._flashes.push(sample.pts_ns, sample.luma)
        if flash_ns is not None:
            self._offset.add_flash(on_axis(flash_ns))

    def add_sound(self, pts_ns: int, samples: F32, arrival_ns: int, on_axis: Callable[[int], int]) -> None:
        """Add sound f32[n] that begins at ``pts_ns``."""
        self._audio.add_chunk(samples, arrival_ns)
        for onset_ns in self._onsets.push(pts_ns, samples):
            self._offset.add_onset(on_axis(onset_ns))

    def add_onset(self, mono_ns: int) -> None:
        """Add an onset at an external microphone, in local time."""
        self._offset.add_onset(mono_ns)

    def restart(self) -> None:
        """Start over after a break of the media clock."""
        self._offset.restart()

    def status(self, stream: Stream, now_ns: int, drift_ppm: float | None) -> StreamStatus:
        """One stream at ``now_ns``."""
        meter = self._video if stream is Stream.VIDEO else self._audio
        return meter.status(now_ns, drift_ppm)
