"""Events that were taught by a few examples: labels beside the model's own, or in the place of one of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from edge.detect.taught_features import AUDIO, VERSION, VIDEO, MotionHistory
from edge.detect.taught_head import F64, evidence_of, load_head, softmax_against_none
from edge.engine.manifest import Label
from edge.errors import InputError
from edge.profile import ProfilePart
from edge.types import Contribution, DerivedScore, Scores

SILENT_PROBABILITY: Final = 1e-4  # the probability of a taught event where all that could tell of it is a silent track


class TaughtEvents:
    """A `LabelDeriver`: the profile's part ``events`` at work. One `MotionHistory` a camera is all its state."""

    def __init__(self, part: ProfilePart) -> None:
        """InputError when the part is damaged or another release learned it."""
        self._head = load_head(part, VERSION)
        self._labels = taught_labels(part)
        self._histories: dict[str, MotionHistory] = {}

    @property
    def labels(self) -> tuple[Label, ...]:
        """The taught labels with their advice."""
        return self._labels

    def derive(self, scores: Scores) -> Mapping[str, DerivedScore]:
        """What the window says of each taught label; nothing where nothing that they were learned from is there."""
        features = self._histories.setdefault(scores.camera, MotionHistory()).extract(scores)
        evidence = self._head.evidence(features)
        values = self._head.classify(evidence)
        if values is None:
            is_silent = features.sound is not None and AUDIO in self._head.cases
            silent = DerivedScore(SILENT_PROBABILITY, Contribution(0.0, 0.0, 0.0))
            return {label.name: silent for label in self._labels} if is_silent else {}
        added = {m: self._added(evidence, values, m) for m in (VIDEO, AUDIO)}
        return {
            label.name: DerivedScore(
                float(values[0, k]), Contribution(float(added[VIDEO][k]), float(added[AUDIO][k]), 0.0)
            )
            for k, label in enumerate(self._labels)
        }

    def forget(self, camera: str) -> None:
        """Drop what was kept of a camera."""
        self._histories.pop(camera, None)

    def _added(self, evidence: Mapping[str, F64], values: F64, modality: str) -> F64:
        """What a modality added to each label's log-odds: with everything, minus without it [K]."""
        if not evidence_of(evidence, modality):
            return np.zeros(len(self._labels))
        rest = evidence_of(evidence, AUDIO if modality == VIDEO else VIDEO)
        without = self._head.classify(rest)
        if without is None:
            without = softmax_against_none(np.full(values.shape, self._head.reliability.offset))
        return np.asarray((logit(values) - logit(without))[0])


def taught_labels(part: ProfilePart) -> tuple[Label, ...]:
    """The labels that a part ``events`` teaches, in the head's order; InputError when it is damaged."""
    try:
        advice: Mapping[str, Mapping[str, Any]] = part.facts["advice"]
        return tuple(Label(name=name, **advice[name]) for name in part.facts["head"]["labels"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the profile's part `events` is damaged ({error}); learn again or roll back") from error


def logit(p: F64) -> F64:
    """ln(p / (1 - p)), kept within 16."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(p) - np.log1p(-p))
