"""Labels that follow from the model's answer: events taught on the box, prompts, and how unusual a window is.

They are put beside the model's own before anything is decided, so that they are events like any other.

Prompts as labels: what was asked in words becomes events like any other.

The meaning of a sentence is worked out elsewhere (`edge.prompts`); here is one asker a camera, and the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from edge.engine.manifest import Label
from edge.types import Contribution, DerivedScore, Scores


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
