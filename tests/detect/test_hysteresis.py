from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_times import at

from edge.detect.hysteresis import LATE_NS, LEAST_UPDATE_NS, MAX_GAP_NS, UPDATE_RISE, EventStep, Hysteresis
from edge.detect.limits import EventLimits, ScoreSample
from edge.types import NS_PER_S, Phase

HOP = NS_PER_S // 2
BEGIN, UPDATE, END = Phase.BEGIN, Phase.UPDATE, Phase.END


def limits(enter: float = 0.6, leave: float = 0.4, min_s: float = 1.0, cooldown_s: float = 5.0) -> EventLimits:
    return EventLimits(enter, leave, round(min_s * NS_PER_S), round(cooldown_s * NS_PER_S))


def play(
    values: list[float | None], chosen: EventLimits, state: Hysteresis | None = None
) -> list[tuple[float, EventStep]]:
    """Steps with the time in seconds; None is a missing window."""
    state = state or Hysteresis(HOP)
    return [
        (n / 2, step)
        for n, value in enumerate(values)
        if value is not None
        for step in state.advance(ScoreSample(n * HOP, at(n * HOP), value), chosen)
    ]


def test_begins_after_min_s_and_dates_back_to_the_first_crossing() -> None:
    steps = play([0.1, 0.7, 0.8, 0.9, 0.5, 0.39], limits())
    assert [(t, s.phase) for t, s in steps] == [(1.5, BEGIN), (2.5, END)]
    begin, end = steps[0][1], steps[1][1]
    assert (begin.begin_ns, begin.media_begin, begin.end_ns) == (HOP, at(HOP), None)
    assert (begin.score, begin.peak, begin.threshold) == (0.9, 0.9, 0.6)
    assert (end.begin_ns, end.end_ns, end.score, end.peak, end.reason) == (HOP, 4 * HOP, 0.39, 0.9, "left")


def test_min_s_zero_begins_with_the_first_sample() -> None:
    assert [(t, s.phase) for t, s in play([0.1, 0.6, 0.1], limits(min_s=0))] == [(0.5, BEGIN), (1.0, END)]


def test_a_dip_below_enter_restarts_a_candidate_but_not_an_event() -> None:
    steps = play([0.7, 0.7, 0.5, 0.7, 0.7, 0.5, 0.7, 0.7, 0.7, 0.5, 0.41], limits())
    assert [(t, s.phase) for t, s in steps] == [(4.0, BEGIN)]


def test_exactly_leave_keeps_the_event_open() -> None:
    assert [s.phase for _, s in play([0.7, 0.4, 0.4], limits(min_s=0))] == [BEGIN]


def test_cooldown_counts_from_the_end() -> None:
    steps = play([0.7, 0.1, *[0.7] * 8], limits(min_s=0, cooldown_s=2))
    assert [(t, s.phase) for t, s in steps] == [(0.0, BEGIN), (0.5, END), (2.0, BEGIN)]


def test_an_open_event_lasts_over_a_short_hole() -> None:
    hole = [None] * (MAX_GAP_NS // HOP - 1)
    steps = play([0.7, *hole, 0.7, 0.1], limits(min_s=0))
    assert [s.phase for _, s in steps] == [BEGIN, END]
    assert steps[1][1].reason == "left"


def test_a_long_hole_ends_it_as_lost_where_it_was_last_seen() -> None:
    hole = [None] * (MAX_GAP_NS // HOP)
    steps = play([0.7, 0.8, *hole, 0.9], limits(min_s=0, cooldown_s=1))
    assert [s.phase for _, s in steps] == [BEGIN, END, BEGIN]
    assert (steps[1][1].reason, steps[1][1].end_ns, steps[1][1].score) == ("lost", HOP, 0.8)


def test_expire_gives_the_same_end_whenever_it_is_asked() -> None:
    def ended(at_ns: int) -> tuple[EventStep, ...]:
        state = Hysteresis(HOP)
        state.advance(ScoreSample(0, at(0), 0.7), limits(min_s=0))
        assert state.expire(MAX_GAP_NS + LATE_NS) == ()
        return state.expire(at_ns)

    assert ended(MAX_GAP_NS + LATE_NS + 1) == ended(MAX_GAP_NS * 5) != ()


def test_windows_that_cannot_tell_are_a_hole() -> None:
    state, chosen = Hysteresis(HOP), limits(min_s=0)
    state.advance(ScoreSample(0, at(0), 0.7), chosen)
    hops = MAX_GAP_NS // HOP
    assert [state.advance(ScoreSample(n * HOP, at(n * HOP), None), chosen) for n in range(1, hops + 1)] == [()] * hops
    (end,) = state.advance(ScoreSample(MAX_GAP_NS + HOP, at(MAX_GAP_NS + HOP), None), chosen)
    assert (end.phase, end.reason, end.end_ns) == (END, "lost", 0)


def test_jitter_of_local_time_changes_nothing_but_local_times() -> None:
    values = [0.7, 0.7, 0.7, 0.9, 0.1, *[0.8] * 30]

    def seen(jitter_ns: int) -> list[tuple[Phase, int, float]]:
        state, steps = Hysteresis(HOP), []
        for n, value in enumerate(values):
            t_ns = n * HOP + (jitter_ns if n % 2 else -jitter_ns)
            steps += state.advance(ScoreSample(t_ns, at(n * HOP), value), limits())
        return [(s.phase, s.media_begin, s.peak) for s in steps]

    assert seen(0) == seen(40_000_000) == seen(-40_000_000)
    assert len(seen(0)) == 3


def test_over_a_break_of_the_media_clock_local_time_counts() -> None:
    state, chosen = Hysteresis(HOP), limits(min_s=0, cooldown_s=30)
    state.advance(ScoreSample(0, at(0), 0.7), chosen)
    (end,) = state.advance(ScoreSample(MAX_GAP_NS + HOP, at(HOP, 1), 0.7), chosen)
    assert end.reason == "lost"
    assert [s.phase for s in state.advance(ScoreSample(31 * NS_PER_S, at(2 * HOP, 1), 0.7), chosen)] == [BEGIN]


@pytest.mark.parametrize(
    "second", [ScoreSample(4 * HOP, at(4 * HOP), 0.7), ScoreSample(HOP, at(0, 1), 0.7)], ids=["missing", "epoch"]
)
def test_a_candidate_gains_no_time_over_a_hole(second: ScoreSample) -> None:
    state, chosen = Hysteresis(HOP), limits(min_s=0.5)
    assert state.advance(ScoreSample(0, at(0), 0.7), chosen) == ()
    assert state.advance(second, chosen) == ()
    third = ScoreSample(second.t_ns + HOP, second.media + HOP, 0.7)
    assert [s.phase for s in state.advance(third, chosen)] == [BEGIN]


def test_updates_tell_of_a_clearly_higher_peak_and_of_life() -> None:
    steps = play([0.7, 0.9, 0.91, *[0.91] * 10, 0.94, *[0.7] * 70], limits(min_s=0))
    told = [(t, s.phase, s.peak) for t, s in steps]
    assert told == [(0.0, BEGIN, 0.7), (3.0, UPDATE, 0.91), (33.0, UPDATE, 0.94)]


def test_repeated_and_older_times_are_ignored() -> None:
    state = Hysteresis(HOP)
    state.advance(ScoreSample(HOP, at(HOP), 0.7), limits(min_s=0))
    assert state.advance(ScoreSample(HOP, at(HOP), 0.0), limits(min_s=0)) == ()
    assert state.advance(ScoreSample(0, at(0), 0.0), limits(min_s=0)) == ()
    assert state.is_open


SAMPLES = st.lists(
    st.tuples(st.integers(1, 25), st.integers(0, 1), st.one_of(st.floats(0, 1), st.sampled_from([0.4, 0.6, 0.9]))),
    max_size=120,
)
LIMITS = st.builds(
    lambda enter, share, min_s, cooldown_s: limits(enter, enter * share, min_s, cooldown_s),
    st.floats(0.05, 1),
    st.floats(0, 1),
    st.sampled_from([0, 0.5, 1, 3]),
    st.sampled_from([0, 1, 10]),
)


def run(samples: list[tuple[int, int, float]], chosen: EventLimits) -> list[tuple[int, EventStep]]:
    state, t_ns, epoch, steps = Hysteresis(HOP), 0, 0, []
    for hops, new_epoch, value in samples:
        t_ns += hops * HOP
        epoch += new_epoch
        steps += [(t_ns, step) for step in state.advance(ScoreSample(t_ns, at(t_ns, epoch), value), chosen)]
    return steps + [(t_ns, step) for step in state.end("shutdown")]


@given(SAMPLES, LIMITS)
def test_phases_are_well_formed(samples: list[tuple[int, int, float]], chosen: EventLimits) -> None:
    """begin, updates, one end; never two open; peaks only rise; min_s, cooldown and update spacing hold."""
    open_step: EventStep | None = None
    told_ns, ended_ns = 0, None
    for t_ns, step in run(samples, chosen):
        if step.phase is BEGIN:
            assert open_step is None
            assert step.score >= chosen.enter == step.threshold
            assert t_ns - step.begin_ns >= chosen.min_ns
            assert ended_ns is None or step.begin_ns >= ended_ns + chosen.cooldown_ns
        else:
            assert open_step is not None
            assert step.begin_ns == open_step.begin_ns
            assert step.peak >= open_step.peak
            assert step.threshold == open_step.threshold
        assert step.peak >= step.score
        if step.phase is UPDATE:
            assert open_step is not None
            assert t_ns - told_ns >= LEAST_UPDATE_NS
            assert step.peak >= open_step.peak + UPDATE_RISE - 1e-9 or t_ns - told_ns > LEAST_UPDATE_NS
        if step.phase is END:
            assert step.end_ns is not None
            assert step.end_ns >= step.begin_ns + chosen.min_ns
            assert step.reason in {"left", "lost", "shutdown"}
            open_step, ended_ns = None, step.end_ns
        else:
            open_step, told_ns = step, t_ns
    assert open_step is None


@given(SAMPLES, LIMITS)
def test_deterministic(samples: list[tuple[int, int, float]], chosen: EventLimits) -> None:
    assert run(samples, chosen) == run(samples, chosen)


@given(SAMPLES, LIMITS, st.integers(0, 120))
def test_a_hole_never_acts_as_a_zero(samples: list[tuple[int, int, float]], chosen: EventLimits, hole: int) -> None:
    """Without one window that was at or above leave, an open event is not ended as `left` at that place."""
    state, t_ns = Hysteresis(HOP), 0
    for n, (_, _, value) in enumerate(samples):
        t_ns += HOP
        if n == hole:
            was_open = state.is_open
            assert state.expire(t_ns) == ()
            assert state.is_open == was_open
            continue
        state.advance(ScoreSample(t_ns, at(t_ns), value), chosen)
