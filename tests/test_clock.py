"""Clocks, times as text, and back-off."""

from __future__ import annotations

import threading

import pytest

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


def test_back_off_grows_to_a_minute_and_resets_after_five_healthy_minutes() -> None:
    clock = VirtualClock()
    backoff = Backoff(clock)
    delays = [backoff.failed() for _ in range(12)]
    assert delays[:3] == [1.0, 1.8, pytest.approx(3.24)]
    assert delays[-1] == 60.0
    backoff.succeeded()
    clock.advance(299 * NS_PER_S)
    assert backoff.failed() == 60.0
    backoff.succeeded()
    clock.advance(300 * NS_PER_S)
    assert backoff.failed() == 1.0
    assert backoff.failures == 1
