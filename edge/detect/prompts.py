"""Prompts as labels: what was asked in words becomes events like any other.

The meaning of a sentence is worked out elsewhere (`edge.prompts`); here is one asker a camera, and the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from edge.engine.manifest import Label
from edge.types import Contribution, DerivedScore, Scores


class PromptScore(Protocol):
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


class PromptEvaluator(Protocol):
    """Asks one camera's windows, in order."""

    def evaluate(self, scores: Scores) -> Mapping[str, PromptScore]:
        """What each prompt comes to; those without evidence are left out."""
        ...


class PromptDeriver:
    """A derived label for each prompt (`edge.detect.derived.Derived`). ``begin`` makes an asker for a new camera."""

    def __init__(self, labels: Sequence[Label], begin: Callable[[], PromptEvaluator]) -> None:
        self._labels = tuple(labels)
        self._make_evaluator = begin
        self._evaluators: dict[str, PromptEvaluator] = {}

    @property
    def labels(self) -> tuple[Label, ...]:
        """The prompts' names, with advice for thresholds."""
        return self._labels

    def derive(self, scores: Scores) -> Mapping[str, DerivedScore]:
        """What one window says to each prompt."""
        evaluator = self._evaluators.get(scores.camera)
        if evaluator is None:
            evaluator = self._evaluators[scores.camera] = self._make_evaluator()
        return {
            name: DerivedScore(answer.value, answer.contribution, answer.why)
            for name, answer in evaluator.evaluate(scores).items()
        }

    def forget(self, camera: str) -> None:
        """Its next window is its first."""
        self._evaluators.pop(camera, None)
