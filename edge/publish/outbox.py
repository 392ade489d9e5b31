"""The outbox: what waits for the broker, which events are open, and what commands changed, in one SQLite file.

An append is one transaction with a full sync: once it returned, a kill at any instant loses nothing. Messages leave
in order of their sequence number, which is never used twice. Thread-safe: the engine thread appends, the publisher
drains. When the disk takes nothing, changes are held in memory, still go out, and are written with the next change.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.errors import SinkError
from edge.metrics import Metrics
from edge.publish.store import Store
from edge.sqlite import Statement
from edge.types import Message, seconds

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL,
    retain INTEGER NOT NULL, key TEXT NOT NULL, wall_ns INTEGER NOT NULL, parked INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS messages_key ON messages (key) WHERE key != '';
CREATE TABLE IF NOT EXISTS facts (kind TEXT, name TEXT, value BLOB NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
PRAGMA user_version = 1;
"""
_SELECT = "SELECT seq, topic, payload, qos, retain, key, wall_ns FROM messages"
_INSERT = "INSERT INTO messages (seq, topic, payload, qos, retain, key, wall_ns) VALUES (?, ?, ?, ?, ?, ?, ?)"
_OPEN, _SAVED = "open", "saved"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits, its place in the order, and when it was appended."""

    seq: int
    message: Message
    wall_ns: int


class Outbox:
    """Messages, open events and saved values of one node at ``path``.

    Raises `InputError` when another process holds the file, `SinkError` when the folder cannot be used.
    """

    HELD_AT_MOST = 10_000

    def __init__(self, path: Path, clock: Clock, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._lock = threading.RLock()
        self._store = Store(path, _SCHEMA, clock)
        self._generation = 0
        self.trouble = ""  # what the disk does not do, as a sentence
        self._held: dict[int, Waiting] = {}  # newer than everything on disk
        self._gone: set[int] = set()  # on disk, to be deleted
        self._dirty: set[tuple[str, str]] = set()  # facts to be written
        self._facts: dict[tuple[str, str], bytes] = {
            (kind, name): value for kind, name, value in self._store.read("SELECT kind, name, value FROM facts")
        }
        last = self._store.read("SELECT seq FROM sqlite_sequence WHERE name = 'messages'")
        self._next_seq = 1 + (int(last[0][0]) if last else 0)
        self._measure()

    def append(
        self,
        messages: Sequence[Message],
        *,
        opened: Mapping[str, bytes] | None = None,
        closed: Iterable[str] = (),
        saved: Mapping[str, bytes | None] | None = None,
    ) -> list[int]:
        """Add messages in one transaction, and with them note events as open or closed; their sequence numbers.

        ``saved`` is kept in the same transaction as `save` would.
        A waiting message with the same non-empty key is replaced: the new one stands at the end. SinkError when the
        disk took nothing; everything is then held in memory and goes out all the same.
        """
        with self._lock:
            wall_ns, first = self._clock.wall_ns(), self._next_seq
            for message in messages:
                self._hold(message, wall_ns)
            for name, value in (opened or {}).items():
                self._note((_OPEN, name), value)
            for name in closed:
                self._note((_OPEN, name), None)
            for name, kept in (saved or {}).items():
                self._note((_SAVED, name), kept)
            self._write()
            return list(range(first, self._next_seq))

    def pending(self, limit: int, after_seq: int = 0) -> list[Waiting]:
        """At most ``limit`` waiting messages behind ``after_seq``, oldest first; parked ones are left out."""
        with self._lock:
            rows = self._store.read(
                f"{_SELECT} WHERE seq > ? AND NOT parked ORDER BY seq LIMIT ?", (after_seq, limit + len(self._gone))
            )
            disk = [_waiting(row) for row in rows if row[0] not in self._gone]
            held = [waiting for seq, waiting in self._held.items() if seq > after_seq]
            return (disk + held)[:limit]

    def acknowledge(self, *seqs: int) -> None:
        """Forget messages that the broker has; unknown numbers are fine (the message was replaced meanwhile).

        SinkError when the disk took nothing; they are still not offered again by this process.
        """
        with self._lock:
            for seq in seqs:
                self._remove(seq)
            self._write()

    def park(self, *seqs: int) -> None:
        """Set aside messages that the broker refused: kept on disk, not pending until `unpark`."""
        with self._lock:
            self._write()
            self._store.transact([("UPDATE messages SET parked = 1 WHERE seq = ?", (seq,)) for seq in seqs])

    def unpark(self) -> int:
        """Make parked messages pending again at their old places; how many there were."""
        with self._lock:
            count = int(self._store.read("SELECT count(*) FROM messages WHERE parked")[0][0])
            if count:
                self._store.transact([("UPDATE messages SET parked = 0 WHERE parked", ())])
            return count

    def open_events(self) -> dict[str, bytes]:
        """What was given for each event that is open, by id."""
        return self._of_kind(_OPEN)

    def saved(self) -> dict[str, bytes]:
        """Everything kept with `save`, by name."""
        return self._of_kind(_SAVED)

    def save(self, name: str, value: bytes | None) -> None:
        """Keep a small value over restarts; None forgets it. SinkError as for `append`."""
        with self._lock:
            if self._facts.get((_SAVED, name)) != value:
                self._note((_SAVED, name), value)
                self._write()

    @property
    def depth(self) -> int:
        """Messages waiting, parked ones included."""
        with self._lock:
            stored = int(self._store.read("SELECT count(*) FROM messages")[0][0])
            return stored - len(self._gone) + len(self._held)

    @property
    def age_s(self) -> float:
        """Seconds that the oldest message has waited; 0 when there is none."""
        with self._lock:
            rows = self._store.read(f"{_SELECT} ORDER BY seq LIMIT ?", (1 + len(self._gone),))
            waiting = [_waiting(row) for row in rows if row[0] not in self._gone] + list(self._held.values())
            return max(0.0, seconds(self._clock.wall_ns() - waiting[0].wall_ns)) if waiting else 0.0

    def retry(self) -> None:
        """Write what is held in memory, if anything, and measure; SinkError when the disk still takes nothing."""
        with self._lock:
            self._write()

    def close(self) -> None:
        """Write what is held, and close the file."""
        with self._lock:
            with contextlib.suppress(SinkError):
                self._write()
            self._store.close()

    def _of_kind(self, wanted: str) -> dict[str, bytes]:
        with self._lock:
            return {name: value for (kind, name), value in self._facts.items() if kind == wanted}

    def _hold(self, message: Message, wall_ns: int) -> None:
        if message.key:
            for row in self._store.read("SELECT seq FROM messages WHERE key = ?", (message.key,)):
                self._remove(row[0])
            for seq in [s for s, waiting in self._held.items() if waiting.message.key == message.key]:
                self._remove(seq)
        self._held[self._next_seq] = Waiting(self._next_seq, message, wall_ns)
        self._next_seq += 1

    def _note(self, fact: tuple[str, str], value: bytes | None) -> None:
        if value is None:
            self._facts.pop(fact, None)
        else:
            self._facts[fact] = value
        self._dirty.add(fact)

    def _remove(self, seq: int) -> None:
        if self._held.pop(seq, None) is None and self._store.read("SELECT 1 FROM messages WHERE seq = ?", (seq,)):
            self._gone.add(seq)

    def _write(self) -> None:
        """Bring the disk up to what memory says, in one transaction."""
        try:
            while self._held or self._gone or self._dirty or self._generation != self._store.generation:
                if self._generation != self._store.generation:
                    self._begin_anew()
                self._store.transact(self._changes())
                if self._generation == self._store.generation:
                    self._held.clear()
                    self._gone.clear()
                    self._dirty.clear()
        except SinkError as error:
            log.log(logging.DEBUG if self.trouble == str(error) else logging.WARNING, "%s", error)
            self.trouble = str(error)
            while len(self._held) > self.HELD_AT_MOST:
                del self._held[next(iter(self._held))]
                self._metrics.drops.labels("outbox", "memory_full").inc()
            raise
        else:
            if self.trouble:
                log.info("the outbox is on the disk again")
            self.trouble = ""
        finally:
            self._measure()

    def _begin_anew(self) -> None:
        """The file was damaged and replaced: everything that memory knows goes into the new one."""
        self._generation = self._store.generation
        self._gone.clear()
        self._dirty.update(self._facts)
        self._metrics.drops.labels("outbox", "corrupt").inc()
        self._store.transact([("DELETE FROM messages", ())])

    def _changes(self) -> list[Statement]:
        statements: list[Statement] = [("DELETE FROM messages WHERE seq = ?", (seq,)) for seq in self._gone]
        statements += [(_INSERT, _row(waiting)) for waiting in self._held.values()]
        for fact in self._dirty:
            if fact in self._facts:
                statements.append(("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (*fact, self._facts[fact])))
            else:
                statements.append(("DELETE FROM facts WHERE kind = ? AND name = ?", fact))
        return statements

    def _measure(self) -> None:
        with contextlib.suppress(SinkError):
            self._metrics.outbox_depth.set(self.depth)
            self._metrics.outbox_age_s.set(self.age_s)


def _waiting(row: tuple[Any, ...]) -> Waiting:
    seq, topic, payload, qos, retain, key, wall_ns = row
    return Waiting(seq, Message(topic, payload, qos, bool(retain), key), wall_ns)


def _row(waiting: Waiting) -> tuple[object, ...]:
    m = waiting.message
    return (waiting.seq, m.topic, m.payload, m.qos, int(m.retain), m.key, waiting.wall_ns)
