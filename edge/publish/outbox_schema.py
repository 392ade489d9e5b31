"""The schema of the outbox database, and the conversion of messages and changes to rows. Pure.

`saved_thresholds` reads the outbox of a stopped daemon without opening it for writing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from edge.publish.backlog import Fact, OutboxChange, QueuedMessage
from edge.sqlite import Statement
from edge.sqlite_schema import SqliteSchema
from edge.types import Message

_SQL = """
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL,
    retain INTEGER NOT NULL, key TEXT NOT NULL, wall_ns INTEGER NOT NULL, parked INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS facts (kind TEXT, name TEXT, value BLOB NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
"""
HEADER_QUERIES = (
    "SELECT seq, parked, key, wall_ns, length(payload) + length(topic) FROM messages ORDER BY seq",
    "SELECT max(seq) FROM sqlite_sequence WHERE name = 'messages'",
    "SELECT kind, name, value FROM facts",
)
ALL_MESSAGES = "SELECT seq, topic, payload, qos, retain, key, wall_ns, parked FROM messages ORDER BY seq"
SELECT_MESSAGES = "SELECT seq, topic, payload, qos, retain, key, wall_ns FROM messages WHERE seq IN ({}) ORDER BY seq"
_INSERT = "INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
OUTBOX_SCHEMA = SqliteSchema(
    _SQL,
    version=1,
    content="Alerts are",
    salvage=lambda _damaged, _new: "started empty; messages that waited in it were not sent",
    accepts_newer=True,
)
PROBE: Statement = ("UPDATE sqlite_sequence SET seq = seq", ())


def statements(change: OutboxChange) -> Iterator[Statement]:
    """The statements that write a change."""
    for seq in change.gone:
        yield "DELETE FROM messages WHERE seq = ?", (seq,)
    for seq, waiting in change.added.items():
        m = waiting.message
        parked = int(change.parked.get(seq, False))
        yield _INSERT, (seq, m.topic, m.payload, m.qos, int(m.retain), m.key, waiting.wall_ns, parked)
    for seq, is_parked in change.parked.items():
        yield "UPDATE messages SET parked = ? WHERE seq = ?", (int(is_parked), seq)
    for fact, value in change.facts.items():
        yield _fact(fact, value)
    if change.reserved is not None:
        yield "DELETE FROM sqlite_sequence WHERE name = 'messages'", ()
        yield "INSERT INTO sqlite_sequence (name, seq) VALUES ('messages', ?)", (change.reserved,)


def _fact(fact: Fact, value: bytes | None) -> Statement:
    if value is None:
        return "DELETE FROM facts WHERE kind = ? AND name = ?", fact
    return "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (*fact, value)


def to_waiting(row: tuple[Any, ...]) -> QueuedMessage:
    """The message of a row of `SELECT_MESSAGES`."""
    seq, topic, payload, qos, retain, key, wall_ns = row
    return QueuedMessage(seq, Message(topic, payload, qos, bool(retain), key), wall_ns)


def saved_thresholds(outbox: Path) -> list[tuple[str, str, float]]:
    """(camera, label, enter) set by command and kept in ``outbox``; empty while a daemon holds the file, or without
    one."""
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
