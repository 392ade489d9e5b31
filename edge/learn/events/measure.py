"""How well labels are told apart on clips that were not learned from.

A clip's value is the highest of its windows, as `edge replay --scores` shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

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
