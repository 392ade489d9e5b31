"""One SQLite file that survives kills, full disks and damage: opened exclusively, synced at every commit.

A damaged file is moved aside and a new one started; `generation` then counts up, so that the owner can write again
what it knows. Not thread-safe: the owner locks.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.errors import InputError, SinkError
from edge.sqlite import Statement, explained, is_damage, put_aside, transact

log = logging.getLogger(__name__)


class Store:
    """The file at ``path`` with ``schema`` in it.

    Raises `InputError` when another process holds the file, `SinkError` when the folder cannot be used.
    """

    LOCK_TIMEOUT_S = 2.0

    def __init__(self, path: Path, schema: str, clock: Clock) -> None:
        self._path = path
        self._schema = schema
        self._clock = clock
        self.generation = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._db = self._connect()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._start_anew(error)
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise InputError(
                    f"{path}: is in use by another process; does another `edge run` have the same node.data_dir?"
                ) from error
            raise SinkError(self._explain(error)) from error
        except OSError as error:
            raise SinkError(f"{path}: cannot be used ({error.strerror}); check node.data_dir") from error

    def transact(self, statements: Sequence[Statement]) -> None:
        """Run all statements in one transaction that is on the disk when this returns; SinkError otherwise."""
        try:
            try:
                transact(self._db, statements)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._start_anew(error)
                transact(self._db, statements)
        except (sqlite3.Error, OSError) as error:
            raise SinkError(self._explain(error)) from error

    def read(self, sql: str, args: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; SinkError when the disk does not give them."""
        try:
            try:
                return self._db.execute(sql, args).fetchall()
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self._start_anew(error)
                return self._db.execute(sql, args).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise SinkError(self._explain(error)) from error

    def close(self) -> None:
        """Close the file; what was committed is on the disk already."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=self.LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                db.execute(f"PRAGMA {pragma}").fetchall()
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(f"malformed: {found}")
            db.executescript(self._schema)
            db.execute("BEGIN IMMEDIATE")  # takes the exclusive lock, which is then kept
            db.execute("COMMIT")
        except sqlite3.Error:
            db.close()
            raise
        return db

    def _start_anew(self, error: sqlite3.DatabaseError) -> None:
        if hasattr(self, "_db"):
            self.close()
        target = put_aside(self._path, self._clock.wall_ns())
        self._db = self._connect()
        self.generation += 1
        log.error(
            "%s is damaged (%s): moved to %s and started empty; messages that waited in it were not sent. "
            "Check the disk; `sqlite3 %s .recover` may read them",
            *(self._path, error, target.name, target),
        )

    def _explain(self, error: Exception) -> str:
        return explained(self._path, error, "Alerts are")
