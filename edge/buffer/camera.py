"""One camera's media, and the windows that the model looks at.

`push` is called by the capture thread, `take` and `due` by the engine's; neither waits for the other's copying.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping

from edge.buffer.av_offset import AvOffsetEstimator, FlashDetector, OnsetDetector
from edge.buffer.media_store import Backpressure, SensorCache, WindowAssembler
from edge.buffer.microphone import RING_S, MicrophoneBuffer, MicrophoneListener
from edge.buffer.rings import AudioTrack, FrameRing, RingPicture
from edge.buffer.stream_health import AudioMeter, VideoMeter
from edge.buffer.timeline import DueWindow, FrameIntervalTracker, Timeline
from edge.clock import Clock
from edge.config.models import HealthConfig, WindowsConfig
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
    Stream,
    Window,
    nanoseconds,
)

_FRAMES_S = 4.0  # pictures of a recording kept beyond one window: its sound may lie so far behind in the file
_SPARE_S = 1.0  # pictures of a live source kept beyond the longest wait: the engine's turn may come later
_UNRELATED_NS = NS_PER_S // 2


class CameraBuffer:
    """Rings, timeline and health of one camera.

    ``live``: windows are also due when they are late by the clock, and what comes overwrites what is oldest. Otherwise
    nothing is lost: `push` waits until `take` has made room. ``microphone``: sound comes from there, not from the
    camera's own stream; without ``video`` the camera is that microphone alone, on the microphone's own axis.
    ``sensors``: which of the model's channels there are, and after how many seconds a reading is stale.
    ``wake`` is called (on the pushing thread, without a lock) when a window came due, ``on_epoch`` (on that thread)
    for the first picture and the first sound of every epoch.
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
    ) -> None:
        self.name = name
        self._geometry = geometry
        self._clock = clock
        self._metrics = metrics
        self._live = live
        self._min_coverage = windows.min_coverage
        self._wake = wake
        self._on_epoch = on_epoch
        self._microphone = microphone if video else None
        self._use_audio = audio and self._microphone is None
        present = {Stream.VIDEO: video, Stream.AUDIO: self._use_audio}
        self._streams = {stream for stream, is_there in present.items() if is_there}
        self._timeline = Timeline(geometry.hop_ns, geometry.slack_ns, nanoseconds(windows.max_lateness_s), live)
        self._timeline.expect(self._streams)
        v, rate = geometry.video, geometry.audio.rate_hz
        kept_s = min(windows.max_lateness_s + _SPARE_S, _FRAMES_S) if live else _FRAMES_S
        self._frames = FrameRing(v.frames + round(kept_s * v.fps), v.height, v.width)
        self._sound = AudioTrack(rate, geometry.audio.samples + round(RING_S * rate))
        self._video_meter = VideoMeter(health.dark_luma, v.height, v.width)
        self._audio_meter = AudioMeter(health.silent_dbfs)
        self._flashes, self._onsets, self._sync = FlashDetector(), OnsetDetector(rate), AvOffsetEstimator()
        self._sensors = SensorCache(geometry.sensors, sensors or {})
        self._gatherer = WindowAssembler(
            name, geometry, self._frames, self._sound, self._microphone, self._fill_sensors
        )
        self._frame_interval = FrameIntervalTracker(geometry)
        self._stride = 1
        self._left_out, self._hop_s = metrics.left_out.labels(name), metrics.hop_s.labels(name)
        self._hop_s.set(geometry.hop_s)
        self._notified_seq = 0  # the newest window that ``wake`` was called for
        self._audio_shift_ns = 0
        self._drops: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._backpressure = Backpressure(
            *(name, geometry, self._frames, self._sound, self._timeline, self._lock, self._can_take, wake)
        )
        self._attach_microphone(microphone)

    def expect(self, *, video: bool, audio: bool) -> None:
        """Say what the opened source delivers, so that an absent stream is not waited for."""
        present = {s for s, is_there in ((Stream.VIDEO, video), (Stream.AUDIO, audio)) if is_there}
        with self._lock:
            self._timeline.expect(present & self._streams)

    def push(self, item: MediaItem, cancel: threading.Event | None = None) -> None:
        """Take one item from the source. For a recording it waits for room, until ``cancel`` or `close`."""
        match item:
            case Frame():
                self._push_frame(item, cancel)
            case LumaSample():
                self._push_luma(item)
            case AudioChunk() if self._use_audio:
                self._push_audio(item, cancel)
            case Gap():
                with self._lock:
                    self._begin_epoch()
            case _:
                return
        self._wake_if_due()

    def push_sensor(self, reading: SensorReading) -> None:
        """Take one sensor reading, from any thread; names that the model does not know are ignored."""
        with self._lock:
            self._sensors.push(reading)

    def set_stride(self, stride: int, phase: int = 0) -> None:
        """Have only every so many windows due, those whose number is ``phase`` modulo ``stride``; 1 for all."""
        with self._lock:
            self._timeline.set_stride(stride, phase)
            self._stride = stride
        self._hop_s.set(stride * self._geometry.hop_s)

    @property
    def skipped(self) -> int:
        """Due windows that the engine did not come to, so far."""
        return self._drops["engine"]

    def finish(self) -> None:
        """The media has ended: what remains of it is due."""
        with self._lock:
            self._timeline.finish()
        if self._wake is not None:
            self._wake()

    def close(self) -> None:
        """Let a waiting `push` return; for shutdown."""
        self._backpressure.close()

    def due(self, now_ns: int) -> int:
        """How many windows are due."""
        heard_ns = self._microphone_until_ns()
        with self._lock:
            return self._timeline.count_due(now_ns, heard_ns)

    def take(self, batch: Batch, row: int, now_ns: int, *, newest: bool) -> Window | None:
        """Gather a due window into ``row`` of ``batch``: the oldest, or the newest (older ones are counted as drops).

        Windows with too little media are passed over and counted. None when no other is due.
        """
        self._backpressure.register_taker()
        while True:
            heard_ns = self._microphone_until_ns()
            with self._lock:
                due = self._timeline.next_due(now_ns, newest, heard_ns)
            if due is None:
                return None
            window = self._gatherer.assemble(due, batch, row, self._ready_ns(due))
            with self._lock:
                skipped, left_out = self._timeline.commit(due)
                self._count_drop("engine", skipped)
                self._left_out.inc(left_out)
                is_hole = window.coverage < self._min_coverage
                self._count_drop("coverage", int(is_hole))
            self._backpressure.notify_room()
            if not is_hole:
                return window

    def status(self, now_ns: int, state: SourceState = SourceState.UP, detail: str = "") -> CameraStatus:
        """Health at ``now_ns``; ``state`` and ``detail`` are its source's."""
        microphone_status = self._microphone.status(now_ns) if self._microphone is not None else None
        with self._lock:
            tracks = self._timeline.epoch.tracks
            drift = {stream: track.clock.drift_ppm for stream, track in tracks.items()} if self._live else {}
            meters: dict[Stream, VideoMeter | AudioMeter] = {Stream.VIDEO: self._video_meter}
            meters[Stream.AUDIO] = self._audio_meter
            meter_status = {
                stream: meters[stream].status(now_ns, drift.get(stream)) for stream in self._timeline.expected
            }
            return CameraStatus(
                camera=self.name,
                now_ns=now_ns,
                state=state,
                detail=detail,
                video=meter_status.get(Stream.VIDEO),
                audio=microphone_status or meter_status.get(Stream.AUDIO),
                av_offset_s=self._sync.offset_s,
                drops={**self._drops, "torn": self._frames.torn + self._sound.ring.torn},
                hop_s=self._stride * self._geometry.hop_s,
                is_thinned=self._stride > 1,
                sensors=self._sensors.statuses(now_ns),
            )

    def newest_picture(self, up_to: MediaTime | None = None) -> RingPicture | None:
        """A copy of the newest picture (of its epoch, at or before ``up_to``), from any thread."""
        return self._frames.newest(up_to)

    def newest_sound(self, out: F32) -> int:
        """Fill f32[n] with the newest samples at the model's rate, zeros where missing; the position after them."""
        return self._microphone.newest(out) if self._microphone is not None else self._sound.ring.newest(out)

    def _attach_microphone(self, microphone: MicrophoneBuffer | None) -> None:
        if microphone is None:
            return
        if self._microphone is None:
            microphone.add_listener(MicrophoneListener(item=self.push, onset=lambda _: None))
        else:
            microphone.add_listener(MicrophoneListener(item=lambda _: self._wake_if_due(), onset=self._external_onset))

    def _push_frame(self, frame: Frame, cancel: threading.Event | None) -> None:
        if not self._live:
            self._backpressure.wait_for_frame(cancel)
        with self._lock:
            epoch = self._epoch_for(Stream.VIDEO, frame.pts_ns, frame.arrival_ns)
            self._announce_epoch(Stream.VIDEO, frame.pts_ns)
            self._video_meter.add_picture(frame.image, frame.arrival_ns)
        self._frames.push(epoch, frame.pts_ns, frame.image, frame.content)
        with self._lock:
            track = self._timeline.epoch.tracks.get(Stream.VIDEO)
            passed_ns = self._frame_interval.complete_until_ns(
                frame.pts_ns, frame.pts_ns if track is None else track.first_ns
            )
            self._timeline.advance(Stream.VIDEO, frame.pts_ns, passed_ns, frame.pts_ns, frame.arrival_ns)

    def _push_luma(self, sample: LumaSample) -> None:
        with self._lock:
            self._epoch_for(Stream.VIDEO, sample.pts_ns, sample.arrival_ns)
            self._announce_epoch(Stream.VIDEO, sample.pts_ns)
            self._video_meter.add_luma(sample.luma, sample.arrival_ns)
            self._frame_interval.add(sample.pts_ns)
            passed_ns = sample.pts_ns - self._geometry.slack_ns - 1
            end_ns = sample.pts_ns + self._frame_interval.interval_ns
            self._timeline.advance(Stream.VIDEO, sample.pts_ns, passed_ns, end_ns, sample.arrival_ns)
            flash_ns = self._flashes.push(sample.pts_ns, sample.luma)
            if flash_ns is not None:
                self._sync.add_flash(self._on_sync_axis(flash_ns))

    def _push_audio(self, chunk: AudioChunk, cancel: threading.Event | None) -> None:
        if not self._live:
            self._backpressure.wait_for_sound(len(chunk.samples), cancel)
        # What arrives is the end of a chunk: that is what its clock is about.
        length_ns = len(chunk.samples) * NS_PER_S // self._geometry.audio.rate_hz
        with self._lock:
            epoch = self._epoch_for(Stream.AUDIO, chunk.pts_ns + length_ns + self._audio_shift_ns, chunk.arrival_ns)
            self._announce_epoch(Stream.AUDIO, chunk.pts_ns, self._audio_shift_ns)
            pts_ns = chunk.pts_ns + self._audio_shift_ns
            self._audio_meter.add_chunk(chunk.samples, chunk.arrival_ns)
            for bang_ns in self._onsets.push(pts_ns, chunk.samples):
                self._sync.add_onset(self._on_sync_axis(bang_ns))
        end_ns = self._sound.push(epoch, pts_ns, chunk.samples)
        passed_ns = end_ns + NS_PER_S // (2 * self._geometry.audio.rate_hz)
        with self._lock:
            self._timeline.advance(Stream.AUDIO, pts_ns, passed_ns, end_ns, chunk.arrival_ns, pts_ns + length_ns)
            if self._live:
                self._relate_streams()

    def _external_onset(self, mono_ns: int) -> None:
        with self._lock:
            self._sync.add_onset(mono_ns)

    def _on_sync_axis(self, pts_ns: int) -> int:
        """Media time where picture and sound share it; local time with an outer microphone."""
        clock = self._timeline.epoch.clock
        return pts_ns if self._microphone is None or clock is None else clock.mono_of(pts_ns)

    def _epoch_for(self, stream: Stream, pts_ns: int, arrival_ns: int) -> int:
        """The epoch that this packet belongs to: a new one when a live stream's clock jumped unannounced."""
        track = self._timeline.epoch.tracks.get(stream)
        if self._live and track is not None and track.clock.jumps(pts_ns, arrival_ns):
            self._metrics.gaps.labels(self.name, "clock").inc()
            self._begin_epoch()
        return self._timeline.epoch.index

    def _announce_epoch(self, stream: Stream, pts_ns: int, shift_ns: int = 0) -> None:
        """Say where a stream begins in a new epoch, before its first item there is taken in."""
        epoch = self._timeline.epoch
        if self._on_epoch is not None and stream not in epoch.tracks:
            self._on_epoch(EpochStart(epoch.index, stream, pts_ns, shift_ns))

    def _begin_epoch(self, audio_shift_ns: int = 0, until: Stream | None = None) -> None:
        self._timeline.begin_epoch(until)
        self._sync.restart()
        self._frame_interval.restart()
        self._audio_shift_ns = audio_shift_ns

    def _relate_streams(self) -> None:
        """Two streams of one source whose pts have nothing to do with each other are joined by arrival."""
        tracks = self._timeline.epoch.tracks
        video, audio = tracks.get(Stream.VIDEO), tracks.get(Stream.AUDIO)
        if video is None or audio is None or not (video.clock.settled and audio.clock.settled):
            return
        apart_ns = (audio.clock.offset_ns or 0) - (video.clock.offset_ns or 0)
        if abs(apart_ns) > _UNRELATED_NS:
            self._metrics.gaps.labels(self.name, "unrelated").inc()
            self._begin_epoch(self._audio_shift_ns + apart_ns, Stream.VIDEO)

    def _fill_sensors(self, t_ns: int, values: F32, ok: F32) -> tuple[bool, ...]:
        with self._lock:
            return self._sensors.fill(t_ns, values, ok)

    def _ready_ns(self, due: DueWindow) -> int:
        """When the last of the window's media came; with an outer microphone its sound is part of that."""
        heard_at_ns = self._microphone.completed_at_ns(due.t_end_ns) if self._microphone is not None else None
        return due.ready_ns if heard_at_ns is None else max(due.ready_ns, heard_at_ns)

    def _microphone_until_ns(self) -> int | None:
        """Up to when the outer microphone was heard; a silent one is waited for by lateness alone."""
        if self._microphone is None:
            return None
        heard_ns = self._microphone.available_until_ns()
        return -(1 << 62) if heard_ns is None else heard_ns

    def _can_take(self) -> bool:
        """Whether a window will be taken: one is due, or waits for an outer microphone."""
        return self._microphone is not None or self.due(self._clock.mono_ns()) > 0

    def _wake_if_due(self) -> None:
        """Call ``wake`` when a window came due that it was not called for."""
        if self._wake is None:
            return
        heard_ns, now_ns = self._microphone_until_ns(), self._clock.mono_ns()
        with self._lock:
            newest = self._timeline.newest_due(now_ns, heard_ns)
            is_news, self._notified_seq = newest > self._notified_seq, max(newest, self._notified_seq)
        if is_news:
            self._wake()

    def _count_drop(self, place: str, n: int) -> None:
        if n:
            self._drops[place] += n
            self._metrics.drops.labels(self.name, place).inc(n)
