"""The store of events: phases, marks, files, queries against plain filtering, another process, damage, a full disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_times import at

from edge.clock import VirtualClock
from edge.config.models import EvidenceConfig
from edge.errors import InputError, SinkError
from edge.evidence.archive.reader import matches
from edge.evidence.archive.records import EventQuery, EvidenceFile, StoredNearMiss
from edge.evidence.archive.retention import Retention
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.vectors import pack_vector, unpack_vector
from edge.sqlite import SqliteFile
from edge.types import NS_PER_S, Box, Contribution, Event, EventKind, Phase

T0 = 1_773_000_000 * NS_PER_S


def event(name: str, *, label: str = "dog_bark", camera: str = "gate", at_s: int = 0, **more: object) -> Event:
    begun = Event(
        id=name,
        camera=camera,
        kind=EventKind.EVENT,
        label=label,
        phase=Phase.BEGIN,
        begin_ns=77,
        end_ns=None,
        media_begin=at(0),
        wall_begin_ns=T0 + at_s * NS_PER_S,
        score=0.7,
        peak=0.9,
        threshold=0.6,
        severity="alert",
        why=f"{label} 0.90",
    )
    return replace(begun, **more)  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    opened = EventStore(tmp_path, VirtualClock(T0))
    yield opened
    opened.close()


def test_a_later_phase_takes_the_place_and_leaves_what_was_added(store: EventStore) -> None:
    whole = event(
        "e1",
        boxes=(Box("dog", 0.9, 0.1, 0.2, 0.3, 0.4),),
        tags=(("Bark", 0.83), ("Dog", 0.7)),
        zones=("drive", "door"),
        contribution=Contribution(0.1, 2.5, 0.0),
    )
    store.put(whole, "fused 0.2.0", np.ones(192, np.float32) / np.float32(np.sqrt(192)))
    clip = EvidenceFile("2026-03-08/gate/e1/clip.mp4", 1234, {"seconds": 15.0, "sound": "aac"})
    store.attach("e1", "clip", clip)
    store.caption("e1", "A dog barks at the postman.")
    marked = store.mark("e1", "true", by="page:admin", note="next door's")
    store.put(replace(whole, phase=Phase.END, end_ns=77 + 5 * NS_PER_S, why="ended"), "fused 0.2.0")
    record = store.get("e1")
    assert record is not None
    assert record == replace(marked, end_ns=T0 + 5 * NS_PER_S, why="ended")
    assert record.files == {"clip": clip}
    assert record.mark is not None
    assert (record.mark.verdict, record.mark.by, record.mark.wall_ns) == ("true", "page:admin", T0)
    assert record.tags == (("Bark", 0.83), ("Dog", 0.7))
    assert record.zones == ("drive", "door")
    assert record.boxes == tuple(whole.boxes)
    assert store.mark("e1", None, by="x").mark is None
    with pytest.raises(InputError, match="no event 'e2'"):
        store.mark("e2", "true", by="x")


def test_marks_survive_a_new_life_and_a_removed_clip(tmp_path: Path) -> None:
    clock = VirtualClock(T0)
    store = EventStore(tmp_path, clock)
    store.put(event("e1"), "m")
    store.mark("e1", "false", by="x")
    store.close()
    store = EventStore(tmp_path, clock)
    Retention(EvidenceConfig(keep_free_gb=0), store, tmp_path, clock).sweep()
    store.put(event("e1", peak=0.95), "m")
    record = store.get("e1")
    assert record is not None
    assert record.mark is not None
    assert record.mark.verdict == "false"
    assert record.peak == 0.95
    store.close()


NAMES = st.sampled_from(["gate", "yard"])
EVENTS = st.lists(
    st.tuples(
        NAMES, st.sampled_from(["person", "fire"]), st.sets(st.sampled_from(["a", "a_b", "axb"])), st.integers(0, 50)
    ),
    max_size=12,
)
QUERIES = st.builds(
    EventQuery,
    cameras=st.lists(NAMES, max_size=2).map(tuple),
    labels=st.lists(st.sampled_from(["person", "fire", "smoke"]), max_size=2).map(tuple),
    zones=st.lists(st.sampled_from(["a", "a_b"]), max_size=1).map(tuple),
    since_ns=st.none() | st.integers(0, 50).map(lambda s: T0 + s * NS_PER_S),
    until_ns=st.none() | st.integers(0, 50).map(lambda s: T0 + s * NS_PER_S),
    before_ns=st.none() | st.integers(0, 50).map(lambda s: T0 + s * NS_PER_S),
    marked=st.sampled_from([None, "true", "false", "none"]),
    limit=st.integers(1, 15),
)


@settings(max_examples=25, deadline=None)
@given(EVENTS, st.lists(QUERIES, min_size=1, max_size=5))
def test_find_gives_what_plain_filtering_gives(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, str, set[str], int]], queries: list[EventQuery]
) -> None:
    store = EventStore(tmp_path_factory.mktemp("store"), VirtualClock(T0))
    for n, (camera, label, zones, at_s) in enumerate(made):
        lasted = {"phase": Phase.END, "end_ns": 77 + n * NS_PER_S} if n % 2 else {}
        store.put(event(f"e{n:02d}", camera=camera, label=label, at_s=at_s, zones=tuple(sorted(zones)), **lasted), "m")
        if n % 3:
            store.mark(f"e{n:02d}", "true" if n % 3 == 1 else "false", by="x")
    everything = [record for n in range(len(made)) if (record := store.get(f"e{n:02d}")) is not None]
    for query in queries:
        wanted = sorted((r for r in everything if matches(r, query)), key=lambda r: (r.begin_ns, r.id), reverse=True)
        assert [one.record for one in store.find(query)] == wanted[: query.limit]
        assert store.count(query) == sum(matches(r, replace(query, before_ns=None)) for r in everything)
    store.close()


def test_words_are_found_in_label_tags_caption_and_boxes_in_any_form(store: EventStore) -> None:
    store.put(event("bark", tags=(("Bow-wow", 0.9),)), "m")
    store.put(event("car", label="vehicle", boxes=(Box("truck", 0.9, 0, 0, 1, 1),)), "m")
    store.put(event("post", label="person"), "m")
    store.caption("post", "A postman brings two parcels")
    texts = ("barking dogs", "wow", "trucks", "parcel", "postmen brought parcels", "elephant", '" OR * NEAR(', "")
    found = {text: [one.record.id for one in store.find(EventQuery(text=text))] for text in texts}
    assert found["barking dogs"] == found["wow"] == ["bark"]
    assert found["trucks"] == ["car"]
    assert found["parcel"] == found["postmen brought parcels"] == ["post"]
    assert found["elephant"] == []
    assert found['" OR * NEAR('] == []  # words like any other, no syntax
    assert len(found[""]) == 3


def test_meaning_finds_what_no_word_names_and_leaves_out_what_is_ordinary(store: EventStore) -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(40, 2, 192)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    for n in range(40):
        store.put(event(f"e{n:02d}", label="person", at_s=n), "m", vectors[n])
    ordinary = np.array([[0.0, 0.07], [0.0, 0.07]], np.float32)
    found = store.find(EventQuery(vector=vectors[7, 1], baseline=ordinary))
    assert found[0].record.id == "e07"
    assert len(found) < 10
    among = store.find(EventQuery(vector=vectors[7, 1], baseline=ordinary, until_ns=T0 + 5 * NS_PER_S))
    assert "e07" not in [one.record.id for one in among]
    store.put(event("e07", label="person", at_s=7), "m", vectors[3])  # it means something else now
    assert store.find(EventQuery(vector=vectors[7, 1], baseline=ordinary))[:1] != found[:1]


def test_quick_search_finds_what_comparing_everything_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.evidence.archive.vectors import VectorIndex

    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(3000, 2, 192)).astype(np.float32)
    vectors[:, :, :8] += 2 * rng.normal(size=(3000, 2, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    meanings = VectorIndex()
    meanings.add([(n, n, pack_vector(v)) for n, v in enumerate(vectors)])
    asked = vectors[11, 0] + vectors[12, 1]
    asked /= np.linalg.norm(asked)
    truth = np.argsort(-(vectors @ asked).max(1))[:5].tolist()
    assert [n for n, _ in meanings.closest(asked, None, None, 5)] == truth
    monkeypatch.setattr(VectorIndex, "MAX_EXACT", 100)
    monkeypatch.setattr(VectorIndex, "SHORTLIST", 300)
    assert [n for n, _ in meanings.closest(asked, None, None, 5)][:2] == truth[:2]


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40), st.booleans())
def test_packing_keeps_a_meaning_to_a_127th(values: list[float], two: bool) -> None:
    vector = np.array([values, values[::-1]] if two else values, np.float32)
    again = unpack_vector(pack_vector(vector))
    assert again.shape == np.atleast_2d(vector).shape
    assert np.abs(again - np.atleast_2d(vector)).max() <= np.abs(vector).max() / 127 * 0.51 + 1e-7


def test_another_process_reads_and_marks_meanwhile(tmp_path: Path, store: EventStore) -> None:
    store.put(event("e1"), "m")
    code = (
        "import sys; from pathlib import Path; from edge.clock import SystemClock\n"
        "from edge.evidence.archive.store import EventStore; from edge.evidence.archive.records import EventQuery\n"
        "folder = Path(sys.argv[1])\n"
        "reading = EventStore(folder, SystemClock(), read_only=True)\n"
        "print([one.record.id for one in reading.find(EventQuery(text='bark'))])\n"
        "EventStore(folder, SystemClock(), keeps=False).mark('e1', 'true', by='terminal')\n"
        "print(reading.get('e1').mark.verdict)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["['e1']", "true"]
    record = store.get("e1")
    assert record is not None
    assert record.mark is not None
    assert record.mark.by == "terminal"


def test_read_only_never_writes_and_says_when_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none yet"):
        EventStore(tmp_path / "none", VirtualClock(T0), read_only=True)
    assert not (tmp_path / "none").exists()
    EventStore(tmp_path, VirtualClock(T0)).close()
    reading = EventStore(tmp_path, VirtualClock(T0), read_only=True)
    with pytest.raises(InputError):
        reading.put(event("e1"), "m")
    reading.close()


def test_damage_is_moved_aside_and_what_can_be_read_is_taken_over(tmp_path: Path) -> None:
    store = EventStore(tmp_path, VirtualClock(T0))
    for n in range(400):
        store.put(event(f"e{n:03d}", at_s=n, why="because " * 40), "m")
    store.mark("e000", "true", by="x")
    store.close()
    sqlite3.connect(tmp_path / "events.db").execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    raw = bytearray((tmp_path / "events.db").read_bytes())
    middle = len(raw) // 2 // 4096 * 4096
    raw[middle : middle + 3 * 4096] = os.urandom(3 * 4096)
    (tmp_path / "events.db").write_bytes(raw)
    with pytest.raises(InputError, match="damaged"):  # not this one's to mend
        EventStore(tmp_path, VirtualClock(T0), keeps=False).find(EventQuery(limit=1000))
    store = EventStore(tmp_path, VirtualClock(T0))
    found = store.find(EventQuery(limit=1000))
    assert 100 < len(found) <= 400
    assert list(tmp_path.glob("events.db.corrupt-*"))
    first = store.get("e000")
    assert first is not None
    assert first.mark is not None
    store.put(event("new", at_s=999), "m")
    assert store.find(EventQuery(text="because"))  # what was taken over can be searched
    assert store.find(EventQuery(limit=1))[0].record.id == "new"
    store.close()


def test_a_full_disk_loses_no_event(tmp_path: Path, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(event("before"), "m")
    full = [True]
    real = SqliteFile.transact

    def transact(self: EventStore, statements: object) -> None:
        if full[0]:
            raise SinkError("the disk is full")
        real(self, statements)  # type: ignore[arg-type]

    monkeypatch.setattr(SqliteFile, "transact", transact)
    store.put(event("e1", at_s=1), "m")
    store.put(event("e1", at_s=1, phase=Phase.END, end_ns=77 + NS_PER_S), "m")
    store.attach("e1", "thumbnail", EvidenceFile("x.jpg", 3))
    store.mark("before", "true", by="x")
    store.put(event("e2", at_s=2), "m")
    held = store.find(EventQuery())
    assert [one.record.id for one in held] == ["e2", "e1", "before"]
    assert held[1].record.files["thumbnail"].path == "x.jpg"
    assert held[1].record.end_ns == T0 + 2 * NS_PER_S
    assert held[2].record.mark is not None
    assert store.held > 0
    full[0] = False
    store.write_held()
    assert store.held == 0
    assert [one.record for one in EventStore(tmp_path, VirtualClock(T0), read_only=True).find(EventQuery())] == [
        one.record for one in held
    ]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_disk_of_50_mb_is_filled_without_losing_an_event(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no mounting here")
    try:
        clock = VirtualClock(T0)
        store = EventStore(tmp_path, clock)
        Retention(EvidenceConfig(keep_gb=1, keep_free_gb=0), store, tmp_path, clock)
        hog = tmp_path / "hog"  # somebody else's file: evidence cannot make room of it
        for n in range(300):
            happened = event(f"e{n:03d}", at_s=n)
            store.put(happened, "m")
            if store.room_for(400_000):
                try:
                    path = store.folder_of(happened) / "clip.mp4"
                    path.write_bytes(b"x" * 400_000)
                    store.attach(happened.id, "clip", EvidenceFile(path.relative_to(tmp_path).as_posix(), 400_000))
                except (OSError, SinkError):
                    pass
            if n == 150:
                with hog.open("wb", buffering=0) as file:
                    try:
                        while file.write(b"x" * 65536):
                            pass
                    except OSError:
                        pass
        assert store.count(EventQuery()) + len(store.held_events) >= 300
        hog.unlink()
        store.write_held()
        assert store.held == 0
        assert store.count(EventQuery()) == 300
        store.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_near_misses_are_bounded_and_newest_first(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventStore, "MAX_NEAR_MISSES", 3)
    for n in range(5):
        store.add_near_miss(StoredNearMiss("gate" if n % 2 else "yard", "person", T0 + n, 0.5, 0.6, b"jpeg"))
    assert [c.wall_ns - T0 for c in store.near_misses(EventQuery())] == [4, 3, 2]
    assert [c.wall_ns - T0 for c in store.near_misses(EventQuery(cameras=("yard",)))] == [4, 2]
    assert [c.wall_ns - T0 for c in store.near_misses(EventQuery(since_ns=T0 + 3))] == [4, 3]
    assert [c.wall_ns - T0 for c in store.near_misses(EventQuery(until_ns=T0 + 4, labels=("person",)))] == [3, 2]
    assert store.near_misses(EventQuery(labels=("fire",))) == []
    (newest,) = store.near_misses(EventQuery(limit=1))
    assert store.near_miss_thumbnail(newest.number) == b"jpeg"
    assert store.near_miss_thumbnail(newest.number + 1) is None


def test_folders_of_events_stay_below(store: EventStore, tmp_path: Path) -> None:
    assert store.folder_of(event("e1")) == tmp_path / "2026-03-08/gate/e1"
    for camera, name in (("../gate", "e1"), ("gate", ".."), ("gate", "a/b"), ("", "e1")):
        with pytest.raises(InputError):
            store.folder_of(event(name, camera=camera))
