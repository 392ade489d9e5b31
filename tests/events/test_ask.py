"""Questions in words: the time, the place, the label, and the rest."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.events.search import parse_question, stem
from edge.events.time_expression import parse_time
from edge.types import NS_PER_S

TZ = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 3, 12, 15, 30, tzinfo=TZ)  # a Thursday
NOW_NS = round(NOW.timestamp()) * NS_PER_S
LABELS = ("person", "vehicle", "animal", "fire", "smoke", "glass_break", "gunshot", "alarm", "crying_baby", "dog_bark")


def told(ns: int | None) -> str:
    return "" if ns is None else datetime.fromtimestamp(ns // NS_PER_S, TZ).strftime("%d.%m. %H:%M")


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("last night", "11.03. 18:00", "12.03. 06:00"),
        ("tonight", "12.03. 18:00", "13.03. 06:00"),
        ("yesterday", "11.03. 00:00", "12.03. 00:00"),
        ("the day before yesterday", "10.03. 00:00", "11.03. 00:00"),
        ("today", "12.03. 00:00", "13.03. 00:00"),
        ("this morning", "12.03. 05:00", "12.03. 12:00"),
        ("yesterday evening", "11.03. 17:00", "11.03. 23:00"),
        ("at night", "11.03. 20:00", "12.03. 06:00"),
        ("last week", "02.03. 00:00", "09.03. 00:00"),
        ("this week", "09.03. 00:00", "13.03. 00:00"),
        ("last month", "01.02. 00:00", "01.03. 00:00"),
        ("weekend", "07.03. 00:00", "09.03. 00:00"),
        ("monday", "09.03. 00:00", "10.03. 00:00"),
        ("on thursday", "12.03. 00:00", "13.03. 00:00"),
        ("last thursday", "05.03. 00:00", "06.03. 00:00"),
        ("saturday night", "07.03. 20:00", "08.03. 06:00"),
        ("2 hours ago", "12.03. 13:00", "12.03. 14:00"),
        ("3 days ago", "09.03. 00:00", "10.03. 00:00"),
        ("in the last 3 days", "09.03. 15:30", "12.03. 15:30"),
        ("in the last hour", "12.03. 14:30", "12.03. 15:30"),
        ("between 22:00 and 02:00", "11.03. 22:00", "12.03. 02:00"),
        ("between 9 and 11", "12.03. 09:00", "12.03. 11:00"),
        ("yesterday between 8 and 9 pm", "11.03. 20:00", "11.03. 21:00"),
        ("yesterday between 11 and 1 pm", "11.03. 11:00", "11.03. 13:00"),
        ("monday from 22:00 to 2:00", "09.03. 22:00", "10.03. 02:00"),
        ("at 14:00", "12.03. 13:30", "12.03. 14:30"),
        ("at 11 pm", "11.03. 22:30", "11.03. 23:30"),
        ("after 9:00", "12.03. 09:00", "12.03. 15:30"),
        ("yesterday after 6 pm", "11.03. 18:00", "12.03. 00:00"),
        ("yesterday before 8:00", "11.03. 00:00", "11.03. 08:00"),
        ("2026-01-31", "31.01. 00:00", "01.02. 00:00"),
        ("31.01.2026", "31.01. 00:00", "01.02. 00:00"),
        ("on 3 march after 6pm", "03.03. 18:00", "04.03. 00:00"),
        ("March 3rd", "03.03. 00:00", "04.03. 00:00"),
        ("31 december", "31.12. 00:00", "01.01. 00:00"),
    ],
)
def test_times(text: str, since: str, until: str) -> None:
    when = parse_time(text, NOW_NS, TZ)
    assert (told(when.since_ns), told(when.until_ns), when.rest) == (since, until, "")


def test_a_night_that_is_still_on_is_last_night() -> None:
    early_ns = round(datetime(2026, 3, 12, 3, 0, tzinfo=TZ).timestamp()) * NS_PER_S
    for text in ("last night", "tonight"):
        when = parse_time(text, early_ns, TZ)
        assert (told(when.since_ns), told(when.until_ns)) == ("11.03. 18:00", "12.03. 06:00")


@pytest.mark.parametrize(
    ("text", "cameras", "zones", "labels", "searched"),
    [
        ("glass breaking near the gate last night", ("gate",), (), ("glass_break",), ""),
        ("a baby cries", (), (), ("crying_baby",), ""),
        ("barking dogs", (), (), ("dog_bark",), ""),
        ("shots fired", (), (), ("gunshot",), ""),
        ("smoke alarm", (), (), ("alarm",), "alarm smoke"),
        ("car", (), (), ("vehicle",), "vehicle car"),  # a car is less than a vehicle
        ("a dog", (), (), ("animal", "dog_bark"), "animal dog bark"),
        ("white truck at the front door", ("front_door",), (), (), "vehicle white truck"),
        ("who was in the drive yesterday", (), ("drive",), (), ""),
        ("persons at gate and in the drive", ("gate",), ("drive",), ("person",), ""),
        ("a ladder", (), (), (), "ladder"),
        ("", (), (), (), ""),
    ],
)
def test_places_labels_and_the_rest(
    text: str, cameras: tuple[str, ...], zones: tuple[str, ...], labels: tuple[str, ...], searched: str
) -> None:
    query = parse_question(text, NOW_NS, TZ, ("gate", "front_door"), ("drive", "gate"), LABELS)
    assert (query.cameras, query.zones, query.labels, query.text) == (cameras, zones, labels, searched)


def test_labels_of_ones_own_are_known_by_their_words() -> None:
    query = parse_question("fork lifts yesterday", NOW_NS, TZ, (), (), (*LABELS, "fork_lift"))
    assert query.labels == ("fork_lift",)


@given(st.text(max_size=60))
def test_any_text_is_a_question(text: str) -> None:
    query = parse_question(text, NOW_NS, TZ, ("gate",), ("drive",), LABELS)
    if query.since_ns is not None and query.until_ns is not None:
        assert query.since_ns <= query.until_ns or query.until_ns <= NOW_NS


@pytest.mark.parametrize(
    "forms", [("bark", "barks", "barking", "barked"), ("cry", "cries", "crying"), ("break", "breaking", "breaks"),
              ("run", "running", "runs"), ("smoke", "smoking", "smoked"), ("glass",), ("fall", "falling", "falls")]
)  # fmt: skip
def test_forms_of_a_word_are_one(forms: tuple[str, ...]) -> None:
    assert len({stem(form) for form in forms}) == 1
