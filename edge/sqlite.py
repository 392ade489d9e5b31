"""What every SQLite file of this program needs: whole transactions, damage put aside, plain errors."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

Statement = tuple[str, tuple[object, ...]]
_BROKEN = ("malformed", "not a database", "corrupt", "unsupported file format")
_UNKNOWN = ("no such table", "no such column", "no column named", "SQL logic error", "syntax error", "parse error",
            "unrecognized", "tokeniz", "no such function", "no such module", "vtable constructor")  # fmt: skip


def opened(path: str | Path, wait_s: float, *, uri: bool = False) -> sqlite3.Connection:
    """A connection that begins its transactions itself and gives text also where bytes of it are damaged."""
    db = sqlite3.connect(path, uri=uri, timeout=wait_s, isolation_level=None, check_same_thread=False)
    db.text_factory = lambda data: data.decode("utf-8", "replace")
    return db


def lay_out(db: sqlite3.Connection, schema: str, version: int) -> None:
    """Make what of ``schema`` is not there yet, and note its version. Writes nothing where all is there: a full disk
    must not keep a file from being opened."""
    there = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    is_all = there.issuperset(re.findall(r"IF NOT EXISTS (\w+)", schema))
    if not is_all or db.execute("PRAGMA user_version").fetchone()[0] != version:
        db.executescript(f"BEGIN; {schema} PRAGMA user_version = {version:d}; COMMIT;")


@contextlib.contextmanager
def decoded() -> Iterator[None]:
    """sqlite3.DatabaseError where Python cannot decode what SQLite says of a damaged file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise sqlite3.DatabaseError(f"malformed: {error.reason}") from error


def transact(db: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    """All statements or none; on the disk when this returns. sqlite3.Error otherwise."""
    try:
        with decoded():
            db.execute("BEGIN IMMEDIATE")
            for sql, args in statements:
                db.execute(sql, args)
            db.execute("COMMIT")
    except sqlite3.Error:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def settle(db: sqlite3.Connection) -> None:
    """Write the log of a file opened anew into it; sqlite3.Error and closed otherwise.

    For after a sync that failed: the system may then take for written what is not, and a second sync tells nothing.
    """
    try:
        busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise sqlite3.OperationalError("the log cannot be written into the file")
    except sqlite3.Error:
        db.close()
        raise


def is_damage(error: sqlite3.Error, path: Path, *, is_new: bool) -> bool:
    """Whether the file at ``path`` itself is broken, and not only what was asked of it.

    A flipped byte in the header makes SQLite take a file for one that may only be read: where the system lets this
    process write it, that is damage too. So is a schema that no longer knows what our statements name, unless the file
    ``is_new``: made by this process.
    """
    text = str(error)
    if any(sign in text for sign in _BROKEN) or (not is_new and any(sign in text for sign in _UNKNOWN)):
        return True
    return "readonly database" in text and _is_writable(path)


def is_refusal(error: Exception) -> bool:
    """Whether SQLite only declined, and left file and connection as they were: no room, or somebody else's lock.

    After any other error nothing is known of what reached the disk; a second `fsync` would not tell.
    """
    return isinstance(error, sqlite3.Error) and any(sign in str(error) for sign in ("full", "locked"))


def put_aside(path: Path, wall_ns: int) -> Path:
    """Move a damaged file and its log out of the way, as ``<name>.corrupt-<wall_ns>``; its new path."""
    aside = path.with_name(f"{path.name}.corrupt-{wall_ns}")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    return aside


def _is_writable(path: Path) -> bool:
    try:
        with path.open("r+b"):
            return os.access(path.parent, os.W_OK)
    except OSError:
        return False


def explained(path: Path, error: Exception, held: str) -> str:
    """What is wrong with the disk and what to do; ``held`` is what waits in memory meanwhile, as in ``Alerts are``."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    waits = f"{held} held in memory until then"
    if any(sign in text for sign in ("full", "No space left", "quota")):
        return f"{path}: the disk is full; free some space. {waits}"
    if any(sign in text.lower() for sign in ("readonly", "read-only", "permission denied")):
        return f"{path}: cannot be written ({text}); check the mount and who owns the file. {waits}"
    return f"{path}: {text}; check the disk and node.data_dir. {waits}"
