"""One camera's media in memory: rings of pictures and sound, newest sensor readings, windows copied out of them.

Recordings are held back (`Backpressure`): whoever pushes waits until nothing is overwritten that a window still needs.
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

    A ``microphone`` stands in for the camera's own sound. Rings copy in and out without a lock of their owner;
    ``lock`` guards the sensors' readings.
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
        """Keep a reading, from any thread; names that the model does not know are ignored."""
        with self._lock:
            self._sensors.push(reading)

    def sensor_statuses(self, now_ns: int) -> tuple[SensorStatus, ...]:
        """The newest reading of each configured channel; the caller holds the lock."""
        return self._sensors.statuses(now_ns)

    def assemble(self, due: DueWindow, batch: Batch, row: int) -> Window:
        """Copy a due window's media into ``row`` of ``batch``."""
        return self._assembler.assemble(due, batch, row, self._ready_ns(due))

    def newest_sound(self, out: F32) -> int:
        """Fill f32[n] with the newest samples at the model's rate, zeros where missing; the position after them."""
        return self._microphone.newest(out) if self._microphone is not None else self.sound.ring.newest(out)

    def fill_sensors(self, t_ns: int, values: F32, ok: F32) -> tuple[bool, ...]:
        """Write what the model sees of the sensors at ``t_ns``, as `SensorCache.fill`; which channels there are."""
        with self._lock:
            return self._sensors.fill(t_ns, values, ok)

    def _ready_ns(self, due: DueWindow) -> int:
        """When the last of the window's media came; with an outer microphone its sound is part of that."""
        heard_at_ns = self._microphone.completed_at_ns(due.t_end_ns) if self._microphone is not None else None
        return due.ready_ns if heard_at_ns is None else max(due.ready_ns, heard_at_ns)


@dataclass(frozen=True, slots=True)
class WindowAssembler:
    """Where one camera's windows come from; a ``microphone`` stands in for the camera's own ``sound``.

    ``sensors`` fills the readings known at a local time and says which channels there are.
    """

    camera: str
    geometry: Geometry
    frames: FrameRing
    sound: AudioTrack
    microphone: MicrophoneBuffer | None
    sensors: Callable[[int, F32, F32], tuple[bool, ...]]

    def assemble(self, due: DueWindow, batch: Batch, row: int, ready_ns: int) -> Window:
        """Fill ``row``; what is missing is masked (pictures) or zero with its share stated (sound).

        ``ready_ns`` is when the last of it came.
        """
        g = self.geometry
        last_ns, n = due.end_ns + g.slack_ns, g.video.frames
        spans = [(last_ns - (n - i) * g.frame_ns, last_ns - (n - 1 - i) * g.frame_ns) for i in range(n)]
        video_ok, newest = self.frames.gather(due.epoch, spans, batch.frames[row])
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
        )


class SensorCache:
    """Readings by channel; ``stale_s`` says which channels there are and how old their readings may be."""

    def __init__(self, channels: Sequence[SensorChannel], stale_s: Mapping[str, float]) -> None:
        self._channels = tuple(channels)
        self._stale_ns = {name: nanoseconds(s) for name, s in stale_s.items()}
        self._readings: dict[str, deque[SensorReading]] = {c.name: deque(maxlen=_KEPT_READINGS) for c in channels}

    def push(self, reading: SensorReading) -> None:
        """Keep a reading; names that are no channel are ignored."""
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
    """``lock`` guards the timeline. ``can_wait`` says whether somebody will take something, ``wake`` rouses them."""

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
        """The calling thread takes windows: it must not wait for itself."""
        self._taker = threading.get_ident()

    def notify_room(self) -> None:
        """A window was taken."""
        self._room.set()

    def close(self) -> None:
        """Nobody waits any more."""
        self._closed.set()
        self._room.set()

    def wait_for_frame(self, cancel: threading.Event | None) -> None:
        """Until a picture may come in, ``cancel`` or `close`; RuntimeError where the taker itself pushes."""
        self._wait(self._needs_oldest_frame, cancel)

    def wait_for_sound(self, n: int, cancel: threading.Event | None) -> None:
        """Until ``n`` samples may come in, as above."""
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
