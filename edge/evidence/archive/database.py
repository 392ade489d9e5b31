"""The evidence's SQLite file: one process writes and keeps it, others may read it and mark in it meanwhile (WAL).

A damaged file is moved aside, a new one is started, and what can still be read of the old one is taken over.
Every commit is synced. Thread-safe: one connection, one lock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.errors import InputError, SinkError
from edge.evidence.archive.schema import INDEXED, SALVAGED, SCHEMA, VERSION
from edge.sqlite import Statement, explained, is_damage, put_aside, transact

log = logging.getLogger(__name__)

Row = tuple[Any, ...]


class Database:
    """The file at ``path``. ``keeps``: it is this process's to make and to mend; otherwise it must be there and whole.

    InputError when it is missing or damaged and not ours to mend, or of a later version; SinkError when the disk does
    not give it.
    """

    WAIT_S = 5.0

    def __init__(self, path: Path, clock: Clock, *, keeps: bool, read_only: bool = False) -> None:
        self.path = path
        self._clock = clock
        self._keeps = keeps and not read_only
        self._read_only = read_only
        self._lock = threading.RLock()
        self.generation = 0
        try:
            if self._keeps:
                path.parent.mkdir(parents=True, exist_ok=True)
            elif not path.is_file():
                raise InputError(f"{path}: there is none yet; it is made when `edge run` has evidence to keep")
            try:
                self._db = self._connect()
            except sqlite3.DatabaseError as error:
                self._mend(error)
        except sqlite3.Error as error:
            raise SinkError(self._explain(error)) from error
        except OSError as error:
            raise SinkError(f"{path}: cannot be used ({error.strerror}); check node.data_dir") from error

    def transact(self, statements: Sequence[Statement]) -> None:
        """Run all statements in one transaction that is on the disk when this returns; SinkError otherwise."""
        with self._lock:
            try:
                try:
                    transact(self._db, statements)
                except sqlite3.DatabaseError as error:
                    self._mend(error)
                    transact(self._db, statements)
            except (sqlite3.Error, OSError) as error:
                raise SinkError(self._explain(error)) from error

    def read(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        """The rows of a query; SinkError when the disk does not give them."""
        with self._lock:
            try:
                try:
                    return self._db.execute(sql, tuple(args)).fetchall()
                except sqlite3.DatabaseError as error:
                    self._mend(error)
                    return self._db.execute(sql, tuple(args)).fetchall()
            except (sqlite3.Error, OSError) as error:
                raise SinkError(self._explain(error)) from error

    def mend(self) -> None:
        """Look whether the file is damaged, and if so start anew with what can still be read; SinkError otherwise."""
        with self._lock:
            try:
                try:
                    self._check(self._db)
                except sqlite3.DatabaseError as error:
                    self._mend(error)
            except (sqlite3.Error, OSError) as error:
                raise SinkError(self._explain(error)) from error

    def shrink(self, pages: int = 2000) -> None:
        """Give free pages back to the disk, a few at a time."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.execute(f"PRAGMA incremental_vacuum({pages:d})").fetchall()

    def close(self) -> None:
        """Close the file; what was committed is on the disk already."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _connect(self) -> sqlite3.Connection:
        if self._read_only:
            return self._connect_to_read()
        db = self._open(f"{self.path.absolute().as_uri()}?mode={'rwc' if self._keeps else 'rw'}")
        try:
            if self._keeps:
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "journal_size_limit = 4194304"):
                db.execute(f"PRAGMA {pragma}").fetchall()
            self._check(db)
            if self._keeps:
                db.executescript(SCHEMA)
                db.execute(f"PRAGMA user_version = {VERSION:d}")
        except (sqlite3.Error, InputError):
            db.close()
            raise
        return db

    def _connect_to_read(self) -> sqlite3.Connection:
        """Beside a daemon or without one; also where nothing may be written, not even the log's index."""
        error: sqlite3.Error = sqlite3.OperationalError("unable to open database file")
        for how in ("mode=ro", "immutable=1"):
            try:
                db = self._open(f"{self.path.absolute().as_uri()}?{how}")
                self._check(db)
            except sqlite3.OperationalError as caught:
                error = caught
            else:
                return db
        raise error

    def _open(self, uri: str) -> sqlite3.Connection:
        db = sqlite3.connect(uri, uri=True, timeout=self.WAIT_S, isolation_level=None, check_same_thread=False)
        db.create_function("names_in", 1, _names_in, deterministic=True)
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise InputError(f"{self.path}: was written by a later version of this program; use that one")
        if self._keeps and (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"malformed: {found}")

    def _mend(self, error: sqlite3.DatabaseError) -> None:
        """Move a damaged file aside and start anew; any other error is raised again."""
        if not is_damage(error):
            raise error
        if not self._keeps:
            raise InputError(f"{self.path}: is damaged ({error}); the daemon mends it when it starts") from error
        if hasattr(self, "_db"):
            self.close()
        aside = put_aside(self.path, self._clock.wall_ns())
        self._db = self._connect()
        self.generation += 1
        taken = _salvage(aside, self._db)
        log.error(
            "%s is damaged (%s): moved to %s and started anew with the %d events that could be read. Check the disk",
            *(self.path, error, aside.name, taken),
        )

    def _explain(self, error: Exception) -> str:
        return explained(self.path, error, "Events are")


def _names_in(tags: str) -> str:
    """The names of ``[[name, ...], ...]`` as words."""
    return " ".join(one[0] for one in json.loads(tags))


def _salvage(damaged: Path, into: sqlite3.Connection) -> int:
    """Copy what can be read of a damaged file, from both ends of each table; how many events that were."""
    try:
        source = sqlite3.connect(f"{damaged.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
    except sqlite3.Error:
        return 0
    into.execute("BEGIN")
    with contextlib.closing(source):
        for table, (key, columns) in SALVAGED.items():
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            for order in ("ASC", "DESC"):
                with contextlib.suppress(sqlite3.Error):
                    for row in source.execute(f"SELECT {names} FROM {table} ORDER BY {key} {order}"):  # noqa: S608
                        into.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", row)  # noqa: S608
    into.execute(f"{INDEXED} WHERE n NOT IN (SELECT rowid FROM words)")  # noqa: S608
    into.execute("COMMIT")
    return int(into.execute("SELECT count(*) FROM events").fetchone()[0])
