"""Ages by time that passed: clocks at 1970, a year ahead, set back, boxes that were off."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_times import at

from edge.clock import VirtualClock
from edge.config.models import EvidenceConfig
from edge.errors import SinkError
from edge.evidence.archive.age import CONFIRM_NS, HOUR_NS, AgeClock, is_in_spans
from edge.evidence.archive.retention import Retention
from edge.evidence.archive.store import EventStore
from edge.types import NS_PER_S, Event, EventKind, Phase

DAY_NS = 24 * HOUR_NS
NOW_NS = 1_790_000_000 * NS_PER_S
KEEP_NS = 14 * DAY_NS


@dataclass
class Box:
    """A box whose wall clock is ``offset_ns`` off the true time; events are noted by what it says."""

    true_ns: int = NOW_NS
    offset_ns: int = 0
    mono_ns: int = 0
    events: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ages = AgeClock(self.wall_ns, self.mono_ns)

    @property
    def wall_ns(self) -> int:
        return self.true_ns + self.offset_ns

    def run(self, hours: int, every: int = 1) -> None:
        for _ in range(hours // every):
            self.events.append((self.true_ns, self.wall_ns))
            self.true_ns += every * HOUR_NS
            self.mono_ns += every * HOUR_NS
            self.ages.note(self.wall_ns, self.mono_ns)
            self.check()

    def step(self, to_offset_ns: int) -> None:
        self.offset_ns = to_offset_ns
        self.ages.note(self.wall_ns, self.mono_ns)
        self.check()

    def reboot(self, off_hours: int, to_offset_ns: int) -> None:
        self.true_ns += off_hours * HOUR_NS
        self.offset_ns, self.mono_ns = to_offset_ns, 5
        self.ages = AgeClock(self.wall_ns, self.mono_ns, self.ages.dump())
        self.check()

    def old(self) -> list[tuple[int, int]]:
        spans = self.ages.older_than(KEEP_NS)
        return [event for event in self.events if is_in_spans(event[1], spans)]

    def check(self) -> None:
        for true_ns, _ in self.old():
            assert self.true_ns - true_ns > KEEP_NS - HOUR_NS, "thrown away too early"


def test_a_clock_at_1970_that_is_set_makes_nothing_old() -> None:
    box = Box()
    box.run(48)
    box.reboot(1, -NOW_NS)
    box.run(2)
    box.step(0)
    box.run(12 * 24)
    assert not [e for e in box.old() if e[0] > NOW_NS + 24 * HOUR_NS]
    box.run(30 * 24)
    assert len(box.old()) >= 50, "but what is old by any measure goes"


def test_a_year_ahead_and_back_makes_nothing_old() -> None:
    box = Box()
    box.run(100)
    box.step(365 * DAY_NS)
    box.run(30)
    assert box.old() == []
    box.step(0)
    box.run(10)
    assert box.old() == []
    box.run(20 * 24)
    assert [e for e in box.old() if e[1] > NOW_NS + 200 * DAY_NS], "what was noted a year ahead goes by its age too"


def test_what_happens_before_a_step_is_noticed_is_not_old() -> None:
    box = Box()
    box.run(48)
    box.offset_ns = -NOW_NS
    box.run(1)  # the first look at the clock since then is an hour later
    box.run(48)
    assert box.old() == []


def test_an_event_that_began_long_before_the_clock_was_set_back_is_not_old() -> None:
    box = Box()
    box.run(48)
    box.step(-NOW_NS)
    box.events.append((box.true_ns, box.wall_ns - 20 * HOUR_NS))  # a camera has had no signal for so long
    box.run(24)
    assert box.old() == []


def test_small_steps_back_that_nobody_notes_make_nothing_old() -> None:
    box = Box()
    box.run(48)
    box.step(365 * DAY_NS)
    box.run(1)
    box.step(-NOW_NS)
    box.run(48)
    for _ in range(3):
        box.step(box.offset_ns - HOUR_NS)
        assert box.old() == []


def test_the_last_minutes_before_a_power_cut_at_which_the_clock_is_lost_are_not_old() -> None:
    box = Box()
    box.run(24)
    box.step(-200 * DAY_NS)
    box.run(24)
    saved = box.ages.dump()
    box.events.append((box.true_ns + HOUR_NS // 6, box.wall_ns + HOUR_NS // 6))
    box.true_ns += HOUR_NS // 3
    box.offset_ns, box.mono_ns = -NOW_NS, 5
    box.ages = AgeClock(box.wall_ns, box.mono_ns, saved)
    box.check()
    box.run(24)


def test_a_box_that_was_off_for_a_month_is_believed_after_a_while() -> None:
    box = Box()
    box.run(24)
    box.reboot(30 * 24, 0)
    assert box.old() == []
    box.run(CONFIRM_NS // HOUR_NS)
    assert len(box.old()) == 24


def test_a_wrong_clock_at_boot_that_is_set_right_in_time_costs_nothing() -> None:
    box = Box()
    box.run(24)
    box.reboot(1, 365 * DAY_NS)
    box.run(3)
    box.step(0)
    box.run(100)
    assert box.old() == []


HOURS = st.integers(1, 300)
OFFSETS = st.sampled_from([0, 0, 3, -3, 30, -30, 400, -400, -20_000])
ACTS = st.one_of(
    st.tuples(st.just("run"), HOURS), st.tuples(st.just("step"), OFFSETS), st.tuples(st.just("off"), st.integers(0, 40))
)


@given(st.lists(ACTS, max_size=12))
@settings(deadline=None)
def test_nothing_goes_early_whatever_the_clock_does(acts: list[tuple[str, int]]) -> None:
    box = Box()
    box.run(5)
    for act, value in acts:
        if act == "run":
            box.run(value, every=5)
        elif act == "step":
            box.step(value * DAY_NS)
        else:
            box.reboot(value, box.offset_ns)
    box.step(0)
    box.run(5)
    before = len(box.events)
    box.run(24 * 90, every=24)
    assert len(box.old()) >= before, "in the end everything goes"


def test_evidence_outlives_a_step_of_the_clock(tmp_path: Path) -> None:
    clock = VirtualClock(NOW_NS)
    store = EventStore(tmp_path, clock)
    retention = Retention(EvidenceConfig(keep_days=14, keep_free_gb=0), store, tmp_path, clock)
    retention.sweep()
    store.put(
        Event(
            *("one", "gate", EventKind.EVENT, "person", Phase.BEGIN, 0, None, at(0), clock.wall_ns(), 0.8, 0.9, 0.6),
            *("alert", "person 0.90"),
        ),
        "model 1",
    )
    clock.advance(60 * NS_PER_S)
    clock.step_wall(365 * DAY_NS)
    for _ in range(3):
        clock.advance(60 * NS_PER_S)
        retention.sweep()
    assert store.get("one") is not None
    store.close()
    again = EventStore(tmp_path, clock)
    after = Retention(EvidenceConfig(keep_days=14, keep_free_gb=0), again, tmp_path, clock)
    after.sweep()
    assert again.get("one") is not None, "a restart remembers"
    clock.advance(14 * DAY_NS)
    after.sweep()
    assert again.get("one") is None
    again.close()


def test_while_the_disk_does_not_say_what_the_clock_went_through_nothing_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock(NOW_NS)
    store = EventStore(tmp_path, clock)
    store.put(
        Event(
            *("one", "gate", EventKind.EVENT, "person", Phase.BEGIN, 0, None, at(0), clock.wall_ns(), 0.8, 0.9, 0.6),
            *("alert", "person 0.90"),
        ),
        "model 1",
    )
    settings = EvidenceConfig(keep_days=14, keep_free_gb=0)
    Retention(settings, store, tmp_path, clock).sweep()
    clock.step_wall(365 * DAY_NS)  # wrong at the next boot, whose disk answers late
    rows = store.rows

    def refusing(sql: str, args: Any = ()) -> Any:
        if "ages" in sql:
            raise SinkError("no answer")
        return rows(sql, args)

    monkeypatch.setattr(store, "rows", refusing)
    after = Retention(settings, store, tmp_path, clock)
    after.sweep()
    monkeypatch.setattr(store, "rows", rows)
    after.sweep()
    assert store.get("one") is not None
    store.close()


@pytest.mark.parametrize("saved", ["", "[]", '{"eras": 3}', '{"eras": [{"a": 1}], "begin_ns": 0, "wall_ns": 0}'])
def test_what_cannot_be_read_is_told(saved: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        AgeClock(0, 0, saved)
