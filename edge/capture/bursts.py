"""Reads a quiet camera's packets in bursts: waking a thread for each packet costs more than the packets themselves.

Network packets wait in the connection's buffer meanwhile. Quiet cameras read one after another: threads that run side
by side hand the interpreter's lock to each other at every packet. Runs on the capture threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from edge.threads import WakeEvent
from edge.types import NS_PER_MS, NS_PER_S, seconds

_LEFT_NS = 200 * NS_PER_MS
"""Media that a burst leaves unread, so that it never waits for a packet while others wait for their turn."""
_FRESH_NS = 70 * NS_PER_MS
"""A packet read sooner than this after it came: nothing is left unread."""
_EMPTIED_EVERY = 16  # bursts; the least delay shows only where everything is read
_IMPLAUSIBLE_NS = 30 * NS_PER_S  # by so much later than the least delay: the source's clock was set
_BACK_NS = NS_PER_S // 2  # so far back: the source's clock was set; pictures out of order are nearer
_BEHIND_NS = 3 * NS_PER_S  # how far one stream may lie behind the other in a file
_STALL_S = 0.25  # a camera that read nothing for so long while it had the turn does not stop the others
_LEAK = 2000  # ns of media for one by which the least delay is forgotten: 500 ppm, more than clocks drift


class BurstTurn:
    """Whose turn it is to read, among all quiet cameras of a process: one at a time, first come, first served.

    Two that read side by side hand the interpreter's lock to each other several times a packet. That costs more than a
    second core gains, and starves the engine.
    """

    def __init__(self) -> None:
        self._is_taken = False
        self._lock = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self.packets = 0
        """Read by those who have the turn, so far."""

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    def take(self) -> bool:
        """Wait for the turn while who has it gets on; whether it was got."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        before = -1
        while not turn.acquire(timeout=_STALL_S):
            if self.packets == before:
                return not self._leave(turn)
            before = self.packets
        return True

    def give(self) -> None:
        """Let the next one read."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._is_taken = False

    def _leave(self, turn: threading.Lock) -> bool:
        """Wait no longer; False when the turn was given meanwhile."""
        with self._lock:
            if turn not in self._waiting:
                return False
            self._waiting.remove(turn)
            return True


class LiveEdge:
    """Whether a camera is read as fast as its packets come, though later than they once came: what delays them lies
    before this box. Then the reading waits for packets most of the time, and does not catch up."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin to watch."""
        self._since_ns: int | None = None
        self._late_ns = self._waited_ns = 0

    def is_reached(self, late_ns: int, waited_ns: int, now_ns: int) -> bool:
        """Add a packet read at ``now_ns``, ``late_ns`` later than the promptest ones, after waiting ``waited_ns``."""
        if self._since_ns is None:
            self._since_ns, self._late_ns = now_ns, late_ns
            return False
        self._waited_ns += waited_ns
        passed_ns = now_ns - self._since_ns
        if passed_ns < NS_PER_S:
            return False
        is_reached = 2 * self._waited_ns > passed_ns and late_ns > self._late_ns - passed_ns // 10
        self.restart()
        return is_reached


class BurstReader:
    """Rests of ``burst_ns`` between packets; 0: none. ``wake`` ends a rest early; ``turn`` is shared by cameras."""

    def __init__(self, burst_ns: int, wake: WakeEvent, turn: BurstTurn) -> None:
        self._burst_ns, self._wake, self._turn = burst_ns, wake, turn
        self._has_turn = False
        self._least_ns: dict[int, int] = {}
        self._last_pts_ns: dict[int, int] = {}
        self._paced_until_ns: int | None = None
        self._arrival_ns = 0
        self._bursts = 0
        self._edge = LiveEdge()
        self.late_ns = 0
        """How much later than the promptest ones the newest packet was read."""

    def restart(self) -> None:
        """Begin a connection."""
        self.finish()
        self._least_ns.clear()
        self._last_pts_ns.clear()
        self._edge.restart()
        self._paced_until_ns = None

    def pace(self, pts_ns: int, pace: Callable[[int], int]) -> int:
        """The arrival of a recording's packet: it is waited for together with those of the burst after it."""
        until_ns = self._paced_until_ns
        if until_ns is None or not until_ns - _BEHIND_NS < pts_ns <= until_ns:
            self._paced_until_ns = pts_ns + self._burst_ns
            self.finish()
            self._arrival_ns = pace(self._paced_until_ns)
            self._has_turn = self._burst_ns > 0 and self._turn.take()
        self._turn.packets += 1
        return self._arrival_ns

    def arrival(self, stream: int, pts_ns: int, now_ns: int, waited_ns: int = 0) -> int:
        """When a packet of ``stream`` that is read at ``now_ns`` arrived, by the least delay of the stream.

        ``waited_ns``: how long the reading of the packet took.
        """
        delay_ns = now_ns - pts_ns
        passed_ns = pts_ns - self._last_pts_ns.get(stream, pts_ns)
        self._last_pts_ns[stream] = pts_ns
        least_ns = min(self._least_ns.get(stream, delay_ns) + max(0, passed_ns) // _LEAK, delay_ns)
        if delay_ns - least_ns > _IMPLAUSIBLE_NS or passed_ns < -_BACK_NS:
            least_ns = delay_ns
        self._least_ns[stream] = least_ns
        self.late_ns = delay_ns - least_ns
        if self.late_ns < _LEFT_NS:
            self._edge.restart()
        elif self._edge.is_reached(self.late_ns, waited_ns, now_ns):
            self._least_ns.clear()
        return pts_ns + least_ns

    def go_on(self) -> bool:
        """After a packet: rest if the burst is read, else have the turn for the next one; whether it rested."""
        if not self._burst_ns:
            return False
        is_emptied = self._bursts % _EMPTIED_EVERY == 0
        if self.late_ns < (_FRESH_NS if is_emptied else _LEFT_NS):
            self.finish()
            self._bursts += 1
            self._wake.wait(seconds(self._burst_ns))
            self._has_turn = self._turn.take()
            return True
        if is_emptied and self.late_ns < _LEFT_NS:
            self.finish()  # from here on it may wait for packets
        elif self._has_turn:
            self._turn.packets += 1
        else:
            self._has_turn = self._turn.take()
        return False

    def finish(self) -> None:
        """Leave the turn to others: nothing more is read in bursts."""
        if self._has_turn:
            self._has_turn = False
            self._turn.give()
