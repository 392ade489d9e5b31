"""One SQLite file that survives kills, full disks and damage: opened exclusively, synced at every commit.

It is opened when it is first needed, and anew after an error that leaves open what reached the disk. A damaged file is
moved aside and a new one started; `generation` then counts up, so that the owner can write again what it knows. Not
thread-safe: the owner locks.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.errors import InputError, SinkError
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


class Store:
    """The file at ``path`` with ``schema`` of ``version`` in it."""

    LOCK_TIMEOUT_S = 2.0

    def __init__(self, path: Path, schema: str, version: int, clock: Clock) -> None:
        self._path = path
        self._schema, self._version = schema, version
        self._clock = clock
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._is_unsure = False  # whether what was committed last may be missing on the disk
        self.generation = 0

    def open(self) -> None:
        """Open the file where it is not open. InputError when another process holds it, SinkError when the disk does
        not give it."""
        try:
            self._opened()
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise InputError(
                    f"{self._path}: is in use by another process; does another `edge run` have the same node.data_dir?"
                ) from error
            raise SinkError(self._explain(error)) from error
        except OSError as error:
            raise SinkError(self._explain(error)) from error

    def transact(self, statements: Sequence[Statement]) -> None:
        """Run all statements in one transaction that is on the disk when this returns; SinkError otherwise."""
        try:
            try:
                transact(self._opened(), statements)
            except sqlite3.DatabaseError as error:
                transact(self._mended(error), statements)
        except (sqlite3.Error, OSError) as error:
            self._is_unsure = self._is_unsure or not is_refusal(error)
            raise SinkError(self._explain(error)) from error

    def read(self, sql: str, args: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; SinkError when the disk does not give them."""
        try:
            try:
                with decoded():
                    return self._opened().execute(sql, args).fetchall()
            except sqlite3.DatabaseError as error:
                return self._mended(error).execute(sql, args).fetchall()
        except (sqlite3.Error, OSError) as error:
            self._is_unsure = self._is_unsure or not is_refusal(error)
            raise SinkError(self._explain(error)) from error

    def read_copy(self, *queries: str) -> list[list[tuple[Any, ...]]] | None:
        """The rows of each query, from a copy of a file that cannot be written; None when it cannot be read either."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                for suffix in ("", "-wal"):
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copyfile(f"{self._path}{suffix}", Path(folder) / f"copy.db{suffix}")
                with contextlib.closing(sqlite3.connect(Path(folder) / "copy.db")) as db:
                    return [db.execute(query).fetchall() for query in queries]
        except (sqlite3.Error, OSError, UnicodeDecodeError):
            return None

    @property
    def is_there(self) -> bool:
        """Whether there is a file, as far as the disk tells."""
        try:
            return self._path.stat().st_size > 0
        except OSError as error:
            return not isinstance(error, FileNotFoundError)

    def close(self) -> None:
        """Close the file; what was committed is on the disk already."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        self._db = None

    def _opened(self) -> sqlite3.Connection:
        if self._db is not None and not self._is_unsure:
            return self._db
        self.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with decoded():
                db = self._connect()
        except sqlite3.DatabaseError as error:
            db = self._mended(error)
        if self._is_unsure:
            settle(db)
        self._db, self._is_unsure = db, False
        inode = self._path.stat().st_ino
        if self._inode not in (0, inode):
            self.generation += 1  # somebody took the old one away
        self._inode = inode
        return db

    def _connect(self) -> sqlite3.Connection:
        db = opened(self._path, self.LOCK_TIMEOUT_S)
        try:
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                db.execute(f"PRAGMA {pragma}").fetchall()
            found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(f"malformed: {found}")
            db.execute("BEGIN IMMEDIATE")  # takes the exclusive lock, which is then kept
            db.execute("COMMIT")
            lay_out(db, self._schema, self._version)
        except (sqlite3.Error, UnicodeDecodeError):
            db.close()
            raise
        return db

    def _mended(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """Move a damaged file aside and start anew; any other error is raised again."""
        if not is_damage(error, self._path, is_new=self.generation > 0):
            raise error
        self.close()
        target = put_aside(self._path, self._clock.wall_ns())
        self._db = self._connect()
        self._inode = self._path.stat().st_ino
        self._is_unsure = False
        self.generation += 1
        log.error(
            "%s is damaged (%s): moved to %s and started empty; messages that waited in it were not sent. "
            "Check the disk; `sqlite3 %s .recover` may read them",
            *(self._path, error, target.name, target),
        )
        return self._db

    def _explain(self, error: Exception) -> str:
        return explained(self._path, error, "Alerts are")
