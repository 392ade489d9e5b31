"""The examples that a person gives, a folder with one sub-folder a label or a table, and the clips made of them.

Reading examples opens no media. A clip holds arrays of windows' features, and which of them have sound and picture.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.taught import is_silence
from edge.detect.taught_features import AUDIO, MODALITY, TaughtFeatures
from edge.errors import InputError
from edge.types import F32

NO_EVENT_NAMES: Final = ("normal", "none", "background", "negative")
MIN_CLIPS: Final = 5
"""Clips of each label and of clips without any event, fewer of which cannot be checked against each other."""

_NAME: Final = re.compile(r"^[a-z][a-z0-9_]*$")
_FILE_COLUMNS, _LABEL_COLUMNS = ("file", "path"), ("label", "class", "event")


@dataclass(frozen=True, slots=True)
class Example:
    """One marked clip: where it is, its label (`NO_EVENT` for no event), what it was recorded with (``group``: clips of
    one group are never learned from and tested on at once; empty: it is a group of its own), and the part of it in
    seconds that is meant, if not all."""

    path: Path
    label: str
    group: str
    start_s: float | None = None
    end_s: float | None = None


def read_examples(source: Path) -> list[Example]:
    """Examples of a folder or CSV in a fixed order; InputError names the fault and what to do."""
    if source.is_dir():
        examples = _from_folder(source)
    elif source.is_file():
        examples = _from_table(source)
    else:
        raise InputError(f"{source}: no such folder or file; give a folder with a sub-folder a label, or a CSV")
    check_names(examples)
    return examples


def check_names(examples: Sequence[Example]) -> None:
    """InputError for a label that cannot be an event's name."""
    for label in sorted({e.label for e in examples} - {NO_EVENT}):
        if not _NAME.match(label):
            raise InputError(
                f"label {label!r}: write it in small letters, digits and _, starting with a letter, "
                f"for example {_suggested_name(label)!r}; it becomes the event's name in config.yaml and MQTT"
            )
        if label == "anomaly":
            raise InputError(
                "label 'anomaly' is learned from ordinary hours (`edge learn normal`); choose another name"
            )


def check_counts(labels: Mapping[str, int]) -> None:
    """InputError when there is too little to learn from; ``labels`` counts the readable clips of each label."""
    events = {label: n for label, n in labels.items() if label != NO_EVENT}
    if not events:
        raise InputError("no clips of any event: put 5 to 20 clips of each into a sub-folder with the event's name")
    few = {label or NO_EVENT_NAMES[0]: n for label, n in labels.items() if n < MIN_CLIPS}
    if few:
        listed = ", ".join(f"{name} has {n}" for name, n in sorted(few.items()))
        raise InputError(
            f"too few clips: {listed}; give at least {MIN_CLIPS} of each, better 20, from different recordings"
        )
    if len(labels) < 2:
        only = next(iter(events))
        raise InputError(
            f"only one label, {only!r}: there is nothing to tell it from. Add a sub-folder `normal` (in a CSV, the "
            "label normal) with clips of ordinary moments of the same place, or a second event"
        )


def _from_folder(folder: Path) -> list[Example]:
    examples = []
    for child in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        files = sorted(p for p in child.rglob("*") if p.is_file() and not _is_hidden(p, child))
        examples += [Example(path, _label(child.name), _subfolder_group(path, child)) for path in files]
    if not examples:
        raise InputError(
            f"{folder}: has no sub-folder with clips; make one for each label, for example {folder}/door_slam/1.wav, "
            f"and {folder}/normal/1.wav for clips without any event"
        )
    return examples


def _from_table(table: Path) -> list[Example]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            file_column, label_column = _column(table, header, _FILE_COLUMNS), _column(table, header, _LABEL_COLUMNS)
            rows = [
                _example(f"{table} line {reader.line_num}", table, row, header, file_column, label_column)
                for row in reader
                if any((value or "") for key, value in row.items() if isinstance(value, str))
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read as a CSV ({error}); save it as UTF-8 with a header line") from error
    if not rows:
        raise InputError(f"{table}: has no rows; give one a clip, with its file and its label")
    return rows


def _example(
    where: str, table: Path, row: Mapping[str, str], header: Mapping[str, str], file_column: str, label_column: str
) -> Example:
    name, label = (row.get(file_column) or "").strip(), (row.get(label_column) or "").strip()
    if not name or not label:
        raise InputError(f"{where}: {'file' if not name else 'label'} is empty; fill it in or take the line out")
    path = _resolve_path(where, table, name)
    start_s, end_s = (_seconds(where, column, row.get(header.get(column, ""))) for column in ("start_s", "end_s"))
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise InputError(f"{where}: end_s {end_s:g} is not after start_s {start_s:g}")
    group = (row.get(header.get("group", "")) or "").strip()
    return Example(path, _label(label), group, start_s, end_s)


def _column(table: Path, header: Mapping[str, str], names: Sequence[str]) -> str:
    for name in names:
        if name in header:
            return header[name]
    raise InputError(f"{table}: the header has no column {' or '.join(names)}; it has {', '.join(header) or 'nothing'}")


def _resolve_path(where: str, table: Path, name: str) -> Path:
    for path in (table.parent / name, Path(name)):
        if path.is_file():
            return path
    raise InputError(f"{where}: {name}: no such file, neither beside the CSV nor in {os.getcwd()}; put the path right")


def _seconds(where: str, column: str, text: str | None) -> float | None:
    if text is None or not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise InputError(f"{where}: {column} {text!r} is not a number of seconds from 0")
    return value


def _label(name: str) -> str:
    return NO_EVENT if name.lower() in NO_EVENT_NAMES else name


def _subfolder_group(path: Path, below: Path) -> str:
    """The sub-folder of a label's folder that a clip lies in: clips of one place or day; empty directly below."""
    inner = path.parent.relative_to(below)
    return "" if inner == Path() else inner.as_posix()


def _is_hidden(path: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(below).parts)


def _suggested_name(label: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    return name if name[:1].isalpha() else f"event_{name}".rstrip("_")


NO_EVENT: Final = ""
"""The label of clips without any event."""

REMAINDER: Final = ":rest"
"""How the key of what remains of a recording ends, of which a part was marked."""

Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LabelledClip:
    """One marked clip: ``rows`` by source f32[n,d], zeros where a window lacks the modality; ``has_sound`` and
    ``has_picture`` [n]; ``model`` the model's own highest value by label. ``key`` names the recording's content and the
    part of it."""

    key: str
    path: str
    label: str
    group: str
    rows: Mapping[str, F32]
    has_sound: Bool
    has_picture: Bool
    model: Mapping[str, float]

    @property
    def is_remainder(self) -> bool:
        """Whether it is what remains of a recording of which a part was marked."""
        return self.key.endswith(REMAINDER)

    def has_source(self, source: str) -> Bool:
        """Which windows have a source [n]."""
        if source not in self.rows:
            return np.zeros_like(self.has_sound)
        return self.has_sound if MODALITY[source] == AUDIO else self.has_picture


def stack_windows(windows: Sequence[TaughtFeatures], silence: F32) -> tuple[dict[str, F32], Bool, Bool]:
    """Described windows -> rows by source, and masks of sound and picture; a dead microphone counts as no sound."""
    has_sound = np.array(
        [w.sound is not None and not is_silence(w.sound[: len(silence)], silence) for w in windows], np.bool_
    )
    has_picture = np.array([w.picture is not None for w in windows], np.bool_)
    rows = {}
    for source, modality in MODALITY.items():
        there = has_sound if modality == AUDIO else has_picture
        given = [w.source(source) for w in windows]
        length = next((len(v) for v in given if v is not None), 0)
        if not there.any():
            continue
        nothing = np.zeros(length, np.float32)
        rows[source] = np.stack([v if v is not None and ok else nothing for v, ok in zip(given, there, strict=True)])
    return rows, has_sound, has_picture


def deduplicate(clips: Sequence[LabelledClip]) -> list[LabelledClip]:
    """Each clip once; InputError for a clip that is marked with two labels."""
    by_key: dict[str, LabelledClip] = {}
    for clip in clips:
        first = by_key.setdefault(clip.key, clip)
        if first.label != clip.label:
            names = " and as ".join(sorted(repr(c.label or "normal") for c in (first, clip)))
            raise InputError(
                f"{clip.path} and {first.path} are the same recording, marked as {names}; keep one of the marks, "
                "or mark different parts of it with start_s and end_s"
            )
    return list(by_key.values())


def regroup_single_groups(clips: Sequence[LabelledClip]) -> tuple[list[LabelledClip], list[str]]:
    """Where all clips of a label are of one group, each clip becomes a group of its own, or nothing could be held out;
    those labels are named, for their held-out figures flatter."""
    groups: dict[str, set[str]] = {}
    for clip in clips:
        groups.setdefault(clip.label, set()).add(clip.group)
    single = sorted(label for label, of in groups.items() if len(of) == 1)
    return [replace(c, group=f"{c.group} {c.key}") if c.label in single else c for c in clips], single


def group_folds(clips: Sequence[LabelledClip], most: int = 5) -> NDArray[np.int64]:
    """`balanced_folds` of clips."""
    return balanced_folds([clip.label for clip in clips], [clip.group for clip in clips], most)


def balanced_folds(label_of: Sequence[str], group_of: Sequence[str], most: int) -> NDArray[np.int64]:
    """A fold for each clip so that no group straddles two and every label is spread evenly; fewer folds where a label
    has fewer groups, two at least. Greedy, largest groups first; the same clips give the same folds."""
    labels = sorted(set(label_of))
    members: dict[str, NDArray[np.int64]] = {}
    for label, group in zip(label_of, group_of, strict=True):
        members.setdefault(group, np.zeros(len(labels), np.int64))[labels.index(label)] += 1
    counts = np.stack(list(members.values()))
    folds = max(2, min(most, int((counts > 0).sum(0).min())))
    total = counts.sum(0)
    load, chosen = np.zeros((folds, len(labels))), {}
    for group in sorted(members, key=lambda g: (-int(members[g].sum()), g)):
        after = (load + members[group]) / total
        growth = (after**2 - (load / total) ** 2).sum(1) + (after.sum(1) ** 2 - (load / total).sum(1) ** 2)
        chosen[group] = int(np.argmin(growth))
        load[chosen[group]] += members[group]
    return np.array([chosen[group] for group in group_of], np.int64)
