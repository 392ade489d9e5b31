"""A day's digest: counted as they are, the notable first, in words, with a sheet of pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import cv2
import numpy as np
import pytest
from media_times import at

from edge.clock import VirtualClock
from edge.errors import SinkError
from edge.evidence import digest as subject
from edge.evidence.archive.records import EvidenceFile
from edge.evidence.archive.store import EventStore
from edge.evidence.digest import MAX_KINDS, as_json, day_span, make_digest, write_digest
from edge.types import NS_PER_S, Event, EventKind, Phase

SINCE, UNTIL = day_span(date(2026, 3, 9), timezone.utc)
HOUR_NS = 3600 * NS_PER_S


def event(name: str, at_h: float, label: str = "person", camera: str = "gate", **more: object) -> Event:
    made = Event(
        id=name,
        camera=camera,
        kind=EventKind.EVENT,
        label=label,
        phase=Phase.BEGIN,
        begin_ns=0,
        end_ns=None,
        media_begin=at(0),
        wall_begin_ns=SINCE + round(at_h * HOUR_NS),
        score=0.7,
        peak=0.8,
        threshold=0.6,
        severity="warning",
        why="person 0.80",
    )
    return replace(made, **more)  # type: ignore[arg-type]


def with_picture(store: EventStore, made: Event, colour: int, size: tuple[int, int] = (180, 320)) -> None:
    store.put(made, "m")
    path = store.folder_of(made) / "thumbnail.jpg"
    done, jpeg = cv2.imencode(".jpg", np.full((*size, 3), colour, np.uint8))
    assert done
    path.write_bytes(bytes(jpeg))
    store.attach(made.id, "thumbnail", EvidenceFile(path.relative_to(store.folder).as_posix(), len(jpeg)))


def test_one_label_that_comes_all_the_time_leaves_room_for_the_others(tmp_path: Path) -> None:
    store = EventStore(tmp_path, VirtualClock(UNTIL))
    for n in range(20):
        with_picture(store, event(f"f{n}", n, "fire", severity="alert", peak=0.99), 250)
    with_picture(store, event("p", 23, severity="info", peak=0.6), 20)
    sheet = cv2.imdecode(
        np.frombuffer(make_digest(store, SINCE, UNTIL, ()).storyboards["gate"], np.uint8), cv2.IMREAD_COLOR
    )
    assert sheet is not None
    y, x = 4 + 2 * 163 + 67, 4 + 3 * 244 + 120  # the last of twelve: a quiet person late in the day
    assert abs(int(sheet[y, x, 0]) - 20) < 6
    store.close()


def test_a_day_is_counted_and_told(tmp_path: Path) -> None:
    store = EventStore(tmp_path, VirtualClock(UNTIL))
    for n in range(6):
        with_picture(store, event(f"p{n}", 8 + n), 40 * n)
    with_picture(store, event("f", 22.25, "fire", "yard", severity="alert", peak=0.97), 200, size=(400, 100))
    store.put(event("s", 12, "signal_lost", "yard", kind=EventKind.HEALTH), "m")
    store.put(event("other", -1), "m")  # the day before, and still on
    store.put(event("next", 24), "m")
    store.mark("p0", "false", by="x")
    store.mark("p1", "true", by="x")
    made = make_digest(store, SINCE, UNTIL, (), ZoneInfo("Europe/Berlin"))
    rows = {(h.camera, h.label): (h.count, h.marked_true, h.marked_false) for h in made.happened}
    assert rows == {("gate", "person"): (6, 1, 1), ("yard", "fire"): (1, 0, 0), ("yard", "signal_lost"): (1, 0, 0)}
    assert [r.id for r in made.notable][:2] == ["p1", "f"]  # marked before severe
    assert "p0" not in [r.id for r in made.notable]
    for words in ("7 events on gate, yard", "person 6", "1 event marked as a false alarm", "signal lost at yard"):
        assert words in made.text
    sheet = cv2.imdecode(np.frombuffer(made.storyboards["gate"], np.uint8), cv2.IMREAD_COLOR)
    assert sheet is not None
    assert sheet.shape[1] > 4 * 240  # four columns, two rows
    for n in range(6):  # each picture in its place, in the order of time
        y, x = 4 + n // 4 * 163 + 67, 4 + n % 4 * 244 + 120
        assert abs(int(sheet[y, x, 0]) - 40 * n) < 6
    assert make_digest(store, SINCE, UNTIL, ("yard",)).storyboards.keys() == {"yard"}
    store.close()


def test_every_kind_is_named_and_of_very_many_how_many_more(tmp_path: Path) -> None:
    store = EventStore(tmp_path, VirtualClock(UNTIL))
    for n in range(MAX_KINDS):
        for k in range(n + 1):
            store.put(event(f"{n}-{k}", 1 + n / 60, f"kind_{n:02}"), "m")
    text = make_digest(store, SINCE, UNTIL, ()).text
    assert [n for n in range(MAX_KINDS) if f"kind {n:02} {n + 1}" not in text] == []
    store.put(event("x", 2, "sneeze"), "m")
    text = make_digest(store, SINCE, UNTIL, ()).text
    assert "kind 01 2, 2 more of 2 other kinds." in text
    assert "79 events on gate" in text


def test_what_is_not_counted_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "MAX_EVENTS", 3)
    store = EventStore(tmp_path, VirtualClock(UNTIL))
    for n in range(2):
        store.put(event(f"e{n}", n), "m")
    assert "Only the newest" not in make_digest(store, SINCE, UNTIL, ()).text
    store.put(event("e3", 3), "m")
    assert "Only the newest 3 events were counted." in make_digest(store, SINCE, UNTIL, ()).text


def test_a_quiet_day(tmp_path: Path) -> None:
    store = EventStore(tmp_path, VirtualClock(UNTIL))
    made = make_digest(store, SINCE, UNTIL, ("gate",))
    assert made.text == "Nothing happened."
    assert (made.happened, made.notable, dict(made.storyboards)) == ((), (), {})
    store.close()


def test_it_is_kept_and_read_back(tmp_path: Path) -> None:
    store = EventStore(tmp_path, VirtualClock(UNTIL))
    with_picture(store, event("p", 8), 100)
    made = make_digest(store, SINCE, UNTIL, ())
    assert write_digest(store, made) == tmp_path / "digests/2026-03-09.json"
    assert json.loads((tmp_path / "digests/2026-03-09.json").read_text("utf-8")) == as_json(made)
    assert (tmp_path / as_json(made)["storyboards"]["gate"]).read_bytes() == made.storyboards["gate"]
    store.set_room_policy(lambda size: False)
    with pytest.raises(SinkError, match="no room"):
        write_digest(store, made)
    store.close()


def test_days_have_the_hours_that_they_have() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    hours = [(b - a) // HOUR_NS for a, b in (day_span(d, berlin) for d in (date(2026, 3, 29), date(2026, 10, 25)))]
    assert hours == [23, 25]
