"""Prompts as labels: what was asked in words becomes events like any other.

The meaning of a sentence is worked out elsewhere (`edge.prompts`); here is one asker a camera, and the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from edge.engine.manifest import Label
from edge.types import Contribution, Finding, Scores


class Answer(Protocol):
    """What one window comes to for one prompt."""

    @property
    def value(self) -> float:
        """A calibrated probability."""
        ...

    @property
    def contribution(self) -> Contribution:
        """What each modality added to its logit."""
        ...

    @property
    def why(self) -> str:
        """What speaks for it, in words."""
        ...


class Asker(Protocol):
    """Asks one camera's windows, in order."""

    def ask(self, scores: Scores) -> Mapping[str, Answer]:
        """What each prompt comes to; those without evidence are left out."""
        ...


class Prompts:
    """A derived label for each prompt (`edge.detect.derived.Derived`). ``begin`` makes an asker for a new camera."""

    def __init__(self, labels: Sequence[Label], begin: Callable[[], Asker]) -> None:
        self._labels = tuple(labels)
        self._begin = begin
        self._askers: dict[str, Asker] = {}

    @property
    def labels(self) -> tuple[Label, ...]:
        """The prompts' names, with advice for thresholds."""
        return self._labels

    def derive(self, scores: Scores) -> Mapping[str, Finding]:
        """What one window says to each prompt."""
        asker = self._askers.get(scores.camera)
        if asker is None:
            asker = self._askers[scores.camera] = self._begin()
        return {
            name: Finding(answer.value, answer.contribution, answer.why) for name, answer in asker.ask(scores).items()
        }

    def forget(self, camera: str) -> None:
        """Its next window is its first."""
        self._askers.pop(camera, None)
