"""Whether a camera's last scores lie so near a threshold that its parts are encoded whatever they show."""

from __future__ import annotations

from collections.abc import Mapping

from edge.engine.contract import Array
from edge.types import F32


class UncertaintyGate:
    """Whether a camera's last scores lie near a threshold, so that its parts are encoded whatever they show."""

    def __init__(self, thresholds: Mapping[str, Array]) -> None:
        """``thresholds``: by modality, low and high [2,C] of logits between which a label is in doubt; NaN: never."""
        self._thresholds = thresholds
        self._uncertain: dict[str, frozenset[str]] = {}

    def uncertain_modalities(self, camera: str) -> frozenset[str]:
        """The modalities whose labels are in doubt; empty before the first scores."""
        return self._uncertain.get(camera, frozenset())

    def update(self, camera: str, logits: F32) -> None:
        """The newest logits f32[C]."""
        self._uncertain[camera] = frozenset(
            modality
            for modality, (low, high) in self._thresholds.items()
            if bool(((logits > low) & (logits < high)).any())
        )

    def forget(self, camera: str) -> None:
        """Start ``camera`` anew."""
        self._uncertain.pop(camera, None)
