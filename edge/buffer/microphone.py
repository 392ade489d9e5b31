"""A microphone with a clock of its own, whose sound goes to the cameras that name it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from edge.buffer.av_offset import OnsetDetector
from edge.buffer.media_clock import MediaClock, WatermarkLog
from edge.buffer.rings import AudioTrack
from edge.buffer.stream_health import AudioMeter
from edge.config.models import HealthConfig
from edge.engine.manifest import Geometry
from edge.signal_change import SoundOnset
from edge.status import StreamStatus
from edge.types import F32, NS_PER_S, AudioChunk, Gap, MediaItem

RING_S = 6.0
"""Sound kept beyond one window."""


@dataclass(frozen=True, slots=True)
class MicrophoneListener:
    """Callbacks of a microphone: every item, the local time of every onset, and the arrival of sound that rises above
    what is usual."""

    item: Callable[[MediaItem], None]
    onset: Callable[[int], None]
    rise: Callable[[int], None]


class MicrophoneBuffer:
    """Sound of one microphone. Written by its capture thread, read by the engine thread through the cameras."""

    def __init__(self, name: str, geometry: Geometry, health: HealthConfig) -> None:
        self.name = name
        rate = geometry.audio.rate_hz
        self._track = AudioTrack(rate, geometry.audio.samples + round(RING_S * rate))
        self._meter = AudioMeter(health.silent_dbfs)
        self._onsets = OnsetDetector(rate)
        self._rises = SoundOnset(rate, round(geometry.hop_s * rate))
        self._clock = MediaClock()
        self._epoch = 0
        self._end_pts_ns: int | None = None
        self._watermarks = WatermarkLog()
        self._lock = threading.Lock()
        self._listeners: list[MicrophoneListener] = []

    def add_listener(self, listener: MicrophoneListener) -> None:
        """Call ``listener`` for what comes from now on; only while the pipeline is being built."""
        self._listeners.append(listener)

    def push(self, item: MediaItem) -> None:
        """Add a chunk or a gap; pictures are ignored."""
        bangs: list[int] = []
        if isinstance(item, AudioChunk):
            bangs = self._chunk(item)
        elif isinstance(item, Gap):
            with self._lock:
                self._restart()
        has_risen = isinstance(item, AudioChunk) and self._rises.rises(item.samples)
        for listener in self._listeners:
            if has_risen:
                listener.rise(item.arrival_ns)
            listener.item(item)
            for t_ns in bangs:
                listener.onset(t_ns)

    def available_until_ns(self) -> int | None:
        """Local time up to which sound is there; None before the first."""
        with self._lock:
            return None if self._end_pts_ns is None else self._clock.mono_of(self._end_pts_ns)

    def completed_at_ns(self, mono_ns: int) -> int | None:
        """When the sound up to local time ``mono_ns`` had arrived; None when it has not."""
        with self._lock:
            return None if self._end_pts_ns is None else self._watermarks.arrival_ns(self._clock.pts_of(mono_ns))

    def read(self, end_mono_ns: int, out: F32) -> float:
        """Fill f32[n] with the sound that ends at local time ``end_mono_ns``; the share that was there."""
        with self._lock:
            if self._end_pts_ns is None:
                out[:] = 0.0
                return 0.0
            epoch, end_ns = self._epoch, self._clock.pts_of(end_mono_ns)
        return self._track.read(epoch, end_ns, out)

    def newest(self, out: F32) -> int:
        """Fill f32[n] with the newest samples, for display; the position after them."""
        return self._track.ring.newest(out)

    def status(self, now_ns: int) -> StreamStatus:
        """Health of the sound."""
        with self._lock:
            return self._meter.status(now_ns, self._clock.drift_ppm)

    def _chunk(self, chunk: AudioChunk) -> list[int]:
        length_ns = len(chunk.samples) * NS_PER_S // self._onsets.rate_hz
        with self._lock:
            # A chunk is complete when its last sample is: that is the moment which arrival belongs to.
            before = self._clock.epoch
            self._clock.to_mono(chunk.pts_ns + length_ns, chunk.arrival_ns)
            if self._clock.epoch != before:
                self._epoch += 1
                self._watermarks = WatermarkLog()
            self._end_pts_ns = self._track.push(self._epoch, chunk.pts_ns, chunk.samples)
            self._watermarks.add(self._end_pts_ns, chunk.arrival_ns)
            self._meter.add_chunk(chunk.samples, chunk.arrival_ns)
            return [self._clock.mono_of(pts_ns) for pts_ns in self._onsets.push(chunk.pts_ns, chunk.samples)]

    def _restart(self) -> None:
        self._epoch += 1
        self._clock = MediaClock()
        self._end_pts_ns = None
        self._watermarks = WatermarkLog()
