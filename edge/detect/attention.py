"""Which cameras need all their pictures decoded, judged by the newest window's answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from edge.demand import WakeReason
from edge.engine.manifest import Label
from edge.types import NS_PER_S, Scores

DOUBT = 0.5
"""A label is in doubt from this share of the way from its thresholds to 0 and 1 on, as for `edge.signal_change`."""
WANTED_NS = 5 * NS_PER_S // 2
"""For how long after a window its answer asks for pictures: until the next window's answer, also on a slow box."""


class PictureNeed:
    """Why a camera needs its pictures: an open event, a rule that follows an object, a label in doubt."""

    def __init__(self, labels: Collection[Label]) -> None:
        self._bounds: Mapping[str, tuple[float, float]] = {
            label.name: (label.leave * (1 - DOUBT), label.enter + (1 - label.enter) * DOUBT)
            for label in labels
            if "video" in label.modalities
        }

    def reason(self, scores: Scores, open_labels: Collection[str], *, follows: bool) -> WakeReason | None:
        """The first reason; None when there is none."""
        if open_labels:
            return WakeReason.EVENT
        if follows:
            return WakeReason.RULE
        values = scores.values
        is_in_doubt = any(low < values.get(name, 0.0) < high for name, (low, high) in self._bounds.items())
        return WakeReason.DOUBT if is_in_doubt else None
