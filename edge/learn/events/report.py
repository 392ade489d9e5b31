"""What `edge learn events` says at the end, in plain lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.learn.events.clips import NO_EVENT, LabelledClip
from edge.learn.events.gate import VersionComparison
from edge.learn.events.head import CrossValidatedHead
from edge.learn.events.measure import ClipMetrics, aligned_table, average_precision
from edge.profile import ProfileVersion


@dataclass(frozen=True, slots=True)
class LearningOutcome:
    """All that a report speaks of; ``single`` are the labels whose clips are all of one group."""

    clips: Sequence[LabelledClip]
    trained: CrossValidatedHead
    comparison: VersionComparison
    faults: Sequence[str]
    single: Sequence[str] = ()


def report_lines(outcome: LearningOutcome, profile: Path, version: ProfileVersion | None) -> list[str]:
    """The report's lines; ``version`` is None when the new version was refused."""
    lines = [_training_summary(outcome), ""]
    lines += _metrics_table(outcome)
    lines += ["", *_modalities(outcome)] if len(outcome.trained.head.cases) > 1 else []
    lines += (
        ["", f"left out ({len(outcome.faults)}):", *(f"  {fault}" for fault in outcome.faults)]
        if outcome.faults
        else []
    )
    lines += ["", *_advice(outcome), *_conclusion(outcome, profile, version)]
    return lines


def _training_summary(outcome: LearningOutcome) -> str:
    counts = Counter(clip.label for clip in outcome.clips if not clip.is_remainder)
    listed = ", ".join(f"{label or 'no event'} {n}" for label, n in sorted(counts.items()))
    groups = len({clip.group for clip in outcome.clips})
    total = sum(counts.values())
    clips, kinds = (f"{n} {noun}{'' if n == 1 else 's'}" for n, noun in ((total, "clip"), (groups, "group")))
    return f"learned from {clips} of {kinds}: {listed}"


def _metrics_table(outcome: LearningOutcome) -> list[str]:
    """Held-out figures now and, for labels that were there, before and after on the same clips."""
    heading = ["label", "clips", "precision", "recall", "average precision", "enter"]
    rows = [heading]
    rows += [[label, str(m.events), *_metric_cells(m), f"{m.enter:.2f}"] for label, m in outcome.comparison.now.items()]
    lines = ["held out (each clip judged by what was learned from clips of other groups):", *_indented(rows)]
    return [*lines, *_comparison_table(outcome)]


def _comparison_table(outcome: LearningOutcome) -> list[str]:
    """What is replaced, and how that did on the clips that both are compared on."""
    c = outcome.comparison
    rows = [["label", "in the place of", "clips", "precision", "recall", ""]]
    for label, was in c.before.items():
        m = c.after[label]
        verdict = "worse" if label in c.fallen else ""
        cells = (f"{was.precision:.2f} -> {m.precision:.2f}", f"{was.recall:.2f} -> {m.recall:.2f}")
        rows.append([label, c.origin[label], f"{was.events} of {was.clips}", *cells, verdict])
    gone = [f"  {label} would be gone" for label in c.fallen if label not in c.now]
    new = [label for label in c.now if label not in c.before]
    lines = ["", "before -> now, on the same clips:", *_indented(rows)] if len(rows) > 1 else []
    return [*lines, *gone, *([f"new: {', '.join(new)}"] if new else [])]


def _indented(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"  {line}" for line in aligned_table(rows)]


def _metric_cells(m: ClipMetrics) -> tuple[str, str, str]:
    return f"{m.precision:.2f}", f"{m.recall:.2f}", f"{m.average_precision:.2f}"


def _modalities(outcome: LearningOutcome) -> list[str]:
    """Average precision of everything, of the picture and of the sound."""
    rows = [["average precision", "all", "picture alone", "sound alone"]]
    values = (outcome.trained.fused, outcome.trained.picture_only, outcome.trained.sound_only)
    for k, label in enumerate(outcome.comparison.now):
        is_event = np.array([clip.label == label for clip in outcome.clips])
        rows.append([label, *(_precision_cell(v[:, k], is_event) for v in values)])
    return aligned_table(rows)


def _precision_cell(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], is_event: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
) -> str:
    there = ~np.isnan(values)
    if not is_event[there].any():
        return "-"
    text = f"{average_precision(values[there], is_event[there]):.2f}"
    return text if there.all() else f"{text} ({int(there.sum())} clips)"


def _advice(outcome: LearningOutcome) -> list[str]:
    lines = []
    if not any(clip.label == NO_EVENT for clip in outcome.clips):
        lines.append(
            "No clips without an event were given: the labels are told from one another, not from ordinary moments. "
            "Add a sub-folder `normal` with clips of them, or expect false alarms."
        )
    if outcome.single:
        names = ", ".join(label or "normal" for label in outcome.single)
        lines.append(f"All clips of {names} are of one group, so they were held out one by one: these figures flatter.")
    for label, m in outcome.comparison.now.items():
        chance = m.events / m.clips
        if m.average_precision < chance + 0.25 * (1 - chance):
            lines.append(
                f"{label} is hardly told from the rest (average precision {m.average_precision:.2f}, by chance "
                f"{chance:.2f}): give more, and more different, clips."
            )
    return [*lines, ""] if lines else []


def _conclusion(outcome: LearningOutcome, profile: Path, version: ProfileVersion | None) -> list[str]:
    if version is None:
        return [
            f"refused: {', '.join(outcome.comparison.fallen)} got worse; {profile} stays as it is.",
            "Look at the figures, put wrong marks right or give more clips; --force takes it all the same.",
        ]
    forced = (
        f" although {', '.join(outcome.comparison.fallen)} got worse (--force)" if outcome.comparison.fallen else ""
    )
    back = f"; back: edge learn rollback {profile}" if version.number > 1 else ""
    return [f"version {version.number} of {profile} is current now{forced}{back}"]
