"""When the day is summed up: once, at the hour that the configuration names, in the box's local time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from edge.clock import Clock
from edge.config import Config
from edge.config.keeping import EvidenceConfig
from edge.evidence.archive.store import EventStore
from edge.evidence.digest import Digest, make_digest, write_digest
from edge.types import NS_PER_S

_FAR_NS = 48 * 3600 * NS_PER_S


class DigestSchedule:
    """Makes the digest of the day that ends at its hour, keeps it, and hands it to ``on_digest``."""

    def __init__(self, store: EventStore, clock: Clock, on_digest: Callable[[Digest], None] | None) -> None:
        self._store = store
        self._clock = clock
        self._on_digest = on_digest
        self._at: time | None = None
        self._zone: str | None = None
        self._cameras: tuple[str, ...] = ()
        self._due_ns: int | None = None

    def reconfigure(self, config: Config, settings: EvidenceConfig) -> None:
        """Take over other settings: the next digest is at the next time that the hour strikes."""
        at = time.fromisoformat(settings.digest) if settings.digest is not None else None
        self._cameras = tuple(config.cameras)
        if (at, config.location.timezone) != (self._at, self._zone) or self._due_ns is None:
            self._at, self._zone = at, config.location.timezone
            self._due_ns = self._next(self._clock.wall_ns())

    def run_if_due(self) -> bool:
        """Make the digest if its hour has come; whether it was. SinkError when it cannot be kept: it is told anyway."""
        now_ns = self._clock.wall_ns()
        if self._due_ns is not None and self._due_ns - now_ns > _FAR_NS:  # the clock was set back meanwhile
            self._due_ns = self._next(now_ns)
        if self._due_ns is None or self._at is None or now_ns < self._due_ns:
            return False
        until_ns, self._due_ns = self._due_ns, self._next(now_ns)
        until = datetime.fromtimestamp(until_ns // NS_PER_S, self._tz(until_ns))
        since_ns = _ns(datetime.combine(until.date() - timedelta(days=1), self._at, until.tzinfo))
        made = make_digest(self._store, since_ns, until_ns, self._cameras, until.tzinfo or timezone.utc)
        if self._on_digest is not None:
            self._on_digest(made)
        write_digest(self._store, made)
        return True

    def _next(self, now_ns: int) -> int | None:
        """The next time after ``now_ns`` at which it is that hour."""
        if self._at is None:
            return None
        today = datetime.fromtimestamp(now_ns // NS_PER_S, self._tz(now_ns)).date()
        struck = (_ns(datetime.combine(today + timedelta(days=k), self._at, self._tz(now_ns))) for k in (0, 1, 2))
        return next(t for t in struck if t > now_ns)

    def _tz(self, now_ns: int) -> tzinfo:
        """That of the configuration, else the machine's with its offset at that time."""
        if self._zone is not None:
            return ZoneInfo(self._zone)
        here = datetime.fromtimestamp(now_ns // NS_PER_S, timezone.utc).astimezone().tzinfo
        return here or timezone.utc


def _ns(when: datetime) -> int:
    return round(when.timestamp()) * NS_PER_S
