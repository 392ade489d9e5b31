"""What is held back: scores at or above their threshold that made no event, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class HoldReason(str, Enum):
    """Why a score at or above its threshold has no event of its own; in an order in which later ones count more.

    ``waiting``: it has not lasted for ``min_s`` or ``after_s``. ``merged``: it came again within ``merge_s``, so it is
    told with the open event. ``outside_zone``: nothing is where the rule wants it. ``not_agreed``: picture and sound
    do not both tell. ``low_coverage``: too little picture or sound is there to decide on.
    """

    MERGED = "merged"
    WAITING = "waiting"
    LOW_COVERAGE = "low_coverage"
    NOT_AGREED = "not_agreed"
    OUTSIDE_ZONE = "outside_zone"
    OUTSIDE_SCHEDULE = "outside_schedule"
    DISARMED = "disarmed"
    COOLDOWN = "cooldown"
    RATE_LIMITED = "rate_limited"

    @property
    def is_limit(self) -> bool:
        """Whether only a limit on how often stood in the way; else the rule did not hold."""
        return self in {HoldReason.COOLDOWN, HoldReason.RATE_LIMITED}


@dataclass(frozen=True, slots=True)
class HeldBack:
    """One label of one camera whose scores made no event, now or in the last hour.

    ``reason`` is None where nothing is held back now; else it holds since Unix time ``since_wall_ns``, with a ``score``
    of at least ``enter``. ``this_hour`` counts by reason what was over without an event in the last sixty minutes.
    """

    camera: str
    label: str
    enter: float
    this_hour: Mapping[HoldReason, int]
    reason: HoldReason | None = None
    since_wall_ns: int = 0
    score: float = 0.0

    @property
    def reasons(self) -> frozenset[HoldReason]:
        """Those of now and of the last hour."""
        return frozenset(self.this_hour) | (frozenset() if self.reason is None else {self.reason})

    @property
    def limited(self) -> int:
        """How many of the hour would have been events but for a limit on how often."""
        return sum(count for reason, count in self.this_hour.items() if reason.is_limit)
