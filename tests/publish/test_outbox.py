"""The outbox keeps order and promises over crashes, full disks and damage."""

from __future__ import annotations

import logging
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.clock import VirtualClock
from edge.errors import InputError, SinkError
from edge.metrics import Metrics
from edge.publish import store
from edge.publish.outbox import Outbox
from edge.types import NS_PER_S, Message


def make(path: Path, clock: VirtualClock | None = None) -> Outbox:
    return Outbox(path, clock or VirtualClock(1_000 * NS_PER_S), Metrics())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "outbox.db"


@pytest.fixture
def box(path: Path) -> Iterator[Outbox]:
    outbox = make(path)
    yield outbox
    outbox.close()


def message(n: int, key: str = "") -> Message:
    return Message(f"topic/{n % 3}", b"payload %d" % n, 1, bool(key), key)


def waiting(box: Outbox) -> list[bytes]:
    return [w.message.payload for w in box.pending(1000)]


def fill_disk(box: Outbox) -> None:
    """As a full disk does it: SQLite may not grow the file by a single page."""
    pages = box._store.read("PRAGMA page_count")[0][0]
    box._store.read(f"PRAGMA max_page_count = {pages}")


def free_disk(box: Outbox) -> None:
    box._store.read("PRAGMA max_page_count = 1000000")


def test_messages_come_out_as_they_went_in(box: Outbox) -> None:
    first = Message("a/ü", b"\x00\xff", 1, True, "k")
    box.append([first, message(1)])
    assert [w.message for w in box.pending(10)] == [first, message(1)]
    assert [w.message for w in box.pending(1)] == [first]
    assert [w.message for w in box.pending(10, box.pending(1)[0].seq)] == [message(1)]


def test_the_newest_of_a_key_stands_at_the_end(box: Outbox) -> None:
    box.append([Message("s", b"ON", key="s"), message(1)])
    box.append([Message("s", b"OFF", key="s")])
    assert waiting(box) == [b"payload 1", b"OFF"]
    box.append([Message("s", b"1", key="s"), Message("s", b"2", key="s")])
    assert waiting(box) == [b"payload 1", b"2"]


def test_an_acknowledgement_of_a_replaced_message_touches_nothing(box: Outbox) -> None:
    (old,) = box.append([Message("s", b"ON", key="s")])
    box.append([Message("s", b"OFF", key="s")])
    box.acknowledge(old, 4711)
    assert waiting(box) == [b"OFF"]


def test_everything_survives_a_restart_and_numbers_are_never_used_again(path: Path) -> None:
    box = make(path)
    seqs = box.append([message(1), message(2)], opened={"e1": b"one", "e2": b"two"})
    box.acknowledge(*seqs)
    (third,) = box.append([message(3)], closed=["e1"])
    box.save("name", b"value")
    box.close()
    again = make(path)
    assert waiting(again) == [b"payload 3"]
    assert again.open_events() == {"e2": b"two"}
    assert again.saved() == {"name": b"value"}
    again.acknowledge(third)
    again.close()
    last = make(path)
    assert last.append([message(4)])[0] > third
    last.close()


def test_forgetting_a_saved_value(box: Outbox) -> None:
    box.save("a", b"1")
    box.save("a", None)
    assert box.saved() == {}


def test_depth_and_age(path: Path) -> None:
    clock = VirtualClock(50 * NS_PER_S)
    box = make(path, clock)
    assert (box.depth, box.age_s) == (0, 0.0)
    (seq,) = box.append([message(1)])
    clock.advance(3 * NS_PER_S)
    box.append([message(2)])
    assert (box.depth, box.age_s) == (2, 3.0)
    box.acknowledge(seq)
    assert (box.depth, box.age_s) == (1, 0.0)
    box.close()


def test_parked_messages_let_others_pass_and_come_back_in_place(path: Path) -> None:
    box = make(path)
    first, _, _ = box.append([message(1), message(2), message(3)])
    box.park(first)
    assert waiting(box) == [b"payload 2", b"payload 3"]
    assert box.depth == 3
    box.close()
    again = make(path)
    assert waiting(again) == [b"payload 2", b"payload 3"]
    assert again.unpark() == 1
    assert waiting(again) == [b"payload 1", b"payload 2", b"payload 3"]
    assert again.unpark() == 0
    again.close()


def test_a_full_disk_holds_messages_in_memory_in_order_and_says_what_to_do(box: Outbox) -> None:
    box.append([message(1)], opened={"e": b"x"})
    fill_disk(box)
    big = Message("t", bytes(100_000))
    with pytest.raises(SinkError, match="disk is full; free some space"):
        box.append([big], closed=["e"], opened={"f": b"y"})
    with pytest.raises(SinkError):
        box.append([message(2)])
    assert waiting(box) == [b"payload 1", big.payload, b"payload 2"]
    assert box.open_events() == {"f": b"y"}
    assert box.depth == 3


def test_what_a_full_disk_held_is_written_when_there_is_room(path: Path) -> None:
    box = make(path)
    box.append([message(1)])
    fill_disk(box)
    with pytest.raises(SinkError):
        box.append([Message("t", bytes(100_000)), Message("k", b"old", key="k")], opened={"f": b"y"})
    with pytest.raises(SinkError):
        box.acknowledge(1)
    assert box.pending(10)[0].seq == 2  # not offered twice, though the disk still has it
    free_disk(box)
    box.append([Message("k", b"new", key="k")])
    box.close()
    again = make(path)
    assert waiting(again) == [bytes(100_000), b"new"]
    assert again.open_events() == {"f": b"y"}
    again.close()


def test_memory_is_bounded_and_what_it_drops_is_counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outbox, "HELD_AT_MOST", 3)
    metrics = Metrics()
    box = Outbox(path, VirtualClock(), metrics)
    box.append([message(0)])
    fill_disk(box)
    with pytest.raises(SinkError):
        box.append([Message("t", bytes([n]) * 50_000) for n in range(5)])
    assert [payload[0] for payload in waiting(box)[1:]] == [2, 3, 4]
    assert metrics.registry.get_sample_value("edge_drops_total", {"source": "outbox", "place": "memory_full"}) == 2
    box.close()


@pytest.mark.parametrize("damage", ["garbage", "page"])
def test_a_damaged_file_is_moved_aside(path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    box = make(path)
    box.append([message(n) for n in range(300)])
    box.close()
    data = bytearray(path.read_bytes())
    if damage == "garbage":
        data[:] = b"not a database at all " * 1000
    else:
        data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(bytes(data))
    with caplog.at_level(logging.ERROR):
        again = make(path)
    assert waiting(again) == []
    again.append([message(1)])
    assert waiting(again) == [b"payload 1"]
    (aside,) = path.parent.glob("outbox.db.corrupt-*")
    assert aside.read_bytes()[:100] == bytes(data)[:100]
    assert "is damaged" in caplog.text
    again.close()


def test_damage_while_running_keeps_what_memory_knows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = make(path)
    before = box.append([message(1)], opened={"e": b"x"})[0]
    real, failed = store.transact, []

    def fail_once(db: sqlite3.Connection, statements: list[tuple[str, tuple[object, ...]]]) -> None:
        if not failed:
            failed.append(True)
            raise sqlite3.DatabaseError("database disk image is malformed")
        real(db, statements)

    monkeypatch.setattr(store, "transact", fail_once)
    (after,) = box.append([message(2)], opened={"f": b"y"})
    assert after > before
    assert waiting(box) == [b"payload 2"]
    box.close()
    again = make(path)
    assert waiting(again) == [b"payload 2"]
    assert again.open_events() == {"e": b"x", "f": b"y"}
    again.close()


def test_a_second_process_is_refused(box: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.publish.store.Store.LOCK_TIMEOUT_S", 0.05)
    with pytest.raises(InputError, match="in use by another process"):
        make(path)


def test_an_unusable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"check node\.data_dir"):
        make(tmp_path / "file" / "outbox.db")


def test_appending_and_draining_from_two_threads_loses_nothing(box: Outbox) -> None:
    total, seen = 200, []

    def produce() -> None:
        for n in range(total):
            box.append([message(n)])

    thread = threading.Thread(target=produce)
    thread.start()
    while len(seen) < total:
        batch = box.pending(16)
        box.acknowledge(*(w.seq for w in batch))
        seen += [w.message.payload for w in batch]
    thread.join()
    assert seen == [b"payload %d" % n for n in range(total)]


class OutboxMachine(RuleBasedStateMachine):
    """Against a list: any order of appends, acknowledgements, parking, crashes and full disks."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "outbox.db"
        self._box = make(self._path)
        self._model: dict[int, Message] = {}
        self._parked: set[int] = set()
        self._open: dict[str, bytes] = {}
        self._full = False
        self._count = 0

    def teardown(self) -> None:
        self._box.close()
        self._folder.cleanup()

    @rule(keys=st.lists(st.sampled_from(["", "", "a", "b"]), max_size=4), size=st.sampled_from([1, 9000]),
          opened=st.sampled_from(["", "e", "f"]), closed=st.sampled_from(["", "e", "f"]))  # fmt: skip
    def append(self, keys: list[str], size: int, opened: str, closed: str) -> None:
        messages = []
        for key in keys:
            self._count += 1
            messages.append(Message("t", bytes([self._count % 256]) * size, key=key))
        before = self._box._next_seq
        try:
            self._box.append(messages, opened={opened: b"%d" % self._count} if opened else {},
                             closed=[closed] if closed else [])  # fmt: skip
        except SinkError:
            assert self._full
        if opened:
            self._open[opened] = b"%d" % self._count
        self._open.pop(closed, None)
        for seq, new in enumerate(messages, before):
            if new.key:
                self._model = {s: m for s, m in self._model.items() if m.key != new.key}
            self._model[seq] = new

    @rule(count=st.integers(1, 3))
    def acknowledge(self, count: int) -> None:
        seqs = [w.seq for w in self._box.pending(count)]
        try:
            self._box.acknowledge(*seqs)
        except SinkError:
            assert self._full
        for seq in seqs:
            del self._model[seq]

    @rule()
    def park_the_first(self) -> None:
        if self._full:
            return
        for w in self._box.pending(1):
            self._box.park(w.seq)
            self._parked.add(w.seq)

    @rule()
    def unpark(self) -> None:
        if not self._full:
            self._box.unpark()
            self._parked.clear()

    @rule()
    def the_disk_fills(self) -> None:
        fill_disk(self._box)
        self._full = True

    @rule()
    def the_disk_is_freed(self) -> None:
        free_disk(self._box)
        self._full = False
        self._box.retry()

    @rule()
    def crash(self) -> None:
        if not self._full:  # with a full disk, what memory held is lost: that is the bound of the promise
            self._box._store.close()
            self._box = make(self._path)

    @invariant()
    def same_as_the_model(self) -> None:
        expected = [m for seq, m in self._model.items() if seq not in self._parked]
        assert [w.message for w in self._box.pending(10_000)] == expected
        assert self._box.depth == len(self._model)
        assert self._box.open_events() == self._open


OutboxMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestOutboxMachine = OutboxMachine.TestCase
