"""SQLite files that survive kills, full disks, damage and other processes: for the outbox and the event store.

`SqliteFile` opens a file when it is first needed, and again after an error that leaves unclear what reached the disk.
Every commit is synced. A damaged file is put aside, and a new one is started with what can be salvaged.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edge.clock import Clock
from edge.errors import InputError, SinkError
from edge.files import sync_file, sync_folder
from edge.sqlite_errors import explained, is_damage, is_read_only, is_refusal, put_aside, put_back
from edge.sqlite_schema import SqliteAccess, SqliteSchema

log = logging.getLogger(__name__)

Statement = tuple[str, tuple[object, ...]]
Row = tuple[Any, ...]
_T = TypeVar("_T")


class SqliteFile:
    """The file at ``path`` with ``schema`` in it. Thread-safe: one connection, one lock.

    `generation` is raised when a new file replaced the old one, so that the owner can write its state again. Every
    method raises InputError when the file is missing, of a later version, or damaged or in use and owned by another
    process; SinkError when the disk fails.
    """

    WAIT_S = 5.0  # for the lock of another process

    def __init__(self, path: Path, schema: SqliteSchema, clock: Clock, access: SqliteAccess) -> None:
        self.path = path
        self.generation = 0
        self._schema = schema
        self._clock = clock
        self._access = access
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._inode = 0
        self._is_unsure = False  # whether the last commit may be missing on disk
        self._is_settled = not access.is_owner  # whether what lies in the log is surely on the disk
        self._is_immutable = False  # whether the connection takes the file for one that never changes
        self.close_others: Callable[[], None] = lambda: None
        """Closes this process's other connections to the file, before its owner opens it. SQLite shares what it knows
        of a file among all of them: one that was opened on a read-only file system keeps the owner from writing."""

    def open(self) -> None:
        """Open the file if it is not open yet."""
        try:
            self._run(lambda _db: None)
        except SinkError as error:
            if self._access is SqliteAccess.EXCLUSIVE and "locked" in str(error.__cause__):
                raise InputError(
                    f"{self.path}: is in use by another process; does another `edge run` have the same node.data_dir?"
                ) from error
            raise

    def transact(self, statements: Sequence[Statement]) -> None:
        """Run all statements in one transaction that is on the disk when this returns."""
        self._run(lambda db: self._transact(db, statements))

    def _transact(self, db: sqlite3.Connection, statements: Sequence[Statement]) -> None:
        """An earlier process may have left a log of which the disk lacks a part: new rows would lie behind a hole."""
        if not self._is_settled:
            _settle(db, self.path)
            self._is_settled = True
        transact(db, statements)

    def read(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        """The rows of a query."""
        return self._run(lambda db: db.execute(sql, tuple(args)).fetchall())

    def read_copy(self, *queries: str) -> list[list[Row]] | None:
        """The rows of each query, from a copy of a file that cannot be written; None when it cannot be read either."""
        try:
            with tempfile.TemporaryDirectory() as folder:
                for suffix in ("", "-wal"):
                    with contextlib.suppress(FileNotFoundError):
                        shutil.copyfile(f"{self.path}{suffix}", Path(folder) / f"copy.db{suffix}")
                with contextlib.closing(sqlite3.connect(Path(folder) / "copy.db")) as db:
                    return [db.execute(query).fetchall() for query in queries]
        except (sqlite3.Error, OSError, UnicodeDecodeError):
            return None

    @property
    def exists(self) -> bool:
        """Whether the file exists, as far as the disk can tell."""
        try:
            return self.path.stat().st_size > 0
        except OSError as error:
            return not isinstance(error, FileNotFoundError)

    def check(self) -> None:
        """Check the file; if it is damaged and owned by this process, start a new one with what can be salvaged."""
        self._run(self._check_all)

    def shrink(self, pages: int = 2000) -> None:
        """Return free pages to the disk, a few at a time, as far as the disk allows."""
        with contextlib.suppress(SinkError):
            self._run(lambda db: db.execute(f"PRAGMA incremental_vacuum({pages:d})").fetchall())

    def close(self) -> None:
        """Close the file; committed data is on disk already."""
        with self._lock:
            if self._db is not None:
                with contextlib.suppress(sqlite3.Error):
                    self._db.close()
            self._db = None

    def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """The result of ``work``; a damaged file is repaired first if this process owns it."""
        with self._lock:
            try:
                try:
                    with _decoded():
                        return work(self._ready())
                except sqlite3.DatabaseError as error:
                    return work(self._mended(error))
            except (sqlite3.Error, OSError) as error:
                self._is_unsure = self._is_unsure or (self._db is not None and not is_refusal(error))
                raise SinkError(explained(self.path, error, self._schema.content)) from error

    def _ready(self) -> sqlite3.Connection:
        if self._db is not None and not (self._is_unsure or self._is_immutable):
            return self._db
        self.close()
        if self._access.is_owner:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        elif not self.path.is_file():
            raise InputError(f"{self.path}: there is none yet; it is made when `edge run` has something to keep")
        db = self._connect()
        if self._is_unsure and self._access.is_owner:
            try:
                _settle(db, self.path)
            except (sqlite3.Error, OSError):
                db.close()
                raise
            self._is_settled = True
        self._db, self._is_unsure = db, False
        inode = self.path.stat().st_ino
        if self._access.is_owner and self._inode not in {0, inode}:
            self.generation += 1  # the old file was removed
        self._inode = inode
        return db

    def _connect(self) -> sqlite3.Connection:
        if self._access is SqliteAccess.READ_ONLY:
            return self._connect_read_only()
        if self._access.is_owner:
            self.close_others()
        db = self._opened(f"mode={'rwc' if self._access.is_owner else 'rw'}")
        try:
            if self._access is SqliteAccess.EXCLUSIVE:
                db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
            for pragma in (*self._schema.pragmas, "journal_mode = WAL", "synchronous = FULL"):
                db.execute(f"PRAGMA {pragma}").fetchall()
            self._check(db)
            if self._access.is_owner:
                _try_lock(db)  # keeps the exclusive lock from then on
                _lay_out(db, self._schema)
                self._try_tables(db)
        except (sqlite3.Error, UnicodeDecodeError, InputError):
            db.close()
            raise
        return db

    def _connect_read_only(self) -> sqlite3.Connection:
        """Connect for reading, even if nothing may be written, not even the log's index: then for one use, because
        such a connection never sees what is written later."""
        try:
            db, self._is_immutable = self._checked("mode=ro"), False
        except sqlite3.OperationalError as error:
            if not (is_read_only(error) or "unable to open" in str(error)):
                raise  # a disk that cannot be read: without its log the file is not what it was
            db, self._is_immutable = self._checked("immutable=1"), True
        return db

    def _checked(self, mode: str) -> sqlite3.Connection:
        db = self._opened(mode)
        try:
            self._check(db)
        except (sqlite3.Error, InputError):
            db.close()  # at once: it may hold a lock
            raise
        return db

    def _opened(self, mode: str) -> sqlite3.Connection:
        db = connect(f"{self.path.absolute().as_uri()}?{mode}", self.WAIT_S)
        for name, function in self._schema.functions.items():
            db.create_function(name, 1, function, deterministic=True)
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > self._schema.version and not self._schema.accepts_newer:
            if self._access.is_owner:
                raise sqlite3.DatabaseError(f"malformed: version {version}, of a later program")
            raise InputError(f"{self.path}: was written by a later version of this program; use that one")
        if self._access.is_owner and (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"malformed: {found}")

    def _check_all(self, db: sqlite3.Connection) -> None:
        self._check(db)
        if self._access.is_owner:
            self._try_tables(db)
            _try_lock(db)
            for sql in self._schema.rebuilds:
                db.execute(sql)

    def _try_tables(self, db: sqlite3.Connection) -> None:
        """sqlite3.Error when a table or column is missing in the file."""
        for table, columns in self._schema.tables.items():
            db.execute(f"SELECT {', '.join(columns)} FROM {table} LIMIT 1").fetchall()  # noqa: S608

    def _mended(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """Move a damaged file aside and start anew; any other error is raised again."""
        if not is_damage(error, self.path, is_new=self.generation > 0):
            raise error
        if not self._access.is_owner:
            raise InputError(f"{self.path}: is damaged ({error}); the daemon mends it when it starts") from error
        self.close()
        if is_read_only(error) and (db := self._writable_again()) is not None:
            return db
        aside = put_aside(self.path, self._clock.wall_ns())
        try:
            db = self._db = self._connect()
        except (sqlite3.Error, OSError, InputError):
            put_back(aside, self.path)  # nothing can be salvaged now
            raise
        self._inode = self.path.stat().st_ino
        self._is_unsure = False
        self.generation += 1
        log.error(
            "%s is damaged (%s): moved to %s and %s. Check the disk; `sqlite3 %s .recover` may read more",
            *(self.path, error, aside.name, self._schema.salvage(aside, db), aside),
        )
        return db

    def _writable_again(self) -> sqlite3.Connection | None:
        """The file, opened anew; None when SQLite still takes it for one that may only be read. Any other error is
        raised: the disk's."""
        try:
            db = self._ready()
            version = db.execute("PRAGMA user_version").fetchone()[0]
            db.execute(f"PRAGMA user_version = {version:d}")  # writes, though nothing changes
        except sqlite3.Error as error:
            self.close()
            if not is_read_only(error):
                raise
            return None
        return db


def connect(uri: str, wait_s: float) -> sqlite3.Connection:
    """A connection with explicit transactions that returns text even if some of its bytes are damaged."""
    db = sqlite3.connect(uri, uri=True, timeout=wait_s, isolation_level=None, check_same_thread=False)
    db.text_factory = lambda data: data.decode("utf-8", "replace")
    return db


def _lay_out(db: sqlite3.Connection, schema: SqliteSchema) -> None:
    """Create missing tables, and note the version. Writes nothing when all exist: a full disk must not prevent
    opening."""
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    is_all = there.issuperset(re.findall(r"IF NOT EXISTS (\w+)", schema.sql))
    if not is_all or db.execute("PRAGMA user_version").fetchone()[0] != schema.version:
        db.executescript(f"BEGIN; {schema.sql} PRAGMA user_version = {schema.version:d}; COMMIT;")


def _try_lock(db: sqlite3.Connection) -> None:
    """sqlite3.Error when the file cannot be locked for writing."""
    db.execute("BEGIN IMMEDIATE")
    db.execute("COMMIT")


@contextlib.contextmanager
def _decoded() -> Iterator[None]:
    """sqlite3.DatabaseError when Python cannot decode SQLite's message on a damaged file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"malformed: {error.reason}") from error


def transact(db: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    """All statements or none; on the disk when this returns. sqlite3.Error otherwise."""
    try:
        with _decoded():
            db.execute("BEGIN IMMEDIATE")
            for sql, args in statements:
                db.execute(sql, args)
            db.execute("COMMIT")
    except sqlite3.Error:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _settle(db: sqlite3.Connection, path: Path) -> None:
    """Checkpoint the log of an open file and have its emptiness on the disk; sqlite3.Error or OSError when that fails.

    Needed after a failed sync: the system may then take unwritten pages for written, so a second sync proves nothing.
    What the disk has of the log is older than the checkpoint: after a power cut it must not be applied to it.
    """
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("the log cannot be written into the file")
    with contextlib.suppress(FileNotFoundError):
        sync_file(path.with_name(path.name + "-wal"))
    sync_folder(path.parent)  # closing may have deleted an earlier log
