"""How an SQLite file is laid out, and what a process may do with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path


class SqliteAccess(Enum):
    """What a process may do with a file."""

    EXCLUSIVE = "exclusive"
    """Owned by this process, which may create and repair it; no other process can open it meanwhile."""
    OWNER = "owner"
    """It is this process's to make and to mend; others may read it, and write as guests."""
    GUEST = "guest"
    """Written in beside its owner; it must be there and whole."""
    READ_ONLY = "read only"
    """Read beside its owner or without one; it must be there and whole."""

    @property
    def is_owner(self) -> bool:
        return self in {SqliteAccess.EXCLUSIVE, SqliteAccess.OWNER}


@dataclass(frozen=True, slots=True)
class SqliteSchema:
    """Tables and version of a file, and how a damaged file is salvaged.

    ``tables`` maps each table that must be readable to its columns. ``functions`` are SQL functions of one argument.
    ``salvage`` copies what it can from a damaged file (first) into a new one and returns the result in words, as in
    "started anew with 3 events". ``rebuilds`` are statements that rebuild what checks do not cover. With
    ``accepts_newer`` a file of a later version is used as it is.
    """

    sql: str
    version: int
    content: str  # the subject of a sentence about it: "Alerts are", "Events are"
    salvage: Callable[[Path, sqlite3.Connection], str]
    pragmas: tuple[str, ...] = ()
    tables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    functions: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    rebuilds: tuple[str, ...] = ()
    accepts_newer: bool = False
