"""Hysteresis: when a score becomes an event. Enter and leave, minimum duration, merging, cooldown, limit per hour.

Pure: a function of its samples. One `Hysteresis` for each camera and label. Time is the source's media time, whose hops
are exact and the same in a replay; local time, which jitters, is used only over breaks of the media clock. A window
without a value is a gap, never zero: an open event survives a short gap and ends as ``lost`` after a long one, and a
candidate gains no time. An event beyond ``most_per_hour`` is followed without messages until it is over. ``holding``
has what is held back, and why.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.detect.limits import EventLimits, HoldTracker, RepetitionLimit, ScoreSample, elapsed_ns
from edge.media_time import MediaTime
from edge.status import HoldReason
from edge.types import NS_PER_S, Phase

MAX_GAP_NS = 10 * NS_PER_S  # the longest gap that an open event survives
LATE_NS = 5 * NS_PER_S  # without any window it is lost this much later: the next one may only be late
UPDATE_RISE = 0.05  # a peak this much above the last reported one causes an update
LEAST_UPDATE_NS = 3 * NS_PER_S
UPDATE_EVERY_NS = 30 * NS_PER_S  # regular updates, for subscribers that joined late


@dataclass(frozen=True, slots=True)
class EventStep:
    """One phase of an event. ``reason`` says why it ended (left, lost, or as passed to `end`); empty otherwise.

    ``media_end`` is on the clock of ``media_begin``, even if that broke in between. ``held_by`` is how many events
    were held back before this one began, by reason.
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

    An event begins when the score stayed at or above ``enter`` for ``min_ns``, without gaps; its begin is the first of
    those samples. It is over when the score stayed below ``leave`` for ``merge_ns``, during which nothing is reported;
    its end is the last sample before that at or above ``leave``. The next may begin ``cooldown_ns`` after the end of a
    reported event.
    """

    __slots__ = (
        "_below_since",
        "_cooldown_ns",
        "_end",
        "_first",
        "_held_ns",
        "_is_held",
        "_is_open",
        "_last",
        "_last_above",
        "_peak",
        "_rate",
        "_rejoined",
        "_reported",
        "_reported_peak",
        "_threshold",
        "holding",
        "hop_ns",
    )

    def __init__(self, hop_ns: int) -> None:
        """Windows further apart than one and a half ``hop_ns`` have a gap between them; it may change."""
        self.hop_ns = hop_ns
        self.holding = HoldTracker()
        self._first: ScoreSample | None = None  # of the candidate or the open event
        self._last: ScoreSample | None = None  # the last with a value
        self._last_above: ScoreSample | None = None  # the last of the open event that was at or above leave
        self._below_since: ScoreSample | None = None  # the first below leave since then
        self._reported: ScoreSample | None = None  # of the last phase
        self._end: ScoreSample | None = None  # the last `_last_above` of a reported event
        self._is_open = self._is_held = self._rejoined = False
        self._held_ns = self._cooldown_ns = 0
        self._peak = self._threshold = self._reported_peak = 0.0
        self._rate = RepetitionLimit()

    @property
    def is_open(self) -> bool:
        """Whether an event has begun and not ended; False for one that is held back."""
        return self._is_open

    def advance(self, sample: ScoreSample, limits: EventLimits) -> tuple[EventStep, ...]:
        """Process the next sample; older or repeated ones are ignored."""
        last = self._last
        if last is not None and elapsed_ns(last, sample) <= 0:
            return ()
        lost: tuple[EventStep, ...] = ()
        if last is not None and elapsed_ns(last, sample) > MAX_GAP_NS:
            lost, last = self.end("lost"), None
        step = None
        self._rejoined = False
        if sample.value is not None:
            self._last = sample
            if self._is_open:
                step = self._follow(sample, sample.value, limits)
            elif not self._is_held or self._may_begin(sample, sample.value, limits):
                step = self._follow_candidate(sample, sample.value, last, limits)
        self.holding.advance(sample, limits, self._why_held(sample, limits), is_open=self._is_open)
        return (*lost, step) if step is not None else lost

    def expire(self, now_ns: int) -> tuple[EventStep, ...]:
        """End the event, or drop the candidate, after no window for too long before local time ``now_ns``."""
        self.holding.expire(now_ns, MAX_GAP_NS + LATE_NS)
        last = self._last
        if last is None or now_ns - last.t_ns <= MAX_GAP_NS + LATE_NS:
            return ()
        return self.end("lost")

    def end(self, reason: str) -> tuple[EventStep, ...]:
        """End an open event at its last sample at or above leave, and drop a candidate."""
        steps = (self._end_step(reason),) if self._is_open else ()
        self._first, self._is_held = None, False
        self.holding.end()
        return steps

    def _why_held(self, sample: ScoreSample, limits: EventLimits) -> HoldReason | None:
        """Why there is no event although the score is at or above ``enter``; None when it is below, or there is
        one."""
        if self._is_open:
            return HoldReason.MERGED if self._rejoined else None
        if sample.gated is not None:
            return sample.gated.reason if sample.gated.score >= limits.enter else None
        if sample.value is None or sample.value < limits.enter:
            return None
        if self._is_held:
            return HoldReason.RATE_LIMITED
        return HoldReason.COOLDOWN if self._first is None else HoldReason.WAITING

    def _follow_candidate(
        self, sample: ScoreSample, value: float, last: ScoreSample | None, limits: EventLimits
    ) -> EventStep | None:
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
        self._last_above, self._below_since = sample, None
        if not self._rate.has_room(self._first, sample, limits):
            self._is_held = True
            return None
        self._is_open, self._threshold, self._cooldown_ns = True, limits.enter, limits.cooldown_ns
        self._rate.begin(self._first, sample)
        return self._report(Phase.BEGIN, sample, self.holding.take_held())

    def _follow(self, sample: ScoreSample, value: float, limits: EventLimits) -> EventStep | None:
        self._peak = max(self._peak, value)
        self._cooldown_ns = limits.cooldown_ns
        self._rejoined = self._below_since is not None and value >= limits.leave
        if value >= limits.leave:
            self._rate.follow(sample)
        if self._is_over(sample, value, limits):
            step = self._end_step("left")
            self._first = None
            return step
        if self._below_since is not None:
            return None
        silent_ns = elapsed_ns(self._reported, sample) if self._reported is not None else 0
        rose = self._peak >= self._reported_peak + UPDATE_RISE and silent_ns >= LEAST_UPDATE_NS
        return self._report(Phase.UPDATE, sample) if rose or silent_ns >= UPDATE_EVERY_NS else None

    def _may_begin(self, sample: ScoreSample, value: float, limits: EventLimits) -> bool:
        """Follow what is held back: True when it is over, or when the limit now has room for it."""
        if self._is_over(sample, value, limits):
            self._first, self._is_held = None, False
            return True
        if value >= limits.enter and self._rate.has_room(sample, sample, limits):
            self._first, self._is_held = None, False
            return True
        return False

    def _is_over(self, sample: ScoreSample, value: float, limits: EventLimits) -> bool:
        """Whether it stayed below leave for long enough."""
        if value >= limits.leave:
            self._last_above, self._below_since = sample, None
            return False
        if self._below_since is None:
            self._below_since = sample
        return elapsed_ns(self._below_since, sample) >= limits.merge_ns

    def _report(self, phase: Phase, sample: ScoreSample, held_by: tuple[tuple[HoldReason, int], ...] = ()) -> EventStep:
        self._reported, self._reported_peak = sample, self._peak
        return self._step(phase, sample, None, "", held_by)

    def _end_step(self, reason: str) -> EventStep:
        """The last phase; when the score fell, with the score that it fell to."""
        assert self._last_above is not None
        step = self._step(Phase.END, self._below_since or self._last or self._last_above, self._last_above, reason)
        self._is_open, self._end = False, self._last_above
        return step

    def _step(
        self,
        phase: Phase,
        sample: ScoreSample,
        end: ScoreSample | None,
        reason: str,
        held_by: tuple[tuple[HoldReason, int], ...] = (),
    ) -> EventStep:
        first = self._first
        assert first is not None
        assert sample.value is not None
        return EventStep(
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
