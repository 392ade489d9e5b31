"""Derived labels, computed from the model's outputs: taught events, prompts, and the anomaly.

They are added to the model's own scores before the detector, so that they make events like any other label. Called on
the engine thread. `edge.prompts` works out the meaning of a prompt; here is one evaluator for each camera.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from edge.engine.manifest import Label
from edge.types import Contribution, DerivedScore, Scores


class LabelDeriver(Protocol):
    """Derives labels. Called on the engine thread, with each camera's windows in order."""

    @property
    def labels(self) -> tuple[Label, ...]:
        """The derived labels, with advice for thresholds."""
        ...

    def derive(self, scores: Scores) -> Mapping[str, DerivedScore]:
        """The derived scores of one window, without labels that have no evidence in it."""
        ...

    def forget(self, camera: str) -> None:
        """Drop the state of a camera."""
        ...


class DeriverChain:
    """Several derivers, called in order; a later score of a label replaces an earlier one and the model's own."""

    def __init__(self, parts: Sequence[LabelDeriver] = ()) -> None:
        self._parts = tuple(parts)
        self._replaced = frozenset(label.name for part in parts for label in part.labels)

    @property
    def labels(self) -> tuple[Label, ...]:
        """All derived labels, each name once."""
        return tuple({label.name: label for part in self._parts for label in part.labels}.values())

    def enrich(self, scores: Scores) -> Scores:
        """``scores`` with the derived scores added; a derived label without evidence has no value."""
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
        """Drop the state of a camera in all derivers."""
        for part in self._parts:
            part.forget(camera)


class PromptScore(Protocol):
    """The score of one prompt in one window."""

    @property
    def value(self) -> float:
        """A calibrated probability."""
        ...

    @property
    def contribution(self) -> Contribution:
        """The contribution of each modality to its logit."""
        ...

    @property
    def why(self) -> str:
        """The evidence for it, in words."""
        ...


class PromptEvaluator(Protocol):
    """Evaluates prompts on one camera's windows, in order."""

    def evaluate(self, scores: Scores) -> Mapping[str, PromptScore]:
        """The scores of prompts, without those that have no evidence."""
        ...


class PromptDeriver:
    """Derives a label for each prompt. ``begin`` makes an evaluator for a new camera."""

    def __init__(self, labels: Sequence[Label], begin: Callable[[], PromptEvaluator]) -> None:
        self._labels = tuple(labels)
        self._make_evaluator = begin
        self._evaluators: dict[str, PromptEvaluator] = {}

    @property
    def labels(self) -> tuple[Label, ...]:
        """The prompts' names, with advice for thresholds."""
        return self._labels

    def derive(self, scores: Scores) -> Mapping[str, DerivedScore]:
        """The score of each prompt in one window."""
        evaluator = self._evaluators.get(scores.camera)
        if evaluator is None:
            evaluator = self._evaluators[scores.camera] = self._make_evaluator()
        return {
            name: DerivedScore(answer.value, answer.contribution, answer.why)
            for name, answer in evaluator.evaluate(scores).items()
        }

    def forget(self, camera: str) -> None:
        """Drop the evaluator of a camera."""
        self._evaluators.pop(camera, None)
