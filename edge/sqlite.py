"""What every SQLite file of this program needs: whole transactions, damage put aside, plain errors."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

Statement = tuple[str, tuple[object, ...]]


def transact(db: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    """All statements or none; on the disk when this returns. sqlite3.Error otherwise."""
    try:
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


def is_damage(error: sqlite3.Error, path: Path) -> bool:
    """Whether the file at ``path`` itself is broken, and not only what was asked of it.

    A flipped byte in the header makes SQLite take a file for one that may only be read: where the system lets this
    process write it, that is damage too.
    """
    text = str(error)
    if any(sign in text for sign in ("malformed", "not a database", "corrupt", "unsupported file format")):
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
