"""Classifies errors of SQLite as damage, refusal or failing disk, and says what to do about them. Pure."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

_BROKEN = ("malformed", "not a database", "corrupt", "unsupported file format")
_UNKNOWN = ("no such table", "no such column", "no column named", "SQL logic error", "syntax error", "parse error",
            "unrecognized", "tokeniz", "no such function", "no such module", "vtable constructor")  # fmt: skip


def is_damage(error: sqlite3.Error, path: Path, *, is_new: bool) -> bool:
    """Whether the file at ``path`` itself is damaged, and not only the request wrong.

    A flipped byte in the header makes SQLite take a file for read-only: if this process may write it, that is damage,
    too. So is a schema without the names in our statements, unless the file ``is_new``: created by this process.
    """
    text = str(error)
    if any(sign in text for sign in _BROKEN) or (not is_new and any(sign in text for sign in _UNKNOWN)):
        return True
    return "readonly database" in text and is_writable(path)


def is_refusal(error: Exception) -> bool:
    """Whether SQLite only refused, and left file and connection unchanged: no room, or the lock of another process.

    After any other error it is unknown what reached the disk; a second `fsync` would not tell.
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


def is_writable(path: Path) -> bool:
    """Whether the system lets this process write the file and its folder."""
    try:
        with path.open("r+b"):
            return os.access(path.parent, os.W_OK)
    except OSError:
        return False


def explained(path: Path, error: Exception, held: str) -> str:
    """What is wrong with the disk and what to do; ``held`` begins the sentence on what waits in memory, as in ``Alerts
    are``."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    waits = f"{held} held in memory until then"
    if any(sign in text for sign in ("full", "No space left", "quota")):
        return f"{path}: the disk is full; free some space. {waits}"
    if any(sign in text.lower() for sign in ("readonly", "read-only", "permission denied")):
        return f"{path}: cannot be written ({text}); check the mount and who owns the file. {waits}"
    return f"{path}: {text}; check the disk and node.data_dir. {waits}"
