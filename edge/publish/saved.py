"""A look at what a stopped daemon keeps over restarts, without opening its outbox for writing."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path


def saved_thresholds(outbox: Path) -> list[tuple[str, str, float]]:
    """(camera, label, enter) set by command and kept in ``outbox``; empty where a daemon holds the file or none ran."""
    if not outbox.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True, timeout=0.2)) as db:
            rows = db.execute("SELECT name, value FROM facts WHERE kind = 'saved'").fetchall()
        return [_parse(name, value) for name, value in rows if name.startswith("threshold/")]
    except (sqlite3.Error, ValueError):
        return []


def _parse(name: str, value: bytes) -> tuple[str, str, float]:
    _, camera, label = name.split("/")
    return camera, label, float(json.loads(value))
