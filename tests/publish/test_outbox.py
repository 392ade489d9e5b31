"""The outbox keeps order and promises over crashes, disks that are full, hang or fail, and damage."""

from __future__ import annotations

import contextlib
import logging
import random
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from publish_parts import Disk, Killed

from edge import sqlite
from edge.clock import VirtualClock
from edge.errors import InputError
from edge.metrics import Metrics
from edge.publish.backlog import OutboxBacklog
from edge.publish.outbox import Outbox
from edge.sqlite import SqliteFile, connect
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
    """What may leave when the disk had its time."""
    box.clock.advance(NS_PER_S)  # type: ignore[attr-defined]
    return [w.message.payload for w in box.pending(1000)]


def on_disk(path: Path) -> list[tuple[int, bytes]]:
    """What a process that starts now would find."""
    box = make(path)
    found = [(w.seq, w.message.payload) for w in box.pending(1000)]
    box.file.close()
    return found


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def fill_disk(box: Outbox) -> None:
    """As a full disk does it: SQLite may not grow the file by a single page."""
    pages = box.file.read("PRAGMA page_count")[0][0]
    box.file.read(f"PRAGMA max_page_count = {pages}")


def free_disk(box: Outbox) -> None:
    box.file.read("PRAGMA max_page_count = 1000000")


def test_messages_come_out_as_they_went_in(box: Outbox) -> None:
    first = Message("a/ü", b"\x00\xff", 1, True, "k")
    box.append([first, message(1)])
    box.flush()
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
    assert again.flush()
    assert waiting(again) == [b"payload 1", b"payload 2", b"payload 3"]
    assert again.unpark() == 0
    again.close()


def test_a_full_disk_holds_messages_in_memory_in_order_and_says_what_to_do(box: Outbox) -> None:
    box.append([message(1)], opened={"e": b"x"})
    assert box.flush()
    fill_disk(box)
    big = Message("t", bytes(100_000))
    box.append([big], closed=["e"], opened={"f": b"y"})
    assert not box.flush()
    assert "disk is full; free some space" in box.trouble
    box.append([message(2)])
    assert not box.flush()
    assert [w.message.payload for w in box.pending(9)] == [b"payload 1", big.payload, b"payload 2"]  # at once
    assert box.open_events() == {"f": b"y"}
    assert (box.depth, box.held) == (3, 2)


def test_what_a_full_disk_held_is_written_when_there_is_room(path: Path) -> None:
    box = make(path)
    box.append([message(1)])
    assert box.flush()
    fill_disk(box)
    box.append([Message("t", bytes(100_000)), Message("k", b"old", key="k")], opened={"f": b"y"})
    assert not box.flush()
    box.acknowledge(1)
    assert not box.flush()
    assert box.pending(10)[0].seq == 2  # not offered twice, though the disk still has it
    free_disk(box)
    box.append([Message("k", b"new", key="k")])
    box.close()
    again = make(path)
    assert waiting(again) == [bytes(100_000), b"new"]
    assert again.open_events() == {"f": b"y"}
    again.close()


@pytest.mark.parametrize(("bound", "most"), [("HELD_AT_MOST", 3), ("HELD_BYTES", 150_100)])
def test_memory_is_bounded_and_what_it_drops_is_counted(
    path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(OutboxBacklog, bound, most)
    metrics = Metrics()
    box = Outbox(path, VirtualClock(), metrics)
    box.append([message(0)])
    box.flush()
    fill_disk(box)
    box.append([Message("t", bytes([n]) * 50_000) for n in range(5)])
    assert [payload[0] for payload in waiting(box)[1:]] == [2, 3, 4]
    assert metrics.registry.get_sample_value("edge_drops_total", {"source": "outbox", "place": "memory_full"}) == 2
    box.close()


def test_no_method_but_flush_asks_the_disk(path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    box = make(path)
    box.append([message(n) for n in range(3)])
    box.flush()
    asked = disk.asked
    monkeypatch.setattr(box.file, "read", lambda *_: pytest.fail("the disk was read"))
    first, second = box.append([message(3, key="k"), message(4)], opened={"e": b"1"}, saved={"a": b"1"})
    box.append([message(5, key="k")])
    box.pending(9)
    box.acknowledge(1, second)
    box.park(2)
    box.unpark()
    box.save("b", b"2")
    box.report()
    assert (box.depth, box.open_events(), box.saved(), box.age_s) == (3, {"e": b"1"}, {"a": b"1", "b": b"2"}, 0.0)
    assert first not in {w.seq for w in box.pending(9)}
    assert disk.asked == asked


def test_a_message_leaves_when_it_is_on_the_disk_or_when_that_takes_too_long(path: Path, disk: Disk) -> None:
    clock = VirtualClock(1_000 * NS_PER_S)
    box = make(path, clock)
    box.append([message(1)])
    assert box.pending(9) == []
    assert box.next_s == Outbox.GRACE_S
    box.flush()
    assert [w.message for w in box.pending(9)] == [message(1)]
    assert box.next_s is None
    seen: list[list[bytes]] = []

    def hang(write: Callable[[], None]) -> None:
        for s in (0.0, 0.2, 0.1, 5.0):
            clock.advance(round(s * NS_PER_S))
            seen.append([w.message.payload for w in box.pending(9)])
        assert "the disk takes seconds to write" in box.trouble
        box.append([message(3)])
        clock.advance(NS_PER_S)
        assert waiting(box) == [b"payload 1", b"payload 2", b"payload 3"]
        box.acknowledge(*(w.seq for w in box.pending(2)))  # 2 is being written just now
        write()

    disk.script = [hang]
    box.append([message(2)])
    box.flush()
    assert seen == [[b"payload 1"], [b"payload 1"], [b"payload 1", b"payload 2"], [b"payload 1", b"payload 2"]]
    assert waiting(box) == [b"payload 3"]
    assert box.held == 0
    box.file.close()
    assert on_disk(path) == [(3, b"payload 3")]


def test_trouble_with_a_slow_disk_ends_with_a_quick_write(path: Path, disk: Disk) -> None:
    clock = VirtualClock()
    box = make(path, clock)

    def slow(write: Callable[[], None]) -> None:
        clock.advance(5 * NS_PER_S)
        write()

    disk.script = [slow]
    for n, is_slow in enumerate((True, False)):
        box.append([message(n)])
        assert box.flush()
        assert bool(box.trouble) is is_slow
    box.close()


def test_after_a_failed_sync_the_file_is_opened_anew_and_what_memory_holds_is_written_again(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system forgets what it could not sync: to sync the same file once more would say that all is well."""

    def written_but_not_synced(write: Callable[[], None]) -> None:
        write()
        raise sqlite3.OperationalError("disk I/O error")

    box = make(path)
    box.append([message(1)])
    disk.script = [written_but_not_synced]
    assert not box.flush()
    assert "disk I/O error" in box.trouble
    assert box.held == 1
    statements: list[str] = []

    def traced(uri: str, wait_s: float) -> sqlite3.Connection:
        db = connect(uri, wait_s)
        db.set_trace_callback(statements.append)
        return db

    monkeypatch.setattr("edge.sqlite.connect", traced)
    assert box.flush()
    settled = next(n for n, s in enumerate(statements) if "wal_checkpoint(TRUNCATE)" in s)
    assert any("INSERT OR REPLACE INTO messages" in s for s in statements[settled:])
    box.file.close()
    assert on_disk(path) == [(1, b"payload 1")]


def test_what_left_before_it_was_on_the_disk_has_a_number_that_no_later_run_uses(path: Path, disk: Disk) -> None:
    def killed(_write: Callable[[], None]) -> None:
        raise Killed

    box = make(path)
    box.append([message(1)])
    box.flush()
    disk.script = [killed]
    lost = box.append([message(n) for n in range(2, 900)])
    with pytest.raises(Killed):
        box.flush()
    box.file.close()
    again = make(path)
    assert waiting(again) == [b"payload 1"]
    assert again.append([message(1000)])[0] > lost[-1]
    again.close()


def test_much_that_waits_is_on_the_disk_alone_and_comes_in_order(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OutboxBacklog, "CACHED_BYTES", 200)
    monkeypatch.setattr(OutboxBacklog, "READ_AT_ONCE", 4)
    for begun in (make(path), None):
        box = begun or make(path)
        if begun is not None:
            box.append([message(n, key="k" if n == 17 else "") for n in range(30)])
            box.park(12)
        box.flush()
        assert box.cached_bytes < 400
        assert box.depth == 30
        if begun is not None:
            box.file.close()
    box.append([message(31, key="k")])  # in the place of one whose content is on the disk alone
    box.unpark()
    seen: list[bytes] = []
    while box.depth:
        box.flush()
        batch = box.pending(3)
        seen += [w.message.payload for w in batch]
        box.acknowledge(*(w.seq for w in batch))
    assert seen == [b"payload %d" % n for n in range(30) if n != 17] + [b"payload 31"]
    box.close()
    assert on_disk(path) == []


def test_what_is_on_a_disk_that_hangs_holds_up_nothing_that_is_not(
    path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OutboxBacklog, "CACHED_BYTES", 0)
    clock = VirtualClock()
    box = make(path, clock)
    box.append([message(n) for n in range(3)])
    box.flush()
    seen: list[list[bytes]] = []

    def hang(write: Callable[[], None]) -> None:
        for s in (0.5, 0.6):
            clock.advance(round(s * NS_PER_S))
            seen.append([w.message.payload for w in box.pending(9)])
        write()

    disk.script = [hang]
    box.append([message(3)])
    box.flush()
    assert seen == [[], [b"payload 3"]]
    box.acknowledge(4)
    box.append([])
    disk.script = []
    box.flush()
    assert waiting(box) == [b"payload 0", b"payload 1", b"payload 2"]
    box.close()


def full(_write: Callable[[], None]) -> None:
    raise sqlite3.OperationalError("database or disk is full")


def test_a_first_start_on_a_disk_that_gives_nothing_holds_all_in_memory_until_it_does(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr("edge.sqlite.connect", lambda *_: full(lambda: None))
        box = make(path)
        assert "the disk is full" in box.trouble
        box.append([message(1)], opened={"e": b"x"})
        assert not box.flush()
        assert [w.message.payload for w in box.pending(9)] == [b"payload 1"]
    assert box.flush()
    assert box.trouble == ""
    box.file.close()
    assert on_disk(path) == [(1, b"payload 1")]


def test_what_could_not_be_read_at_the_start_is_taken_up_later_and_goes_first(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = make(path)
    before.append([message(1), message(2, key="k")], opened={"old": b"1"}, saved={"a": b"1", "b": b"1"})
    before.close()

    def unreadable(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr("edge.sqlite.connect", unreadable)
        broken.setattr(SqliteFile, "read_copy", lambda *_: None)
        box = make(path)
        assert not box.is_read
        box.append([message(3), message(4, key="k")], opened={"new": b"2"}, saved={"b": b"2"})
        assert not box.flush()
        assert waiting(box) == [b"payload 3", b"payload 4"]
    assert box.flush()
    assert box.is_read
    assert waiting(box) == [b"payload 1", b"payload 3", b"payload 4"]
    assert box.open_events() == {"old": b"1", "new": b"2"}
    assert box.saved() == {"a": b"1", "b": b"2"}
    box.file.close()
    assert [payload for _, payload in on_disk(path)] == [b"payload 1", b"payload 3", b"payload 4"]


def test_a_start_where_nothing_can_be_written_sends_what_waited(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = make(path)
    before.append([message(1)], saved={"a": b"1"})
    before.flush()  # and killed: its content is in the log

    def readonly(*_: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr("edge.sqlite.connect", readonly)
    monkeypatch.setattr("edge.sqlite_errors.is_writable", lambda _path: False)
    box = make(path)
    assert "cannot be written" in box.trouble
    box.append([message(2)])
    assert waiting(box) == [b"payload 1", b"payload 2"]
    assert box.saved() == {"a": b"1"}
    before.close()


@pytest.mark.parametrize("at", range(100))
def test_a_flipped_byte_in_the_header_never_keeps_it_from_starting(path: Path, at: int) -> None:
    box = make(path)
    box.append([message(n) for n in range(3)], opened={"e": b"x"})
    box.close()
    whole = path.read_bytes()
    for flip in (0xFF, 0x01, 0x40):
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        again = make(path)
        assert len(waiting(again)) == (0 if list(path.parent.glob("outbox.db.corrupt-*")) else 3)
        again.append([message(9)])
        assert again.flush(), again.trouble
        again.file.close()
        assert on_disk(path)[-1][1] == b"payload 9"


@pytest.mark.parametrize("seed", range(4))
def test_a_flipped_byte_anywhere_never_keeps_it_from_starting_and_writing(path: Path, seed: int) -> None:
    rng = random.Random(seed)
    box = make(path)
    box.append([message(n) for n in range(60)], opened={"e": b"x"}, saved={"a": b"1"})
    box.close()
    whole = path.read_bytes()
    for n in range(80):
        at, flip = rng.randrange(4096 if n % 2 else len(whole)), rng.choice((0xFF, 0x01, 0x10, 0x80))
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
        again = make(path)
        again.append([message(9)])
        assert again.flush(), (at, flip, again.trouble)
        assert waiting(again)[-1] == b"payload 9"
        again.close()


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
    box.flush()
    real, failed = sqlite.transact, []

    def fail_once(db: sqlite3.Connection, statements: list[tuple[str, tuple[object, ...]]]) -> None:
        if not failed:
            failed.append(True)
            raise sqlite3.DatabaseError("database disk image is malformed")
        real(db, statements)

    monkeypatch.setattr(sqlite, "transact", fail_once)
    (after,) = box.append([message(2)], opened={"f": b"y"})
    assert box.flush()
    assert after > before
    assert waiting(box) == [b"payload 1", b"payload 2"]
    box.close()
    again = make(path)
    assert waiting(again) == [b"payload 1", b"payload 2"]
    assert again.open_events() == {"e": b"x", "f": b"y"}
    again.close()


def test_a_second_process_is_refused(box: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert box.flush()
    monkeypatch.setattr(SqliteFile, "WAIT_S", 0.05)
    with pytest.raises(InputError, match="in use by another process"):
        make(path)


def test_an_unusable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "check the disk and node.data_dir" in make(tmp_path / "file" / "outbox.db").trouble


def test_appending_and_draining_from_two_threads_loses_nothing(box: Outbox) -> None:
    total, seen = 200, []

    def produce() -> None:
        for n in range(total):
            box.append([message(n)])
            box.flush()

    thread = threading.Thread(target=produce)
    thread.start()
    while len(seen) < total:
        batch = box.pending(16)
        box.acknowledge(*(w.seq for w in batch))
        seen += [w.message.payload for w in batch]
    thread.join()
    assert seen == [b"payload %d" % n for n in range(total)]


@dataclass
class Known:
    """What an outbox knows."""

    waiting: dict[int, Message] = field(default_factory=dict)
    parked: set[int] = field(default_factory=set)
    open: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> Known:
        return Known(dict(self.waiting), set(self.parked), dict(self.open))


class OutboxMachine(RuleBasedStateMachine):
    """Against a dict: any order of appends, acknowledgements and parking, also while the disk is writing; flushes;
    crashes at any point of a flush; full disks. What was flushed is there after a crash, and nothing else is."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "outbox.db"
        self._patch = pytest.MonkeyPatch()
        self._disk = Disk(self._patch)
        self._box = make(self._path)
        self._known, self._safe = Known(), Known()
        self._full = False
        self._count = 0

    def teardown(self) -> None:
        self._box.close()
        self._patch.undo()
        self._folder.cleanup()

    @rule(keys=st.lists(st.sampled_from(["", "", "a", "b"]), max_size=4), size=st.sampled_from([1, 9000]),
          opened=st.sampled_from(["", "e", "f"]), closed=st.sampled_from(["", "e", "f"]))  # fmt: skip
    def append(self, keys: list[str], size: int, opened: str, closed: str) -> None:
        messages = []
        for key in keys:
            self._count += 1
            messages.append(Message("t", bytes([self._count % 256]) * size, key=key))
        seqs = self._box.append(messages, opened={opened: b"%d" % self._count} if opened else {},
                                closed=[closed] if closed else [])  # fmt: skip
        known = self._known
        if opened:
            known.open[opened] = b"%d" % self._count
        known.open.pop(closed, None)
        for seq, new in zip(seqs, messages, strict=True):
            if new.key:
                known.waiting = {s: m for s, m in known.waiting.items() if m.key != new.key}
            known.waiting[seq] = new

    @rule(count=st.integers(1, 3))
    def acknowledge(self, count: int) -> None:
        seqs = [w.seq for w in self._box.pending(count)]
        self._box.acknowledge(*seqs)
        for seq in seqs:
            del self._known.waiting[seq]

    @rule()
    def park_the_first(self) -> None:
        for w in self._box.pending(1):
            self._box.park(w.seq)
            self._known.parked.add(w.seq)

    @rule()
    def unpark(self) -> None:
        self._box.unpark()
        self._known.parked.clear()
        self.flush()  # which reads what was on the disk alone

    @rule()
    def flush(self) -> None:
        if self._box.flush():
            self._safe = self._known.copy()
        else:
            assert self._full

    @rule(refused=st.booleans(), count=st.integers(1, 2))
    def much_happens_while_the_disk_writes(self, refused: bool, count: int) -> None:
        def busy(write: Callable[[], None]) -> None:
            self.append(["", "a"], 1, "e", "f")
            self._box.clock.advance(NS_PER_S)  # type: ignore[attr-defined]
            self.acknowledge(count)
            self.park_the_first()
            self.append(["b"], 1, "f", "e")
            if refused:
                raise sqlite3.OperationalError("disk I/O error")
            write()

        self._disk.script = [busy]
        self.append([""], 1, "", "")
        self.flush_in_spite_of(refused)

    def flush_in_spite_of(self, refused: bool) -> None:
        assert self._box.flush() or self._full or refused
        self.flush()

    @rule(after=st.booleans())
    def crash_in_a_flush(self, after: bool) -> None:
        def killed(write: Callable[[], None]) -> None:
            if after:
                write()
            raise Killed

        self._disk.script = [killed]
        self.append([""], 1, "", "")
        with contextlib.suppress(sqlite3.OperationalError):  # when the disk is full
            try:
                self._box.flush()
            except Killed:
                self._safe = self._known.copy() if after else self._safe
        self._disk.script = []
        self.crash()

    @rule()
    def the_disk_fills(self) -> None:
        if self._box.flush():
            self._safe = self._known.copy()
            fill_disk(self._box)
            self._full = True

    @rule()
    def the_disk_is_freed(self) -> None:
        free_disk(self._box)
        self._full = False
        assert self._box.flush()
        self._safe = self._known.copy()

    @rule()
    def crash(self) -> None:
        self._box.file.close()
        self._box = make(self._path)
        self._known, self._full = self._safe.copy(), False

    @invariant()
    def same_as_the_model(self) -> None:
        self._box.clock.advance(NS_PER_S)  # type: ignore[attr-defined]
        known = self._known
        expected = [m for seq, m in sorted(known.waiting.items()) if seq not in known.parked]
        assert [w.message for w in self._box.pending(10_000)] == expected
        assert self._box.depth == len(known.waiting)
        assert self._box.open_events() == known.open


OutboxMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestOutboxMachine = OutboxMachine.TestCase
