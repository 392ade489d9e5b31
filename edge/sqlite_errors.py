"""Classifies errors of SQLite as damage, refusal or failing disk, and says what to do about them. Pure."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

_LOGS = ("-wal", "-shm", "-journal")
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
    return is_read_only(error) and is_writable(path)


def is_read_only(error: sqlite3.Error) -> bool:
    """Whether SQLite takes the file for one that may only be read."""
    return "readonly database" in str(error)


def is_refusal(error: Exception) -> bool:
    """Whether SQLite only refused, and left file and connection unchanged: no room, or the lock of another process.

    After any other error it is unknown what reached the disk; a second `fsync` would not tell.
    """
    return isinstance(error, sqlite3.Error) and any(sign in str(error) for sign in ("full", "locked"))


def put_aside(path: Path, wall_ns: int) -> Path:
    """Move a damaged file and its log out of the way, as ``<name>.corrupt-<wall_ns>``; its new path."""
    aside = path.with_name(f"{path.name}.corrupt-{wall_ns}")
    _move(path, aside)
    return aside


def put_back(aside: Path, path: Path) -> None:
    """Move what `put_aside` moved back to ``path``, as far as the disk allows. The logs of what lies there go before:
    SQLite would apply them to any file of that name."""
    with contextlib.suppress(OSError):
        for suffix in _LOGS:
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        _move(aside, path)


def _move(path: Path, to: Path) -> None:
    """A database with its log."""
    path.replace(to)
    for suffix in _LOGS:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(to.with_name(to.name + suffix))


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
