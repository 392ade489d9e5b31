"""When a score becomes an event: enter and leave thresholds, a shortest time and a cooldown, in stream time.

Pure: a function of the samples given. One `Hysteresis` a camera and label. What was not seen is a hole and never a
zero: an open event lasts over a short hole and ends as ``lost`` after a long one; a candidate does not gain time.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.types import NS_PER_S, Phase

LOST_NS = 10 * NS_PER_S  # the longest hole that an open event survives
RISE = 0.05  # a peak this much above the last one told is worth an update
RISE_EVERY_NS = 3 * NS_PER_S
UPDATE_EVERY_NS = 30 * NS_PER_S  # a sign of life for whoever joined late


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds in force for one sample."""

    enter: float
    leave: float
    min_ns: int
    cooldown_ns: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One score at the end of its window: ``t_ns`` local time, ``media_ns`` the source's own, ``epoch`` its clock's."""

    t_ns: int
    media_ns: int
    epoch: int
    value: float


@dataclass(frozen=True, slots=True)
class Step:
    """One phase of an event. ``reason`` says why it ended (left, lost, or as given to `end`); empty otherwise."""

    phase: Phase
    begin_ns: int
    media_begin_ns: int
    end_ns: int | None
    score: float
    peak: float
    threshold: float
    reason: str = ""


class Hysteresis:
    """The state of one label of one camera.

    An event begins when the score stayed at or above ``enter`` for ``min_ns`` of seen time; its begin is the first of
    those samples. It ends with the first sample below ``leave``; ``cooldown_ns`` after any end the next may begin.
    """

    __slots__ = (
        "_cool_until_ns",
        "_cooldown_ns",
        "_first",
        "_held_ns",
        "_hole_ns",
        "_is_open",
        "_last",
        "_peak",
        "_threshold",
        "_told_ns",
        "_told_peak",
    )

    def __init__(self, hop_ns: int) -> None:
        """Samples further apart than one and a half ``hop_ns`` have a hole between them."""
        self._hole_ns = hop_ns * 3 // 2
        self._first: Sample | None = None  # of the candidate or the open event
        self._last: Sample | None = None
        self._is_open = False
        self._held_ns = self._cooldown_ns = 0
        self._peak = self._threshold = self._told_peak = 0.0
        self._told_ns = 0
        self._cool_until_ns: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether an event has begun and not ended."""
        return self._is_open

    def advance(self, sample: Sample, limits: Limits) -> tuple[Step, ...]:
        """Take in the next sample; older or repeated times are ignored."""
        last = self._last
        if last is not None and sample.t_ns <= last.t_ns:
            return ()
        lost = self.expire(sample.t_ns)
        self._last = sample
        before = None if lost else last
        step = self._follow(sample, limits) if self._is_open else self._watch(sample, before, limits)
        return (*lost, step) if step is not None else lost

    def expire(self, now_ns: int) -> tuple[Step, ...]:
        """End the event, or drop the candidate, when nothing was seen for too long before ``now_ns``."""
        last = self._last
        if self._first is None or last is None or now_ns - last.t_ns <= LOST_NS:
            return ()
        return self.end("lost")

    def end(self, reason: str) -> tuple[Step, ...]:
        """End an open event at its last sample, and drop a candidate."""
        last = self._last
        steps = (self._ended(last, reason),) if self._is_open and last is not None else ()
        self._first = None
        return steps

    def _watch(self, sample: Sample, last: Sample | None, limits: Limits) -> Step | None:
        cooling = self._cool_until_ns is not None and sample.t_ns < self._cool_until_ns
        if sample.value < limits.enter or cooling:
            self._first = None
            return None
        if self._first is None:
            self._first, self._held_ns, self._peak = sample, 0, sample.value
        elif last is not None and last.epoch == sample.epoch and sample.t_ns - last.t_ns <= self._hole_ns:
            self._held_ns += sample.t_ns - last.t_ns
        self._peak = max(self._peak, sample.value)
        if self._held_ns < limits.min_ns:
            return None
        self._is_open, self._threshold, self._cooldown_ns = True, limits.enter, limits.cooldown_ns
        return self._tell(Phase.BEGIN, sample)

    def _follow(self, sample: Sample, limits: Limits) -> Step | None:
        self._peak = max(self._peak, sample.value)
        self._cooldown_ns = limits.cooldown_ns
        if sample.value < limits.leave:
            step = self._ended(sample, "left")
            self._first = None
            return step
        silent_ns = sample.t_ns - self._told_ns
        rose = self._peak >= self._told_peak + RISE and silent_ns >= RISE_EVERY_NS
        return self._tell(Phase.UPDATE, sample) if rose or silent_ns >= UPDATE_EVERY_NS else None

    def _tell(self, phase: Phase, sample: Sample) -> Step:
        self._told_ns, self._told_peak = sample.t_ns, self._peak
        return self._step(phase, sample, None, "")

    def _ended(self, sample: Sample, reason: str) -> Step:
        step = self._step(Phase.END, sample, sample.t_ns, reason)
        self._is_open, self._cool_until_ns = False, sample.t_ns + self._cooldown_ns
        return step

    def _step(self, phase: Phase, sample: Sample, end_ns: int | None, reason: str) -> Step:
        first = self._first
        assert first is not None
        return Step(phase, first.t_ns, first.media_ns, end_ns, sample.value, self._peak, self._threshold, reason)
