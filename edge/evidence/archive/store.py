"""The event store: events with captions, marks, near misses and their files, in SQLite.

Thread-safe. Writing never raises for a disk: a failed write is held in memory, is read as if it were written, and is
written with the next call that can, even when the file cannot be opened at first. Reading has a connection of its own
and does not wait for writes; SinkError when the disk cannot read.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from edge.clock import Clock, iso8601
from edge.errors import InputError, SinkError
from edge.evidence.archive import reader
from edge.evidence.archive.reader import EventReader
from edge.evidence.archive.records import (
    EventMark,
    EventQuery,
    EventRecord,
    EvidenceFile,
    FileKind,
    SearchHit,
    StoredNearMiss,
    Verdict,
)
from edge.evidence.archive.schema import (
    ATTACH_FILE,
    CLEAR_MISSING,
    EVENTS_SCHEMA,
    INDEXED,
    NOTE_MISSING,
    PUT_EVENT,
    file_row,
    to_event_record,
    to_row,
)
from edge.evidence.archive.vectors import pack_vector
from edge.evidence.archive.write_behind import WriteBehindBuffer
from edge.sqlite import Row, SqliteFile, Statement
from edge.sqlite_schema import SqliteAccess
from edge.types import F32, Event

log = logging.getLogger(__name__)

FILE_NAME = "events.db"
_SAFE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$")
_T = TypeVar("_T")


def event_folder_name(begin_ns: int, camera: str, event_id: str) -> str:
    """The folder of an event's files below the evidence folder; the day is in UTC."""
    return f"{iso8601(begin_ns)[:10]}/{camera}/{event_id}"


class EventStore:
    """The events in ``folder`` (``data_dir/evidence``), owned by this process unless ``read_only``.

    ``keeps=False`` writes into the store of another process, for marks beside a running daemon. InputError when there
    is no store, or it is damaged and another process owns it; SinkError when the disk cannot read it. The owner always
    starts, and reports errors of the disk as `trouble`.
    """

    MAX_NEAR_MISSES = 2_000
    SPARE_BYTES = 16_000_000

    def __init__(self, folder: Path, clock: Clock, *, read_only: bool = False, keeps: bool = True) -> None:
        self.folder = folder
        self._clock = clock
        self._keeps = keeps and not read_only
        access = SqliteAccess.OWNER if keeps else SqliteAccess.GUEST
        self._writing = None if read_only else SqliteFile(folder / FILE_NAME, EVENTS_SCHEMA, clock, access)
        self._open()
        self._reader = EventReader(folder / FILE_NAME, clock, at_once=not self._keeps)
        if self._writing is not None:
            self._writing.close_others = self._reader.reopen
        self._lock = threading.RLock()
        self._buffer = WriteBehindBuffer(folder / FILE_NAME, self.transact)
        self._generation = 0
        self._room: Callable[[int], bool] = self._disk_has_room

    def put(self, event: Event, model: str, vector: F32 | None = None) -> None:
        """Keep a phase of an event; it replaces an earlier phase but keeps its files, caption and mark.

        ``vector`` f32[2,D] (as `Features.aligned`) or f32[D] is its embedding; None, or one that is not finite, leaves
        the stored one.
        """
        record = to_event_record(event, model)
        statements: list[Statement] = [(PUT_EVENT, to_row(record)), (f"{INDEXED} WHERE id = ?", (event.id,))]
        with self._lock:
            if not self._buffer.write(("put", event.id), statements):
                kept = self.get_if_readable(event.id)
                if kept is not None:
                    stays = {name: getattr(kept, name) for name in ("files", "missing", "caption", "mark")}
                    record = replace(record, **stays)
                self._buffer.records[event.id] = record
            if vector is not None and np.isfinite(vector).all():
                sql = "INSERT OR REPLACE INTO vectors (n, data) SELECT n, ? FROM events WHERE id = ?"
                self._buffer.write(("meaning", event.id), [(sql, (pack_vector(vector), event.id))])

    def attach(self, event_id: str, kind: FileKind, file: EvidenceFile) -> None:
        """Add ``file`` to an event; it replaces an earlier one of the same kind."""
        with self._lock:
            statements = [(ATTACH_FILE, file_row(kind, file, event_id)), (CLEAR_MISSING, (kind, event_id))]
            if not self._buffer.write((f"attach {kind}", event_id), statements):
                self._overlay(event_id, lambda record: replace(record, files={**record.files, kind: file}))

    def note_missing(self, event_id: str, kind: FileKind, reason: str) -> None:
        """Note why a file of an event does not exist."""
        with self._lock:
            if not self._buffer.write((f"miss {kind}", event_id), [(NOTE_MISSING, (kind, reason, event_id))]):
                self._overlay(event_id, lambda record: replace(record, missing={**record.missing, kind: reason}))

    def caption(self, event_id: str, text: str) -> None:
        """Set the caption of an event."""
        statements: list[Statement] = [
            ("UPDATE events SET caption = ? WHERE id = ?", (text, event_id)),
            (f"{INDEXED} WHERE id = ?", (event_id,)),
        ]
        with self._lock:
            if not self._buffer.write(("caption", event_id), statements):
                self._overlay(event_id, lambda record: replace(record, caption=text))

    def mark(self, event_id: str, verdict: Verdict | None, *, by: str, note: str = "") -> EventRecord:
        """Set the mark of an event, None to remove it; InputError when there is no such event."""
        if self.get(event_id) is None:
            raise InputError(f"no event {event_id!r} is kept here; it may be older than evidence.keep_days")
        mark = None if verdict is None else EventMark(verdict, by, self._clock.wall_ns(), note)
        values = (None,) * 4 if mark is None else (mark.verdict, mark.by, mark.wall_ns, mark.note)
        sql = "UPDATE events SET verdict = ?, marked_by = ?, marked_ns = ?, mark_note = ? WHERE id = ?"
        with self._lock:
            if not self._buffer.write(("mark", event_id), [(sql, (*values, event_id))]):
                self._overlay(event_id, lambda record: replace(record, mark=mark))
            record = self.get(event_id)
        if record is None:
            raise InputError(f"event {event_id!r} was removed just now: it reached evidence.keep_days")
        return record

    def get(self, event_id: str) -> EventRecord | None:
        """One event by its id."""
        with self._lock:
            if event_id in self._buffer.records:
                return self._buffer.records[event_id]
        return self._mending(lambda: self._reader.get(event_id))

    def get_if_readable(self, event_id: str) -> EventRecord | None:
        """Like `get`, but None when the disk cannot be read."""
        try:
            return self.get(event_id)
        except SinkError as error:
            self._buffer.report(error)
            return None

    def find(self, query: EventQuery) -> list[SearchHit]:
        """The events that match a query: newest first, or best first when it searches."""
        found = self._mending(lambda: self._reader.find(query))
        if query.text or query.vector is not None:
            return found
        with self._lock:
            waiting = [record for record in self._buffer.records.values() if reader.matches(record, query)]
        if waiting:
            newer = {record.id for record in waiting}
            there = [*(SearchHit(r, 0.0) for r in waiting), *(one for one in found if one.record.id not in newer)]
            found = sorted(there, key=lambda one: one.record.begin_ns, reverse=True)
        return found[: query.limit]

    def count(self, query: EventQuery) -> int:
        """How many events match the query's restrictions; its search, limit and page are ignored."""
        restriction, args = reader.where_clause(replace(query, before_ns=None))
        return int(self._rows(f"SELECT count(*) FROM events e WHERE {restriction}", args)[0][0])  # noqa: S608

    def newest(self, camera: str, label: str | None = None) -> EventRecord | None:
        """The event of a camera that began last."""
        found = self.find(EventQuery(cameras=(camera,), labels=(label,) if label else (), limit=1))
        return found[0].record if found else None

    def names(self, of: Literal["camera", "label"]) -> tuple[str, ...]:
        """The cameras or labels of the kept events."""
        return tuple(str(row[0]) for row in self._rows(f"SELECT DISTINCT {of} FROM events ORDER BY 1"))  # noqa: S608

    def folder_of(self, event: Event) -> Path:
        """``<day>/<camera>/<id>`` below the evidence folder (the day in UTC), created when missing."""
        if not _SAFE.match(event.camera) or not _SAFE.match(event.id):
            raise InputError(f"{event.camera!r} / {event.id!r}: not fit for the name of a folder")
        path = self.folder / event_folder_name(event.wall_begin_ns, event.camera, event.id)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"{path}: cannot be made ({error.strerror}); check the disk and node.data_dir") from error
        return path

    def room_for(self, size: int) -> bool:
        """Whether ``size`` bytes may be written now; retention, if set, makes room first."""
        return self._room(size)

    def set_room_policy(self, room_for: Callable[[int], bool]) -> None:
        """Use ``room_for`` of retention from now on."""
        self._room = room_for

    def add_near_miss(self, near_miss: StoredNearMiss) -> None:
        """Keep a near miss; the newest `MAX_NEAR_MISSES` stay. Dropped when the disk is full."""
        n = near_miss
        sql = "INSERT INTO candidates (camera, label, wall_ns, value, enter, thumbnail) VALUES (?, ?, ?, ?, ?, ?)"
        oldest = "SELECT n FROM candidates ORDER BY wall_ns DESC, n DESC LIMIT -1 OFFSET ?"
        surplus = f"DELETE FROM candidates WHERE n IN ({oldest})"  # noqa: S608
        row = (n.camera, n.label, n.wall_ns, float(n.value), float(n.enter), n.thumbnail)
        try:
            self.transact([(sql, row), (surplus, (self.MAX_NEAR_MISSES,))])
        except SinkError as error:
            log.debug("a near miss was not kept: %s", error)

    def near_misses(self, query: EventQuery) -> list[StoredNearMiss]:
        """Near misses, newest first, by the query's cameras, labels, span and limit."""
        restriction, args = reader.near_miss_clause(query)
        rows = self._rows(
            "SELECT camera, label, wall_ns, value, enter, thumbnail, n FROM candidates "  # noqa: S608
            f"WHERE {restriction} ORDER BY wall_ns DESC, n DESC LIMIT ?",
            (*args, query.limit),
        )
        return [StoredNearMiss(*row) for row in rows]

    def near_miss_thumbnail(self, number: int) -> bytes | None:
        """The JPEG of a near miss; None when it has no picture or was deleted."""
        rows = self._rows("SELECT thumbnail FROM candidates WHERE n = ?", (number,))
        return (rows[0][0] or None) if rows else None

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Collect writes and write them at the end, in one transaction; reads see them at once."""
        with contextlib.ExitStack() as stack:
            with self._lock:
                stack.enter_context(self._buffer.batch())
            try:
                yield
            finally:
                with self._lock:
                    stack.close()
                    if not self._buffer.is_batched:
                        self._buffer.flush()

    def write_held(self) -> None:
        """Write what is held in memory, if the disk accepts it."""
        with self._lock:
            self._buffer.flush()

    @property
    def trouble(self) -> str:
        """What is wrong with the disk, as a sentence; empty when all is well."""
        return self._buffer.trouble

    @property
    def held(self) -> int:
        """How many writes are held in memory."""
        return len(self._buffer)

    @property
    def held_events(self) -> frozenset[str]:
        """The events with writes held in memory."""
        return frozenset(self._buffer.event_ids)

    def transact(self, statements: Sequence[Statement]) -> None:
        """Write now or raise SinkError: for retention."""
        if self._writing is None:
            raise InputError("the evidence was opened to be read only")
        self._writing.transact(statements)
        if self._writing.generation != self._generation:
            self._generation = self._writing.generation
            self._reader.reopen()

    def rows(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        """The rows of a statement: for retention."""
        return self._rows(sql, args)

    def shrink(self) -> None:
        """Return freed pages of the database to the disk."""
        if self._writing is not None:
            self._writing.shrink()

    def close(self) -> None:
        """Write what is held, as far as the disk accepts it, and close."""
        if self._writing is not None:
            with self._lock:
                self._buffer.close()
            self._writing.close()
        self._reader.close()

    def _open(self) -> None:
        """Open the files; the owner tries again later when the disk fails."""
        if self._writing is None:
            return
        try:
            self._writing.open()
        except SinkError as error:
            if not self._keeps:
                raise
            log.error("%s", error)  # noqa: TRY400 - expected, so no traceback

    def _overlay(self, event_id: str, change: Callable[[EventRecord], EventRecord]) -> None:
        record = self.get_if_readable(event_id)
        if record is not None:
            self._buffer.records[event_id] = change(record)

    def _rows(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        return self._mending(lambda: self._reader.rows(sql, args))

    def _mending(self, read: Callable[[], _T]) -> _T:
        """Read; when the file is damaged or missing and this process owns it, repair it first."""
        try:
            return read()
        except InputError:
            if self._writing is None or not self._keeps:
                raise
            self._writing.check()
            self._reader.reopen()
        try:
            return read()
        except InputError as error:
            raise SinkError(str(error)) from error

    def _disk_has_room(self, size: int) -> bool:
        try:
            return shutil.disk_usage(self.folder).free >= size + self.SPARE_BYTES
        except OSError:
            return False
