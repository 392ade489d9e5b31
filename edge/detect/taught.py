"""Taught events: labels learned from a few examples, beside the model's own or in place of one of the same name.

Column 0 is "none of them". Each source gives log-odds against it. They are weighted by the source's reliability on
held-out recordings, with separate weights for picture and sound together, sound alone and picture alone. Softmax over
the sum gives the probabilities. Called on the engine thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.taught_features import AUDIO, MODALITY, VERSION, VIDEO, MotionHistory, TaughtFeatures
from edge.engine.manifest import Label
from edge.errors import InputError
from edge.profile import ProfilePart
from edge.types import F32, Contribution, DerivedScore, Scores

F64 = NDArray[np.float64]
MODALITY_CASES: Final = ("both", AUDIO, VIDEO)
"""The available modalities; each case has weights of its own."""

SILENCE_TOLERANCE: Final = 1e-3  # relative distance from the embedding of silence below which sound counts as silent
_NONE: Final = 0
SILENT_PROBABILITY: Final = 1e-4  # the probability of a taught event when its only source is a silent track


@dataclass(frozen=True, slots=True)
class LinearProbe:
    """Standardise with ``mean`` and ``scale`` [d], then ``weights`` [d,1+K] and ``bias`` [1+K]."""

    mean: F32
    scale: F32
    weights: F32
    bias: F32

    def evidence(self, x: F32) -> F64:
        """Vectors [n,d] -> log-odds [n,K] of each label against none of them."""
        z = np.asarray(((x - self.mean) * self.scale) @ self.weights + self.bias, np.float64)
        return z[:, 1:] - z[:, :1]


@dataclass(frozen=True, slots=True)
class SourceReliability:
    """``weight`` by case and source, and ``offset``: the log-odds of a label without any evidence."""

    weight: Mapping[str, Mapping[str, float]]
    offset: float

    def logits(self, case: str, evidence: Mapping[str, F64]) -> F64:
        """Evidence [n,K] of the case's sources -> [n,K] log-odds against none of them."""
        weights = self.weight[case]
        total: F64 = np.full(next(iter(evidence.values())).shape, self.offset)
        for name, found in evidence.items():
            total = total + weights[name] * found
        return total


@dataclass(frozen=True, slots=True)
class TaughtHead:
    """The learned classifier: label names, sources, their reliability, and the embedding of silence."""

    labels: tuple[str, ...]
    sources: Mapping[str, LinearProbe]
    reliability: SourceReliability
    silence: F32

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases that this head can classify, by the modalities that it learned from."""
        has_sound, has_picture = (any(MODALITY[name] == m for name in self.sources) for m in (AUDIO, VIDEO))
        return tuple(
            c for c, ok in zip(MODALITY_CASES, (has_sound and has_picture, has_sound, has_picture), strict=True) if ok
        )

    def evidence(self, described: TaughtFeatures) -> dict[str, F64]:
        """Log-odds [1,K] by source, without missing sources and without sound that is silence."""
        found = {}
        for name, source in self.sources.items():
            vector = described.source(name)
            if vector is None or (MODALITY[name] == AUDIO and self.is_silent(described)):
                continue
            found[name] = source.evidence(vector[None])
        return found

    def is_silent(self, described: TaughtFeatures) -> bool:
        """Whether the sound is silence, as from a dead microphone or a muted track."""
        if described.sound is None:
            return True
        return is_silence(described.sound[: len(self.silence)], self.silence)

    def classify(self, evidence: Mapping[str, F64]) -> F64 | None:
        """Probabilities [n,K] from the evidence; None without any."""
        case = modality_case(evidence)
        if case is None or case not in self.reliability.weight:
            return None
        return softmax_against_none(self.reliability.logits(case, evidence))


def is_silence(embedding: F32, silence: F32) -> bool:
    """Whether a sound's embedding is that of silence."""
    size = float(np.linalg.norm(silence))
    return size > 0 and float(np.linalg.norm(embedding - silence)) < SILENCE_TOLERANCE * size


def modality_case(names: Mapping[str, Any]) -> str | None:
    """The one of `MODALITY_CASES` that fits the available sources; None without any."""
    there = {MODALITY[name] for name in names}
    if len(there) == 2:
        return "both"
    return there.pop() if there else None


def evidence_of(evidence: Mapping[str, F64], modality: str) -> dict[str, F64]:
    """The evidence of one modality."""
    return {name: value for name, value in evidence.items() if MODALITY[name] == modality}


def softmax_against_none(logits: F64) -> F64:
    """Log-odds [n,K] against none of them -> probabilities [n,K]; the rest is the probability of none."""
    top = np.maximum(logits.max(1, keepdims=True), 0.0)
    e = np.exp(logits - top)
    return np.asarray(e / (e.sum(1, keepdims=True) + np.exp(-top)))


def save_head(head: TaughtHead, facts: Mapping[str, Any]) -> ProfilePart:
    """The head as a profile's part, with further ``facts``."""
    arrays: dict[str, NDArray[Any]] = {"silence": head.silence}
    for name, source in head.sources.items():
        for field in ("mean", "scale", "weights", "bias"):
            arrays[f"{name}.{field}"] = getattr(source, field).astype(np.float32)
    own = {
        "labels": list(head.labels),
        "sources": list(head.sources),
        "weight": {case: dict(w) for case, w in head.reliability.weight.items()},
        "offset": head.reliability.offset,
    }
    return ProfilePart(arrays, {**facts, "head": own})


def load_head(part: ProfilePart, version: int) -> TaughtHead:
    """The inverse of `save_head`; InputError when the part is damaged or has another version of the features."""
    if part.facts.get("features") != version:
        raise InputError("the profile's events were learned by another release; learn them again (`edge learn events`)")
    try:
        own = part.facts["head"]
        sources = {
            name: LinearProbe(*(part.arrays[f"{name}.{field}"] for field in ("mean", "scale", "weights", "bias")))
            for name in own["sources"]
        }
        labels: Sequence[str] = own["labels"]
        reliability = SourceReliability(own["weight"], own["offset"])
        return TaughtHead(tuple(labels), sources, reliability, part.arrays["silence"])
    except (KeyError, TypeError) as error:
        raise InputError(f"the profile's part `events` is damaged ({error}); learn again or roll back") from error


class TaughtEvents:
    """A `LabelDeriver` for the profile's part ``events``. Its only state is one `MotionHistory` for each camera."""

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
        """The score of each taught label; empty when the window has none of the sources that they learned from."""
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
        """Drop the state of a camera."""
        self._histories.pop(camera, None)

    def _added(self, evidence: Mapping[str, F64], values: F64, modality: str) -> F64:
        """The contribution [K] of a modality: log-odds with everything, minus without it."""
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
    """ln(p / (1 - p)), limited to -16..16."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return np.asarray(np.log(p) - np.log1p(-p))
