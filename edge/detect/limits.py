"""Limits on events of one label and camera per hour, and what they hold back. Pure.

A hard limit holds back all events beyond it. A spaced limit lets one through every ``3600 / most_per_hour`` seconds. A
repetition limit does so, too, and lets through at once what is new: a zone, an object or a height of the score that no
event of the last hour had. A score at or above ``enter`` without an event begins a hold. It ends with an event, or when
the score stayed below ``leave`` for ``merge_ns``; then it is counted under its most important reason.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from edge.detect.tracking import iou
from edge.media_time import MediaTime
from edge.status import HoldReason
from edge.types import NS_PER_S, Box

HOUR_NS = 3600 * NS_PER_S
SAME_OBJECT_IOU = 0.3
"""An object that overlaps the first or last box of a reported one by this much may be the same, detected again."""
NEW_PEAK_RISE = 0.1
"""A score this much above all reported ones is no repetition."""
MOST_OBJECTS = 256
MINUTE_NS = 60 * NS_PER_S
_RANK = {reason: rank for rank, reason in enumerate(HoldReason)}


class LimitKind(str, Enum):
    """How a limit treats events beyond its count; see the module."""

    HARD = "hard"
    SPACED = "spaced"
    REPETITIONS = "repetitions"


@dataclass(frozen=True, slots=True)
class EventSubject:
    """The subject of a window's value: objects by the number of their track, and all zones that they are in."""

    objects: tuple[tuple[int, Box], ...] = ()
    zones: tuple[str, ...] = ()


NO_SUBJECT = EventSubject()


@dataclass(frozen=True, slots=True)
class EventLimits:
    """The limits in force for one sample; ``most_per_hour`` None for any number, ``limit`` its kind."""

    enter: float
    leave: float
    min_ns: int
    cooldown_ns: int
    merge_ns: int = 0
    most_per_hour: int | None = None
    limit: LimitKind = LimitKind.HARD


@dataclass(frozen=True, slots=True)
class GatedScore:
    """Why a rule's value differs from the label's ``score``."""

    reason: HoldReason
    score: float


@dataclass(frozen=True, slots=True)
class ScoreSample:
    """One window: its end in local time ``t_ns`` and in media time. ``value`` is None without evidence. ``gated`` is
    set when the rule changed the label's score, ``subject`` are the objects and zones."""

    t_ns: int
    media: MediaTime
    value: float | None
    gated: GatedScore | None = None
    subject: EventSubject = NO_SUBJECT

    @property
    def score(self) -> float | None:
        """The label's score, before the rule."""
        return self.value if self.gated is None else self.gated.score


def elapsed_ns(earlier: ScoreSample, later: ScoreSample) -> int:
    """Media time between two samples; local time when the media clock broke in between."""
    if later.media.is_on(earlier.media):
        return later.media.since(earlier.media)
    return later.t_ns - earlier.t_ns


class RepetitionLimit:
    """The events reported in the last hour."""

    __slots__ = ("_begins", "_objects", "_peaks", "_zones")

    def __init__(self) -> None:
        self._begins: deque[ScoreSample] = deque()
        self._peaks: deque[float] = deque()  # the peak of each of `_begins`
        self._objects: dict[int, tuple[ScoreSample, Box, Box]] = {}  # track -> last time, first and last box
        self._zones: dict[str, ScoreSample] = {}

    def has_room(self, begin: ScoreSample, now: ScoreSample, limits: EventLimits) -> bool:
        """Whether an event that began with ``begin`` and is now at ``now`` may be reported."""
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
        """Note a reported event that began with ``begin``."""
        self._begins.append(begin)
        self._peaks.append(0.0)
        self.follow(now)

    def follow(self, now: ScoreSample) -> None:
        """Note that the newest reported event goes on."""
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


@dataclass(frozen=True, slots=True)
class Hold:
    """A label that is held back since local time ``since_ns``; ``score`` is the newest."""

    reason: HoldReason
    since_ns: int
    score: float


class HoldTracker:
    """Tracks what is held back of one label of one camera: now, in the last hour, and since the last reported event.

    Its memory is bounded: counts are kept by minute and reason.
    """

    __slots__ = ("_below_since", "_counted", "_minutes", "_since_event", "_t_ns", "enter", "ever", "now")

    def __init__(self) -> None:
        self.now: Hold | None = None
        self.enter = 0.0
        self.ever: Counter[HoldReason] = Counter()
        self._counted = HoldReason.WAITING
        self._below_since: ScoreSample | None = None
        self._t_ns = 0
        self._minutes: dict[tuple[int, HoldReason], int] = {}
        self._since_event: Counter[HoldReason] = Counter()

    def advance(self, sample: ScoreSample, limits: EventLimits, reason: HoldReason | None, *, is_open: bool) -> None:
        """Process a window: why it made no event, None when it is below ``enter`` or an event is open."""
        if is_open:
            self.now = None
            if reason is not None:
                self._count(reason, sample.t_ns)
        elif reason is not None:
            self._hold(sample, limits, reason)
        elif self.now is not None:
            self._fall(sample, limits)

    def take_held(self) -> tuple[tuple[HoldReason, int], ...]:
        """Note a reported event; how many the limits held back since the last one, by reason."""
        held = tuple((reason, count) for reason, count in self._since_event.items() if reason.is_limit)
        self._since_event.clear()
        self.now = None
        return held

    def expire(self, now_ns: int, late_ns: int) -> None:
        """End the hold when there was no window for too long before ``now_ns``."""
        if self.now is not None and now_ns - self._t_ns > late_ns:
            self.end()

    def end(self) -> None:
        """End the hold."""
        if self.now is not None:
            self.now = None
            self._count(self._counted, self._t_ns)

    def this_hour(self, now_ns: int) -> Mapping[HoldReason, int]:
        """How many holds ended without an event in the sixty minutes before local time ``now_ns``."""
        self._forget(now_ns)
        counts: Counter[HoldReason] = Counter()
        for (_, reason), count in self._minutes.items():
            counts[reason] += count
        return counts

    def _hold(self, sample: ScoreSample, limits: EventLimits, reason: HoldReason) -> None:
        score = sample.score or 0.0
        if self.now is None or self.now.reason is not reason:
            is_first = self.now is None
            self._counted = reason if is_first else max(self._counted, reason, key=_RANK.__getitem__)
            self.now = Hold(reason, sample.t_ns, score)
        else:
            self.now = Hold(reason, self.now.since_ns, score)
        self.enter, self._below_since, self._t_ns = limits.enter, None, sample.t_ns

    def _fall(self, sample: ScoreSample, limits: EventLimits) -> None:
        if sample.score is None:
            return
        self._t_ns = sample.t_ns
        if sample.score >= limits.leave:
            self._below_since = None
            return
        if self._below_since is None:
            self._below_since = sample
        if elapsed_ns(self._below_since, sample) >= limits.merge_ns:
            self.end()

    def _count(self, reason: HoldReason, t_ns: int) -> None:
        self._forget(t_ns)
        key = t_ns // MINUTE_NS, reason
        self._minutes[key] = self._minutes.get(key, 0) + 1
        self._since_event[reason] += 1
        self.ever[reason] += 1

    def _forget(self, now_ns: int) -> None:
        oldest = now_ns // MINUTE_NS - 60
        for key in [key for key in self._minutes if key[0] <= oldest]:
            del self._minutes[key]
