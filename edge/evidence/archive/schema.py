"""What the evidence's SQLite file holds, and in which version."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

from edge.sqlite import SqliteSchema, connect

# `n` numbers never come back, so that what is kept of a removed event elsewhere cannot be taken for another's.
# `missing` says why a file that an event should have is not there.
# `words` is what is searched; `vectors.seq` grows with every change, so that a reader knows what is new to it.
# `doomed` is what is about to be unlinked: noted before it is, crossed out after.
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
"""The columns that make a record, in their order."""

INDEXED = (
    "INSERT OR REPLACE INTO words (rowid, label, why, tags, zones, camera, caption) "
    "SELECT n, label, why, names_in(tags) || ' ' || names_in(boxes), zones, camera, caption FROM events"
)
"""Makes events findable by their words; goes on with WHERE."""

_SALVAGED: dict[str, tuple[str, tuple[str, ...]]] = {
    "events": ("n", ("n", *EVENT)),
    "files": ("n", ("n", "kind", "path", "size", "facts")),
    "missing": ("n", ("n", "kind", "reason")),
    "vectors": ("n", ("n", "data")),
    "candidates": ("n", ("n", "camera", "label", "wall_ns", "value", "enter", "thumbnail")),
    "doomed": ("path", ("path",)),
    "ages": ("n", ("n", "eras")),
}
"""What is taken over from a damaged file: the table, its key, its columns."""


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
