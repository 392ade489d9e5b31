"""Backpressure for recordings: whoever pushes waits until nothing is overwritten that a window still needs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from edge.buffer.rings import FrameRing
from edge.buffer.sound_track import AudioTrack
from edge.buffer.timeline import Timeline
from edge.engine.manifest import Geometry
from edge.types import nanoseconds

_ROOM_S = 0.1


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
