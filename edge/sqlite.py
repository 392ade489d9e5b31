"""What every SQLite file of this program needs: whole transactions, damage put aside, plain errors."""

from __future__ import annotations

import contextlib
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


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, and not only what was asked of it."""
    return any(sign in str(error) for sign in ("malformed", "not a database", "corrupt"))


def put_aside(path: Path, wall_ns: int) -> Path:
    """Move a damaged file and its log out of the way, as ``<name>.corrupt-<wall_ns>``; its new path."""
    aside = path.with_name(f"{path.name}.corrupt-{wall_ns}")
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    return aside


def explained(path: Path, error: Exception, held: str) -> str:
    """What is wrong with the disk and what to do; ``held`` is what waits in memory meanwhile, as in ``Alerts are``."""
    text = str(error)
    waits = f"{held} held in memory until then"
    if "full" in text:
        return f"{path}: the disk is full; free some space. {waits}"
    if "readonly" in text or "read-only" in text:
        return f"{path}: cannot be written; check the mount and who owns the file"
    return f"{path}: {text}; check the disk and node.data_dir. {waits}"
