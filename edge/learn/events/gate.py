"""Whether what was learned may take the place of what was there: precision and recall of no label may fall.

The yardstick of a label that the profile taught before are the clips that it was learned from, by the marks that they
had then, so that a bad batch of clips or marks shows; of a label that the model itself has, the clips marked now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.learn.events.clips import LabelledClip
from edge.learn.events.earlier import PreviousEvents
from edge.learn.events.head import CrossValidatedHead, clip_evidence
from edge.learn.events.measure import THRESHOLDS, ClipMetrics, best_f1, clip_metrics
from edge.learn.events.weigh import clip_probabilities

F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ComparisonSet:
    """A label's clips to compare on: what was said of them before and is now, what is true, and the figures before."""

    origin: str
    before: ClipMetrics
    values: F64
    is_event: Bool


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """Figures by label: ``now`` on all clips as they are marked now; ``before`` and ``after`` on the label's yardstick,
    which ``origin`` names; the labels that fell or would be gone."""

    now: Mapping[str, ClipMetrics]
    origin: Mapping[str, str]
    before: Mapping[str, ClipMetrics]
    after: Mapping[str, ClipMetrics]
    fallen: Sequence[str]


def compare_versions(
    clips: Sequence[LabelledClip],
    trained: CrossValidatedHead,
    previous: PreviousEvents | None,
    previous_clips: Sequence[LabelledClip],
    model_enter: Mapping[str, float],
) -> VersionComparison:
    """Choose each label's threshold (the best F1 among those at which it does not fall, if there are any) and compare.

    ``previous_clips`` are those that ``previous`` learned from, marked as then; ``model_enter`` the model's own labels.
    """
    comparison_sets = _comparison_sets(clips, trained, previous, previous_clips, model_enter)
    now, after = {}, {}
    for k, label in enumerate(trained.head.labels):
        truth = np.array([clip.label == label for clip in clips])
        comparison_set = comparison_sets.get(label)
        options = [clip_metrics(trained.fused[:, k], truth, enter) for enter in THRESHOLDS]
        if comparison_set is not None:
            options = [
                m for m in options if not _measure_at(comparison_set, m.enter).falls_below(comparison_set.before)
            ] or options
        now[label] = best_f1(options)
        if comparison_set is not None:
            after[label] = _measure_at(comparison_set, now[label].enter)
    before = {label: stick.before for label, stick in comparison_sets.items()}
    fallen = [label for label, m in before.items() if label in after and after[label].falls_below(m)]
    gone = [] if previous is None else [label for label in previous.measured if label not in now]
    origin = {label: stick.origin for label, stick in comparison_sets.items()}
    return VersionComparison(now, origin, before, after, [*fallen, *gone])


def _measure_at(comparison_set: ComparisonSet, enter: float) -> ClipMetrics:
    return clip_metrics(comparison_set.values, comparison_set.is_event, enter)


def _comparison_sets(
    clips: Sequence[LabelledClip],
    trained: CrossValidatedHead,
    previous: PreviousEvents | None,
    previous_clips: Sequence[LabelledClip],
    model_enter: Mapping[str, float],
) -> dict[str, ComparisonSet]:
    held_out = {clip.key: row for clip, row in zip(clips, trained.fused, strict=True)}
    shape = (len(previous_clips), len(trained.head.labels))
    then = np.array([_new_value(clip, trained, held_out) for clip in previous_clips], np.float64).reshape(shape)
    result = {}
    for k, label in enumerate(trained.head.labels):
        if previous is not None and label in previous.measured and previous_clips:
            truth = np.array([clip.label == label for clip in previous_clips])
            before = clip_metrics(previous.values(previous_clips, label), truth, previous.measured[label].enter)
            result[label] = ComparisonSet(f"version {previous.number}", before, then[:, k], truth)
        elif label in model_enter:
            truth = np.array([clip.label == label for clip in clips])
            own = np.array([clip.model.get(label, np.nan) for clip in clips])
            result[label] = ComparisonSet(
                "the model", clip_metrics(own, truth, model_enter[label]), trained.fused[:, k], truth
            )
    return result


def _new_value(clip: LabelledClip, trained: CrossValidatedHead, held_out: Mapping[str, F64]) -> F64:
    """What is said of a clip now by what did not learn from it [K]."""
    if clip.key in held_out:
        return held_out[clip.key]
    head = trained.head
    return clip_probabilities(clip_evidence(clip, head.sources, len(head.labels)), head.reliability, "both")
