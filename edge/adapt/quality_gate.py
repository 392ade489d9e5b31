"""Refuses a head that is worse than the one before: precision and recall of no label may fall.

A label that the profile taught before is compared on the clips that it was learned from, with their marks of that time,
so that a bad batch of clips or marks shows; a label of the model itself is compared on the clips marked now. All values
are held out; a clip's value is the highest of its windows, as `edge replay --scores` shows it.

Also reads and writes the profile's part ``events``: the head, its clips and its metrics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.adapt.cross_validation import CrossValidatedHead, clip_evidence
from edge.adapt.examples import Example, LabelledClip
from edge.adapt.regression import clip_probabilities
from edge.detect.taught import TaughtHead, load_head, save_head
from edge.detect.taught_features import AUDIO, VERSION, VIDEO
from edge.engine.manifest import Manifest
from edge.errors import InputError
from edge.profile import ProfilePart, ProfileVersion

F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
THRESHOLDS: Final = tuple(round(0.3 + 0.02 * n, 2) for n in range(23))
_PREFERRED_ENTER: Final = 0.5
_SAME: Final = 1e-9


@dataclass(frozen=True, slots=True)
class ClipMetrics:
    """Over ``clips`` clips, ``events`` of them with the label: precision and recall at ``enter``, average precision."""

    enter: float
    precision: float
    recall: float
    average_precision: float
    clips: int
    events: int

    def falls_below(self, other: ClipMetrics) -> bool:
        """Whether precision or recall is lower than the other's."""
        return self.precision < other.precision - _SAME or self.recall < other.recall - _SAME


def clip_metrics(values: F64, is_event: Bool, enter: float) -> ClipMetrics:
    """A label's figures. Clips that could not be judged (NaN) count as not found; precision of nothing found is 0."""
    scores = np.nan_to_num(values, nan=0.0)
    predicted = scores >= enter
    right = int((predicted & is_event).sum())
    return ClipMetrics(
        enter,
        right / int(predicted.sum()) if predicted.any() else 0.0,
        right / int(is_event.sum()) if is_event.any() else 0.0,
        average_precision(scores, is_event),
        len(scores),
        int(is_event.sum()),
    )


def best_f1(options: Sequence[ClipMetrics]) -> ClipMetrics:
    """The figures with the best F1, of the threshold nearest to 0.5 among equals."""
    return max(options, key=lambda m: (round(_f1(m), 9), -abs(m.enter - _PREFERRED_ENTER)))


def average_precision(values: F64, is_event: Bool) -> float:
    """Mean precision at each event, equal values taken together; 0 without events."""
    if not is_event.any():
        return 0.0
    order = np.argsort(-values, kind="stable")
    ranked, right = values[order], np.cumsum(is_event[order])
    last = np.append(ranked[1:] != ranked[:-1], True)
    recall = right[last] / right[-1]
    precision = right[last] / (np.flatnonzero(last) + 1)
    return float((np.diff(np.concatenate([[0.0], recall])) * precision).sum())


def aligned_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as aligned lines, the first row as the heading."""
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _f1(m: ClipMetrics) -> float:
    both = m.precision + m.recall
    return 2 * m.precision * m.recall / both if both > 0 else 0.0


_LEAVE: Final = 0.6  # of enter
_MIN_S_LIMIT: Final = 1.0


@dataclass(frozen=True, slots=True)
class PreviousEvents:
    """What the profile taught before. ``head`` is None where another model or release learned it; then its figures
    mean nothing here (``measured`` is empty) and only its ``examples``, each with its digest, are learned anew."""

    number: int
    examples: Sequence[tuple[Example, str]]
    measured: Mapping[str, ClipMetrics]
    head: TaughtHead | None
    held_out: Mapping[str, Sequence[float | None]]

    def values(self, clips: Sequence[LabelledClip], label: str) -> F64:
        """The label's value of each clip [N]: held out for clips that it was learned from, else its value now."""
        if self.head is None:
            return np.full(len(clips), np.nan)
        k = self.head.labels.index(label)
        return np.array([self._value(clip, k) for clip in clips], np.float64)

    def _value(self, clip: LabelledClip, k: int) -> float:
        known = self.held_out.get(clip.key)
        if known is not None:
            value = known[k]
            return np.nan if value is None else value
        assert self.head is not None
        evidence = clip_evidence(clip, self.head.sources, len(self.head.labels))
        return float(clip_probabilities(evidence, self.head.reliability, "both")[k])


def load_previous(version: ProfileVersion | None, manifest: Manifest) -> PreviousEvents | None:
    """The current version's events; None where it has none. InputError when the part is damaged."""
    part = version.part("events") if version is not None else None
    if version is None or part is None:
        return None
    try:
        examples = [_example_from(given) for given in part.facts["examples"]]
        if version.graph_sha256 != manifest.sha256 or part.facts.get("features") != VERSION:
            return PreviousEvents(version.number, examples, {}, None, {})
        measured = {label: ClipMetrics(**m) for label, m in part.facts["measured"].items()}
        return PreviousEvents(version.number, examples, measured, load_head(part, VERSION), part.facts["held_out"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{version.path}: the part `events` is damaged ({error}); go back (`edge learn rollback`) or use a new one"
        ) from error


def to_profile_part(
    examples: Sequence[tuple[Example, str]],
    clips: Sequence[LabelledClip],
    trained: CrossValidatedHead,
    measured: Mapping[str, ClipMetrics],
    hop_s: float,
) -> ProfilePart:
    """What was learned, as the part to be written."""
    held_out = {
        clip.key: [None if np.isnan(v) else round(float(v), 6) for v in row]
        for clip, row in zip(clips, trained.fused, strict=True)
    }
    modalities = [m for m, case in (("video", VIDEO), ("audio", AUDIO)) if case in trained.head.reliability.weight]
    advice = {
        label: {"modalities": modalities, "enter": m.enter, "leave": round(_LEAVE * m.enter, 3), "min_s": min_s}
        for (label, m), min_s in zip(measured.items(), _minimum_durations(trained, clips, measured, hop_s), strict=True)
    }
    facts: dict[str, Any] = {
        "features": VERSION,
        "advice": advice,
        "measured": {label: asdict(m) for label, m in measured.items()},
        "examples": [_example_facts(example, digest) for example, digest in examples],
        "held_out": held_out,
    }
    return save_head(trained.head, facts)


def _minimum_durations(
    trained: CrossValidatedHead, clips: Sequence[LabelledClip], measured: Mapping[str, ClipMetrics], hop_s: float
) -> list[float]:
    """For each label half of how long it usually stays above ``enter`` in its clips, at most a second: short events
    begin at once, long ones are waited for."""
    result = []
    for k, (label, m) in enumerate(measured.items()):
        durations = [
            hop_s * float((trained.windows[n][:, k] >= m.enter).sum())
            for n, clip in enumerate(clips)
            if clip.label == label and len(trained.windows[n])
        ]
        usual = float(np.median([s for s in durations if s > 0] or [0.0])) / 2
        result.append(min(_MIN_S_LIMIT, hop_s * int(usual / hop_s) if usual > hop_s else 0.0))
    return result


def _example_facts(example: Example, digest: str) -> dict[str, Any]:
    return {
        "path": str(example.path.absolute()),
        "label": example.label,
        "group": example.group,
        "start_s": example.start_s,
        "end_s": example.end_s,
        "digest": digest,
    }


def _example_from(facts: Mapping[str, Any]) -> tuple[Example, str]:
    example = Example(Path(facts["path"]), facts["label"], facts["group"], facts["start_s"], facts["end_s"])
    return example, facts["digest"]


@dataclass(frozen=True, slots=True)
class ComparisonSet:
    """A label's clips to compare on: their values before and now, their truth, and the figures before."""

    origin: str
    before: ClipMetrics
    values: F64
    is_event: Bool


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """Figures by label: ``now`` on all clips as they are marked now; ``before`` and ``after`` on the label's reference
    clips, which ``origin`` names; the labels that fell or would be gone."""

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
    """A clip's values now, from heads that did not learn from it [K]."""
    if clip.key in held_out:
        return held_out[clip.key]
    head = trained.head
    return clip_probabilities(clip_evidence(clip, head.sources, len(head.labels)), head.reliability, "both")
