"""Work on recordings in processes side by side."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import MediaError, SinkError
from edge.replay.processes import in_order, run_in_processes

STATE: dict[str, int] = {}


def begin(offset: int) -> None:
    STATE["offset"] = offset


def add(n: int) -> int:
    return n + STATE["offset"]


def refuse(n: int) -> int:
    raise MediaError(f"{n} cannot be read")


def die(_n: int) -> int:
    os._exit(9)


def test_every_item_is_worked_on_once_by_a_process_that_was_set_up() -> None:
    assert sorted(run_in_processes(begin, (10,), add, [1, 2, 3, 4])) == [11, 12, 13, 14]
    assert not STATE, "not in this process"


def test_errors_of_the_work_are_raised_here() -> None:
    with pytest.raises(MediaError, match="1 cannot be read"):
        list(run_in_processes(begin, (10,), refuse, [1]))


def test_a_process_that_was_killed_is_told() -> None:
    with pytest.raises(SinkError, match="was killed"):
        list(run_in_processes(begin, (10,), die, [1, 2]))


@given(st.permutations(range(8)))
def test_results_come_in_their_order_whenever_they_end(ended: list[int]) -> None:
    assert list(in_order((n, str(n)) for n in ended)) == [str(n) for n in range(8)]


def test_a_result_whose_turn_it_is_does_not_wait_for_later_ones() -> None:
    results = in_order((n, n) for n in (0, 2, 1))
    assert next(results) == 0
