"""Events that were taught by a few examples: labels beside the model's own, or in the place of one of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from edge.detect.taught_features import AUDIO, VERSION, VIDEO, Recent
from edge.detect.taught_head import F64, from_part, only, softmax_against_none
from edge.engine.manifest import Label
from edge.errors import InputError
from edge.profile import Part
from edge.types import Contribution, Finding, Scores

NOTHING: Final = 1e-4  # the probability of a taught event where all that could tell of it is a silent track


class Taught:
    """A `Derived`: the profile's part ``events`` at work. One `Recent` a camera is all its state."""

    def __init__(self, part: Part) -> None:
        """InputError when the part is damaged or another release learned it."""
        self._head = from_part(part, VERSION)
        self._labels = labels_of(part)
        self._recent: dict[str, Recent] = {}

    @property
    def labels(self) -> tuple[Label, ...]:
        """The taught labels with their advice."""
        return self._labels

    def derive(self, scores: Scores) -> Mapping[str, Finding]:
        """What the window says of each taught label; nothing where nothing that they were learned from is there."""
        described = self._recent.setdefault(scores.camera, Recent()).describe(scores)
        evidence = self._head.evidence(described)
        values = self._head.judge(evidence)
        if values is None:
            heard_nothing = described.sound is not None and AUDIO in self._head.cases
            silent = Finding(NOTHING, Contribution(0.0, 0.0, 0.0))
            return {label.name: silent for label in self._labels} if heard_nothing else {}
        added = {m: self._added(evidence, values, m) for m in (VIDEO, AUDIO)}
        return {
            label.name: Finding(float(values[0, k]), Contribution(float(added[VIDEO][k]), float(added[AUDIO][k]), 0.0))
            for k, label in enumerate(self._labels)
        }

    def forget(self, camera: str) -> None:
        """Drop what was kept of a camera."""
        self._recent.pop(camera, None)

    def _added(self, evidence: Mapping[str, F64], values: F64, modality: str) -> F64:
        """What a modality added to each label's log-odds: with everything, minus without it [K]."""
        if not only(evidence, modality):
            return np.zeros(len(self._labels))
        rest = only(evidence, AUDIO if modality == VIDEO else VIDEO)
        without = self._head.judge(rest)
        if without is None:
            without = softmax_against_none(np.full(values.shape, self._head.reliability.offset))
        return np.asarray((logit(values) - logit(without))[0])


def labels_of(part: Part) -> tuple[Label, ...]:
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
