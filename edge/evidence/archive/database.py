"""The evidence's SQLite file: one process writes and keeps it, others may read it and mark in it meanwhile (WAL).

A damaged file is moved aside, a new one is started, and what can still be read of the old one is taken over.
Every commit is synced. Where the disk does not give the file of the process that keeps it, it is opened when it does;
it is opened anew after an error that leaves open what reached the disk. Thread-safe: one connection, one lock.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edge.clock import Clock
from edge.errors import InputError, SinkError
from edge.evidence.archive.schema import INDEXED, SALVAGED, SCHEMA, VERSION
from edge.sqlite import (
    Statement,
    decoded,
    explained,
    is_damage,
    is_refusal,
    lay_out,
    opened,
    put_aside,
    settle,
    transact,
)

log = logging.getLogger(__name__)

Row = tuple[Any, ...]
_T = TypeVar("_T")


class Database:
    """The file at ``path``. ``keeps``: it is this process's to make and to mend; otherwise it must be there and whole.

    InputError when it is missing or damaged and not ours to mend, or of a later version; SinkError when the disk does
    not give it: with ``keeps`` not at once, but from each method until it does.
    """

    WAIT_S = 5.0

    def __init__(self, path: Path, clock: Clock, *, keeps: bool, read_only: bool = False) -> None:
        self.path = path
        self._clock = clock
        self._keeps = keeps and not read_only
        self._read_only = read_only
        self._lock = threading.RLock()
        self._opened: sqlite3.Connection | None = None
        self._is_unsure = False  # whether what was committed last may be missing on the disk
        self.generation = 0
        try:
            self._mending(lambda _db: None)
        except SinkError as error:
            if not self._keeps:
                raise
            log.error("%s", error)  # noqa: TRY400 - a sentence, no bug

    def transact(self, statements: Sequence[Statement]) -> None:
        """Run all statements in one transaction that is on the disk when this returns; SinkError otherwise."""
        self._mending(lambda db: transact(db, statements))

    def read(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        """The rows of a query; SinkError when the disk does not give them."""
        return self._mending(lambda db: db.execute(sql, tuple(args)).fetchall())

    def mend(self) -> None:
        """Look whether the file is damaged, and if so start anew with what can still be read; SinkError otherwise."""
        self._mending(self._check_all)

    def shrink(self, pages: int = 2000) -> None:
        """Give free pages back to the disk, a few at a time."""
        with contextlib.suppress(SinkError):
            self._mending(lambda db: db.execute(f"PRAGMA incremental_vacuum({pages:d})").fetchall())

    def close(self) -> None:
        """Close the file; what was committed is on the disk already."""
        with self._lock:
            if self._opened is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._opened.close()
            self._opened = None

    def _mending(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What ``work`` gives; a damaged file is mended first where it is ours. SinkError when the disk refuses."""
        with self._lock:
            try:
                try:
                    with decoded():
                        return work(self._ready())
                except sqlite3.DatabaseError as error:
                    return work(self._mended(error))
            except (sqlite3.Error, OSError) as error:
                self._is_unsure = self._is_unsure or not is_refusal(error)
                raise SinkError(self._explain(error)) from error

    def _ready(self) -> sqlite3.Connection:
        """The open file."""
        if self._opened is not None and not self._is_unsure:
            return self._opened
        self.close()
        if self._keeps:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        elif not self.path.is_file():
            raise InputError(f"{self.path}: there is none yet; it is made when `edge run` has evidence to keep")
        db = self._connect()
        if self._is_unsure and self._keeps:
            settle(db)
        self._opened, self._is_unsure = db, False
        return db

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
                lay_out(db, SCHEMA, VERSION)
                self._try(db)
        except (sqlite3.Error, UnicodeDecodeError, InputError):
            db.close()
            raise
        return db

    @staticmethod
    def _try(db: sqlite3.Connection) -> None:
        """sqlite3.Error where the file cannot be written, or what is to be read is not in it."""
        for table, (_, columns) in SALVAGED.items():
            db.execute(f"SELECT {', '.join(columns)} FROM {table} LIMIT 1").fetchall()  # noqa: S608
        db.execute("BEGIN IMMEDIATE")
        db.execute("ROLLBACK")

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
        db = opened(uri, self.WAIT_S, uri=True)
        db.create_function("names_in", 1, _names_in, deterministic=True)
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION and self._keeps:
            raise sqlite3.DatabaseError(f"malformed: version {version}, of a later program")
        if version > VERSION:
            raise InputError(f"{self.path}: was written by a later version of this program; use that one")
        if self._keeps and (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"malformed: {found}")

    def _check_all(self, db: sqlite3.Connection) -> None:
        self._check(db)
        if self._keeps:
            self._try(db)
            db.execute("INSERT INTO words (words) VALUES ('rebuild')")  # no check looks into it

    def _mended(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """Move a damaged file aside and start anew; any other error is raised again."""
        if not is_damage(error, self.path, is_new=self.generation > 0):
            raise error
        if not self._keeps:
            raise InputError(f"{self.path}: is damaged ({error}); the daemon mends it when it starts") from error
        self.close()
        aside = put_aside(self.path, self._clock.wall_ns())
        db = self._opened = self._connect()
        self._is_unsure = False
        self.generation += 1
        taken = _salvage(aside, db)
        log.error(
            "%s is damaged (%s): moved to %s and started anew with the %d events that could be read. Check the disk",
            *(self.path, error, aside.name, taken),
        )
        return db

    def _explain(self, error: Exception) -> str:
        return explained(self.path, error, "Events are")


def _names_in(tags: str) -> str:
    """The names of ``[[name, ...], ...]`` as words."""
    try:
        return " ".join(str(one[0]) for one in json.loads(tags))
    except (ValueError, TypeError, LookupError):  # of a damaged file
        return ""


def _salvage(damaged: Path, into: sqlite3.Connection) -> int:
    """Copy what can be read of a damaged file, from both ends of each table; how many events that were."""
    try:
        source = opened(f"{damaged.absolute().as_uri()}?mode=ro", 1.0, uri=True)
    except sqlite3.Error:
        return 0
    into.execute("BEGIN")
    with contextlib.closing(source):
        for table, (key, columns) in SALVAGED.items():
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            for order in ("ASC", "DESC"):
                with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
                    for row in source.execute(f"SELECT {names} FROM {table} ORDER BY {key} {order}"):  # noqa: S608
                        into.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", row)  # noqa: S608
    into.execute(f"{INDEXED} WHERE n NOT IN (SELECT rowid FROM words)")  # noqa: S608
    into.execute("COMMIT")
    return int(into.execute("SELECT count(*) FROM events").fetchone()[0])
