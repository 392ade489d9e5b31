"""One camera's media in memory: rings of pictures and sound, newest sensor readings, windows copied out of them.

The reader of a recording waits (`Backpressure`) until it overwrites nothing that a window still needs.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edge.buffer.microphone import RING_S, MicrophoneBuffer
from edge.buffer.rings import AudioTrack, FrameRing
from edge.buffer.timeline import DueWindow, Timeline
from edge.engine.manifest import Geometry, SensorChannel
from edge.media_time import MediaTime
from edge.status import SensorStatus
from edge.types import F32, Batch, Rect, SensorReading, Window, nanoseconds, seconds

_ROOM_S = 0.1
_WHOLE: Rect = (0.0, 0.0, 1.0, 1.0)
_KEPT_READINGS = 16


class MediaStore:
    """Rings for ``kept_s`` seconds of pictures and for sound, and the readings of ``sensors``.

    A ``microphone`` replaces the camera's own sound. Rings copy in and out without the owner's lock; ``lock`` guards
    the sensor readings.
    """

    def __init__(
        self,
        name: str,
        geometry: Geometry,
        kept_s: float,
        microphone: MicrophoneBuffer | None,
        sensors: Mapping[str, float],
        lock: threading.Lock,
    ) -> None:
        video, rate_hz = geometry.video, geometry.audio.rate_hz
        self.frames = FrameRing(video.frames + round(kept_s * video.fps), video.height, video.width)
        self.sound = AudioTrack(rate_hz, geometry.audio.samples + round(RING_S * rate_hz))
        self._microphone = microphone
        self._sensors = SensorCache(geometry.sensors, sensors)
        self._lock = lock
        self._assembler = WindowAssembler(name, geometry, self.frames, self.sound, microphone, self.fill_sensors)

    @property
    def torn(self) -> int:
        """Reads that were overwritten while they were copied."""
        return self.frames.torn + self.sound.ring.torn

    def push_sensor(self, reading: SensorReading) -> None:
        """Keep a reading, from any thread; channels that the model does not have are ignored."""
        with self._lock:
            self._sensors.push(reading)

    def sensor_statuses(self, now_ns: int) -> tuple[SensorStatus, ...]:
        """The newest reading of each configured channel; the caller holds the lock."""
        return self._sensors.statuses(now_ns)

    def assemble(self, due: DueWindow, batch: Batch, row: int) -> Window:
        """Copy a due window's media into ``row`` of ``batch``."""
        return self._assembler.assemble(due, batch, row, self.ready_ns(due))

    def ready_ns(self, due: DueWindow) -> int:
        """When the last of the window's media arrived, with the sound of an external microphone."""
        heard_at_ns = self._microphone.completed_at_ns(due.t_end_ns) if self._microphone is not None else None
        return due.ready_ns if heard_at_ns is None else max(due.ready_ns, heard_at_ns)

    def newest_sound(self, out: F32) -> int:
        """Fill f32[n] with the newest samples at the model's rate, zeros where missing; the position after them."""
        return self._microphone.newest(out) if self._microphone is not None else self.sound.ring.newest(out)

    def fill_sensors(self, t_ns: int, values: F32, ok: F32) -> tuple[bool, ...]:
        """Write the model's sensor inputs at ``t_ns``, as `SensorCache.fill`; which channels are configured."""
        with self._lock:
            return self._sensors.fill(t_ns, values, ok)


@dataclass(frozen=True, slots=True)
class WindowAssembler:
    """Assembles one camera's windows; a ``microphone`` replaces the camera's own ``sound``.

    ``sensors`` fills in the readings at a local time and returns which channels are configured.
    """

    camera: str
    geometry: Geometry
    frames: FrameRing
    sound: AudioTrack
    microphone: MicrophoneBuffer | None
    sensors: Callable[[int, F32, F32], tuple[bool, ...]]

    def assemble(self, due: DueWindow, batch: Batch, row: int, ready_ns: int) -> Window:
        """Fill ``row``. Missing pictures are masked; missing sound is zero, and the window states its coverage.

        ``ready_ns`` is when the last of the media arrived.
        """
        g = self.geometry
        last_ns, n = due.end_ns + g.slack_ns, g.video.frames
        spans = [(last_ns - (n - i) * g.frame_ns, last_ns - (n - 1 - i) * g.frame_ns) for i in range(n)]
        pictures = self.frames.gather(due.epoch, spans, batch.frames[row])
        video_ok, newest = pictures.ok, pictures.newest
        media_end = MediaTime(due.epoch, due.end_ns, due.seq * g.hop_ns)
        if self.microphone is not None:
            audio_ok = self.microphone.read(due.t_end_ns, batch.audio[row])
        else:
            audio_ok = self.sound.read(due.epoch, due.end_ns, batch.audio[row])
        batch.video_ok[row] = video_ok
        batch.audio_ok[row] = audio_ok
        return Window(
            camera=self.camera,
            seq=due.seq,
            t_end_ns=due.t_end_ns,
            media_end=media_end,
            row=row,
            video_ok=video_ok,
            audio_ok=audio_ok,
            sensor_ok=self.sensors(due.t_end_ns, batch.sensors[row], batch.sensor_ok[row]),
            content=_WHOLE if newest is None else newest.content,
            ready_ns=ready_ns,
            picture=None if newest is None else media_end + (newest.pts_ns - due.end_ns),
            pictures=pictures.numbers,
        )


class SensorCache:
    """Readings by channel; ``stale_s`` names the configured channels and how old their readings may be, seconds."""

    def __init__(self, channels: Sequence[SensorChannel], stale_s: Mapping[str, float]) -> None:
        self._channels = tuple(channels)
        self._stale_ns = {name: nanoseconds(s) for name, s in stale_s.items()}
        self._readings: dict[str, deque[SensorReading]] = {c.name: deque(maxlen=_KEPT_READINGS) for c in channels}

    def push(self, reading: SensorReading) -> None:
        """Keep a reading; unknown channels are ignored."""
        if reading.name in self._readings:
            self._readings[reading.name].append(reading)

    def fill(self, t_ns: int, values: F32, ok: F32) -> tuple[bool, ...]:
        """Write (value - mean) / std of each channel's newest reading at ``t_ns`` and 1, or 0 and 0."""
        present: list[bool] = []
        for i, channel in enumerate(self._channels):
            reading = self._newest(channel.name, t_ns)
            values[i] = 0.0 if reading is None else (reading.value - channel.mean) / channel.std
            ok[i] = 0.0 if reading is None else 1.0
            present.append(reading is not None)
        return tuple(present)

    def statuses(self, now_ns: int) -> tuple[SensorStatus, ...]:
        """The newest reading of each configured channel at ``now_ns``, however old."""
        return tuple(self._status(channel, now_ns) for channel in self._channels if channel.name in self._stale_ns)

    def _status(self, channel: SensorChannel, now_ns: int) -> SensorStatus:
        readings = self._readings[channel.name]
        if not readings:
            return SensorStatus(channel.name, channel.unit, None, None, is_stale=True)
        age_ns = max(0, now_ns - readings[-1].arrival_ns)
        is_stale = age_ns > self._stale_ns[channel.name]
        return SensorStatus(channel.name, channel.unit, readings[-1].value, seconds(age_ns), is_stale)

    def _newest(self, name: str, t_ns: int) -> SensorReading | None:
        stale_ns = self._stale_ns.get(name, 0)
        for reading in reversed(self._readings[name]):
            if reading.arrival_ns <= t_ns:
                return reading if t_ns - reading.arrival_ns <= stale_ns else None
        return None


@dataclass(slots=True)
class Backpressure:
    """Makes the reader of a recording wait for room. ``lock`` guards the timeline. ``can_wait`` returns whether a
    window will be taken; ``wake`` wakes the thread that takes it."""

    camera: str
    geometry: Geometry
    frames: FrameRing
    sound: AudioTrack
    timeline: Timeline
    lock: threading.Lock
    can_wait: Callable[[], bool]
    wake: Callable[[], None] | None
    _room: threading.Event = field(default_factory=threading.Event)
    _closed: threading.Event = field(default_factory=threading.Event)
    _taker: int | None = None

    def register_taker(self) -> None:
        """Note that the calling thread takes windows: it must not wait for itself."""
        self._taker = threading.get_ident()

    def notify_room(self) -> None:
        """Note that a window was taken."""
        self._room.set()

    def close(self) -> None:
        """End all waiting."""
        self._closed.set()
        self._room.set()

    def wait_for_frame(self, cancel: threading.Event | None) -> None:
        """Wait until there is room for a picture, or ``cancel`` or `close`; RuntimeError when the taker pushes."""
        self._wait(self._needs_oldest_frame, cancel)

    def wait_for_sound(self, n: int, cancel: threading.Event | None) -> None:
        """Wait until there is room for ``n`` samples, as above."""
        self._wait(lambda: self._needs_oldest_sound(n), cancel)

    def _wait(self, is_full: Callable[[], bool], cancel: threading.Event | None) -> None:
        while not self._closed.is_set() and not (cancel is not None and cancel.is_set()):
            self._room.clear()
            with self.lock:
                if not is_full():
                    return
            if not self.can_wait():
                return
            if self._taker == threading.get_ident():
                raise RuntimeError(f"{self.camera}: take what is due before pushing more")
            if self.wake is not None:
                self.wake()
            self._room.wait(_ROOM_S)

    def _needs_oldest_frame(self) -> bool:
        victim, epoch = self.frames.next_overwritten(), self.timeline.oldest
        if victim is None or victim[0] < epoch.index:
            return False
        span_ns = self.geometry.video.frames * self.geometry.frame_ns
        return victim[0] > epoch.index or victim[1] > self.timeline.next_end_ns - span_ns

    def _needs_oldest_sound(self, n: int) -> bool:
        from_ns = self.timeline.next_end_ns - nanoseconds(self.geometry.audio.window_s)
        return self.sound.would_overwrite(self.timeline.oldest.index, from_ns, n)
