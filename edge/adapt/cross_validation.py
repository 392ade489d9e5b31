"""Fits a `TaughtHead` to clips, and gives each clip the values of a head that did not learn from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.adapt.examples import NO_EVENT, LabelledClip, group_folds
from edge.adapt.regression import (
    ClipEvidence,
    RegressionSettings,
    bags_of,
    clip_probabilities,
    fit_reliability,
    fit_source,
    window_probabilities,
)
from edge.detect.taught import MODALITY_CASES, LinearProbe, TaughtHead
from edge.detect.taught_features import AUDIO, MODALITY, VIDEO
from edge.errors import InputError
from edge.types import F32

F64 = NDArray[np.float64]
_T = TypeVar("_T")
RECIPES: Final[Mapping[str, RegressionSettings]] = {
    "sound": RegressionSettings(ridge=0.1),
    "kinds": RegressionSettings(ridge=1.0),
    "picture": RegressionSettings(ridge=0.03),
    "movement": RegressionSettings(ridge=3.0),
}
MODEL_SOURCES: Final = frozenset({"known_heard", "known_seen"})
MIN_SOURCE_CLIPS: Final = 3  # clips that have a source, below which a label learns nothing from it


@dataclass(frozen=True, slots=True)
class CrossValidatedHead:
    """A head, and for each clip the highest probability of each label [N,K] that heads which had not learned from the
    clip's group gave it: from everything, from sound alone, from picture alone (NaN where there is none);
    and window by window [n,K]."""

    head: TaughtHead
    fused: F64
    sound_only: F64
    picture_only: F64
    windows: Sequence[F64]


def fit_head_cross_validated(
    clips: Sequence[LabelledClip],
    labels: Sequence[str],
    silence: F32,
    model_labels: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _text: None,
) -> CrossValidatedHead:
    """Learn ``labels`` from ``clips``; ``progress`` hears of each step. What no clip has is not learned from.

    ``model_labels`` are the model's own labels, in its order: what it says of one that is taught here is evidence too.
    """
    at = [model_labels.index(label) if label in model_labels else None for label in labels]
    if not any(n is not None for n in at):
        clips = [replace(clip, rows={k: v for k, v in clip.rows.items() if k not in MODEL_SOURCES}) for clip in clips]
    columns = np.array([0 if clip.label == NO_EVENT else 1 + list(labels).index(clip.label) for clip in clips])
    names = [name for name in MODALITY if _is_informative(clips, columns, name)]
    if not names:
        raise InputError(
            "the clips have no kind of evidence in common: give sound, or pictures, of at least two labels"
        )
    fold = group_folds(clips)
    share = len({clip.group for clip in clips}) / len(clips)
    evidence: list[ClipEvidence] = [ClipEvidence({}, clip.has_sound, clip.has_picture) for clip in clips]
    for f in range(int(fold.max()) + 1):
        sources = fit_sources(_masked(clips, fold != f), columns[fold != f], at, names)
        for n in map(int, np.flatnonzero(fold == f)):
            evidence[n] = clip_evidence(clips[n], sources, len(labels))
        progress("")
    values = {mode: np.full((len(clips), len(labels)), np.nan) for mode in MODALITY_CASES}
    windows: list[F64] = [np.zeros((0, len(labels)))] * len(clips)
    for f in range(int(fold.max()) + 1):
        reliability = fit_reliability(_masked(evidence, fold != f), columns[fold != f], names, share)
        for n in map(int, np.flatnonzero(fold == f)):
            windows[n] = window_probabilities(evidence[n], reliability)
            for mode, out in values.items():
                out[n] = clip_probabilities(evidence[n], reliability, mode)
    progress("")
    sources = fit_sources(clips, columns, at, names)
    head = TaughtHead(tuple(labels), sources, fit_reliability(evidence, columns, names, share), silence)
    progress("")
    return CrossValidatedHead(head, values["both"], values[AUDIO], values[VIDEO], windows)


def fit_sources(
    clips: Sequence[LabelledClip], columns: NDArray[np.int64], at: Sequence[int | None], names: Sequence[str]
) -> dict[str, LinearProbe]:
    """Each source learned by its recipe from the windows that have it; ``at`` is where the model has each label, if it
    does."""
    sources, labels = {}, len(at)
    for name in names:
        chosen = [n for n, clip in enumerate(clips) if clip.has_source(name).any()]
        counts = np.bincount(columns[chosen], minlength=labels + 1)
        chosen = [n for n in chosen if counts[columns[n]] >= MIN_SOURCE_CLIPS - 1]
        windows = [clips[n].rows[name][clips[n].has_source(name)] for n in chosen]
        if name in MODEL_SOURCES:
            sources[name] = model_label_source(windows, columns[chosen], at)
            continue
        bags = bags_of(windows, [int(columns[n]) for n in chosen])
        sources[name] = fit_source(bags, labels, block_lengths(name, bags.rows.shape[1]), RECIPES[name])
    return sources


def model_label_source(windows: Sequence[F32], columns: NDArray[np.int64], at: Sequence[int | None]) -> LinearProbe:
    """The model's own score of the label of the same name, but for an offset: 0 lies half-way between
    the clips with the event and the others. Labels that the model does not have stay neutral."""
    length = windows[0].shape[1]
    best = np.stack([w.max(0) for w in windows])
    weights, bias = np.zeros((length, len(at) + 1), np.float32), np.zeros(len(at) + 1, np.float32)
    for k, n in enumerate(at, 1):
        has = columns == k
        if n is not None and has.any() and not has.all():
            weights[n, k] = 1
            bias[k] = -0.5 * (best[has, n].mean() + best[~has, n].mean())
    return LinearProbe(np.zeros(length, np.float32), np.ones(length, np.float32), weights, bias)


def clip_evidence(clip: LabelledClip, sources: Mapping[str, LinearProbe], labels: int) -> ClipEvidence:
    """What the sources say of a clip's windows."""
    n = len(clip.has_sound)
    found = {
        name: source.evidence(clip.rows[name]) if name in clip.rows else np.zeros((n, labels))
        for name, source in sources.items()
    }
    return ClipEvidence(found, clip.has_sound, clip.has_picture)


def block_lengths(name: str, length: int) -> tuple[int, ...]:
    """The lengths of the parts of a source (`edge.detect.taught_features`) that count the same."""
    first = {"sound": 384, "picture": 1280}.get(name, length)
    return (first, length - first) if 0 < first < length else (length,)


def _is_informative(clips: Sequence[LabelledClip], columns: NDArray[np.int64], name: str) -> bool:
    """Whether a source can tell anything: two columns have clips with it."""
    there = [int(c) for clip, c in zip(clips, columns, strict=True) if clip.has_source(name).any()]
    return int((np.bincount(there, minlength=1) >= MIN_SOURCE_CLIPS).sum()) >= 2


def _masked(items: Sequence[_T], mask: NDArray[np.bool_]) -> list[_T]:
    return [item for item, ok in zip(items, mask, strict=True) if ok]
