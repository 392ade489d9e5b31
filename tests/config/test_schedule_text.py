from __future__ import annotations

import pytest

from edge.config import parse
from edge.config.schedule import ScheduleSpan, TimeOfDay, parse_schedule, parse_schedules
from edge.errors import ConfigError

YAML = "cameras: {gate: {source: {type: file, path: a.mp4}}}\n"
EVERY = frozenset(range(7))


@pytest.mark.parametrize(
    ("text", "days", "begin", "end", "next_day"),
    [
        ("22:00-06:00", EVERY, TimeOfDay("clock", 1320), TimeOfDay("clock", 360), True),
        ("08:30 - 17:00", EVERY, TimeOfDay("clock", 510), TimeOfDay("clock", 1020), False),
        ("sunset-sunrise", EVERY, TimeOfDay("sunset", 0), TimeOfDay("sunrise", 0), True),
        ("Sunset+00:30-23:00", EVERY, TimeOfDay("sunset", 30), TimeOfDay("clock", 1380), False),
        ("sunset-01:00-sunrise+0:15", EVERY, TimeOfDay("sunset", -60), TimeOfDay("sunrise", 15), True),
        ("sunrise-sunset", EVERY, TimeOfDay("sunrise", 0), TimeOfDay("sunset", 0), False),
        ("mon-fri 18:00-07:00", frozenset(range(5)), TimeOfDay("clock", 1080), TimeOfDay("clock", 420), True),
        ("sat-sun", frozenset({5, 6}), TimeOfDay("clock", 0), TimeOfDay("clock", 1440), False),
        ("fri-mon,wed 1:00-2:00", frozenset({4, 5, 6, 0, 2}), TimeOfDay("clock", 60), TimeOfDay("clock", 120), False),
    ],
)
def test_what_can_be_written(text: str, days: frozenset[int], begin: TimeOfDay, end: TimeOfDay, next_day: bool) -> None:
    assert parse_schedule(text) == (ScheduleSpan(days, begin, end),)
    assert parse_schedule(text)[0].lasts_into_next_day is next_day


def test_always_and_lists() -> None:
    assert parse_schedules(None) == parse_schedules("always") == parse_schedules(("sat", "always")) == ()
    assert len(parse_schedules(("sat", "sun 8:00-9:00"))) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("25:00-06:00", "25:00 is no time of day"),
        ("24:00-06:00", "24:00 is no time of day"),
        ("22:70-06:00", "22:70 has more than 59 minutes"),
        ("22:00-22:00", "begins and ends at once"),
        ("22:00", "no two times with a - between"),
        ("mon-fry 22:00-06:00", "'fry' is no day"),
        ("dusk-06:00", "'dusk' is neither a time"),
        ("sunset+13:00-23:00", "further from the sun"),
        ("mon fri 22:00-06:00", "is no schedule"),
        ("[]", "is empty"),
        ("[22:00-06:00, noon]", "'noon'"),
    ],
)
def test_errors_name_what_is_wrong(text: str, said: str) -> None:
    value = text if text.startswith("[") else f'"{text}"'
    with pytest.raises(ConfigError) as error:
        parse(f"{YAML}events: {{person: {{schedule: {value}}}}}")
    assert len(error.value.problems) == 1
    assert error.value.problems[0].startswith("config.yaml:2: events.person.schedule: ")
    assert said in error.value.problems[0]


def test_the_sun_needs_a_place() -> None:
    rule = "events: {person: {schedule: sunset-sunrise}}\n"
    with pytest.raises(ConfigError, match=r"events\.person\.schedule.*location\.latitude"):
        parse(YAML + rule)
    with pytest.raises(ConfigError, match=r"location\.latitude"):
        parse(YAML + rule + "location: {latitude: 52.5}")
    assert parse(YAML + rule + "location: {latitude: 52.5, longitude: 13.4}").config.events["person"].schedule


def test_a_time_zone_must_exist() -> None:
    with pytest.raises(ConfigError, match=r"location\.timezone: no time zone 'Europe/Berlln'"):
        parse(YAML + "location: {timezone: Europe/Berlln}")
