"""Schedules on real days: midnight, changes of the clocks, and the sun where it behaves and where it does not."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.models import LocationConfig
from edge.config.schedule import parse_schedules
from edge.detect.schedule import ActiveHours, zone_of
from edge.types import NS_PER_S

BERLIN = LocationConfig(latitude=52.52, longitude=13.4, timezone="Europe/Berlin")
TROMSO = LocationConfig(latitude=69.65, longitude=18.96, timezone="Europe/Oslo")
LINE_ISLANDS = LocationConfig(latitude=1.9, longitude=-157.4, timezone="Pacific/Kiritimati")  # 24 h ahead of its sun


def changes(schedule: str, location: LocationConfig, first: str, days: int = 2) -> list[str]:
    """When it goes on (+) and off (-) after midnight of ``first``, to the minute, in the place's own time."""
    hours, zone = ActiveHours(parse_schedules(schedule), location), zone_of(location)
    start = int(datetime.fromisoformat(first).replace(tzinfo=zone).timestamp())
    states = [hours.is_on(t * NS_PER_S) for t in range(start, start + days * 86400, 60)]
    found = ["on" if states[0] else "off"]
    for n, (before, after) in enumerate(pairwise(states), 1):
        if before != after:
            at = datetime.fromtimestamp(start + n * 60, zone)
            found.append(("+" if after else "-") + at.strftime("%d %H:%M"))
    return found


def test_over_midnight() -> None:
    assert changes("22:00-06:00", BERLIN, "2026-01-05") == ["on", "-05 06:00", "+05 22:00", "-06 06:00", "+06 22:00"]


def test_days_are_those_on_which_it_begins() -> None:
    expected = ["on", "-02 07:00", "+02 18:00", "-03 07:00", "+05 18:00"]  # Friday to Monday
    assert changes("mon-fri 18:00-07:00", BERLIN, "2026-01-02", 4) == expected


def test_whole_days() -> None:
    assert changes("sat", BERLIN, "2026-01-02", 3) == ["off", "+03 00:00", "-04 00:00"]


def test_where_the_clocks_change_the_longer_reading_holds() -> None:
    assert changes("22:00-02:30", BERLIN, "2026-03-28") == ["on", "-28 02:30", "+28 22:00", "-29 03:30", "+29 22:00"]
    shown_twice = changes("22:00-02:30", BERLIN, "2026-10-24")
    assert shown_twice == ["on", "-24 02:30", "+24 22:00", "-25 02:30", "+25 22:00"]
    hours = ActiveHours(parse_schedules("22:00-02:30"), BERLIN)
    zone = ZoneInfo("Europe/Berlin")
    second = int(datetime(2026, 10, 25, 2, 29, tzinfo=zone, fold=1).timestamp())
    assert hours.is_on(second * NS_PER_S)
    assert not hours.is_on((second + 60) * NS_PER_S)


def test_the_sun_in_summer_and_winter() -> None:
    assert changes("sunset-sunrise", BERLIN, "2026-06-21", 1) == ["on", "-21 04:44", "+21 21:33"]
    assert changes("sunset-sunrise", BERLIN, "2026-12-21", 1) == ["on", "-21 08:16", "+21 15:54"]
    assert changes("sunset+00:30-23:00", BERLIN, "2026-06-21", 1) == ["off", "+21 22:03", "-21 23:00"]


def test_what_ends_before_it_begins_is_not_on_that_day() -> None:
    """In the far north in June the sun sets after eleven at night."""
    assert changes(
        "sunset-23:00", LocationConfig(latitude=65.0, longitude=25.5, timezone="Europe/Helsinki"), "2026-06-15"
    ) == ["off"]


def test_polar_days_and_nights() -> None:
    assert changes("sunset-sunrise", TROMSO, "2026-06-21", 3) == ["off"]
    assert changes("sunset-sunrise", TROMSO, "2026-12-20", 3) == ["on"]
    assert changes("sunrise-sunset", TROMSO, "2026-06-21", 3) == ["on"]
    assert changes("sunrise-sunset", TROMSO, "2026-12-20", 3) == ["off"]
    assert changes("sunset-sunrise", TROMSO, "2026-11-25", 1) == ["on", "-25 10:47", "+25 12:16"]


def test_the_suns_day_is_the_places_day() -> None:
    assert changes("fri sunset-sunrise", LINE_ISLANDS, "2026-01-01", 3) == ["off", "+02 18:34", "-03 06:34"]


def test_without_a_place_the_clock_is_enough() -> None:
    hours = ActiveHours(parse_schedules("00:00-01:00"), LocationConfig(timezone="UTC"))
    assert hours.is_on(0)
    assert not hours.is_on(3600 * NS_PER_S)


def test_the_boxs_own_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert ActiveHours(parse_schedules("09:00-10:00"), LocationConfig()).is_on(0)
    monkeypatch.setenv("TZ", "no/where")
    assert ActiveHours(parse_schedules("00:00-01:00"), LocationConfig()).is_on(0)


SCHEDULES = st.sampled_from(["22:00-06:00", "sunset-sunrise", "sat-sun", "mon 12:00-12:30", "sunrise-01:00-08:00"])
TIMES = st.lists(st.integers(1_700_000_000, 1_900_000_000), min_size=1, max_size=8)


@given(SCHEDULES, TIMES, st.sampled_from([BERLIN, TROMSO, LINE_ISLANDS]))
def test_the_answer_does_not_depend_on_what_was_asked_before(
    text: str, times: list[int], location: LocationConfig
) -> None:
    spans = parse_schedules(text)
    hours = ActiveHours(spans, location)
    for t in [time + n for time in times for n in (0, 1, 60, 3599, 3600)]:
        assert hours.is_on(t * NS_PER_S) == ActiveHours(spans, location).is_on(t * NS_PER_S)
