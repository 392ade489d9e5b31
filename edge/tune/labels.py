"""Labelled spans of recordings: a table with the columns file, label, begin_s, end_s."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.config.load import name_hint
from edge.errors import InputError

NORMAL = "normal"
COLUMNS = ("file", "label", "begin_s", "end_s")


@dataclass(frozen=True, slots=True)
class LabelledSpan:
    """``label`` happened between ``begin_s`` and ``end_s`` of its recording."""

    label: str
    begin_s: float
    end_s: float


Truth = Mapping[Path, tuple[LabelledSpan, ...]]


def read_labels(table: Path, recordings: Sequence[Path], known: Collection[str]) -> tuple[Truth, list[str]]:
    """The spans of every recording (empty when nothing happened), and remarks.

    A row's file is a path, as passed or below the table's folder, or a name that only one recording has. Rows of other
    recordings are left out, with a remark. InputError names the faulty line.
    """
    found: dict[Path, list[LabelledSpan]] = {path: [] for path in recordings}
    absent: dict[str, int] = {}
    rows = _rows(table)
    for line, row in rows:
        label = (row["label"] or "").strip()
        if label != NORMAL and label not in known:
            raise InputError(f"{table}:{line}: label: no event {label!r}; {name_hint(label, [*known, NORMAL])}")
        name = (row["file"] or "").strip()
        path = _which(name, table, recordings, line)
        span = None if label == NORMAL else _span(row, label, f"{table}:{line}")
        if path is None:
            absent[name] = absent.get(name, 0) + 1
        elif span is not None:
            found[path].append(span)
    if rows and absent and not any(found.values()) and sum(absent.values()) == len(rows):
        raise InputError(f"{table}: none of its files is among the recordings; its first is {next(iter(absent))!r}")
    remarks = [f"{table}: {name} is not among the recordings; {n} rows left out" for name, n in absent.items()]
    return {path: tuple(sorted(spans, key=lambda s: (s.begin_s, s.label))) for path, spans in found.items()}, remarks


def _rows(table: Path) -> list[tuple[int, dict[str, str | None]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{table}:1: no column {', '.join(missing)}; the first line must be {','.join(COLUMNS)}"
                )
            return [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise InputError(f"{table}: cannot be read ({error.strerror}); give a CSV with --labels") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{table}: is not UTF-8 text (byte {error.start})") from error
    except csv.Error as error:
        raise InputError(f"{table}: not readable as CSV: {error}") from error


def _span(row: Mapping[str, str | None], label: str, where: str) -> LabelledSpan:
    begin_s, end_s = (_number(row[key], f"{where}: {key}") for key in ("begin_s", "end_s"))
    if end_s < begin_s or begin_s < 0:
        raise InputError(
            f"{where}: from {begin_s:g} to {end_s:g} s is no span; begin_s is 0 or more and not after end_s"
        )
    return LabelledSpan(label, begin_s, end_s)


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise InputError(f"{where}: {text or 'nothing'!r} is not a number; give seconds from the recording's start")
    return value


def _which(name: str, table: Path, recordings: Sequence[Path], line: int) -> Path | None:
    if not name:
        raise InputError(f"{table}:{line}: file: is empty; name a recording")
    meant = {Path(name).absolute(), (table.parent / name).absolute()}
    exact = [path for path in recordings if path.absolute() in meant]
    if exact:
        return exact[0]
    tail = Path(name).parts
    ends = [path for path in recordings if path.parts[-len(tail) :] == tail]
    ends = ends or [path for path in recordings if len(tail) == 1 and path.stem == name]
    if len(ends) > 1:
        raise InputError(f"{table}:{line}: file: {name!r} may be {ends[0]} or {ends[1]}; give more of the path")
    return ends[0] if ends else None
