"""What comes together, against a slow statement of the same."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.detect.composite import LEAST_VALUE, AllOfMatcher, EventChain, SequenceMatcher

Window = tuple[float | None, ...]


def played(composer: SequenceMatcher | AllOfMatcher, windows: list[Window]) -> list[EventChain | None]:
    return [composer.advance(t, values) for t, values in enumerate(windows)]


def value(chain: EventChain | None) -> float | None:
    return None if chain is None else chain.value


def test_a_sequence_holds_while_its_last_part_is_there() -> None:
    windows: list[Window] = [(0.9, 0), (0.1, 0), (0, 0.8), (0, 0.7), (0, 0), (0, 0.9)]
    found = played(SequenceMatcher(2, 4, repeats=False), windows)
    assert [value(c) for c in found] == [0, 0, 0.8, 0.7, 0, 0.1]
    assert found[2] is not None
    assert [(link.part, link.t_ns) for link in found[2].links] == [(0, 0), (1, 2)]


def test_the_wrong_order_is_no_sequence() -> None:
    assert [value(c) for c in played(SequenceMatcher(2, 9, repeats=False), [(0, 0.9), (0, 0), (0.9, 0), (0, 0)])] == [
        0
    ] * 4
    assert [value(c) for c in played(AllOfMatcher(2, 9), [(0, 0.9), (0, 0), (0.8, 0), (0, 0)])] == [0, 0, 0.8, 0]


def test_at_once_is_in_order_unless_the_same_is_wanted_again() -> None:
    assert value(SequenceMatcher(2, 9, repeats=False).advance(0, (0.9, 0.8))) == 0.8
    assert value(SequenceMatcher(2, 9, repeats=True).advance(0, (0.9, 0.9))) == 0
    assert value(SequenceMatcher(2, 9, repeats=True).advance(0, (0.9, 0.9), times=2)) == 0.9


def test_what_could_not_be_told_is_none_only_where_it_matters() -> None:
    found = [
        value(c) for c in played(SequenceMatcher(2, 9, repeats=False), [(0, None), (0.9, 0), (0, None), (None, 0.8)])
    ]
    assert found == [0, 0, None, 0.8]
    found = [value(c) for c in played(AllOfMatcher(2, 9), [(0, None), (0.9, 0), (None, 0.8), (0.9, None)])]
    assert found == [0, 0, 0.8, None]


def slow_ordered(windows: list[Window], within: int, repeats: bool) -> list[float]:
    """Every choice of times."""
    parts, out = len(windows[0]), []
    for now in range(len(windows)):
        best = 0.0
        for times in product(range(max(0, now - within), now + 1), repeat=parts - 1):
            chosen = [*times, now]
            steps = pairwise(chosen)
            if all(a < b if repeats else a <= b for a, b in steps):
                values = [windows[t][k] or 0.0 for k, t in enumerate(chosen)]
                best = max(best, min(v if v >= LEAST_VALUE else 0.0 for v in values))
        out.append(best)
    return out


def slow_gathered(windows: list[Window], within: int) -> list[float]:
    parts, out = len(windows[0]), []
    for now in range(len(windows)):
        recent = windows[max(0, now - within) : now + 1]
        highest = [max(w[k] or 0.0 for w in recent) for k in range(parts)]
        best = max(
            min(windows[now][k] or 0.0, *(highest[j] for j in range(parts) if j != k), 1.0) for k in range(parts)
        )
        out.append(best if best >= LEAST_VALUE else 0.0)
    return out


SCORES = st.one_of(st.sampled_from([0.0, 0.3, 0.6, 0.9]), st.floats(0.02, 1))
CASES = st.integers(2, 3).flatmap(lambda n: st.lists(st.tuples(*[SCORES] * n), min_size=1, max_size=9))


@settings(deadline=None)
@given(CASES, st.integers(0, 5), st.booleans())
def test_the_best_chain_is_found(windows: list[Window], within: int, repeats: bool) -> None:
    found = played(SequenceMatcher(len(windows[0]), within, repeats=repeats), windows)
    assert [value(c) for c in found] == pytest.approx(slow_ordered(windows, within, repeats))
    for now, chain in enumerate(found):
        assert chain is not None
        if chain.links:
            assert [link.part for link in chain.links] == list(range(len(windows[0])))
            assert chain.links[-1].t_ns == now
            assert chain.value == min(link.value for link in chain.links)
            assert all(windows[link.t_ns][link.part] == link.value for link in chain.links)


@settings(deadline=None)
@given(CASES, st.integers(0, 5))
def test_the_best_gathering_is_found(windows: list[Window], within: int) -> None:
    found = played(AllOfMatcher(len(windows[0]), within), windows)
    assert [value(c) for c in found] == pytest.approx(slow_gathered(windows, within))


@settings(deadline=None)
@given(CASES, st.lists(st.integers(0, 26), max_size=6))
def test_what_is_told_of_a_gathering_with_a_hole_holds_whatever_was_in_it(
    windows: list[Window], holes: list[int]
) -> None:
    parts = len(windows[0])
    holed = [list(w) for w in windows]
    for hole in holes:
        holed[hole // parts % len(windows)][hole % parts] = None

    def last(fill: float | None) -> float | None:
        composer = AllOfMatcher(parts, 4)
        for t, values in enumerate(holed[:-1]):
            composer.advance(t, values)
        return value(composer.advance(len(holed) - 1, [fill if v is None else v for v in holed[-1]]))

    told = last(None)
    if told is not None:
        assert last(0.0) == pytest.approx(told, abs=2e-3)
        assert last(1.0) == pytest.approx(told, abs=2e-3)
    else:
        assert last(0.0) != pytest.approx(last(1.0), abs=1e-4)
