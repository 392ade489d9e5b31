"""Retention: exact in age and bytes over a year, nowhere else, and whole again after a kill at any step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_times import at

from edge.clock import VirtualClock
from edge.config.models import EvidenceConfig
from edge.evidence.archive import folder as removal
from edge.evidence.archive.records import EventQuery, EvidenceFile, FileKind, StoredNearMiss
from edge.evidence.archive.retention import GB, Retention
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.traces import TraceStore
from edge.types import NS_PER_S, Event, EventKind, Phase, RuleValues

DAY_NS = 86_400 * NS_PER_S
START_NS = 1_767_225_600 * NS_PER_S  # 2026-01-01
PLENTY = 10**15


def event(name: str, wall_ns: int, camera: str = "gate") -> Event:
    return Event(
        id=name,
        camera=camera,
        kind=EventKind.EVENT,
        label="person",
        phase=Phase.BEGIN,
        begin_ns=0,
        end_ns=None,
        media_begin=at(0),
        wall_begin_ns=wall_ns,
        score=0.8,
        peak=0.9,
        threshold=0.6,
        severity="alert",
        why="person 0.90",
    )


def keep(store: EventStore, happened: Event, sizes: dict[FileKind, int]) -> None:
    """As the recorder does it: the row, the folder, a file under another name, its own name, the row of the file."""
    store.put(happened, "model 1")
    folder = store.folder_of(happened)
    for kind, size in sizes.items():
        if not store.room_for(size):
            continue
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{kind}.bin"
        path.with_suffix(".part").write_bytes(b"x" * size)
        path.with_suffix(".part").replace(path)
        store.attach(happened.id, kind, EvidenceFile(path.relative_to(store.folder).as_posix(), size))


def on_disk(folder: Path) -> dict[str, int]:
    return {file.path: file.size for file in removal.files_below(folder)}


def listed(store: EventStore) -> dict[str, int]:
    return {str(path): int(size) for path, size in store.rows("SELECT path, size FROM files")}


def unknown(store: EventStore) -> set[str]:
    """Files of events that no row knows."""
    return {path for path in on_disk(store.folder) if path[:2] == "20"} - set(listed(store))


def settings_of(days: float = 14, gb: float = 20, free_gb: float = 0) -> EvidenceConfig:
    return EvidenceConfig(keep_days=days, keep_gb=gb, keep_free_gb=free_gb)


def test_a_year_passes(tmp_path: Path) -> None:
    clock = VirtualClock(START_NS)
    store = EventStore(tmp_path, clock)
    traces = TraceStore(tmp_path, clock)
    sized = settings_of(days=14, gb=8_000_000 / GB)
    retention = Retention(sized, store, tmp_path, clock, free=lambda: PLENTY)
    taken_by_size = 0
    for n in range(365):
        now = clock.wall_ns()
        keep(store, event(f"e{n}", now), {"clip": 400_000 if n % 100 < 30 else 300, "thumbnail": 100})
        store.add_near_miss(StoredNearMiss("gate", "person", now, 0.4, 0.6, b"jpeg"))
        traces.append(RuleValues("gate", 0, at(0), {"person": 0.5}), now)
        clock.advance(DAY_NS)
        retention.sweep()
        oldest = clock.wall_ns() - 14 * DAY_NS
        begun = [row[0] for row in store.rows("SELECT begin_ns FROM events ORDER BY begin_ns")]
        assert begun == [START_NS + i * DAY_NS for i in range(n + 1) if START_NS + i * DAY_NS >= oldest]
        there = on_disk(tmp_path)
        assert sum(there.values()) <= 8_000_000 == round(sized.keep_gb * GB)
        assert {path: size for path, size in there.items() if path[:2] == "20"} == listed(store)
        taken_by_size += len({row[0] for row in store.rows("SELECT n FROM files")}) < len(begun)
    assert taken_by_size > 0  # the limit of bytes bit, not only that of age
    assert len(store.near_misses(EventQuery())) == 14
    traces.close()
    assert len(traces.days("gate")) <= 15
    names = {name.split("/")[0] for name in on_disk(tmp_path)} | {path.name for path in tmp_path.iterdir()}
    assert len([name for name in names if name.startswith("20")]) <= 15  # emptied days go too
    store.close()


def test_by_size_the_oldest_files_go_and_their_events_stay(tmp_path: Path) -> None:
    clock = VirtualClock(START_NS)
    store = EventStore(tmp_path, clock)
    for n in range(10):
        keep(store, event(f"e{n}", START_NS + n * NS_PER_S), {"clip": 100_000, "thumbnail": 1000})
    store.mark("e0", "true", by="a test")
    clock.advance(60 * NS_PER_S)
    rest = sum(on_disk(tmp_path).values()) - 10 * 101_000
    Retention(settings_of(gb=(rest + 303_000 + 50_000) / GB), store, tmp_path, clock, free=lambda: PLENTY).sweep()
    found = {one.record.id: dict(one.record.files) for one in store.find(EventQuery())}
    assert [name for name, files in sorted(found.items()) if files] == ["e7", "e8", "e9"]
    assert len(found) == 10
    marked = store.get("e0")
    assert marked is not None
    assert marked.mark is not None  # the mark stays with the row
    store.close()


def test_free_space_of_the_disk_is_kept(tmp_path: Path) -> None:
    clock = VirtualClock(START_NS)
    store = EventStore(tmp_path, clock)
    for n in range(10):
        keep(store, event(f"e{n}", START_NS + n * NS_PER_S), {"clip": 100_000})
    before = sum(on_disk(tmp_path).values())

    def free() -> int:  # the evidence shares a disk on which 250 kB too little is free
        return GB - 250_000 + before - sum(on_disk(tmp_path).values())

    Retention(settings_of(free_gb=1), store, tmp_path, clock, free=free).sweep()
    assert sorted(path.split("/")[2] for path in listed(store)) == [f"e{n}" for n in range(3, 10)]
    store.close()


def test_room_is_made_before_it_is_used_and_never_beyond_the_limit(tmp_path: Path) -> None:
    clock = VirtualClock(START_NS)
    store = EventStore(tmp_path, clock)
    rest = sum(on_disk(tmp_path).values())
    limit = rest + 2_000_000
    Retention(settings_of(gb=limit / GB), store, tmp_path, clock, free=lambda: PLENTY)
    assert not store.room_for(limit + 1)
    for n in range(20):
        keep(store, event(f"e{n}", START_NS + n * NS_PER_S), {"clip": 300_000})
        evidence = [size for path, size in on_disk(tmp_path).items() if not path.startswith("events.db")]
        assert sum(evidence) <= 2_000_000
    assert "2026-01-01/gate/e19/clip.bin" in listed(store)
    store.close()


def test_links_are_never_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "evidence", tmp_path / "precious"
    outside.mkdir()
    (outside / "diary.txt").write_text("mine")
    clock = VirtualClock(START_NS)
    store = EventStore(folder, clock)
    keep(store, event("e0", START_NS), {"clip": 100})
    keep(store, event("e1", START_NS), {"clip": 100})
    (folder / "2026-01-01/gate/e0/link").symlink_to(outside)  # inside what goes
    (folder / "2026-01-01/gate/e1/clip.bin").unlink()
    (folder / "2026-01-01/gate/e1").rmdir()
    (folder / "2026-01-01/gate/e1").symlink_to(outside)  # in the place of what goes
    (folder / "2026-01-02").symlink_to(outside)  # in the place of a day
    (folder / "traces").symlink_to(outside)
    keep(store, event("e2", START_NS + DAY_NS, camera="yard"), {})
    (outside / "yard").rename(outside / "kept") if (outside / "yard").exists() else None
    store.transact(
        [("INSERT INTO doomed VALUES (?)", (path,)) for path in ("../precious", str(outside), "2026-01-02/kept")]
    )
    retention = Retention(settings_of(), store, folder, clock, free=lambda: PLENTY)
    clock.advance(40 * DAY_NS)
    retention.sweep()
    assert (outside / "diary.txt").read_text() == "mine"
    assert outside.is_dir()
    assert not (folder / "2026-01-01/gate/e0").exists()
    assert store.count(EventQuery()) == 0
    store.close()


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_after(steps: int, patch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Every change of the disk or the database is a step; the one after ``steps`` does not happen."""
    left = [steps]

    def counted(real: object) -> object:
        def step(*args: object, **kwargs: object) -> object:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return real(*args, **kwargs)  # type: ignore[operator]

        return step

    with patch.context() as here:
        for name in ("unlink", "rmdir", "replace", "mkdir"):
            here.setattr(os, name, counted(getattr(os, name)))
        here.setattr(EventStore, "transact", counted(EventStore.transact))
        yield left


def live(folder: Path, clock: VirtualClock, limit: EvidenceConfig) -> None:
    """A life of the box: events come, evidence is swept by age and by size."""
    store = EventStore(folder, clock)
    retention = Retention(limit, store, folder, clock, free=lambda: PLENTY)
    for n in range(6):
        name = f"e{clock.wall_ns() // NS_PER_S}-{n}"
        keep(store, event(name, clock.wall_ns()), {"clip": 300_000, "thumbnail": 500})
        clock.advance(DAY_NS)
        retention.sweep()
    store.close()


@pytest.mark.parametrize("gb", [1.0, 1_000_000 / GB], ids=["by age", "by size"])
def test_a_kill_between_any_two_steps_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gb: float
) -> None:
    limit = settings_of(days=2.5, gb=gb)
    clock = VirtualClock(START_NS)
    died = 0
    for steps in range(0, 400, 4):
        folder = tmp_path / str(steps)
        with killed_after(steps, monkeypatch) as left:
            try:
                live(folder, clock, limit)
            except Killed:
                died += 1
        store = EventStore(folder, clock)  # the next life
        retention = Retention(limit, store, folder, clock, free=lambda: PLENTY)
        retention.sweep()
        assert not unknown(store), steps
        assert set(listed(store)) <= set(on_disk(folder)), steps
        assert not store.rows("SELECT 1 FROM doomed"), steps
        assert all(begin >= clock.wall_ns() - 2.5 * DAY_NS for (begin,) in store.rows("SELECT begin_ns FROM events"))
        assert sum(on_disk(folder).values()) <= round(limit.keep_gb * GB)
        store.close()
        if left[0] > 0:
            break
    assert died > 20
    assert left[0] > 0  # every step had its turn


def test_a_file_that_is_being_written_is_let_be_and_what_was_cut_short_goes(tmp_path: Path) -> None:
    clock = VirtualClock(START_NS)
    store = EventStore(tmp_path, clock)
    happened = event("e0", START_NS)
    store.put(happened, "model 1")
    retention = Retention(settings_of(), store, tmp_path, clock, free=lambda: PLENTY)
    path = store.folder_of(happened) / "clip.part"
    path.write_bytes(b"x" * 1000)
    retention.sweep()
    clock.advance(60 * NS_PER_S)
    retention.sweep()
    assert path.exists()
    clock.advance(2 * 3600 * NS_PER_S)
    retention.sweep()
    assert not path.exists()
    store.close()


def test_evidence_of_a_damaged_database_is_kept_until_its_age(tmp_path: Path) -> None:
    clock = VirtualClock(START_NS)
    store = EventStore(tmp_path, clock)
    keep(store, event("e0", START_NS), {"clip": 100})
    store.close()
    (tmp_path / "events.db").write_bytes(b"not a database, as long as it may be " * 100)
    (tmp_path / "events.db-wal").unlink(missing_ok=True)
    store = EventStore(tmp_path, clock)
    retention = Retention(settings_of(), store, tmp_path, clock, free=lambda: PLENTY)
    retention.sweep()
    clock.advance(DAY_NS)
    retention.sweep()
    assert (tmp_path / "2026-01-01/gate/e0/clip.bin").exists()
    clock.advance(15 * DAY_NS)
    retention.sweep()
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("events.db")) == []
    assert not list(tmp_path.glob("*.corrupt-*"))
    store.close()


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "/", "//", "", "x.bin"]), max_size=5))
def test_no_path_leads_outside(parts: list[str]) -> None:
    """On names alone: a test that tried these on the disk would need `remove` to be right to be harmless."""
    below = removal.safe_parts("/".join(parts))
    assert not any("/" in part or part in {"", ".", ".."} for part in below)
    if "/".join(parts).startswith("/") or ".." in parts:
        assert below == ()


@pytest.mark.parametrize("path", ["../x.bin", "a/../../x.bin", "..", ".", "", "ABSOLUTE"])
def test_nothing_outside_is_removed(tmp_path: Path, path: str) -> None:
    for inside in ("in/a/x.bin", "x.bin"):
        (tmp_path / inside).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / inside).write_bytes(b"1")
    assert not removal.remove(tmp_path / "in", path.replace("ABSOLUTE", str(tmp_path / "x.bin")))
    assert (tmp_path / "x.bin").exists()
    assert (tmp_path / "in/a/x.bin").exists()
