"""Clocks, times as text, and back-off."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import Backoff, VirtualClock, iso8601
from edge.types import NS_PER_S


def test_virtual_time_moves_only_when_told() -> None:
    clock = VirtualClock(wall_start_ns=5)
    assert (clock.mono_ns(), clock.wall_ns()) == (0, 5)
    clock.advance_to(7)
    clock.advance_to(3)
    assert clock.mono_ns() == 7
    assert not clock.wait(threading.Event(), 1.0)
    assert clock.mono_ns() == 7 + NS_PER_S
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_a_cancelled_wait_takes_no_time() -> None:
    clock, cancel = VirtualClock(), threading.Event()
    cancel.set()
    assert clock.wait(cancel, 60)
    assert clock.mono_ns() == 0


def test_times_as_text() -> None:
    assert iso8601(0) == "1970-01-01T00:00:00.000Z"
    assert iso8601(1_769_860_800_250_999_999) == "2026-01-31T12:00:00.250Z"


def test_back_off_grows_to_a_minute_while_it_fails_again_and_again() -> None:
    backoff = Backoff(VirtualClock())
    delays = [backoff.failed() for _ in range(12)]
    assert delays[:3] == [1.0, 1.8, pytest.approx(3.24)]
    assert delays[-1] == 60.0
    assert backoff.failures == 12


def test_what_worked_for_ten_seconds_is_tried_again_at_once() -> None:
    clock = VirtualClock()
    backoff = Backoff(clock)
    for _ in range(12):
        backoff.failed()
    backoff.succeeded()
    clock.advance(10 * NS_PER_S - 1)
    assert backoff.failed() == 60.0
    backoff.succeeded()
    clock.advance(10 * NS_PER_S)
    assert backoff.failed() == 1.0
    assert backoff.failures == 1


def test_time_in_which_nothing_was_seen_to_work_does_not_count() -> None:
    clock = VirtualClock()
    backoff = Backoff(clock)
    backoff.failed()
    backoff.succeeded()
    worked_until_ns = clock.mono_ns() + NS_PER_S
    clock.advance(60 * NS_PER_S)
    assert backoff.failed(worked_until_ns) == 1.8
    backoff.succeeded()
    assert backoff.failed(worked_until_ns) == pytest.approx(3.24)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40_000)), max_size=60))
def test_a_fresh_drop_never_waits_and_repeated_ones_never_wait_less(story: list[tuple[bool, int]]) -> None:
    """Each part of the story: whether the thing came up, and for how long (ms) it worked then."""
    clock = VirtualClock()
    backoff = Backoff(clock)
    before_s = 0.0
    for comes_up, worked_ms in story:
        if comes_up:
            backoff.succeeded()
            clock.advance(worked_ms * 1_000_000)
        delay_s = backoff.failed()
        if comes_up and worked_ms >= 10_000:
            assert delay_s == 1.0
        else:
            assert max(1.0, before_s) <= delay_s <= 60.0
        clock.advance(round(delay_s * NS_PER_S))
        before_s = delay_s


@given(st.text(min_size=1, max_size=20))
def test_delays_of_a_named_back_off_are_up_to_half_as_long_again_and_grow(name: str) -> None:
    plain, named, again = Backoff(VirtualClock()), Backoff(VirtualClock(), name), Backoff(VirtualClock(), name)
    before_s = 0.0
    for _ in range(12):
        delay_s, base_s = named.failed(), plain.failed()
        assert base_s <= delay_s <= min(60.0, 1.5 * base_s)
        assert delay_s >= before_s
        assert delay_s == again.failed()
        before_s = delay_s
    assert before_s == 60.0
