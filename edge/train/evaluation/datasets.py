"""Data sets: their recordings, the labels that each class is evidence for or against, and what has no truth."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from edge.errors import InputError

MediaKind = Literal["sound", "picture", "clip"]
_KINDS: Final[Mapping[str, MediaKind]] = {
    ".ogg": "sound", ".flac": "sound", ".wav": "sound", ".mp3": "sound",
    ".jpg": "picture", ".jpeg": "picture", ".png": "picture", ".mp4": "clip",
}  # fmt: skip

TRUTH: Final[Mapping[str, tuple[str, ...]]] = {
    "dog": ("dog_bark",), "dog_bark": ("dog_bark",), "crying_baby": ("crying_baby",), "crackling_fire": ("fire",),
    "fire": ("fire",), "smoke": ("smoke",), "fire_smoke": ("fire", "smoke"),
    "explosion": ("explosion",), "glass_breaking": ("glass_break",),
    "siren": ("siren",), "clock_alarm": ("alarm",), "gun_shot": ("gunshot",), "scream": ("scream",),
    "knock": ("door_knock",), "fight": ("fight",), "fall": ("fall",), "earthquake_panic": ("crowd_panic",),
    "normal_person": ("person",), "normal_crowd": ("person",), "normal_car": ("vehicle",),
}  # fmt: skip
"""The labels that a data set's class is evidence for. Everything else in it is a negative, but for the next table."""

AMBIGUOUS_CLASSES: Final[Mapping[str, tuple[str, ...]]] = {
    "fireworks": ("explosion", "gunshot", "fire", "smoke"),
    "explosion": ("fire", "smoke", "gunshot", "glass_break"),
    "fire": ("smoke",), "smoke": ("fire",), "crackling_fire": ("smoke",),
    "children_playing": ("scream", "crying_baby", "dog_bark"),
    "crowd": ("scream",), "crowd_cheering": ("scream",), "crying_baby": ("scream",),
    "siren": ("alarm",), "car_horn": ("alarm",), "phone": ("alarm",), "clock_alarm": ("siren",),
    "fight": ("scream", "fall", "crowd_panic", "glass_break"),
    "fall": ("fight",), "intrusion": ("glass_break", "scream", "fight"),
    "earthquake_panic": ("scream", "alarm", "siren", "fall", "fight", "glass_break"),
    "gun_shot": ("explosion",), "normal+anomaly (see gt)": ("anomaly",),
}  # fmt: skip
"""Classes that may hold a label without being named for it: they count neither way for it."""

UNLABELLED: Final = frozenset({"person", "vehicle", "animal"})
"""May be in any picture, whatever the class: judged only where a class names them."""


COMPLETE_SETS: Final = frozenset({"fire_cair", "fire8", "fall_upfall", "fall_urfd"})
"""Sets with a goal of their own: taken whole."""


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """One recording of `manifest.csv`. ``was_trained``: it, or another cut of its source, was open to training."""

    path: Path
    set_name: str
    label: str
    split: str
    group: str
    tier: str
    dataset: str
    kind: MediaKind
    was_trained: bool = False

    def truth(self, label: str) -> bool | None:
        """Whether ``label`` is in it; None where its class does not say."""
        if label in TRUTH.get(self.label, ()):
            return True
        if label in AMBIGUOUS_CLASSES.get(self.label, ()) or label in UNLABELLED:
            return None
        return False


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """A set as the report describes it."""

    title: str
    note: str = ""


DATASETS: Final[Mapping[str, DatasetInfo]] = {
    "esc10": DatasetInfo("ESC-10", "folds 1 to 4 open to training, fold 5 not"),
    "esc50_part": DatasetInfo("ESC-50, part", "twelve classes of folds 1 and 2"),
    "us8k_part": DatasetInfo("UrbanSound8K, part", "fold 1 and part of 3"),
    "donateacry": DatasetInfo("donateacry", "crying alone, 8 kHz telephones; a fifth of the babies not trained on"),
    "max_samples": DatasetInfo("MAX samples", "one recording of each class"),
    "dcase2016_task2_train": DatasetInfo("DCASE 2016 task 2", "isolated office sounds"),
    "glass_prathambansal": DatasetInfo("glass v background", "pieces of 1 s"),
    "gunshot_forest": DatasetInfo("forest gunshots", "8 kHz, at a distance"),
    "room_silence": DatasetInfo("room silence", "no event in it"),
    "scream": DatasetInfo("screams v speech", "negatives are clean read speech: easier than life"),
    "fire_cair": DatasetInfo("fire photographs", "still pictures; lit rooms and sunsets among the negatives"),
    "fire8": DatasetInfo(
        "fire and smoke, 8 sources", "still pictures of eight videos, stretched; much is security fog"
    ),
    "smoke_hpwren": DatasetInfo("wildfire smoke", "still pictures, small and far; no negatives of its own"),
    "av_events": DatasetInfo("clips of events", "one clip each: cases, not statistics"),
    "fall_urfd": DatasetInfo("URFD falls", "falls alone"),
    "fall_upfall": DatasetInfo("UP-Fall", "one person; daily activities as negatives"),
    "fight_surv": DatasetInfo("surveillance fights", "clip format alone gives 0.56 on grouped folds"),
    "surveillance": DatasetInfo("surveillance clips", "ordinary scenes; parts of the open ones trained on"),
    "ucsd_ped2": DatasetInfo("UCSD Ped2", "walkers; anomalies are other things on the path"),
}


def read_rows(root: Path) -> list[DatasetRow]:
    """Every recording of ``root``/manifest.csv that is there, by path; InputError when there is no manifest."""
    source = root / "manifest.csv"
    try:
        text = source.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror}); give the data folder with --data") from error
    rows = []
    for r in csv.DictReader(text.splitlines()):
        path = root / r["file"]
        kind = _KINDS.get(path.suffix)
        if kind is not None and path.exists():
            name = path.relative_to(root).parts[2] if len(path.relative_to(root).parts) > 3 else "other"
            group = r["group"] or path.stem
            rows.append(DatasetRow(path, name, r["label"], r["split"], group, r["tier"], r["dataset"], kind))
    return sorted(rows, key=lambda row: str(row.path))


def mark_training_sources(rows: Iterable[DatasetRow], trained: Iterable[Path]) -> list[DatasetRow]:
    """``rows`` with `DatasetRow.was_trained` set for the paths in ``trained`` and everything else of their sources."""
    rows, paths = list(rows), {path.resolve() for path in trained}
    sources = {row.group for row in rows if row.path.resolve() in paths}
    return [replace(row, was_trained=row.group in sources) for row in rows]


def sample_rows(rows: Iterable[DatasetRow], most: int, whole: Collection[str] = COMPLETE_SETS) -> list[DatasetRow]:
    """At most ``most`` of each set and class (of the sets ``whole`` everything), spread over the files by name, unseen
    sources first."""
    by: dict[tuple[str, str], list[DatasetRow]] = {}
    for row in rows:
        by.setdefault((row.set_name, row.label), []).append(row)
    chosen = []
    for (name, _), group in by.items():
        here = len(group) if name in whole else most
        unseen, seen = ([r for r in group if r.was_trained is flag] for flag in (False, True))
        first = _evenly_spaced(unseen, here)
        chosen += first + _evenly_spaced(seen, here - len(first))
    return sorted(chosen, key=lambda row: str(row.path))


def labelled_rows(rows: Sequence[DatasetRow], label: str) -> tuple[list[int], list[bool]]:
    """Which of ``rows`` say anything of ``label``, by index, and whether they hold it."""
    found = [(k, truth) for k, row in enumerate(rows) if (truth := row.truth(label)) is not None]
    return [k for k, _ in found], [truth for _, truth in found]


def ambiguous_classes(label: str) -> list[str]:
    """The classes that count neither way for ``label``."""
    return sorted(name for name, labels in AMBIGUOUS_CLASSES.items() if label in labels)


def _evenly_spaced(rows: list[DatasetRow], most: int) -> list[DatasetRow]:
    if most <= 0:
        return []
    return [rows[int(k)] for k in np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(int))]
