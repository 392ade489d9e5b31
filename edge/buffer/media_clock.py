"""Maps one stream's media time to local time, by the least delayed packet of the last minute.

`WatermarkLog` remembers which arrival completed the media up to where. Not thread-safe; the owner holds its lock.
"""

from __future__ import annotations

from collections import deque

from edge.types import NS_PER_S

HORIZON_NS = 60 * NS_PER_S
SETTLE_NS = 2 * NS_PER_S
JUMP_NS = NS_PER_S // 2
SLEW = 500e-6
_BUCKET_NS = NS_PER_S
_COARSE = 10  # buckets in one step of the drift's line
_DRIFT_BUCKETS = 16
_MOST = 128


class MediaClock:
    """Maps pts to local monotonic time.

    ``offset`` follows min(arrival - pts) over the last 60 s: at once for the first 2 s, then by at most 500 ppm of
    the media's own progress, so that mapped times of a stream always increase. A jump of pts by more than 0.5 s
    against arrival opens a new epoch. An error of more than 0.5 s without a jump of pts (a source that delivered a
    backlog first) is corrected at once. Not thread-safe.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._least_ns = 0
        self._last_arrival_ns = 0
        self._last_pts_ns = 0
        self._last_mono_ns: int | None = None
        self._restart()

    @property
    def offset_ns(self) -> int | None:
        """The current offset from pts to local time; None before the first packet."""
        return self._offset_ns

    @property
    def settled(self) -> bool:
        """Whether the stream has run for two seconds in this epoch."""
        return self._first_arrival_ns is not None and self._last_arrival_ns - self._first_arrival_ns >= SETTLE_NS

    @property
    def drift_ppm(self) -> float | None:
        """How much faster the source's clock runs than ours, over up to ten minutes; None in the first three.

        The slope of a least-squares line through the least delays of every ten seconds. Jitter of 20 ms gives an
        error below 100 ppm.
        """
        whole = [m for m in self._coarse if m[0] > self._settled_bucket // _COARSE][:-1]
        if len(whole) < _DRIFT_BUCKETS:
            return None
        xs = [float(bucket * _COARSE) for bucket, _ in whole]
        ys = [float(low - whole[0][1]) for _, low in whole]
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        spread = sum((x - mean_x) ** 2 for x in xs)
        slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / spread
        return -slope / 1000.0

    def to_mono(self, pts_ns: int, arrival_ns: int) -> int:
        """Note a packet and map it; strictly increasing within an epoch for increasing pts."""
        if self.jumps(pts_ns, arrival_ns):
            self.epoch += 1
            self._restart()
        step_ns = max(0, pts_ns - self._last_pts_ns)
        self._note(pts_ns, arrival_ns)
        self._follow(step_ns)
        mono_ns = pts_ns + (self._offset_ns or 0)
        if pts_ns > self._last_pts_ns or self._last_mono_ns is None:
            self._last_pts_ns = pts_ns
            self._last_mono_ns = mono_ns if self._last_mono_ns is None else max(mono_ns, self._last_mono_ns + 1)
            return self._last_mono_ns
        return mono_ns

    @property
    def _settled_bucket(self) -> int:
        return ((self._first_arrival_ns or 0) + SETTLE_NS) // _BUCKET_NS

    def jumps(self, pts_ns: int, arrival_ns: int) -> bool:
        """Whether a packet breaks the epoch: its pts is 0.5 s back, or advanced by 0.5 s more than local time."""
        if self._first_arrival_ns is None:
            return False
        step_ns = pts_ns - self._last_pts_ns
        if step_ns < -JUMP_NS:
            return True
        return step_ns > JUMP_NS and step_ns - (arrival_ns - self._last_arrival_ns) > JUMP_NS

    def mono_of(self, pts_ns: int) -> int:
        """Map without noting a packet; ValueError before the first one."""
        if self._offset_ns is None:
            raise ValueError("nothing has arrived yet")
        return pts_ns + self._offset_ns

    def pts_of(self, mono_ns: int) -> int:
        """The inverse of `mono_of`."""
        if self._offset_ns is None:
            raise ValueError("nothing has arrived yet")
        return mono_ns - self._offset_ns

    def _restart(self) -> None:
        self._minima: deque[tuple[int, int]] = deque()
        self._coarse: deque[tuple[int, int]] = deque(maxlen=60)
        self._offset_ns: int | None = None
        self._first_arrival_ns: int | None = None
        self._last_arrival_ns = 0
        self._last_pts_ns = 0
        self._last_mono_ns = None

    def _note(self, pts_ns: int, arrival_ns: int) -> None:
        if self._first_arrival_ns is None:
            self._first_arrival_ns, self._last_pts_ns = arrival_ns, pts_ns
        self._last_arrival_ns = max(self._last_arrival_ns, arrival_ns)
        bucket, low = arrival_ns // _BUCKET_NS, arrival_ns - pts_ns
        if self._coarse and self._coarse[-1][0] == bucket // _COARSE:
            self._coarse[-1] = (bucket // _COARSE, min(low, self._coarse[-1][1]))
        else:
            self._coarse.append((bucket // _COARSE, low))
        if self._minima and self._minima[-1][0] >= bucket:
            last, before = self._minima[-1]
            self._minima[-1] = (last, min(low, before))
            self._least_ns = min(low, self._least_ns)
            return
        self._minima.append((bucket, low))
        while self._minima[0][0] < bucket - HORIZON_NS // _BUCKET_NS:
            self._minima.popleft()
        self._least_ns = min(low for _, low in self._minima)

    def _follow(self, step_ns: int) -> None:
        target_ns = self._least_ns
        if self._offset_ns is None or not self.settled or abs(target_ns - self._offset_ns) > JUMP_NS:
            self._offset_ns = target_ns
            return
        most_ns = int(step_ns * SLEW)
        self._offset_ns += max(-most_ns, min(most_ns, target_ns - self._offset_ns))


class WatermarkLog:
    """Which arrival completed the media up to where.

    The newest 128 arrivals are kept; earlier media counts as completed by the oldest of them.
    """

    __slots__ = ("_marks", "_upto_ns")

    def __init__(self) -> None:
        self._marks: deque[tuple[int, int]] = deque(maxlen=_MOST)
        self._upto_ns: int | None = None

    def add(self, upto_ns: int, arrival_ns: int) -> None:
        """Note that the arrival at ``arrival_ns`` completed the media up to ``upto_ns``; ignored when that is no
        advance."""
        if self._upto_ns is None or upto_ns > self._upto_ns:
            self._upto_ns = upto_ns
            self._marks.append((upto_ns, arrival_ns))

    def arrival_ns(self, upto_ns: int) -> int | None:
        """The arrival that completed the media up to ``upto_ns``; None while there is none."""
        arrival: int | None = None
        for reached_ns, arrival_ns in reversed(self._marks):
            if reached_ns < upto_ns:
                break
            arrival = arrival_ns
        return arrival
