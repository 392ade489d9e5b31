"""The schema of the evidence database with its version, and the conversion of records to rows and back. Pure."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

from edge.evidence.archive.records import EventMark, EventRecord, EvidenceFile, FileKind
from edge.sqlite import connect
from edge.sqlite_schema import SqliteSchema
from edge.types import Box, Contribution, Event, EventKind

# `n` numbers are never used again, so that data kept elsewhere of a removed event is not taken for another's.
# `missing` has the reason why a file of an event does not exist.
# `words` is the full-text index; `vectors.seq` grows with every change, so that a reader finds what is new to it.
# `doomed` lists files that are about to be unlinked: noted before, deleted after.
_SQL = """
CREATE TABLE IF NOT EXISTS events (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    camera TEXT NOT NULL, kind TEXT NOT NULL, label TEXT NOT NULL, severity TEXT NOT NULL,
    begin_ns INTEGER NOT NULL, end_ns INTEGER,
    peak REAL NOT NULL, threshold REAL NOT NULL, why TEXT NOT NULL,
    zones TEXT NOT NULL, contribution TEXT, boxes TEXT NOT NULL, tags TEXT NOT NULL,
    model TEXT NOT NULL, caption TEXT NOT NULL DEFAULT '',
    verdict TEXT, marked_by TEXT, marked_ns INTEGER, mark_note TEXT
);
CREATE INDEX IF NOT EXISTS events_by_time ON events (begin_ns, end_ns, camera, label);
CREATE INDEX IF NOT EXISTS events_by_label ON events (camera, label, begin_ns);
CREATE TABLE IF NOT EXISTS files (
    n INTEGER NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, facts TEXT NOT NULL,
    PRIMARY KEY (n, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS missing (
    n INTEGER NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (n, kind)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS vectors (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, n INTEGER NOT NULL UNIQUE, data BLOB NOT NULL
);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (
    label, why, tags, zones, camera, caption, tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE TABLE IF NOT EXISTS candidates (
    n INTEGER PRIMARY KEY AUTOINCREMENT, camera TEXT NOT NULL, label TEXT NOT NULL, wall_ns INTEGER NOT NULL,
    value REAL NOT NULL, enter REAL NOT NULL, thumbnail BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS candidates_by_time ON candidates (wall_ns);
CREATE TABLE IF NOT EXISTS doomed (path TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ages (n INTEGER PRIMARY KEY, eras TEXT NOT NULL);
"""

EVENT = (
    *("id", "camera", "kind", "label", "severity", "begin_ns", "end_ns", "peak", "threshold", "why", "zones"),
    *("contribution", "boxes", "tags", "model", "caption", "verdict", "marked_by", "marked_ns", "mark_note"),
)
"""The columns of a record, in order."""

INDEXED = (
    "INSERT OR REPLACE INTO words (rowid, label, why, tags, zones, camera, caption) "
    "SELECT n, label, why, names_in(tags) || ' ' || names_in(boxes), zones, camera, caption FROM events"
)
"""Adds events to the full-text index; a WHERE clause follows."""

_SALVAGED: dict[str, tuple[str, tuple[str, ...]]] = {
    "events": ("n", ("n", *EVENT)),
    "files": ("n", ("n", "kind", "path", "size", "facts")),
    "missing": ("n", ("n", "kind", "reason")),
    "vectors": ("n", ("n", "data")),
    "candidates": ("n", ("n", "camera", "label", "wall_ns", "value", "enter", "thumbnail")),
    "doomed": ("path", ("path",)),
    "ages": ("n", ("n", "eras")),
}
"""What is salvaged from a damaged file: the table, its key, its columns."""
Row = tuple[Any, ...]
_KEPT = {
    "id",
    "caption",
    "verdict",
    "marked_by",
    "marked_ns",
    "mark_note",
}  # columns that a later phase does not change
PUT_EVENT = (
    f"INSERT INTO events ({', '.join(EVENT)}) VALUES ({', '.join('?' * len(EVENT))}) "  # noqa: S608
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in EVENT if c not in _KEPT)}"
)
ATTACH_FILE = "INSERT OR REPLACE INTO files (n, kind, path, size, facts) SELECT n, ?, ?, ?, ? FROM events WHERE id = ?"
NOTE_MISSING = "INSERT OR REPLACE INTO missing (n, kind, reason) SELECT n, ?, ? FROM events WHERE id = ?"
CLEAR_MISSING = "DELETE FROM missing WHERE kind = ? AND n IN (SELECT n FROM events WHERE id = ?)"


def _names_in(tags: str) -> str:
    """The names of ``[[name, ...], ...]`` as words."""
    try:
        return " ".join(str(one[0]) for one in json.loads(tags))
    except (ValueError, TypeError, LookupError):  # of a damaged file
        return ""


def _salvage(damaged: Path, into: sqlite3.Connection) -> str:
    """Copy what can be read of a damaged file, from both ends of each table."""
    try:
        source = connect(f"{damaged.absolute().as_uri()}?mode=ro", 1.0)
    except sqlite3.Error:
        return "started empty"
    into.execute("BEGIN")
    with contextlib.closing(source):
        for table, (key, columns) in _SALVAGED.items():
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            for order in ("ASC", "DESC"):
                with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
                    for row in source.execute(f"SELECT {names} FROM {table} ORDER BY {key} {order}"):  # noqa: S608
                        into.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", row)  # noqa: S608
    into.execute(f"{INDEXED} WHERE n NOT IN (SELECT rowid FROM words)")  # noqa: S608
    into.execute("COMMIT")
    count = into.execute("SELECT count(*) FROM events").fetchone()[0]
    return f"started anew with the {count} events that could be read"


EVENTS_SCHEMA = SqliteSchema(
    _SQL,
    version=1,
    content="Events are",
    salvage=_salvage,
    pragmas=("auto_vacuum = INCREMENTAL", "journal_size_limit = 4194304"),
    tables={table: columns for table, (_, columns) in _SALVAGED.items()},
    functions={"names_in": _names_in},
    rebuilds=("INSERT INTO words (words) VALUES ('rebuild')",),
)


def to_event_record(event: Event, model: str) -> EventRecord:
    """The record of an event's newest phase."""
    end_ns = None if event.end_ns is None else event.wall_begin_ns + event.end_ns - event.begin_ns
    return EventRecord(
        id=event.id,
        camera=event.camera,
        kind=event.kind,
        label=event.label,
        severity=event.severity,
        begin_ns=event.wall_begin_ns,
        end_ns=end_ns,
        peak=event.peak,
        threshold=event.threshold,
        why=event.why,
        zones=tuple(event.zones),
        contribution=event.contribution,
        boxes=tuple(event.boxes),
        tags=tuple((name, float(value)) for name, value in event.tags),
        model=model,
    )


def to_row(record: EventRecord) -> Row:
    """A record without its files, in the order of `EVENT`."""
    mark = record.mark
    return (
        *(record.id, record.camera, record.kind.value, record.label, record.severity, record.begin_ns, record.end_ns),
        *(float(record.peak), float(record.threshold), record.why, _json(record.zones)),
        None if record.contribution is None else _json(astuple(record.contribution)),
        *(_json([astuple(box) for box in record.boxes]), _json(record.tags), record.model, record.caption),
        *((mark.verdict, mark.by, mark.wall_ns, mark.note) if mark else (None, None, None, None)),
    )


def from_row(row: Row, files: Mapping[FileKind, EvidenceFile], missing: Mapping[str, str]) -> EventRecord:
    """The inverse of `to_row`."""
    kept = dict(zip(EVENT, row, strict=True))
    contribution, verdict = kept["contribution"], kept["verdict"]
    return EventRecord(
        id=kept["id"],
        camera=kept["camera"],
        kind=EventKind(kept["kind"]),
        label=kept["label"],
        severity=kept["severity"],
        begin_ns=kept["begin_ns"],
        end_ns=kept["end_ns"],
        peak=kept["peak"],
        threshold=kept["threshold"],
        why=kept["why"],
        zones=tuple(json.loads(kept["zones"])),
        contribution=None if contribution is None else Contribution(*json.loads(contribution)),
        boxes=tuple(Box(*box) for box in json.loads(kept["boxes"])),
        tags=tuple((name, value) for name, value in json.loads(kept["tags"])),
        model=kept["model"],
        caption=kept["caption"],
        mark=EventMark(verdict, kept["marked_by"], kept["marked_ns"], kept["mark_note"]) if verdict else None,
        files=files,
        missing=missing,
    )


def files_of(rows: Iterable[Row]) -> dict[int, dict[FileKind, EvidenceFile]]:
    """Rows of (n, kind, path, size, facts) by event."""
    found: dict[int, dict[FileKind, EvidenceFile]] = {}
    for n, kind, path, size, facts in rows:
        with contextlib.suppress(ValueError):  # in a damaged file: left out
            found.setdefault(n, {})[kind] = EvidenceFile(path, size, json.loads(facts))
    return found


def file_row(kind: FileKind, file: EvidenceFile, event_id: str) -> Row:
    """The arguments of `ATTACH_FILE`."""
    return (kind, file.path, file.size, _json(dict(file.facts)), event_id)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=float)
