"""When one camera's windows are due: its streams' clocks and epochs, its hop, the announced epochs, and which lack too
much to be scored.

Not thread-safe; the owner holds its lock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from edge.buffer.timeline import DueWindow, FrameIntervalTracker, Timeline
from edge.config.models import WindowsConfig
from edge.engine.manifest import Geometry
from edge.metrics import Metrics
from edge.types import NS_PER_S, EpochStart, Stream, Window, nanoseconds

_UNRELATED_NS = NS_PER_S // 2


class WindowSchedule:
    """The timeline of one camera over its possible ``streams``.

    With ``live`` windows are also due when they are late by the clock, and a clock that jumps opens a new epoch.
    ``on_epoch`` is called for the first picture and the first sound of every epoch, before they are added;
    ``on_break`` whenever an epoch ends. ``also_until_ns`` is the local time up to which an external microphone has
    delivered, None when there is none.
    """

    def __init__(
        self,
        name: str,
        geometry: Geometry,
        windows: WindowsConfig,
        metrics: Metrics,
        streams: set[Stream],
        *,
        live: bool,
        on_epoch: Callable[[EpochStart], None] | None,
        on_break: Callable[[], None],
    ) -> None:
        self.name = name
        self.geometry = geometry
        self.stride = 1
        self.timeline = Timeline(geometry.hop_ns, geometry.slack_ns, nanoseconds(windows.max_lateness_s), live)
        self._gaps = metrics.gaps
        self._streams = frozenset(streams)
        self._live = live
        self._on_epoch = on_epoch
        self._on_break = on_break
        self._frame_interval = FrameIntervalTracker(geometry)
        self._audio_shift_ns = 0
        self._notified_seq = 0
        self.timeline.expect(streams)

    @property
    def hop_s(self) -> float:
        """Seconds between due windows."""
        return self.stride * self.geometry.hop_s

    @property
    def drift_ppm(self) -> dict[Stream, float | None]:
        """Drift of each live stream's clock against local time."""
        tracks = self.timeline.epoch.tracks
        return {stream: track.clock.drift_ppm for stream, track in tracks.items()} if self._live else {}

    def expect(self, streams: set[Stream]) -> None:
        """Set what the opened source delivers, so that an absent stream is not waited for."""
        self.timeline.expect(streams & self._streams)

    def set_stride(self, stride: int, phase: int) -> None:
        """Make only those windows due whose number is ``phase`` modulo ``stride``."""
        self.timeline.set_stride(stride, phase)
        self.stride = stride

    def begin_epoch(self, audio_shift_ns: int = 0, until: Stream | None = None) -> None:
        """Begin a new epoch after a break of the media clock."""
        self.timeline.begin_epoch(until)
        self._frame_interval.restart()
        self._audio_shift_ns = audio_shift_ns
        self._on_break()

    def enter(self, stream: Stream, pts_ns: int, arrival_ns: int, length_ns: int = 0) -> tuple[int, int]:
        """Place an item of ``length_ns`` that arrived: its epoch and its pts there.

        An unannounced jump of a live stream's clock opens a new epoch. An item arrives when its end does, so the clock
        follows its end. The first item of a stream in an epoch is announced.
        """
        shift_ns = self._audio_shift_ns if stream is Stream.AUDIO else 0
        track = self.timeline.epoch.tracks.get(stream)
        if self._live and track is not None and track.clock.jumps(pts_ns + length_ns + shift_ns, arrival_ns):
            self._gaps.labels(self.name, "clock").inc()
            self.begin_epoch()
            shift_ns = 0
        epoch = self.timeline.epoch
        if self._on_epoch is not None and stream not in epoch.tracks:
            self._on_epoch(EpochStart(epoch.index, stream, pts_ns, shift_ns))
        return epoch.index, pts_ns + shift_ns

    def add_picture(self, pts_ns: int, arrival_ns: int, ready_ns: int | None = None) -> None:
        """Note that a picture of the model's size is in its ring, since ``ready_ns`` where that is later."""
        track = self.timeline.epoch.tracks.get(Stream.VIDEO)
        first_ns = pts_ns if track is None else track.first_ns
        passed_ns = self._frame_interval.complete_until_ns(pts_ns, first_ns)
        self.timeline.advance(Stream.VIDEO, pts_ns, passed_ns, pts_ns, arrival_ns, ready_ns=ready_ns)

    def add_luma(self, pts_ns: int, arrival_ns: int, ready_ns: int | None = None) -> None:
        """Note a picture of the source, also one that decimation drops."""
        self._frame_interval.add(pts_ns)
        passed_ns = pts_ns - self.geometry.slack_ns - 1
        end_ns = pts_ns + self._frame_interval.interval_ns
        self.timeline.advance(Stream.VIDEO, pts_ns, passed_ns, end_ns, arrival_ns, ready_ns=ready_ns)

    def add_sound(self, pts_ns: int, end_ns: int, arrived_ns: int, arrival_ns: int) -> None:
        """Note that sound up to ``end_ns`` is in its ring; ``arrived_ns`` is the pts that arrived at ``arrival_ns``."""
        passed_ns = end_ns + NS_PER_S // (2 * self.geometry.audio.rate_hz)
        self.timeline.advance(Stream.AUDIO, pts_ns, passed_ns, end_ns, arrival_ns, arrived_ns)
        if self._live:
            self._relate_streams()

    def next_due(self, now_ns: int, also_until_ns: int | None, *, newest: bool) -> DueWindow | None:
        """The oldest window due, or the newest; it stays due until `Timeline.commit`."""
        return self.timeline.next_due(now_ns, newest, also_until_ns)

    def count_due(self, now_ns: int, also_until_ns: int | None) -> int:
        """The number of windows due now."""
        return self.timeline.count_due(now_ns, also_until_ns)

    def is_news(self, now_ns: int, also_until_ns: int | None) -> bool:
        """Whether a window came due since this last returned True."""
        newest = self.timeline.newest_due(now_ns, also_until_ns)
        is_news, self._notified_seq = newest > self._notified_seq, max(newest, self._notified_seq)
        return is_news

    def _relate_streams(self) -> None:
        """Align two streams of one source by arrival when their pts are unrelated."""
        tracks = self.timeline.epoch.tracks
        video, audio = tracks.get(Stream.VIDEO), tracks.get(Stream.AUDIO)
        if video is None or audio is None or not (video.clock.settled and audio.clock.settled):
            return
        apart_ns = (audio.clock.offset_ns or 0) - (video.clock.offset_ns or 0)
        if abs(apart_ns) > _UNRELATED_NS:
            self._gaps.labels(self.name, "unrelated").inc()
            self.begin_epoch(self._audio_shift_ns + apart_ns, Stream.VIDEO)


class IncompleteWindows:
    """Which windows are not scored because they lack media that was left out by a box that is behind.

    Such a window would be encoded anew because of what it lacks, and so would the next whole one, which makes the box
    later still. Where none is whole, one is scored every `LEAST_OFTEN_S`, whatever it lacks.
    """

    LEAST_OFTEN_S = 10.0

    def __init__(self, geometry: Geometry) -> None:
        self._length_ns = nanoseconds(max(geometry.audio.window_s, geometry.video.frames / geometry.video.fps))
        self._scored_ns: int | None = None

    def is_left_out(self, window: Window, expected: Collection[Stream], left_out_ns: int | None) -> bool:
        """Whether ``window`` is not to be scored. Media that arrived up to ``left_out_ns`` may be missing."""
        end_ns = window.t_end_ns
        may_lack = left_out_ns is not None and end_ns - self._length_ns < left_out_ns
        is_whole = all(window.video_ok) and (window.audio_ok >= 1.0 or Stream.AUDIO not in expected)
        is_due = self._scored_ns is None or end_ns - self._scored_ns >= nanoseconds(self.LEAST_OFTEN_S)
        if may_lack and not is_whole and not is_due:
            return True
        self._scored_ns = end_ns
        return False
