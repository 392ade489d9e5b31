"""Reads a quiet camera's packets in bursts: waking a thread for each packet costs more than the packets themselves.

Network packets wait in the connection's buffer meanwhile. Runs on the capture thread.
"""

from __future__ import annotations

from edge.capture.normaliser import ArrivalPacer
from edge.clock import Clock
from edge.threads import WakeEvent
from edge.types import NS_PER_MS, NS_PER_S, seconds

_FRESH_NS = 70 * NS_PER_MS
"""A packet read sooner than this after it came: the buffer is empty, and the next read would wait."""
_BEHIND_NS = 3 * NS_PER_S  # how far one stream may lie behind the other in a file
_LEAK = 2000  # ns of media for one by which the least delay is forgotten: 500 ppm, more than clocks drift


class BurstReader:
    """Rests of ``burst_ns`` between packets; 0: none. ``wake`` ends a rest early."""

    def __init__(self, clock: Clock, burst_ns: int, wake: WakeEvent) -> None:
        self._clock, self._burst_ns, self._wake = clock, burst_ns, wake
        self._least_ns: dict[int, int] = {}
        self._last_pts_ns: dict[int, int] = {}
        self._paced_until_ns: int | None = None
        self._arrival_ns = 0

    def restart(self) -> None:
        """Begin a connection."""
        self._least_ns.clear()
        self._last_pts_ns.clear()
        self._paced_until_ns = None

    def pace(self, pts_ns: int, pace: ArrivalPacer) -> int:
        """The arrival of a recording's packet: it is waited for together with those of the burst after it."""
        until_ns = self._paced_until_ns
        if until_ns is None or not until_ns - _BEHIND_NS < pts_ns <= until_ns:
            self._paced_until_ns = pts_ns + self._burst_ns
            self._arrival_ns = pace(self._paced_until_ns)
        return self._arrival_ns

    def follow(self, stream: int, pts_ns: int, now_ns: int) -> bool:
        """Note a packet of ``stream`` read at ``now_ns``; whether it came just now, so that nothing waits behind it."""
        delay_ns = now_ns - pts_ns
        passed_ns = max(0, pts_ns - self._last_pts_ns.get(stream, pts_ns))
        self._last_pts_ns[stream] = pts_ns
        least_ns = min(self._least_ns.get(stream, delay_ns) + passed_ns // _LEAK, delay_ns)
        self._least_ns[stream] = least_ns
        return delay_ns - least_ns < _FRESH_NS

    def rest(self) -> None:
        """Wait for a burst to gather, or until pictures are asked for."""
        if self._burst_ns:
            self._wake.wait(seconds(self._burst_ns))
