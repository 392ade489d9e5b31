"""Clips as learning sees them: arrays of described windows, with what was heard and seen in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.taught_features import AUDIO, MODALITY, TaughtFeatures
from edge.detect.taught_head import is_silence
from edge.errors import InputError
from edge.types import F32

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
    """Described windows -> rows by source, heard and seen; what a dead microphone gives was not heard."""
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
