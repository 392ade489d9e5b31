"""The store of events on disks that give nothing, fail in mid-run, or flip a byte: it starts, and loses no row."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from test_store import T0, event

from edge import sqlite
from edge.clock import VirtualClock
from edge.errors import SinkError
from edge.evidence.archive.records import EventQuery
from edge.evidence.archive.store import EventStore
from edge.sqlite import SqliteFile
from edge.types import NS_PER_S, Phase


class Failing:
    """Makes what SQLite is asked for fail with the error of a disk, while ``is_broken``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_broken = True
        monkeypatch.setattr(sqlite, "connect", self._refusing(sqlite.connect))
        monkeypatch.setattr(sqlite, "transact", self._refusing(sqlite.transact))
        monkeypatch.setattr(SqliteFile, "read", self._refusing(SqliteFile.read, SinkError))

    def _refusing(
        self, real: Callable[..., Any], error: type[Exception] = sqlite3.OperationalError
    ) -> Callable[..., Any]:
        def asked(*args: Any) -> Any:
            if self.is_broken:
                raise error("disk I/O error")
            return real(*args)

        return asked


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Failing]:
    made = Failing(monkeypatch)
    yield made
    made.is_broken = False


def ids(store: EventStore) -> list[str]:
    return [one.record.id for one in store.find(EventQuery())]


def test_a_disk_that_gives_nothing_at_the_start_holds_rows_in_memory(tmp_path: Path, disk: Failing) -> None:
    store = EventStore(tmp_path, VirtualClock(T0))
    store.put(event("e1"), "m")
    assert "disk I/O error" in store.trouble
    record = store.get_if_readable("e1")
    assert record is not None
    store.caption("e1", "said")
    store.put(event("e1", phase=Phase.END, end_ns=77 + NS_PER_S), "m")
    assert store.get_if_readable("e2") is None
    with pytest.raises(SinkError, match="disk I/O error"):
        ids(store)
    with pytest.raises(SinkError):
        store.get("e2")
    disk.is_broken = False
    store.write_held()
    assert (store.held, store.trouble) == (0, "")
    assert ids(store) == ["e1"]
    assert store.get("e1").caption == "said"  # type: ignore[union-attr]
    store.close()


def test_a_disk_that_fails_in_mid_run_stops_no_writing_and_loses_no_row(tmp_path: Path, disk: Failing) -> None:
    disk.is_broken = False
    store = EventStore(tmp_path, VirtualClock(T0))
    store.put(event("e1"), "m")
    disk.is_broken = True
    store.put(event("e1", phase=Phase.END, end_ns=77 + NS_PER_S), "m")
    store.put(event("e2", at_s=1), "m")
    assert store.held == 2
    disk.is_broken = False
    store.put(event("e3", at_s=2), "m")
    assert ids(store) == ["e3", "e2", "e1"]
    assert store.get("e1").end_ns is not None  # type: ignore[union-attr]
    store.close()


def test_a_first_start_where_no_file_can_be_made_reads_nothing_and_goes_on_later(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    folder.write_text("in the way of the folder")
    store = EventStore(folder, VirtualClock(T0))
    store.put(event("e1"), "m")
    assert store.get_if_readable("e0") is None
    folder.unlink()
    store.write_held()
    assert ids(store) == ["e1"]
    store.close()


def test_after_a_failed_sync_the_file_is_opened_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = EventStore(tmp_path, VirtualClock(T0))
    opened: list[str] = []
    connect = sqlite.connect

    def not_synced(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(sqlite, "transact", not_synced)
        store.put(event("e1"), "m")
    assert store.held == 1
    monkeypatch.setattr(sqlite, "connect", lambda uri, wait_s: opened.append(uri) or connect(uri, wait_s))
    store.write_held()
    assert [uri for uri in opened if uri.endswith("mode=rwc")]
    assert ids(store) == ["e1"]
    store.close()


@pytest.mark.parametrize("at", range(100))
def test_a_flipped_byte_in_the_header_never_keeps_it_from_starting(tmp_path: Path, at: int) -> None:
    store = EventStore(tmp_path, VirtualClock(T0))
    store.put(event("e1"), "m")
    store.close()
    path = tmp_path / "events.db"
    whole = path.read_bytes()
    for flip in (0xFF, 0x01, 0x40):
        for file in tmp_path.iterdir():
            file.unlink()
        path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        store = EventStore(tmp_path, VirtualClock(T0))
        store.put(event("e2", at_s=1), "m")
        assert store.held == 0, store.trouble
        assert ids(store)[0] == "e2"
        store.close()


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_byte_anywhere_never_keeps_events_from_being_kept_and_read(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    store = EventStore(tmp_path, VirtualClock(T0))
    for n in range(20):
        store.put(event(f"e{n}", at_s=n), "m")
    store.close()
    path = tmp_path / "events.db"
    whole = path.read_bytes()
    for n in range(60):
        at, flip = rng.randrange(4096 if n % 2 else len(whole)), rng.choice((0xFF, 0x01, 0x10, 0x80))
        for file in tmp_path.iterdir():
            file.unlink()
        path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        store = EventStore(tmp_path, VirtualClock(T0))
        store.put(event("new", at_s=99), "m")
        assert store.held == 0, (at, flip, store.trouble)
        ids(store)
        assert store.get_if_readable("new") is not None, (at, flip)
        assert store.get_if_readable("e1") is None or store.get_if_readable("e1").label  # type: ignore[union-attr]
        store.find(EventQuery(text="bark"))
        store.close()


def test_a_store_of_an_earlier_version_gets_what_is_new_in_the_schema(tmp_path: Path) -> None:
    EventStore(tmp_path, VirtualClock(T0)).close()
    db = sqlite3.connect(tmp_path / "events.db")
    db.execute("DROP TABLE missing")
    db.close()
    store = EventStore(tmp_path, VirtualClock(T0))
    assert store.rows("SELECT * FROM missing") == []
    assert not list(tmp_path.glob("*corrupt*"))
    store.close()


class FailingUris:
    """Lets connections fail whose address ends in ``ending``, with SQLite's ``text``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ending, self.text = "", ""
        real = sqlite.connect

        def connect(uri: str, wait_s: float) -> sqlite3.Connection:
            if self.ending and uri.endswith(self.ending):
                raise sqlite3.OperationalError(self.text)
            return real(uri, wait_s)

        monkeypatch.setattr(sqlite, "connect", connect)


def test_a_reader_that_could_not_see_the_log_sees_what_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = FailingUris(monkeypatch)
    store = EventStore(tmp_path, VirtualClock(T0))
    store.put(event("e1"), "m")
    store.close()
    store = EventStore(tmp_path, VirtualClock(T0))
    uris.ending, uris.text = "mode=ro", "unable to open database file"
    assert ids(store) == ["e1"]
    uris.ending = ""
    store.put(event("e2"), "m")
    assert set(ids(store)) == {"e1", "e2"}
    store.close()


def test_a_reader_on_a_disk_that_cannot_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uris = FailingUris(monkeypatch)
    store = EventStore(tmp_path, VirtualClock(T0))
    store.put(event("e1"), "m")
    uris.ending, uris.text = "mode=ro", "disk I/O error"
    with pytest.raises(SinkError, match="disk I/O error"):
        ids(store)
    uris.ending = ""
    assert ids(store) == ["e1"]
    store.close()


def test_a_damaged_file_stays_in_place_while_no_new_one_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris = FailingUris(monkeypatch)
    clock = VirtualClock(T0)
    store = EventStore(tmp_path, clock)
    store.put(event("e1"), "m")
    store.close()
    damaged = tmp_path / "events.db"
    content = bytearray(damaged.read_bytes())
    content[18] = 9  # a version of the format that nobody writes
    damaged.write_bytes(content)
    opened: list[str] = []
    connect = sqlite.connect

    def first_opens(uri: str, wait_s: float) -> sqlite3.Connection:
        opened.append(uri)
        if not damaged.exists():
            raise sqlite3.OperationalError("disk I/O error")
        return connect(uri, wait_s)

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "connect", first_opens)
        store = EventStore(tmp_path, clock)
    assert opened
    assert damaged.read_bytes() == bytes(content)
    assert not list(tmp_path.glob("*.corrupt-*"))
    uris.ending = ""
    store.put(event("e2"), "m")
    assert set(ids(store)) == {"e1", "e2"}
    store.close()
