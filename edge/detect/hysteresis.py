"""When a score becomes an event: enter and leave thresholds, shortest time, merging, cooldown, most an hour.

Pure: a function of the samples given. One `Hysteresis` a camera and label. Time is the source's media time, whose hops
are exact and the same in a replay; local time, which jitters, is used over breaks of the media clock alone. What was
not seen is a hole and never a zero: an open event lasts over a short hole and ends as ``lost`` after a long one; a
candidate does not gain time. What begins beyond ``most_per_hour`` is followed in silence until it is over. Whatever is
held back is in ``holding``, with why.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.detect.holding import HoldTracker
from edge.detect.rate_limit import NOTHING, LimitKind, RateLimit, Subject, elapsed_ns
from edge.holds import HoldReason
from edge.media_time import MediaTime
from edge.types import NS_PER_S, Phase

LOST_NS = 10 * NS_PER_S  # the longest hole that an open event survives
LATE_NS = 5 * NS_PER_S  # without any window it is lost this much later: the next one may only be late
RISE = 0.05  # a peak this much above the last one told is worth an update
RISE_EVERY_NS = 3 * NS_PER_S
UPDATE_EVERY_NS = 30 * NS_PER_S  # a sign of life for whoever joined late


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds in force for one sample; ``most_per_hour`` None for any number, ``limit`` what it does."""

    enter: float
    leave: float
    min_ns: int
    cooldown_ns: int
    merge_ns: int = 0
    most_per_hour: int | None = None
    limit: LimitKind = LimitKind.HARD


@dataclass(frozen=True, slots=True)
class Gated:
    """Why a rule's value is not the label's ``score``."""

    reason: HoldReason
    score: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One window: its end in local time ``t_ns`` and in media time; ``value`` is None where nothing was seen that could
    tell. ``gated`` says what made the label's score into it, ``subject`` what it is about."""

    t_ns: int
    media: MediaTime
    value: float | None
    gated: Gated | None = None
    subject: Subject = NOTHING

    @property
    def score(self) -> float | None:
        """The label's own, before the rule."""
        return self.value if self.gated is None else self.gated.score


@dataclass(frozen=True, slots=True)
class Step:
    """One phase of an event. ``reason`` says why it ended (left, lost, or as given to `end`); empty otherwise.

    ``media_end`` is on the clock of ``media_begin``, also where that broke in between. ``held_by`` is how many events
    were held back before this one began, by what.
    """

    phase: Phase
    begin_ns: int
    media_begin: MediaTime
    end_ns: int | None
    score: float
    peak: float
    threshold: float
    reason: str = ""
    media_end: MediaTime | None = None
    held_by: tuple[tuple[HoldReason, int], ...] = ()

    @property
    def held(self) -> int:
        """How many events were held back before this one began."""
        return sum(count for _, count in self.held_by)


class Hysteresis:
    """The state of one label of one camera.

    An event begins when the score stayed at or above ``enter`` for ``min_ns`` of seen time; its begin is the first of
    those samples. It is over when the score stayed below ``leave`` for ``merge_ns``, in which nothing is told, and its
    end is the last sample before that was at or above; ``cooldown_ns`` after the end of one that was told the next may
    begin.
    """

    __slots__ = (
        "_cooldown_ns",
        "_end",
        "_fell",
        "_first",
        "_held_ns",
        "_high",
        "_is_held",
        "_is_open",
        "_last",
        "_peak",
        "_rate",
        "_rejoined",
        "_threshold",
        "_told",
        "_told_peak",
        "holding",
        "hop_ns",
    )

    def __init__(self, hop_ns: int) -> None:
        """Windows further apart than one and a half ``hop_ns`` have a hole between them; it may change."""
        self.hop_ns = hop_ns
        self.holding = HoldTracker()
        self._first: Sample | None = None  # of the candidate or the open event
        self._last: Sample | None = None  # that had a value
        self._high: Sample | None = None  # the last of the open event that was at or above leave
        self._fell: Sample | None = None  # the first since then that was below
        self._told: Sample | None = None  # of the last phase
        self._end: Sample | None = None  # the last `_high` of an event that was told
        self._is_open = self._is_held = self._rejoined = False
        self._held_ns = self._cooldown_ns = 0
        self._peak = self._threshold = self._told_peak = 0.0
        self._rate = RateLimit()

    @property
    def is_open(self) -> bool:
        """Whether an event has begun and not ended; not so for one that is held back."""
        return self._is_open

    def advance(self, sample: Sample, limits: Limits) -> tuple[Step, ...]:
        """Take in the next sample; older or repeated ones are ignored."""
        last = self._last
        if last is not None and elapsed_ns(last, sample) <= 0:
            return ()
        lost: tuple[Step, ...] = ()
        if last is not None and elapsed_ns(last, sample) > LOST_NS:
            lost, last = self.end("lost"), None
        step = None
        self._rejoined = False
        if sample.value is not None:
            self._last = sample
            if self._is_open:
                step = self._follow(sample, sample.value, limits)
            elif not self._is_held or self._may_speak(sample, sample.value, limits):
                step = self._watch(sample, sample.value, last, limits)
        self.holding.advance(sample, limits, self._why_held(sample, limits), is_open=self._is_open)
        return (*lost, step) if step is not None else lost

    def expire(self, now_ns: int) -> tuple[Step, ...]:
        """End the event, or drop the candidate, when no window came for too long before local time ``now_ns``."""
        self.holding.expire(now_ns, LOST_NS + LATE_NS)
        last = self._last
        if last is None or now_ns - last.t_ns <= LOST_NS + LATE_NS:
            return ()
        return self.end("lost")

    def end(self, reason: str) -> tuple[Step, ...]:
        """End an open event at its last sample at or above leave, and drop a candidate."""
        steps = (self._ended(reason),) if self._is_open else ()
        self._first, self._is_held = None, False
        self.holding.drop()
        return steps

    def _why_held(self, sample: Sample, limits: Limits) -> HoldReason | None:
        """Why there is no event although the score is at or above ``enter``; None where it is not, or there is one."""
        if self._is_open:
            return HoldReason.MERGED if self._rejoined else None
        if sample.gated is not None:
            return sample.gated.reason if sample.gated.score >= limits.enter else None
        if sample.value is None or sample.value < limits.enter:
            return None
        if self._is_held:
            return HoldReason.RATE_LIMITED
        return HoldReason.COOLDOWN if self._first is None else HoldReason.WAITING

    def _watch(self, sample: Sample, value: float, last: Sample | None, limits: Limits) -> Step | None:
        cooling = self._end is not None and elapsed_ns(self._end, sample) < self._cooldown_ns
        if value < limits.enter or cooling:
            self._first = None
            return None
        if self._first is None:
            self._first, self._held_ns, self._peak = sample, 0, value
        elif last is not None and last.media.is_on(sample.media) and 2 * elapsed_ns(last, sample) <= 3 * self.hop_ns:
            self._held_ns += elapsed_ns(last, sample)
        self._peak = max(self._peak, value)
        if self._held_ns < limits.min_ns:
            return None
        self._high, self._fell = sample, None
        if not self._rate.has_room(self._first, sample, limits):
            self._is_held = True
            return None
        self._is_open, self._threshold, self._cooldown_ns = True, limits.enter, limits.cooldown_ns
        self._rate.begin(self._first, sample)
        return self._tell(Phase.BEGIN, sample, self.holding.tell())

    def _follow(self, sample: Sample, value: float, limits: Limits) -> Step | None:
        self._peak = max(self._peak, value)
        self._cooldown_ns = limits.cooldown_ns
        self._rejoined = self._fell is not None and value >= limits.leave
        if value >= limits.leave:
            self._rate.follow(sample)
        if self._is_over(sample, value, limits):
            step = self._ended("left")
            self._first = None
            return step
        if self._fell is not None:
            return None
        silent_ns = elapsed_ns(self._told, sample) if self._told is not None else 0
        rose = self._peak >= self._told_peak + RISE and silent_ns >= RISE_EVERY_NS
        return self._tell(Phase.UPDATE, sample) if rose or silent_ns >= UPDATE_EVERY_NS else None

    def _may_speak(self, sample: Sample, value: float, limits: Limits) -> bool:
        """Follow what is held back: True when it is over, or when there is room for it as it lasts."""
        if self._is_over(sample, value, limits):
            self._first, self._is_held = None, False
            return True
        if value >= limits.enter and self._rate.has_room(sample, sample, limits):
            self._first, self._is_held = None, False
            return True
        return False

    def _is_over(self, sample: Sample, value: float, limits: Limits) -> bool:
        """Whether it stayed below leave for long enough."""
        if value >= limits.leave:
            self._high, self._fell = sample, None
            return False
        if self._fell is None:
            self._fell = sample
        return elapsed_ns(self._fell, sample) >= limits.merge_ns

    def _tell(self, phase: Phase, sample: Sample, held_by: tuple[tuple[HoldReason, int], ...] = ()) -> Step:
        self._told, self._told_peak = sample, self._peak
        return self._step(phase, sample, None, "", held_by)

    def _ended(self, reason: str) -> Step:
        """Its score is the one that it fell to, where it fell."""
        assert self._high is not None
        step = self._step(Phase.END, self._fell or self._last or self._high, self._high, reason)
        self._is_open, self._end = False, self._high
        return step

    def _step(
        self,
        phase: Phase,
        sample: Sample,
        end: Sample | None,
        reason: str,
        held_by: tuple[tuple[HoldReason, int], ...] = (),
    ) -> Step:
        first = self._first
        assert first is not None
        assert sample.value is not None
        return Step(
            phase,
            first.t_ns,
            first.media,
            end.t_ns if end is not None else None,
            sample.value,
            self._peak,
            self._threshold,
            reason,
            first.media + elapsed_ns(first, end) if end is not None else None,
            held_by,
        )
