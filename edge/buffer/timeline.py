"""One camera's timeline: epochs, the progress of each stream, and which windows are due.

The axis is the container's own media time: per epoch, window k ends at the first picture's pts + k hops (the first
sample's where there is no picture), so the windows over a recording do not depend on when its packets arrived. Local
time is used for lateness and for ``t_end_ns`` alone. Not thread-safe; the owner holds its lock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edge.buffer.media_clock import MediaClock, WatermarkLog
from edge.engine.manifest import Geometry
from edge.types import NS_PER_S, Stream

SKEW_NS = 3 * NS_PER_S
"""A stream that lags the other by more than this is not waited for until it delivers again."""
OVERDUE_NS = NS_PER_S
"""A live camera whose oldest window has been due for longer than this goes on with its newest one."""
QUIET_OVERDUE_NS = 9 * NS_PER_S // 5
"""The same of a quiet camera, whose windows come due a group of pictures at a time."""


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window that can be assembled: it ends at ``end_ns`` on the epoch's pts axis.

    ``ready_ns`` is the local time at which it came due: the arrival of the media that completed it, or the moment from
    which it was late.
    """

    epoch: int
    seq: int
    end_ns: int
    t_end_ns: int
    ready_ns: int


@dataclass(slots=True)
class StreamProgress:
    """The progress of one stream in one epoch, in pts."""

    first_ns: int
    first_arrival_ns: int
    arrival_ns: int
    passed_ns: int
    end_ns: int
    clock: MediaClock
    watermarks: WatermarkLog = field(default_factory=WatermarkLog)


@dataclass(slots=True)
class Epoch:
    """Media on one unbroken axis. ``hops_before`` are the hops of all epochs before it."""

    index: int
    hops_before: int
    tracks: dict[Stream, StreamProgress] = field(default_factory=dict)
    origin_ns: int | None = None
    next_k: int = 1
    end_ns: int = 0
    least_hops: int = 0
    has_grid: bool = False
    closed: bool = False

    @property
    def clock(self) -> MediaClock | None:
        """The clock of the picture, or of the sound when there is no picture."""
        track = self.tracks.get(Stream.VIDEO) or self.tracks.get(Stream.AUDIO)
        return track.clock if track else None


class Timeline:
    """Windows over the streams in ``expected``; with ``live`` a window is also due when it is late by the clock."""

    def __init__(self, hop_ns: int, slack_ns: int, max_lateness_ns: int, live: bool) -> None:
        self._hop_ns = hop_ns
        self._slack_ns = slack_ns
        self._max_lateness_ns = max_lateness_ns
        self._live = live
        self.hold_ns = 0
        """How much later than ``max_lateness_ns`` windows are late now, because pictures are held back."""
        self._waited: set[Stream] = {Stream.VIDEO, Stream.AUDIO}
        self._expected: set[Stream] = {Stream.VIDEO, Stream.AUDIO}
        self._epochs: deque[Epoch] = deque([Epoch(0, 0)])
        self._last_t_end_ns: int | None = None
        self._stride, self._phase = 1, 0

    @property
    def epoch(self) -> Epoch:
        """The newest epoch."""
        return self._epochs[-1]

    @property
    def oldest(self) -> Epoch:
        """The epoch of the oldest window that is not taken yet."""
        return self._epochs[0]

    @property
    def expected(self) -> frozenset[Stream]:
        """The known streams."""
        return frozenset(self._expected)

    @property
    def next_end_ns(self) -> int:
        """The end of the oldest window that is not taken yet, in its epoch's pts."""
        epoch = self.oldest
        origin_ns = epoch.origin_ns
        if origin_ns is None:
            origin_ns = min((track.first_ns for track in epoch.tracks.values()), default=0)
        return origin_ns + epoch.next_k * self._hop_ns

    def set_stride(self, stride: int, phase: int = 0) -> None:
        """From now on make only windows due whose number is ``phase`` modulo ``stride``; the others are left out."""
        self._stride, self._phase = stride, phase % stride

    def expect(self, streams: set[Stream]) -> None:
        """Set which streams there are; others are not waited for unless they deliver."""
        self._waited = (self._waited & streams) | (streams - self._expected)
        self._expected = set(streams)
        self._fix_origin()

    def advance(
        self,
        stream: Stream,
        pts_ns: int,
        passed_ns: int,
        end_ns: int,
        arrival_ns: int,
        arrived_ns: int | None = None,
        ready_ns: int | None = None,
    ) -> None:
        """Note that ``stream`` delivered up to ``end_ns``: it is complete for all windows up to ``passed_ns``.

        ``arrived_ns`` is the pts that ``arrival_ns`` belongs to, where that is not ``pts_ns``; ``ready_ns`` is when it
        could be used, where that is later than it arrived.
        """
        ready_ns = arrival_ns if ready_ns is None else ready_ns
        track = self.epoch.tracks.get(stream)
        if track is None:
            track = self.epoch.tracks[stream] = StreamProgress(
                pts_ns, arrival_ns, arrival_ns, passed_ns, end_ns, MediaClock()
            )
        track.clock.to_mono(pts_ns if arrived_ns is None else arrived_ns, arrival_ns)
        track.passed_ns = max(track.passed_ns, passed_ns)
        track.watermarks.add(passed_ns, ready_ns)
        track.end_ns = max(track.end_ns, end_ns)
        track.arrival_ns = max(track.arrival_ns, ready_ns)
        self._expected.add(stream)
        self._update_waited()
        self._fix_origin()

    def begin_epoch(self, until: Stream | None = None) -> None:
        """Close the epoch, at the end of stream ``until`` or of the last media; what follows is on a new axis."""
        if not self.epoch.tracks:
            return
        hops = self._close(until)
        self._epochs.append(Epoch(self.epoch.index + 1, hops))
        self._drop_exhausted()

    def finish(self, *, one_more: bool = False) -> None:
        """Note the end of the media: all windows that it covers are due, and ``one_more``, into which all of it fits
        that is shorter than a window."""
        self._close()
        if one_more and self.epoch.tracks:
            self.epoch.least_hops = max(self.epoch.next_k, self._hops(self.epoch))

    def count_due(self, now_ns: int, also_until_ns: int | None = None) -> int:
        """The number of windows due now. ``also_until_ns``: local time up to which an external microphone has
        delivered."""
        return sum(self._count_kept(e, e.next_k, self._last_k(e, now_ns, also_until_ns)) for e in self._epochs)

    def newest_due(self, now_ns: int, also_until_ns: int | None = None) -> int:
        """The number of the newest window that is or was due."""
        epoch = self._epochs[-1]
        return self._latest_kept(epoch.hops_before + max(self._last_k(epoch, now_ns, also_until_ns), epoch.next_k - 1))

    def next_due(self, now_ns: int, newest: bool, also_until_ns: int | None = None) -> DueWindow | None:
        """The oldest window due, or the newest of the model's hop, whatever the stride; it stays due until `commit`."""
        last = [(epoch, self._last_k(epoch, now_ns, also_until_ns)) for epoch in self._epochs]
        due_epochs = [(epoch, k) for epoch, k in last if self._count_kept(epoch, epoch.next_k, k)]
        if not due_epochs:
            return None
        epoch, k = due_epochs[-1] if newest else due_epochs[0]
        if not newest:
            k = self._latest_kept(epoch.hops_before + epoch.next_k + self._stride - 1) - epoch.hops_before
        assert epoch.origin_ns is not None
        assert epoch.clock is not None
        end_ns = epoch.origin_ns + k * self._hop_ns
        t_end_ns = epoch.clock.mono_of(end_ns)
        ready_ns = self._ready_ns(epoch, end_ns, t_end_ns)
        if self._last_t_end_ns is not None:
            t_end_ns = max(t_end_ns, self._last_t_end_ns + 1)
        return DueWindow(epoch.index, epoch.hops_before + k, end_ns, t_end_ns, ready_ns)

    def is_last(self, due: DueWindow) -> bool:
        """Whether the media ended and no window comes after this one."""
        epoch = self.epoch
        return epoch.closed and due.epoch == epoch.index and due.seq == epoch.hops_before + self._hops(epoch)

    def commit(self, due: DueWindow) -> tuple[int, int]:
        """Mark ``due`` and all before it as done; how many due windows before it were skipped, how many left out."""
        passed = skipped = 0
        while self._epochs[0].index < due.epoch:
            epoch = self._epochs.popleft()
            passed += self._hops(epoch) - epoch.next_k + 1
            skipped += self._count_kept(epoch, epoch.next_k, self._hops(epoch))
        epoch = self._epochs[0]
        k = due.seq - epoch.hops_before
        passed += k - epoch.next_k
        skipped += self._count_kept(epoch, epoch.next_k, k - 1)
        epoch.next_k = k + 1
        self._last_t_end_ns = due.t_end_ns
        self._drop_exhausted()
        return skipped, passed - skipped

    def _latest_kept(self, number: int) -> int:
        """The newest window up to ``number`` that is not left out."""
        return number - (number - self._phase) % self._stride

    def _count_kept(self, epoch: Epoch, first_k: int, last_k: int) -> int:
        """How many of these windows of an epoch are not left out."""
        if last_k < first_k:
            return 0
        first, last = epoch.hops_before + first_k, epoch.hops_before + last_k
        return (self._latest_kept(last) - self._latest_kept(first - 1)) // self._stride

    def _ready_ns(self, epoch: Epoch, end_ns: int, t_end_ns: int) -> int:
        """The arrival that completed the last of the streams that are waited for; otherwise the epoch's end or the
        moment of lateness."""
        if epoch.closed:
            otherwise_ns = max(track.arrival_ns for track in epoch.tracks.values())
        else:
            otherwise_ns = t_end_ns + self._max_lateness_ns + self.hold_ns
        came = [track.watermarks.arrival_ns(end_ns) for track in self._waited_tracks(epoch)]
        return max(otherwise_ns if at_ns is None else at_ns for at_ns in came)

    def _waited_tracks(self, epoch: Epoch) -> list[StreamProgress]:
        waited = [track for stream, track in epoch.tracks.items() if stream in self._waited]
        return waited or list(epoch.tracks.values())

    def _last_k(self, epoch: Epoch, now_ns: int, also_until_ns: int | None) -> int:
        if epoch.origin_ns is None:
            return 0
        if epoch.closed:
            return self._hops(epoch)
        return (self._until_ns(epoch, now_ns, also_until_ns) - epoch.origin_ns) // self._hop_ns

    def _until_ns(self, epoch: Epoch, now_ns: int, also_until_ns: int | None) -> int:
        """Windows that end at or before this pts are due."""
        until_ns = min(track.passed_ns for track in self._waited_tracks(epoch))
        offset_ns = epoch.clock.offset_ns if epoch.clock else None
        late_ns = now_ns - (offset_ns or 0) - self._max_lateness_ns - self.hold_ns
        if also_until_ns is not None:
            until_ns = min(until_ns, max(also_until_ns - (offset_ns or 0), late_ns))
        return max(until_ns, late_ns) if self._live else until_ns

    def _hops(self, epoch: Epoch) -> int:
        """The number of windows of a closed epoch: those whose last hop is at least half covered by media, and those
        already taken as late."""
        if epoch.origin_ns is None:
            return epoch.next_k - 1
        tail_ns = max(self._slack_ns, self._hop_ns // 2)
        return max(epoch.least_hops, epoch.next_k - 1, (epoch.end_ns + tail_ns - epoch.origin_ns) // self._hop_ns)

    def _close(self, until: Stream | None = None) -> int:
        epoch = self.epoch
        if epoch.tracks:
            ends = {stream: track.end_ns for stream, track in epoch.tracks.items()}
            epoch.end_ns = ends[until] if until in ends else max(ends.values())
        if epoch.origin_ns is None and epoch.tracks:
            self._set_origin(epoch)
        epoch.closed = True
        return epoch.hops_before + self._hops(epoch) if epoch.tracks else epoch.hops_before

    def _drop_exhausted(self) -> None:
        while len(self._epochs) > 1 and self._epochs[0].next_k > self._hops(self._epochs[0]):
            self._epochs.popleft()

    def _update_waited(self) -> None:
        """Stop waiting for streams that lag far behind: by arrival when live, by media time in a recording."""
        tracks = self.epoch.tracks
        came = {s: t.arrival_ns if self._live else t.passed_ns for s, t in tracks.items()}
        began_ns = min(t.first_arrival_ns if self._live else t.first_ns for t in tracks.values())
        lead_ns = max(came.values())
        for stream in self._expected:
            if lead_ns - came.get(stream, began_ns) > SKEW_NS:
                self._waited.discard(stream)
            elif stream in tracks:
                self._waited.add(stream)

    def _fix_origin(self) -> None:
        """Put windows on the grid of the first picture, so that decimated pictures fit their slots."""
        epoch = self.epoch
        video = epoch.tracks.get(Stream.VIDEO)
        if epoch.origin_ns is None:
            if epoch.tracks and self._waited <= set(epoch.tracks):
                self._set_origin(epoch)
        elif video is not None and not epoch.has_grid:
            epoch.origin_ns += (video.first_ns - epoch.origin_ns) % self._hop_ns
            epoch.has_grid = True

    def _set_origin(self, epoch: Epoch) -> None:
        first_ns = min(track.first_ns for track in epoch.tracks.values())
        video = epoch.tracks.get(Stream.VIDEO)
        epoch.has_grid = video is not None
        epoch.origin_ns = first_ns + ((video.first_ns - first_ns) % self._hop_ns if video else 0)


class FrameIntervalTracker:
    """Tracks the time between decoded pictures, also those that decimation drops.

    From it follows up to where windows have their pictures.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._g = geometry
        self._last_ns: int | None = None
        self.interval_ns = 0
        """Time between the last two pictures; 0 before them."""

    def add(self, pts_ns: int) -> None:
        """Note a decoded picture."""
        if self._last_ns is not None and 0 < pts_ns - self._last_ns < NS_PER_S:
            self.interval_ns = pts_ns - self._last_ns
        self._last_ns = pts_ns

    def restart(self) -> None:
        """Start over after a break of the media clock."""
        self._last_ns = None

    def complete_until_ns(self, pts_ns: int, first_ns: int) -> int:
        """Up to where windows have their pictures after the one at ``pts_ns``; ``first_ns`` is the epoch's first.

        A source keeps one picture for each point of the model's grid, so that point is then complete. It is not while,
        judged by the last interval, another picture can still come before the point.
        """
        g = self._g
        point_ns = first_ns - (first_ns + g.slack_ns - pts_ns) // g.frame_ns * g.frame_ns
        step_ns = pts_ns - self._last_ns if self._last_ns is not None else 0
        if not 0 < step_ns < NS_PER_S:
            step_ns = self.interval_ns
        return max(pts_ns + g.slack_ns, min(point_ns, pts_ns + step_ns - g.slack_ns - 1))
