"""Exports marked events as a folder for learning: correct ones under their label, false alarms under ``normal``.

FOLDER/labels.csv                                    file,label,begin_s,end_s for `edge tune`
FOLDER/<label>/<camera>-<day>/<time>-<id>.mp4        for `edge learn events`: a camera's day is a group
FOLDER/normal/<camera>-<day>/<time>-<id>.mp4
FOLDER/.snapshots/<label>/<time>-<id>.jpg            to look through; the dot keeps learning from reading them
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.clock import iso8601
from edge.errors import InputError
from edge.evidence.archive.records import EventRecord
from edge.files import atomic_path
from edge.types import seconds

NORMAL = "normal"
COLUMNS = ("file", "label", "begin_s", "end_s")
TABLE = "labels.csv"
LEARNED_ELSEWHERE = "anomaly"  # from ordinary hours, not from clips


@dataclass(slots=True)
class ExportSummary:
    """The number of exported clips by label, and the events that were left out, with the reason."""

    clips: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def export_clips(records: Iterable[EventRecord], evidence: Path, folder: Path) -> ExportSummary:
    """Copy the clips of marked ``records`` from the ``evidence`` folder. Another export into the same folder adds to
    it, and moves events whose mark has changed. InputError when the folder cannot be written."""
    done = ExportSummary()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        rows = _read(folder / TABLE)
        for record in records:
            reason = _reason(record, evidence)
            if reason:
                done.left_out[record.id] = reason
                continue
            label = _label(record)
            clip = record.files["clip"]
            path = f"{label}/{record.camera}-{iso8601(record.begin_ns)[:10]}/{_stem(record)}{Path(clip.path).suffix}"
            for other in [name for name in rows if Path(name).stem == _stem(record) and name != path]:
                del rows[other]
                (folder / other).unlink(missing_ok=True)
            _copy(evidence / clip.path, folder / path)
            rows[path] = (label, *_span(record))
            if "snapshot" in record.files and (evidence / record.files["snapshot"].path).is_file():
                _copy(evidence / record.files["snapshot"].path, folder / ".snapshots" / label / f"{_stem(record)}.jpg")
            done.clips[label] = done.clips.get(label, 0) + 1
        _write(folder / TABLE, rows)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}); give another folder") from error
    return done


def _reason(record: EventRecord, evidence: Path) -> str:
    """Why an event cannot be learned from; "" when it can."""
    if record.mark is None:
        return "is not marked"
    if record.label == LEARNED_ELSEWHERE and record.mark.verdict == "true":
        return "anomaly is learned from ordinary hours, not from clips"
    if "clip" not in record.files:
        return "has no clip"
    return "" if (evidence / record.files["clip"].path).is_file() else "its clip is gone"


def _label(record: EventRecord) -> str:
    return record.label if record.mark is not None and record.mark.verdict == "true" else NORMAL


def _stem(record: EventRecord) -> str:
    return f"{iso8601(record.begin_ns)[11:19].replace(':', '')}-{record.id}"


def _span(record: EventRecord) -> tuple[float, float]:
    """The span of an event in its clip, in seconds; for a false alarm the whole clip."""
    facts = record.files["clip"].facts
    length = float(facts.get("seconds", 0.0))
    if _label(record) == NORMAL:
        return 0.0, length
    begin = max(0.0, float(facts.get("event_at_s", 0.0)))
    lasted = seconds((record.end_ns or record.begin_ns) - record.begin_ns)
    return begin, min(length or begin + lasted, begin + lasted)


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as partial:
        shutil.copyfile(source, partial)


def _read(table: Path) -> dict[str, tuple[str, float, float]]:
    """The table of an earlier export."""
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            return {
                row["file"]: (row["label"], float(row["begin_s"]), float(row["end_s"])) for row in csv.DictReader(file)
            }
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{table}: is not from an earlier export; give another folder, or move it away") from error


def _write(table: Path, rows: Mapping[str, tuple[str, float, float]]) -> None:
    with atomic_path(table) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows((name, label, f"{a:.3f}", f"{b:.3f}") for name, (label, a, b) in sorted(rows.items()))
