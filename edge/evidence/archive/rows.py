"""Records to rows of the database and back. Plain functions."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from typing import Any

from edge.evidence.archive.records import EventMark, EventRecord, EvidenceFile, FileKind
from edge.evidence.archive.schema import EVENT
from edge.types import Box, Contribution, Event, EventKind

Row = tuple[Any, ...]

_KEPT = {"id", "caption", "verdict", "marked_by", "marked_ns", "mark_note"}  # what a later phase does not touch
PUT_EVENT = (
    f"INSERT INTO events ({', '.join(EVENT)}) VALUES ({', '.join('?' * len(EVENT))}) "  # noqa: S608
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in EVENT if c not in _KEPT)}"
)
ATTACH_FILE = "INSERT OR REPLACE INTO files (n, kind, path, size, facts) SELECT n, ?, ?, ?, ? FROM events WHERE id = ?"
NOTE_MISSING = "INSERT OR REPLACE INTO missing (n, kind, reason) SELECT n, ?, ? FROM events WHERE id = ?"
CLEAR_MISSING = "DELETE FROM missing WHERE kind = ? AND n IN (SELECT n FROM events WHERE id = ?)"


def to_event_record(event: Event, model: str) -> EventRecord:
    """An event's newest phase as it is kept."""
    end_ns = None if event.end_ns is None else event.wall_begin_ns + event.end_ns - event.begin_ns
    return EventRecord(
        id=event.id,
        camera=event.camera,
        kind=event.kind,
        label=event.label,
        severity=event.severity,
        begin_ns=event.wall_begin_ns,
        end_ns=end_ns,
        peak=event.peak,
        threshold=event.threshold,
        why=event.why,
        zones=tuple(event.zones),
        contribution=event.contribution,
        boxes=tuple(event.boxes),
        tags=tuple((name, float(value)) for name, value in event.tags),
        model=model,
    )


def to_row(record: EventRecord) -> Row:
    """A record without its files, in the order of `EVENT`."""
    mark = record.mark
    return (
        *(record.id, record.camera, record.kind.value, record.label, record.severity, record.begin_ns, record.end_ns),
        *(float(record.peak), float(record.threshold), record.why, _json(record.zones)),
        None if record.contribution is None else _json(astuple(record.contribution)),
        *(_json([astuple(box) for box in record.boxes]), _json(record.tags), record.model, record.caption),
        *((mark.verdict, mark.by, mark.wall_ns, mark.note) if mark else (None, None, None, None)),
    )


def from_row(row: Row, files: Mapping[FileKind, EvidenceFile], missing: Mapping[str, str]) -> EventRecord:
    """The inverse of `to_row`."""
    kept = dict(zip(EVENT, row, strict=True))
    contribution, verdict = kept["contribution"], kept["verdict"]
    return EventRecord(
        id=kept["id"],
        camera=kept["camera"],
        kind=EventKind(kept["kind"]),
        label=kept["label"],
        severity=kept["severity"],
        begin_ns=kept["begin_ns"],
        end_ns=kept["end_ns"],
        peak=kept["peak"],
        threshold=kept["threshold"],
        why=kept["why"],
        zones=tuple(json.loads(kept["zones"])),
        contribution=None if contribution is None else Contribution(*json.loads(contribution)),
        boxes=tuple(Box(*box) for box in json.loads(kept["boxes"])),
        tags=tuple((name, value) for name, value in json.loads(kept["tags"])),
        model=kept["model"],
        caption=kept["caption"],
        mark=EventMark(verdict, kept["marked_by"], kept["marked_ns"], kept["mark_note"]) if verdict else None,
        files=files,
        missing=missing,
    )


def files_of(rows: Iterable[Row]) -> dict[int, dict[FileKind, EvidenceFile]]:
    """Rows of (n, kind, path, size, facts) by event."""
    found: dict[int, dict[FileKind, EvidenceFile]] = {}
    for n, kind, path, size, facts in rows:
        with contextlib.suppress(ValueError):  # of a damaged file: one left out
            found.setdefault(n, {})[kind] = EvidenceFile(path, size, json.loads(facts))
    return found


def file_row(kind: FileKind, file: EvidenceFile, event_id: str) -> Row:
    """The arguments of `ATTACH_FILE`."""
    return (kind, file.path, file.size, _json(dict(file.facts)), event_id)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=float)
