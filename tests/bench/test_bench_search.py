"""The search for how many cameras hold: few trials, a bracket, an answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bench.search import MOST_CAMERAS, CapacitySearch


def searched(holds: int, start: int, runs: int, hint: float = 1.0) -> CapacitySearch:
    """Search a machine that holds ``holds``; ``hint`` is by how much each trial misjudges it."""
    search = CapacitySearch(start, runs)
    while (cameras := search.next()) is not None:
        search.add(cameras, held=cameras <= holds, expected=holds * hint)
    return search


def test_an_estimate_that_is_right_needs_two_trials() -> None:
    search = CapacitySearch(12, 4)
    assert search.next() == 12
    search.add(12, held=True, expected=12.4)
    assert search.next() == 13
    search.add(13, held=False, expected=12.5)
    assert search.next() is None
    assert (search.held, search.failed) == (12, 13)


def test_a_failure_is_followed_by_what_it_suggests_below() -> None:
    search = CapacitySearch(48, 4)
    search.add(48, held=False, expected=20.2)
    assert search.next() == 20


def test_a_hint_outside_of_the_bracket_gives_way_to_its_middle() -> None:
    search = CapacitySearch(20, 5)
    search.add(20, held=True, expected=80)
    search.add(40, held=False, expected=10)
    assert search.next() == 30


def test_nothing_holds() -> None:
    search = searched(0, 3, 9, hint=0.0)
    assert (search.held, search.failed) == (0, 1)


def test_a_number_that_cannot_be_tried_is_not() -> None:
    assert CapacitySearch(10_000, 1).next() == MOST_CAMERAS
    assert CapacitySearch(5, 0).next() is None


@given(holds=st.integers(1, 200), start=st.integers(1, 200), hint=st.floats(0.5, 2.0))
def test_with_trials_enough_the_answer_is_near(holds: int, start: int, hint: float) -> None:
    search = searched(holds, start, 40, hint)
    assert search.held <= holds
    assert search.failed is None or holds < search.failed
    assert search.failed is not None
    assert search.failed - search.held <= max(1.0, 0.05 * search.held)


@given(holds=st.integers(0, 300), start=st.integers(1, 300), runs=st.integers(1, 6), hint=st.floats(0, 4))
def test_trials_are_bounded_and_none_is_repeated(holds: int, start: int, runs: int, hint: float) -> None:
    tried = searched(holds, start, runs, hint).tried
    assert len(tried) <= runs
    assert len(set(tried)) == len(tried)


@pytest.mark.parametrize("start", [0, -3])
def test_the_first_trial_has_a_camera(start: int) -> None:
    assert CapacitySearch(start, 1).next() == 1
