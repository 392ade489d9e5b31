"""Media time to local time."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.buffer.media_clock import SLEW, MediaClock
from edge.types import NS_PER_MS, NS_PER_S

STEP_NS = 40 * NS_PER_MS


def packets(n: int, jitter_ms: int = 0, ppm: float = 0.0, seed: int = 1) -> list[tuple[int, int]]:
    """(pts, arrival): a clock that runs ``ppm`` fast, each packet up to ``jitter_ms`` late."""
    dice = random.Random(seed)
    base = 7 * NS_PER_S
    return [
        (k * STEP_NS, base + round(k * STEP_NS / (1 + ppm * 1e-6)) + dice.randrange(jitter_ms * NS_PER_MS + 1))
        for k in range(n)
    ]


@given(
    steps=st.lists(st.integers(1, 400 * NS_PER_MS), min_size=1, max_size=60),
    delays=st.lists(st.integers(0, 3 * NS_PER_S), min_size=60, max_size=60),
)
def test_mapped_time_always_increases(steps: list[int], delays: list[int]) -> None:
    clock, pts, arrival, last = MediaClock(), 0, 0, None
    for step, delay in zip(steps, delays, strict=False):
        pts += step
        arrival = max(arrival, pts + delay)
        mono = clock.to_mono(pts, arrival)
        assert last is None or mono > last or clock.epoch
        last = mono


@given(delays=st.lists(st.integers(0, 400 * NS_PER_MS), min_size=120, max_size=200))
def test_slew_is_bounded_once_settled(delays: list[int]) -> None:
    clock, offset = MediaClock(), None
    for k, delay in enumerate(delays):
        was_settled = clock.settled
        clock.to_mono(k * STEP_NS, k * STEP_NS + delay)
        if was_settled and offset is not None:
            assert clock.offset_ns is not None
            assert abs(clock.offset_ns - offset) <= STEP_NS * SLEW + 1
        offset = clock.offset_ns


@pytest.mark.parametrize("seed", range(5))
def test_least_delayed_packet_gives_the_offset(seed: int) -> None:
    clock = MediaClock()
    for pts, arrival in packets(1500, jitter_ms=300, seed=seed):
        clock.to_mono(pts, arrival)
    assert clock.offset_ns == pytest.approx(7 * NS_PER_S, abs=3 * NS_PER_MS)


@pytest.mark.parametrize("ppm", [-300.0, -50.0, 0.0, 50.0, 300.0])
def test_drift_is_followed_and_measured(ppm: float) -> None:
    clock, worst = MediaClock(), 0.0
    for pts, arrival in packets(25 * 240, jitter_ms=20, ppm=ppm):
        mono = clock.to_mono(pts, arrival)
        truth = 7 * NS_PER_S + pts / (1 + ppm * 1e-6)
        worst = max(worst, abs(mono - truth))
    assert worst < 25 * NS_PER_MS
    assert clock.drift_ppm == pytest.approx(ppm, abs=30)


def test_drift_is_not_told_before_it_can_be_known() -> None:
    clock = MediaClock()
    for pts, arrival in packets(25 * 120, jitter_ms=20):
        clock.to_mono(pts, arrival)
    assert clock.drift_ppm is None


@pytest.mark.parametrize("jump_s", [-5.0, -0.6, 0.6, 3600.0])
def test_jump_opens_an_epoch(jump_s: float) -> None:
    clock = MediaClock()
    for pts, arrival in packets(100):
        clock.to_mono(pts, arrival)
    assert clock.epoch == 0
    pts, arrival = packets(101)[-1]
    clock.to_mono(pts + round(jump_s * NS_PER_S), arrival)
    assert clock.epoch == 1
    assert clock.offset_ns == arrival - pts - round(jump_s * NS_PER_S)


def test_stall_and_burst_are_no_jump() -> None:
    clock = MediaClock()
    for pts, arrival in packets(100):
        clock.to_mono(pts, arrival)
    before = clock.offset_ns
    late = 104 * STEP_NS + 12 * NS_PER_S
    for k in range(100, 400):
        clock.to_mono(k * STEP_NS, max(late, 7 * NS_PER_S + k * STEP_NS))
    assert clock.epoch == 0
    assert clock.offset_ns == before


def test_pause_with_the_media_clock_running_is_no_jump() -> None:
    clock = MediaClock()
    clock.to_mono(0, 0)
    clock.to_mono(30 * NS_PER_S, 30 * NS_PER_S)
    assert clock.epoch == 0


def test_backlog_first_is_corrected_at_once() -> None:
    clock = MediaClock()
    for k in range(200):
        arrival = max(8 * NS_PER_S, k * STEP_NS) if k < 150 else k * STEP_NS
        clock.to_mono(k * STEP_NS, arrival)
    assert abs(clock.offset_ns or 0) < 5 * NS_PER_MS


def test_nothing_to_map_before_the_first_packet() -> None:
    with pytest.raises(ValueError, match="nothing has arrived"):
        MediaClock().mono_of(0)
    assert MediaClock().drift_ppm is None
