"""The outbox: messages that wait for the broker, open events, and changes by commands, in one SQLite file.

Memory has everything at once; `flush`, on a thread of its own, writes all changes in one transaction with a full sync.
No other method touches the disk, so a disk that hangs or fails blocks nothing else. A message may be sent when it is on
disk, or a quarter of a second after it was appended. If the disk answers within that time, a kill loses nothing that
was sent. Messages are sent in order of their sequence number, which is never used twice. Thread-safe.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.errors import InputError, SinkError
from edge.metrics import Metrics
from edge.publish.backlog import OutboxBacklog, OutboxChange, QueuedMessage, Row
from edge.publish.outbox_schema import (
    ALL_MESSAGES,
    HEADER_QUERIES,
    OUTBOX_SCHEMA,
    PROBE,
    SELECT_MESSAGES,
    statements,
    to_waiting,
)
from edge.sqlite import SqliteFile
from edge.sqlite_schema import SqliteAccess
from edge.types import Message, nanoseconds, seconds

log = logging.getLogger(__name__)

_OPEN, _SAVED = "open", "saved"
_UNREAD_SEQ = 1 << 61  # first number while those of an earlier run cannot be read


class Outbox:
    """Messages, open events and saved values of one node at ``path``.

    Raises `InputError` when another process holds the file. When the disk cannot read it, that is `trouble`: everything
    is held in memory, and the content of the file is added as soon as it can be read.
    """

    GRACE_S = 0.25  # how long a message waits for the disk before it may be sent nevertheless
    SLOW_S = 1.0  # a disk that does not answer for this long is trouble

    def __init__(self, path: Path, clock: Clock, metrics: Metrics) -> None:
        self.path, self.clock, self._metrics = path, clock, metrics
        self._lock = threading.Lock()  # guards memory; never held during disk access
        self._disk = threading.Lock()  # guards the file
        self._backlog = OutboxBacklog()
        self.file = SqliteFile(path, OUTBOX_SCHEMA, clock, SqliteAccess.EXCLUSIVE)
        self._generation = 0
        self._writing_since_ns: int | None = None  # since when the disk is writing
        self._is_slow = False
        self._is_starved = False  # the content of the next message is only on disk
        self._is_read = self._is_copy_tried = False
        self._refusal = self._reported = ""
        self.wake: Callable[[], None] = lambda: None  # wakes the thread that calls `flush`
        try:
            self._restore()
        except SinkError as error:
            self._refuse(str(error))
        self.report()

    def append(
        self,
        messages: Sequence[Message],
        *,
        opened: Mapping[str, bytes] | None = None,
        closed: Iterable[str] = (),
        saved: Mapping[str, bytes | None] | None = None,
    ) -> list[int]:
        """Add messages, and note events as open or closed with them; the sequence numbers of the messages.

        ``saved`` is kept as by `save`. All of it is written in one transaction. A waiting message with the same
        non-empty key is replaced; the new one is added at the end.
        """
        now_ns, wall_ns = self.clock.mono_ns(), self.clock.wall_ns()
        with self._lock:
            seqs = [self._backlog.append(message, now_ns, wall_ns) for message in messages]
            facts = [((_OPEN, name), value) for name, value in (opened or {}).items()]
            facts += [((_SAVED, name), value) for name, value in (saved or {}).items()]  # type: ignore[misc]
            for fact, value in (*facts, *(((_OPEN, name), None) for name in closed)):
                self._backlog.set_fact(fact, value)
            lost = len(self._backlog.surplus())
        if lost:
            self._metrics.drops.labels("outbox", "memory_full").inc(lost)
        self.wake()
        return seqs

    def pending(self, limit: int, after_seq: int = 0) -> list[QueuedMessage]:
        """At most ``limit`` messages after ``after_seq`` that may be sent, oldest first, without parked ones.

        A message whose content is only on disk is waited for, unless the disk is in trouble: then it is skipped.
        """
        now_ns, may_pass = self.clock.mono_ns(), bool(self.trouble)
        found: list[QueuedMessage] = []
        with self._lock:
            for waiting in self._backlog.pending():
                if not isinstance(waiting, QueuedMessage):
                    self._is_starved = True
                    if may_pass:
                        continue
                    break
                if len(found) >= limit or now_ns < self._leaves_ns(waiting.seq):
                    break
                if waiting.seq > after_seq:
                    found.append(waiting)
        if self._is_starved:
            self.wake()
        return found

    @property
    def next_s(self) -> float | None:
        """Seconds until the first message that waits for the disk may be sent without it; None when none waits."""
        now_ns, grace_ns = self.clock.mono_ns(), nanoseconds(self.GRACE_S)
        with self._lock:
            leaves_ns = next((ns + grace_ns for ns in self._backlog.held_since() if ns + grace_ns > now_ns), None)
        return None if leaves_ns is None else seconds(leaves_ns - now_ns)

    def acknowledge(self, *seqs: int) -> None:
        """Remove messages that the broker has; unknown numbers are ignored (the message was replaced meanwhile)."""
        with self._lock:
            for seq in seqs:
                self._backlog.remove(seq)
        self.wake()

    def park(self, *seqs: int) -> None:
        """Park messages that the broker refused: kept on disk, not pending until `unpark`."""
        with self._lock:
            for seq in seqs:
                self._backlog.park(seq)
        self.wake()

    def unpark(self) -> int:
        """Make parked messages pending again at their old places; how many there were."""
        with self._lock:
            count = self._backlog.unpark()
            self._is_starved = self._is_starved or bool(count)
        if count:
            self.wake()
        return count

    def open_events(self) -> dict[str, bytes]:
        """The noted bytes of each open event, by id."""
        return self._of_kind(_OPEN)

    def saved(self) -> dict[str, bytes]:
        """All values kept with `save`, by name."""
        return self._of_kind(_SAVED)

    def save(self, name: str, value: bytes | None) -> None:
        """Keep a small value over restarts; None deletes it."""
        with self._lock:
            if self._backlog.facts.get((_SAVED, name)) == value:
                return
            self._backlog.set_fact((_SAVED, name), value)
        self.wake()

    @property
    def cached_bytes(self) -> int:
        """Bytes of the messages whose content is in memory."""
        with self._lock:
            return self._backlog.cached_bytes

    @property
    def depth(self) -> int:
        """The number of waiting messages, including parked ones."""
        with self._lock:
            return len(self._backlog)

    @property
    def unsent(self) -> int:
        """The number of waiting messages without the parked ones."""
        with self._lock:
            return self._backlog.unsent

    @property
    def held(self) -> int:
        """The number of messages that are only in memory, because they are not written yet."""
        with self._lock:
            return self._backlog.held

    @property
    def age_s(self) -> float:
        """Seconds that the oldest message has waited; 0 when there is none."""
        with self._lock:
            oldest_ns = self._backlog.oldest_ns()
        return 0.0 if oldest_ns is None else max(0.0, seconds(self.clock.wall_ns() - oldest_ns))

    @property
    def is_read(self) -> bool:
        """Whether the content of an earlier run was read."""
        return self._is_read

    @property
    def trouble(self) -> str:
        """What is wrong with the disk, as a sentence; empty when all is well."""
        writing_since_ns = self._writing_since_ns
        takes_s = 0.0 if writing_since_ns is None else seconds(self.clock.mono_ns() - writing_since_ns)
        if self._refusal or not (self._is_slow or takes_s >= self.SLOW_S):
            return self._refusal
        return f"{self.path}: the disk takes seconds to write; alerts leave from memory and are written when it does"

    def report(self) -> None:
        """Update the metrics, and log changes of `trouble`. Never waits for the disk."""
        self._metrics.outbox_depth.set(self.depth)
        self._metrics.outbox_age_s.set(self.age_s)
        self._metrics.outbox_held.set(self.held)
        trouble = self.trouble
        if trouble != self._reported:
            log.log(logging.WARNING if trouble else logging.INFO, trouble or "the outbox is on the disk again")
            self._reported = trouble

    def flush(self) -> bool:
        """Write all changes to disk, in one transaction; whether that worked. Waits for the disk as long as that
        takes. Changes that it refuses stay in memory, are `trouble`, and are written by a later call."""
        with self._disk:
            try:
                self._restore()
                try:
                    self._write()
                finally:  # a full disk can still be read
                    if self._is_starved:
                        self._is_starved = False
                        self._fetch(ahead=OutboxBacklog.READ_AT_ONCE)
            except (SinkError, InputError) as error:
                self._refuse(str(error))
            else:
                self._refusal = ""
        self.report()
        return not self._refusal

    def close(self) -> None:
        """Write what memory holds, as far as the disk accepts it, and close the file."""
        self.flush()
        with self._disk:
            self.file.close()

    def _of_kind(self, wanted: str) -> dict[str, bytes]:
        with self._lock:
            return {name: value for (kind, name), value in self._backlog.facts.items() if kind == wanted}

    def _leaves_ns(self, seq: int) -> int:
        """When a message may be sent: 0 for one that is on disk, or that the disk refused."""
        appended_ns = self._backlog.held_since_ns(seq)
        if appended_ns is None or self._refusal:
            return 0
        return appended_ns + nanoseconds(self.GRACE_S)

    def _change(self) -> OutboxChange:
        with self._lock:
            if self._generation != self.file.generation:
                self._generation = self.file.generation
                lost = self._backlog.reset(self.clock.mono_ns())
                self._metrics.drops.labels("outbox", "corrupt").inc(max(1, lost))
            return self._backlog.change()

    def _write(self) -> None:
        change = self._change()
        if self._refusal and not change:
            with self._timed():
                self.file.transact([PROBE])
        while change:
            self._transact(change)
            change = self._change()

    @contextmanager
    def _timed(self) -> Iterator[None]:
        self._writing_since_ns = begun_ns = self.clock.mono_ns()
        try:
            yield
        finally:
            self._writing_since_ns = None
            self._is_slow = seconds(self.clock.mono_ns() - begun_ns) >= self.SLOW_S

    def _transact(self, change: OutboxChange) -> None:
        with self._timed():
            self.file.transact(list(statements(change)))
        if self._generation == self.file.generation:
            with self._lock:
                self._backlog.mark_written(change)

    def _refuse(self, why: str) -> None:
        """Note that the disk refused: waiting messages may be sent without it."""
        self._refusal = why

    def _restore(self) -> None:
        """Read the content of an earlier run, once. SinkError when the disk cannot read it."""
        if self._is_read:
            return
        try:
            self.file.open()
            rows, last, facts = (self.file.read(query) for query in HEADER_QUERIES)
        except SinkError:
            if not self._is_copy_tried:
                self._is_copy_tried = True
                self._restore_from_copy()
            raise
        self._loaded([(*row[:4], None) for row in rows], last, facts)
        sizes = accumulate(row[4] for row in rows if not row[1])
        self._fetch(ahead=sum(size <= OutboxBacklog.CACHED_BYTES for size in sizes))

    def _restore_from_copy(self) -> None:
        """Read the content of an earlier run from a file that cannot be written; when that fails, numbers begin far
        above."""
        found = self.file.read_copy(ALL_MESSAGES, *HEADER_QUERIES[1:]) if self.file.exists else None
        if found is not None:
            rows, last, facts = found
            self._loaded([(row[0], row[7], row[5], row[6], to_waiting(row[:7]).message) for row in rows], last, facts)
        elif self.file.exists:
            with self._lock:
                self._backlog.next_seq = max(self._backlog.next_seq, _UNREAD_SEQ + self.clock.wall_ns() // 1000)

    def _loaded(self, rows: Iterable[Row], last: list[tuple[Any, ...]], facts: list[tuple[Any, ...]]) -> None:
        with self._lock:
            self._backlog.load(rows, last=int(last[0][0] or 0))
            self._backlog.load_facts({(kind, name): value for kind, name, value in facts})
            self._is_read = True

    def _fetch(self, ahead: int) -> None:
        """Read the content of those of the ``ahead`` oldest messages that have it only on disk."""
        while True:
            with self._lock:
                wanted = self._backlog.missing_content(ahead)
            if not wanted:
                return
            with self._timed():
                rows = self.file.read(SELECT_MESSAGES.format(",".join("?" * len(wanted))), tuple(wanted))
            with self._lock:
                lost = self._backlog.load_content((to_waiting(row) for row in rows), wanted)
            if lost:
                self._metrics.drops.labels("outbox", "corrupt").inc(lost)
