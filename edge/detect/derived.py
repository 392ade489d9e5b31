"""Labels that follow from the model's answer: events taught on the box, prompts, and how unusual a window is.

They are put beside the model's own before anything is decided, so that they are events like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from edge.engine.manifest import Label
from edge.types import DerivedScore, Scores


class LabelDeriver(Protocol):
    """One way of deriving labels. Called on the engine's thread, with each camera's windows in order."""

    @property
    def labels(self) -> tuple[Label, ...]:
        """What it derives, with advice for thresholds."""
        ...

    def derive(self, scores: Scores) -> Mapping[str, DerivedScore]:
        """What one window says; a label without evidence in it is left out."""
        ...

    def forget(self, camera: str) -> None:
        """Drop what was kept of a camera: it starts anew."""
        ...


class DeriverChain:
    """Several of them, asked in order; a later one of the same label replaces the earlier and the model's own."""

    def __init__(self, parts: Sequence[LabelDeriver] = ()) -> None:
        self._parts = tuple(parts)
        self._replaced = frozenset(label.name for part in parts for label in part.labels)

    @property
    def labels(self) -> tuple[Label, ...]:
        """Everything that is derived, each name once."""
        return tuple({label.name: label for part in self._parts for label in part.labels}.values())

    def enrich(self, scores: Scores) -> Scores:
        """``scores`` with what was derived put in; a derived label without evidence has no value."""
        if not self._parts:
            return scores
        values = {name: value for name, value in scores.values.items() if name not in self._replaced}
        contribution = {name: added for name, added in scores.contribution.items() if name not in self._replaced}
        reasons = dict(scores.reasons)
        for part in self._parts:
            for name, finding in part.derive(scores).items():
                values[name], contribution[name] = finding.value, finding.contribution
                reasons[name] = finding.why
        return replace(scores, values=values, contribution=contribution, reasons=reasons)

    def forget(self, camera: str) -> None:
        """Drop what all of them kept of a camera."""
        for part in self._parts:
            part.forget(camera)
