"""The only module that reads time: monotonic, wall, and a wait that can be cancelled.

Everything else takes a `Clock`; tests and replay pass a `VirtualClock`, whose time moves only when it is set.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from datetime import datetime, timezone
from typing import Protocol

from edge.types import NS_PER_S, seconds


class Clock(Protocol):
    """A source of time."""

    def mono_ns(self) -> int:
        """Local monotonic time; its zero has no meaning."""
        ...

    def wall_ns(self) -> int:
        """Unix time; may step."""
        ...

    def processor_ns(self) -> int:
        """Processor time of all threads of this process so far."""
        ...

    def wait(self, cancel: threading.Event, timeout_s: float) -> bool:
        """Wait for ``timeout_s`` or until ``cancel`` is set; True when it was cancelled."""
        ...


class SystemClock:
    """The machine's clocks."""

    def mono_ns(self) -> int:
        """CLOCK_MONOTONIC."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """CLOCK_REALTIME."""
        return time.time_ns()

    def processor_ns(self) -> int:
        """CLOCK_PROCESS_CPUTIME_ID."""
        return time.process_time_ns()

    def wait(self, cancel: threading.Event, timeout_s: float) -> bool:
        """Block the calling thread on ``cancel``."""
        return cancel.wait(max(0.0, timeout_s))


class VirtualClock:
    """Time that moves only by `advance` and `wait`. Wall time is monotonic time plus a fixed start."""

    def __init__(self, wall_start_ns: int = 0) -> None:
        self._now_ns = self._processor_ns = 0
        self._wall_start_ns = wall_start_ns
        self._lock = threading.Lock()

    def mono_ns(self) -> int:
        """Nanoseconds advanced so far."""
        return self._now_ns

    def wall_ns(self) -> int:
        """The initial wall time plus `mono_ns`."""
        return self._wall_start_ns + self._now_ns

    def processor_ns(self) -> int:
        """Nanoseconds spent so far."""
        return self._processor_ns

    def spend(self, processor_ns: int) -> None:
        """Let processor time pass, as if work had been done; the other clocks stand still."""
        with self._lock:
            self._processor_ns += processor_ns

    def advance(self, delta_ns: int) -> None:
        """Move time forward; ValueError for a negative step."""
        if delta_ns < 0:
            raise ValueError(f"time does not go back: {delta_ns} ns")
        with self._lock:
            self._now_ns += delta_ns

    def advance_to(self, t_ns: int) -> None:
        """Move time forward to ``t_ns``; earlier times are ignored."""
        with self._lock:
            self._now_ns = max(self._now_ns, t_ns)

    def step_wall(self, delta_ns: int) -> None:
        """Set wall time forward or back, as a time server does; monotonic time goes on."""
        self._wall_start_ns += delta_ns

    def wait(self, cancel: threading.Event, timeout_s: float) -> bool:
        """Let the time pass at once."""
        if not cancel.is_set():
            self.advance(round(max(0.0, timeout_s) * NS_PER_S))
        return cancel.is_set()


def core_count() -> int:
    """The cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def iso8601(wall_ns: int) -> str:
    """Unix nanoseconds as ISO 8601 in UTC with milliseconds, as in ``2026-01-31T12:00:00.250Z``."""
    ms = wall_ns // 1_000_000
    text = datetime.fromtimestamp(ms // 1000, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{ms % 1000:03d}Z"


class Backoff:
    """Delays between tries: 1 s, times 1.8 after each failure, at most 60 s.

    A failure after at least 10 s of success starts again at 1 s. Only failures before that wait longer each time. With
    a ``name`` every delay is up to half as long again, by name and try: what failed together is not tried together.
    """

    FIRST_S = 1.0
    FACTOR = 1.8
    LONGEST_S = 60.0
    WORKED_S = 10.0
    SPREAD = 0.5

    def __init__(self, clock: Clock, name: str = "") -> None:
        self._clock = clock
        self._name = name
        self._delay_s = self.FIRST_S
        self._works_since_ns: int | None = None
        self.failures = 0

    def succeeded(self) -> None:
        """Note a success."""
        if self._works_since_ns is None:
            self._works_since_ns = self._clock.mono_ns()

    def failed(self, worked_until_ns: int | None = None) -> float:
        """Note a failure; the seconds to wait before the next try.

        ``worked_until_ns``: the last time of success, if that was before now.
        """
        since_ns = self._works_since_ns
        until_ns = self._clock.mono_ns() if worked_until_ns is None else worked_until_ns
        if since_ns is not None and seconds(until_ns - since_ns) >= self.WORKED_S:
            self._delay_s, self.failures = self.FIRST_S, 0
        self._works_since_ns = None
        self.failures += 1
        delay_s = min(self.LONGEST_S, self._delay_s * (1 + self._spread()))
        self._delay_s = min(self.LONGEST_S, self._delay_s * self.FACTOR)
        return delay_s

    def _spread(self) -> float:
        """Up to `SPREAD`, by name and try."""
        if not self._name:
            return 0.0
        digest = hashlib.blake2b(f"{self._name} {self.failures}".encode(), digest_size=4).digest()
        return self.SPREAD * int.from_bytes(digest, "big") / 2**32
