"""Spam is impossible: merging, cooldown, and most an hour, whatever is played."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from media_times import at

from edge.detect.hysteresis import EventStep, Hysteresis
from edge.detect.limits import EventLimits, ScoreSample
from edge.types import NS_PER_S, Phase

HOP = NS_PER_S // 2
HOUR_NS = 3600 * NS_PER_S
BEGIN, UPDATE, END = Phase.BEGIN, Phase.UPDATE, Phase.END


def limits(merge_s: float = 3.0, cooldown_s: float = 0.0, most: int = 12, min_s: float = 0.0) -> EventLimits:
    return EventLimits(0.6, 0.4, round(min_s * NS_PER_S), round(cooldown_s * NS_PER_S), round(merge_s * NS_PER_S), most)


def play(
    values: list[float | None], chosen: EventLimits, state: Hysteresis | None = None, from_s: float = 0
) -> list[tuple[float, EventStep]]:
    state = state or Hysteresis(HOP)
    steps = []
    for n, value in enumerate(values):
        t_ns = round(from_s * NS_PER_S) + n * HOP
        steps += [(t_ns / NS_PER_S, step) for step in state.advance(ScoreSample(t_ns, at(t_ns), value), chosen)]
    return steps


def test_what_begins_again_in_time_is_the_same_event() -> None:
    steps = play([0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9, *[0.1] * 7], limits())
    assert [(t, s.phase) for t, s in steps] == [(0, BEGIN), (6.5, END)]
    assert (steps[1][1].end_ns, steps[1][1].media_end, steps[1][1].score) == (3 * NS_PER_S, at(3 * NS_PER_S), 0.1)


def test_what_begins_again_too_late_is_another() -> None:
    steps = play([0.9, *[0.1] * 7, 0.9], limits())
    assert [(t, s.phase) for t, s in steps] == [(0, BEGIN), (3.5, END), (4.0, BEGIN)]
    assert steps[1][1].end_ns == 0


def test_a_score_between_leave_and_enter_keeps_it() -> None:
    assert [s.phase for _, s in play([0.9, *[0.1, 0.1, 0.4] * 10], limits(merge_s=2))] == [BEGIN]


def test_nothing_is_told_of_an_event_that_has_fallen() -> None:
    steps = play([0.65, 0.95, 0.95, 0.2, *[0.1] * 20], limits(merge_s=8))
    assert [s.phase for _, s in steps] == [BEGIN, END]
    assert (steps[1][1].score, steps[1][1].peak) == (0.2, 0.95)


def test_a_hole_while_it_has_fallen_ends_where_it_last_held() -> None:
    steps = play([0.9, 0.1, *[None] * 25], limits(merge_s=60))
    assert [(s.phase, s.end_ns, s.reason) for _, s in steps] == [(BEGIN, None, ""), (END, 0, "lost")]


def test_over_a_break_of_the_media_clock_the_end_stays_on_the_first_axis() -> None:
    state, chosen = Hysteresis(HOP), limits(merge_s=0)
    state.advance(ScoreSample(10 * HOP, at(100 * HOP), 0.9), chosen)
    state.advance(ScoreSample(12 * HOP, at(7 * HOP, 1), 0.9), chosen)
    (end,) = state.advance(ScoreSample(13 * HOP, at(8 * HOP, 1), 0.1), chosen)
    assert (end.media_begin, end.media_end) == (at(100 * HOP), at(102 * HOP))


def test_what_is_beyond_most_per_hour_is_held_back_and_told_later() -> None:
    state, chosen = Hysteresis(HOP), limits(merge_s=0, most=3)
    first = play([0.9, 0.1] * 10, chosen, state)
    assert [s.phase for _, s in first] == [BEGIN, END] * 3
    again = play([0.1, 0.9, 0.1], chosen, state, from_s=3600)
    assert [(s.phase, s.held) for _, s in again] == [(BEGIN, 7), (END, 0)]
    assert [s.held for _, s in play([0.9], chosen, state, from_s=3602)] == [0]


def test_what_lasts_is_told_as_soon_as_there_is_room() -> None:
    """The thirteenth event may be the fire."""
    state, chosen = Hysteresis(HOP), limits(merge_s=0, most=1)
    assert [s.phase for _, s in play([0.9, 0.1], chosen, state)] == [BEGIN, END]
    assert play([0.9] * 7197, chosen, state, from_s=1) == []
    (begun,) = play([0.9] * 3, chosen, state, from_s=3599.5)
    assert (begun[0], begun[1].phase, begun[1].held) == (3600.0, BEGIN, 0)


def test_what_was_held_back_starts_no_cooldown() -> None:
    state, chosen = Hysteresis(HOP), limits(merge_s=0, cooldown_s=5, most=1)
    play([0.9, 0.1], chosen, state)
    assert play([0.9, 0.1], chosen, state, from_s=3597) == []
    assert [s.phase for _, s in play([0.9], chosen, state, from_s=3600)] == [BEGIN]


SAMPLES = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 1, 3, 30, 900, 3000]), st.booleans(), st.sampled_from([None, 0.0, 0.1, 0.5, 0.6, 0.9])
    ),
    max_size=150,
)
CHOSEN = st.builds(
    limits,
    st.sampled_from([0, 0.5, 3, 20]),
    st.sampled_from([0, 0.5, 10, 400]),
    st.integers(1, 5),
    st.sampled_from([0, 0.5, 1]),
)


def run(samples: list[tuple[int, bool, float | None]], chosen: EventLimits) -> list[tuple[int, EventStep]]:
    state, t_ns, epoch, steps = Hysteresis(HOP), 0, 0, []
    for hops, breaks, value in samples:
        t_ns += hops * HOP
        epoch += breaks
        steps += [(t_ns, step) for step in state.advance(ScoreSample(t_ns, at(t_ns - epoch, epoch), value), chosen)]
    return steps + [(t_ns, step) for step in state.end("shutdown")]


@settings(deadline=None)
@given(SAMPLES, CHOSEN)
def test_no_scores_make_spam(samples: list[tuple[int, bool, float | None]], chosen: EventLimits) -> None:
    """No more than most_per_hour begin in any hour, none within the cooldown of another, and each begins and ends."""
    steps = run(samples, chosen)
    begins = [step.begin_ns for _, step in steps if step.phase is BEGIN]
    assert chosen.most_per_hour is not None
    for n, begin in enumerate(begins[chosen.most_per_hour :]):
        assert begin - begins[n] >= HOUR_NS
    ended_ns: int | None = None
    is_open = False
    for _, step in steps:
        if step.phase is BEGIN:
            assert not is_open
            assert ended_ns is None or step.begin_ns - ended_ns >= chosen.cooldown_ns
            is_open = True
        elif step.phase is END:
            assert is_open
            assert step.end_ns is not None
            assert step.end_ns >= step.begin_ns + chosen.min_ns
            is_open, ended_ns = False, step.end_ns
        else:
            assert is_open
            assert step.score >= chosen.leave
    assert not is_open


@settings(deadline=None)
@given(SAMPLES, CHOSEN)
def test_an_event_ends_where_it_last_held(samples: list[tuple[int, bool, float | None]], chosen: EventLimits) -> None:
    times: dict[int, float | None] = {}
    t_ns = 0
    for hops, _, value in samples:
        t_ns += hops * HOP
        times[t_ns] = value
    for _, step in run(samples, chosen):
        if step.phase is END:
            assert step.end_ns is not None
            last = times[step.end_ns]
            assert last is not None
            assert last >= chosen.leave


@settings(deadline=None)
@given(SAMPLES, CHOSEN)
def test_what_is_merged_is_never_apart_for_less(
    samples: list[tuple[int, bool, float | None]], chosen: EventLimits
) -> None:
    """Between an end that was left and the next begin lies more than merge_s."""
    ended: EventStep | None = None
    for _, step in run(samples, chosen):
        if step.phase is BEGIN and ended is not None and ended.reason == "left" and ended.end_ns is not None:
            assert step.begin_ns - ended.end_ns > chosen.merge_ns
        if step.phase is END:
            ended = step
