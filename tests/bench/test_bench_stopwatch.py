"""The stopwatch: whose time is whose."""

from __future__ import annotations

import threading
from importlib import import_module
from types import SimpleNamespace

import pytest

from edge.bench import stopwatch
from edge.bench.stopwatch import STAGES, TIMED_METHODS, StageTimer, TimedMethod, stage_of, time_by_stage


@pytest.mark.parametrize("spot", TIMED_METHODS, ids=lambda spot: f"{spot.owner}.{spot.method}")
def test_every_method_that_is_timed_is_there(spot: TimedMethod) -> None:
    assert spot.stage in STAGES
    assert callable(getattr(getattr(import_module(spot.module), spot.owner), spot.method))


class Hand:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now_ns = 1000

    def thread_time_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def hand(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(thread_time_ns=hand.thread_time_ns))
    return hand


def only_this(clock_ns: int) -> StageTimer:
    me = threading.current_thread()
    return StageTimer(lambda thread: clock_ns if thread is me else None)


def test_a_stage_has_its_own_time_without_that_of_the_stages_it_calls(hand: Hand) -> None:
    watch = only_this(1000)

    def inner() -> str:
        hand.now_ns += 300
        return "done"

    timed = watch.timed("scale", inner)

    def outer() -> str:
        hand.now_ns += 100
        said = timed()
        hand.now_ns += 50
        return str(said)

    assert watch.timed("gather", outer)() == "done"
    hand.now_ns += 7  # outside of all stages
    found = watch.read(process_ns=1600)
    assert found["scale"] == pytest.approx(300e-9)
    assert found["gather"] == pytest.approx(150e-9)
    assert found["other"] == pytest.approx(1150e-9)  # the thread's remaining 550 ns, and 600 ns of no thread of ours
    assert sum(found.values()) == pytest.approx(1600e-9)


def test_a_stage_that_fails_is_left_again(hand: Hand) -> None:
    watch = only_this(100)

    def failing() -> None:
        hand.now_ns += 40
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        watch.timed("detect", failing)()
    hand.now_ns += 60
    assert watch.read(100)["detect"] == pytest.approx(40e-9)


def test_a_method_that_is_gone_is_told_and_costs_nothing() -> None:
    watch = StageTimer(lambda _thread: None)
    watch.attach(
        [
            TimedMethod("vision", "edge.bench.stopwatch", "X", "gone"),
            TimedMethod("vision", "edge.clock", "Gone", "x"),
        ]
    )
    assert [spot.method for spot in watch.missing] == ["gone", "x"]


@pytest.mark.parametrize(("name", "stage"), [("capture:yard", "decode"), ("engine", "detect"), ("MainThread", "other")])
def test_a_thread_works_for_the_stage_of_its_name(name: str, stage: str) -> None:
    assert stage_of(name) == stage


def test_what_was_spent_between_two_readings() -> None:
    found = time_by_stage({"vision": 1.0, "audio": 2.0, "fusion": 0.5}, {"vision": 4.0, "audio": 3.0, "fusion": 0.5})
    assert found == {"vision": 3.0, "audio": 1.0}
