"""One camera's media, and the windows that the model scores.

`push` is called by the capture thread, `take` and `due` by the engine thread; neither waits for the other's copying.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from edge.buffer.media_store import Backpressure, MediaStore
from edge.buffer.microphone import MicrophoneBuffer, MicrophoneListener
from edge.buffer.rings import RingPicture
from edge.buffer.stream_health import CameraMeters
from edge.buffer.timeline import OVERDUE_NS, QUIET_OVERDUE_NS, DueWindow
from edge.buffer.window_schedule import IncompleteWindows, WindowSchedule
from edge.clock import Clock
from edge.config.models import HealthConfig, WindowsConfig
from edge.demand import DecodeState, PictureDemand, WakeReason
from edge.engine.manifest import Geometry
from edge.media_time import MediaTime
from edge.metrics import Metrics
from edge.status import CameraStatus, SourceState
from edge.types import (
    F32,
    NS_PER_S,
    AudioChunk,
    Batch,
    EpochStart,
    Frame,
    Gap,
    LumaSample,
    MediaItem,
    SensorReading,
    SkippedPictures,
    Stream,
    Window,
)

_FRAMES_S = 4.0  # pictures of a recording kept beyond one window: its sound may lie so far behind in the file
_SPARE_S = 1.0  # pictures of a live source kept beyond the longest wait, in case the engine is late
_GROUP_S = 2.5  # those of a quiet camera come a group at a time


class CameraBuffer:
    """Media, windows and health of one camera.

    ``live``: windows are also due when they are late by the clock, and new media overwrites the oldest. Otherwise
    nothing is lost: `push` waits until `take` has made room. ``microphone``: sound comes from there, not from the
    camera's own stream; without ``video`` the camera is that microphone alone, on the microphone's own axis.
    ``sensors``: the configured ones of the model's channels, and after how many seconds a reading is stale.
    ``wake`` is called (on the pushing thread, without a lock) when a window came due, ``on_epoch`` (on that thread)
    for the first picture and the first sound of every epoch. ``demand``: the camera's pictures are decoded on demand;
    without it all are.
    """

    def __init__(
        self,
        name: str,
        geometry: Geometry,
        clock: Clock,
        windows: WindowsConfig,
        health: HealthConfig,
        metrics: Metrics,
        *,
        live: bool = False,
        video: bool = True,
        audio: bool = True,
        microphone: MicrophoneBuffer | None = None,
        sensors: Mapping[str, float] | None = None,
        wake: Callable[[], None] | None = None,
        on_epoch: Callable[[EpochStart], None] | None = None,
        demand: PictureDemand | None = None,
    ) -> None:
        self.name = name
        self.demand = demand or PictureDemand()
        self._is_on_demand = demand is not None
        self._geometry = geometry
        self._clock = clock
        self._metrics = metrics
        self._live = live
        self._min_coverage = windows.min_coverage
        self._wake = wake
        self._microphone = microphone if video else None
        self._use_audio = audio and self._microphone is None
        present = {Stream.VIDEO: video, Stream.AUDIO: self._use_audio}
        self._lock = threading.Lock()
        self._meters = CameraMeters(geometry, health)
        streams = {stream for stream, is_there in present.items() if is_there}
        self.schedule = WindowSchedule(
            *(name, geometry, windows, metrics, streams), live=live, on_epoch=on_epoch, on_break=self._meters.restart
        )
        kept_s = min(windows.max_lateness_s + _SPARE_S, _FRAMES_S) if live else _FRAMES_S
        if self._is_on_demand:
            kept_s = max(kept_s, _SPARE_S) + _GROUP_S
        self.media = MediaStore(name, geometry, kept_s, self._microphone, sensors or {}, self._lock)
        self._left_out, self._hop_s = metrics.left_out.labels(name), metrics.hop_s.labels(name)
        self._hop_s.set(geometry.hop_s)
        self._drops: Counter[str] = Counter()
        self._backpressure = Backpressure(
            *(name, geometry, self.media.frames, self.media.sound, self.schedule.timeline, self._lock),
            *(self._can_take, wake),
        )
        self._lacks = IncompleteWindows(geometry)
        self._has_news = True
        self._is_begun = False
        self._attach_microphone(microphone)

    def expect(self, *, video: bool, audio: bool) -> None:
        """Set what the opened source delivers, so that an absent stream is not waited for."""
        with self._lock:
            self.schedule.expect({s for s, is_there in ((Stream.VIDEO, video), (Stream.AUDIO, audio)) if is_there})

    def push(self, item: MediaItem, cancel: threading.Event | None = None) -> None:
        """Add one item from the source. For a recording it waits for room, until ``cancel`` or `close`."""
        with self._metrics.stage("gather"):
            self._push(item, cancel)

    def push_sensor(self, reading: SensorReading) -> None:
        """Add one sensor reading, from any thread; channels that the model does not have are ignored."""
        self.media.push_sensor(reading)

    def set_stride(self, stride: int, phase: int = 0) -> None:
        """Make only those windows due whose number is ``phase`` modulo ``stride``; 1 for all."""
        with self._lock:
            self.schedule.set_stride(stride, phase)
        self._hop_s.set(self.schedule.hop_s)

    @property
    def skipped(self) -> int:
        """Due windows that the engine has skipped so far."""
        return self._drops["engine"]

    def finish(self) -> None:
        """Note the end of the media: its remaining windows are due. A recording too short for one is one."""
        with self._lock:
            self.schedule.timeline.finish(one_more=not self._live and not self._is_begun)
        self._has_news = True
        if self._wake is not None:
            self._wake()

    def close(self) -> None:
        """Make a waiting `push` return; for shutdown."""
        self._backpressure.close()

    def take_news(self) -> bool:
        """Whether media made a window due since the last call. Windows that are late by the clock are no news."""
        if not self._has_news:
            return False
        self._has_news = False
        return True

    def due(self, now_ns: int) -> int:
        """The number of windows that are due."""
        heard_ns = self._microphone_until_ns()
        with self._lock:
            self._follow_hold(now_ns)
            return self.schedule.count_due(now_ns, heard_ns)

    def take(self, batch: Batch, row: int, now_ns: int, *, newest: bool) -> Window | None:
        """Gather the oldest due window into ``row`` of ``batch``.

        With ``newest`` it is the newest if the oldest has been due for more than `OVERDUE_NS`; those before it are
        counted as drops. Windows with too little media are passed over and counted. None when no other is due.
        """
        self._backpressure.register_taker()
        while True:
            due = self._next_due(now_ns, newest=newest)
            if due is None:
                return None
            window = self.media.assemble(due, batch, row)
            with self._lock:
                if not (self._live or self._is_begun) and self.schedule.timeline.is_last(due):
                    window = replace(window, is_whole=True)
                skipped, left_out = self.schedule.timeline.commit(due)
                self._count_drop("engine", skipped)
                self._left_out.inc(left_out)
                is_hole = window.coverage < self._min_coverage or self._lacks.is_left_out(
                    window, self.schedule.timeline.expected, self.demand.left_out_ns
                )
                self._count_drop("coverage", int(is_hole))
            self._backpressure.notify_room()
            if not is_hole:
                self._is_begun = True
                return window

    def status(self, now_ns: int, state: SourceState = SourceState.UP, detail: str = "") -> CameraStatus:
        """Health at ``now_ns``; ``state`` and ``detail`` are those of the source."""
        microphone_status = self._microphone.status(now_ns) if self._microphone is not None else None
        demand = self.demand
        with self._lock:
            if demand.packet_ns is not None:
                self._meters.note_packet(demand.packet_ns)
            drift = self.schedule.drift_ppm
            meter_status = {
                stream: self._meters.status(stream, now_ns, drift.get(stream))
                for stream in self.schedule.timeline.expected
            }
            return CameraStatus(
                camera=self.name,
                now_ns=now_ns,
                state=state,
                detail=detail,
                video=meter_status.get(Stream.VIDEO),
                audio=microphone_status or meter_status.get(Stream.AUDIO),
                av_offset_s=self._meters.av_offset_s,
                drops={**self._drops, "torn": self.media.torn},
                hop_s=self.schedule.hop_s,
                is_thinned=self.schedule.stride > 1 or demand.status.state is DecodeState.LIMITED,
                sensors=self.media.sensor_statuses(now_ns),
                decode=demand.status if self._is_on_demand else None,
                key_stride=demand.key_stride,
            )

    def newest_picture(self, up_to: MediaTime | None = None) -> RingPicture | None:
        """A copy of the newest picture (of its epoch, at or before ``up_to``), from any thread."""
        return self.media.frames.newest(up_to)

    def newest_sound(self, out: F32) -> int:
        """Fill f32[n] with the newest samples at the model's rate, zeros where missing; the position after them."""
        return self.media.newest_sound(out)

    def _attach_microphone(self, microphone: MicrophoneBuffer | None) -> None:
        if microphone is None:
            return
        if self._microphone is None:
            microphone.add_listener(MicrophoneListener(self.push, onset=lambda _: None, rise=lambda _: None))
        else:
            microphone.add_listener(
                MicrophoneListener(lambda _: self._wake_if_due(), onset=self._external_onset, rise=self._external_rise)
            )

    def _push(self, item: MediaItem, cancel: threading.Event | None) -> None:
        match item:
            case Frame():
                self._push_frame(item, cancel)
            case LumaSample():
                self._push_luma(item)
            case SkippedPictures():
                self._push_skipped(item, cancel)
            case AudioChunk() if self._use_audio:
                self._push_audio(item, cancel)
            case Gap():
                with self._lock:
                    self.schedule.begin_epoch()
            case _:
                return
        self._wake_if_due()

    def _push_frame(self, frame: Frame, cancel: threading.Event | None) -> None:
        if not self._live:
            self._backpressure.wait_for_frame(cancel)
        with self._lock:
            epoch, pts_ns = self.schedule.enter(Stream.VIDEO, frame.pts_ns, frame.arrival_ns)
            self._meters.add_picture(frame.image, pts_ns, frame.arrival_ns)
        self.media.frames.push(epoch, pts_ns, frame.image, frame.content)
        with self._lock:
            self.schedule.add_picture(pts_ns, frame.arrival_ns, frame.ready_ns)

    def _push_luma(self, sample: LumaSample) -> None:
        with self._lock:
            self.schedule.enter(Stream.VIDEO, sample.pts_ns, sample.arrival_ns)
            self.schedule.add_luma(sample.pts_ns, sample.arrival_ns, sample.ready_ns)
            self._meters.add_luma(sample, self._on_sync_axis)

    def _push_skipped(self, skipped: SkippedPictures, cancel: threading.Event | None) -> None:
        """The newest picture stands for pictures that were not decoded."""
        for pts_ns, arrival_ns in skipped.stand_ins:
            if not self._live:
                self._backpressure.wait_for_frame(cancel)
            with self._lock:
                epoch, pts_ns = self.schedule.enter(Stream.VIDEO, pts_ns, arrival_ns)
                self.media.frames.repeat(epoch, pts_ns)
                self.schedule.add_picture(pts_ns, arrival_ns, skipped.arrival_ns)
        self.media.frames.trim()
        if skipped.count:
            with self._lock:
                self.schedule.add_luma(skipped.last_pts_ns, skipped.arrival_ns)
                self._meters.add_skipped(skipped.count, skipped.arrival_ns)

    def _push_audio(self, chunk: AudioChunk, cancel: threading.Event | None) -> None:
        if not self._live:
            self._backpressure.wait_for_sound(len(chunk.samples), cancel)
        length_ns = len(chunk.samples) * NS_PER_S // self._geometry.audio.rate_hz
        with self._lock:
            epoch, pts_ns = self.schedule.enter(Stream.AUDIO, chunk.pts_ns, chunk.arrival_ns, length_ns)
            self._meters.add_sound(pts_ns, chunk.samples, chunk.arrival_ns, self._on_sync_axis)
        end_ns = self.media.sound.push(epoch, pts_ns, chunk.samples)
        with self._lock:
            self.schedule.add_sound(pts_ns, end_ns, pts_ns + length_ns, chunk.arrival_ns)

    def _external_onset(self, mono_ns: int) -> None:
        with self._lock:
            self._meters.add_onset(mono_ns)

    def _external_rise(self, arrival_ns: int) -> None:
        self.demand.want(WakeReason.SOUND, arrival_ns + NS_PER_S)

    def _on_sync_axis(self, pts_ns: int) -> int:
        """Media time when picture and sound share a clock; local time with an external microphone."""
        clock = self.schedule.timeline.epoch.clock
        return pts_ns if self._microphone is None or clock is None else clock.mono_of(pts_ns)

    def _microphone_until_ns(self) -> int | None:
        """Up to when the external microphone has delivered; one that stalls is only waited for up to lateness."""
        if self._microphone is None:
            return None
        heard_ns = self._microphone.available_until_ns()
        return -(1 << 62) if heard_ns is None else heard_ns

    def _can_take(self) -> bool:
        """Whether a window will be taken: one is due, or waits for an external microphone."""
        return self._microphone is not None or self.due(self._clock.mono_ns()) > 0

    def _wake_if_due(self) -> None:
        """Note each newly due window, and call ``wake`` once for it."""
        heard_ns, now_ns = self._microphone_until_ns(), self._clock.mono_ns()
        with self._lock:
            self._follow_hold(now_ns)
            is_news = self.schedule.is_news(now_ns, heard_ns)
        if not is_news:
            return
        self._has_news = True
        if self._wake is not None:
            self._wake()

    def _follow_hold(self, now_ns: int) -> None:
        """Windows wait longer for pictures that are held back."""
        self.schedule.timeline.hold_ns = self.demand.hold_ns(now_ns)

    def _next_due(self, now_ns: int, *, newest: bool) -> DueWindow | None:
        heard_ns = self._microphone_until_ns()
        with self._lock:
            self._follow_hold(now_ns)
            due = self.schedule.next_due(now_ns, heard_ns, newest=False)
            longer_ns = (self.schedule.stride - 1) * self._geometry.hop_ns
            overdue_ns = OVERDUE_NS if self.demand.is_awake else QUIET_OVERDUE_NS + longer_ns
            overdue_ns += self.demand.behind_ns(now_ns)
            if newest and due is not None and now_ns - self.media.ready_ns(due) > overdue_ns:
                due = self.schedule.next_due(now_ns, heard_ns, newest=True)
            return due

    def _count_drop(self, place: str, n: int) -> None:
        if n:
            self._drops[place] += n
            self._metrics.drops.labels(self.name, place).inc(n)
