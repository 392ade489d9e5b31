"""How many events of one name and camera may begin in an hour, and what is a repetition of those that were told.

A hard limit holds back whatever is beyond it. A spaced one lets one through in every ``3600 / most_per_hour`` seconds,
so that nothing is silent for longer while it goes on. A limit on repetitions does so too, and lets through at once what
is new: a zone, an object or a height of the score that none of the hour's events had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from edge.detect.tracks import iou
from edge.holds import HoldReason
from edge.media_time import MediaTime
from edge.types import NS_PER_S, Box

HOUR_NS = 3600 * NS_PER_S
SAME_OBJECT_IOU = 0.3
"""An object that overlaps by this much where a told one appeared or was seen last may be the same, seen anew."""
NEW_PEAK_RISE = 0.1
"""A score this much above all that were told is no repetition of them."""
MOST_OBJECTS = 256


class LimitKind(str, Enum):
    """What becomes of events beyond the count; see the module."""

    HARD = "hard"
    SPACED = "spaced"
    REPETITIONS = "repetitions"


@dataclass(frozen=True, slots=True)
class EventSubject:
    """What a window's value is about: objects by the number of their track, and all zones that they stand in."""

    objects: tuple[tuple[int, Box], ...] = ()
    zones: tuple[str, ...] = ()


NO_SUBJECT = EventSubject()


@dataclass(frozen=True, slots=True)
class EventLimits:
    """The thresholds in force for one sample; ``most_per_hour`` None for any number, ``limit`` what it does."""

    enter: float
    leave: float
    min_ns: int
    cooldown_ns: int
    merge_ns: int = 0
    most_per_hour: int | None = None
    limit: LimitKind = LimitKind.HARD


@dataclass(frozen=True, slots=True)
class GatedScore:
    """Why a rule's value is not the label's ``score``."""

    reason: HoldReason
    score: float


@dataclass(frozen=True, slots=True)
class ScoreSample:
    """One window: its end in local time ``t_ns`` and in media time; ``value`` is None where nothing was seen that could
    tell. ``gated`` says what made the label's score into it, ``subject`` what it is about."""

    t_ns: int
    media: MediaTime
    value: float | None
    gated: GatedScore | None = None
    subject: EventSubject = NO_SUBJECT

    @property
    def score(self) -> float | None:
        """The label's own, before the rule."""
        return self.value if self.gated is None else self.gated.score


def elapsed_ns(earlier: ScoreSample, later: ScoreSample) -> int:
    """Media time between two samples; local time where the media clock broke in between."""
    if later.media.is_on(earlier.media):
        return later.media.since(earlier.media)
    return later.t_ns - earlier.t_ns


class RepetitionLimit:
    """The events told in the last hour."""

    __slots__ = ("_begins", "_objects", "_peaks", "_zones")

    def __init__(self) -> None:
        self._begins: deque[ScoreSample] = deque()
        self._peaks: deque[float] = deque()  # of each of `_begins`
        self._objects: dict[
            int, tuple[ScoreSample, Box, Box]
        ] = {}  # track -> when seen last, where at first and at last
        self._zones: dict[str, ScoreSample] = {}

    def has_room(self, begin: ScoreSample, now: ScoreSample, limits: EventLimits) -> bool:
        """Whether an event that began with ``begin`` and is now at ``now`` may be told."""
        if limits.most_per_hour is None:
            return True
        self._forget(begin)
        if len(self._begins) < limits.most_per_hour:
            return True
        if limits.limit is LimitKind.HARD:
            return False
        is_its_turn = elapsed_ns(self._begins[-1], begin) * limits.most_per_hour >= HOUR_NS
        return is_its_turn or (limits.limit is LimitKind.REPETITIONS and self._is_new(now))

    def begin(self, begin: ScoreSample, now: ScoreSample) -> None:
        """An event is told that began with ``begin``."""
        self._begins.append(begin)
        self._peaks.append(0.0)
        self.follow(now)

    def follow(self, now: ScoreSample) -> None:
        """The newest told event goes on."""
        if self._peaks:
            self._peaks[-1] = max(self._peaks[-1], now.value or 0.0)
        for zone in now.subject.zones:
            self._zones[zone] = now
        for track, box in now.subject.objects:
            known = self._objects.pop(track, None)
            self._objects[track] = now, box if known is None else known[1], box
        while len(self._objects) > MOST_OBJECTS:
            del self._objects[next(iter(self._objects))]

    def _is_new(self, now: ScoreSample) -> bool:
        if any(zone not in self._zones for zone in now.subject.zones):
            return True
        if now.value is not None and now.value >= max(self._peaks) + NEW_PEAK_RISE:
            return True
        return any(
            track not in self._objects and all(iou(box, place) < SAME_OBJECT_IOU for place in self._places())
            for track, box in now.subject.objects
        )

    def _places(self) -> Iterable[Box]:
        return (box for _, first, last in self._objects.values() for box in (first, last))

    def _forget(self, now: ScoreSample) -> None:
        while self._begins and elapsed_ns(self._begins[0], now) >= HOUR_NS:
            self._begins.popleft()
            self._peaks.popleft()
        for zone in [zone for zone, last in self._zones.items() if elapsed_ns(last, now) >= HOUR_NS]:
            del self._zones[zone]
        for track in [track for track, (seen, _, _) in self._objects.items() if elapsed_ns(seen, now) >= HOUR_NS]:
            del self._objects[track]
