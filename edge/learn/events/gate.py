"""Whether what was learned may take the place of what was there: precision and recall of no label may fall.

The yardstick of a label that the profile taught before are the clips that it was learned from, by the marks that they
had then, so that a bad batch of clips or marks shows; of a label that the model itself has, the clips marked now.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.learn.events.clips import Clip
from edge.learn.events.earlier import Earlier
from edge.learn.events.head import Learned, evidence_of
from edge.learn.events.measure import THRESHOLDS, Measured, best_of, measure
from edge.learn.events.weigh import judge

F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Yardstick:
    """A label's clips to compare on: what was said of them before and is now, what is true, and the figures before."""

    origin: str
    before: Measured
    values: F64
    is_event: Bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """Figures by label: ``now`` on all clips as they are marked now; ``before`` and ``after`` on the label's yardstick,
    which ``origin`` names; the labels that fell or would be gone."""

    now: Mapping[str, Measured]
    origin: Mapping[str, str]
    before: Mapping[str, Measured]
    after: Mapping[str, Measured]
    fallen: Sequence[str]


def compare(
    clips: Sequence[Clip],
    learned: Learned,
    earlier: Earlier | None,
    earlier_clips: Sequence[Clip],
    model_enter: Mapping[str, float],
) -> Comparison:
    """Choose each label's threshold (the best F1 among those at which it does not fall, if there are any) and compare.

    ``earlier_clips`` are those that ``earlier`` learned from, marked as then; ``model_enter`` the model's own labels.
    """
    yardsticks = _yardsticks(clips, learned, earlier, earlier_clips, model_enter)
    now, after = {}, {}
    for k, label in enumerate(learned.head.labels):
        truth = np.array([clip.label == label for clip in clips])
        stick = yardsticks.get(label)
        options = [measure(learned.both[:, k], truth, enter) for enter in THRESHOLDS]
        if stick is not None:
            options = [m for m in options if not _on(stick, m.enter).falls_below(stick.before)] or options
        now[label] = best_of(options)
        if stick is not None:
            after[label] = _on(stick, now[label].enter)
    before = {label: stick.before for label, stick in yardsticks.items()}
    fallen = [label for label, m in before.items() if label in after and after[label].falls_below(m)]
    gone = [] if earlier is None else [label for label in earlier.measured if label not in now]
    origin = {label: stick.origin for label, stick in yardsticks.items()}
    return Comparison(now, origin, before, after, [*fallen, *gone])


def _on(stick: Yardstick, enter: float) -> Measured:
    return measure(stick.values, stick.is_event, enter)


def _yardsticks(
    clips: Sequence[Clip],
    learned: Learned,
    earlier: Earlier | None,
    earlier_clips: Sequence[Clip],
    model_enter: Mapping[str, float],
) -> dict[str, Yardstick]:
    held_out = {clip.key: row for clip, row in zip(clips, learned.both, strict=True)}
    shape = (len(earlier_clips), len(learned.head.labels))
    then = np.array([_value(clip, learned, held_out) for clip in earlier_clips], np.float64).reshape(shape)
    found = {}
    for k, label in enumerate(learned.head.labels):
        if earlier is not None and label in earlier.measured and earlier_clips:
            truth = np.array([clip.label == label for clip in earlier_clips])
            before = measure(earlier.values(earlier_clips, label), truth, earlier.measured[label].enter)
            found[label] = Yardstick(f"version {earlier.number}", before, then[:, k], truth)
        elif label in model_enter:
            truth = np.array([clip.label == label for clip in clips])
            own = np.array([clip.model.get(label, np.nan) for clip in clips])
            found[label] = Yardstick("the model", measure(own, truth, model_enter[label]), learned.both[:, k], truth)
    return found


def _value(clip: Clip, learned: Learned, held_out: Mapping[str, F64]) -> F64:
    """What is said of a clip now by what did not learn from it [K]."""
    if clip.key in held_out:
        return held_out[clip.key]
    head = learned.head
    return judge(evidence_of(clip, head.sources, len(head.labels)), head.reliability, "both")
