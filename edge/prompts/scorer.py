"""Scores all prompts of a configuration in one window: features in, calibrated probabilities out. Plain numpy.

There are two routes. By name: the log-odds of the concepts that a sentence rests on. By meaning: the cosine between the
sentence and the sound, in the shared text space. Ordinary values are subtracted from both, so prompts are comparable.
Evidence is smoothed: half of this window's and half of the mean of the last four, because two-second windows half a
second apart share most of their sound. Chosen on names of UrbanSound8K and DCASE 2016.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.prompts.grounding import PICTURE_KINDS, ConceptKind, ConceptMatch, Grounding, ModelVocabulary
from edge.types import Contribution, Features, Scores

F64 = NDArray[np.float64]
NO_EVIDENCE = -30.0  # log-odds for a modality without evidence
SHARPNESS = 2.0  # of the soft maximum over the concepts of a sentence
DISTANCE_PENALTY = 4.0  # log-odds taken off for each unit of cosine that the closest words are short of the sentence
OBJECT_SCALE, OBJECT_SCORE = 2.0, 0.4  # box scores to probabilities, as for the model's own labels
MAX_LIKENESS = 0.3  # most that a picture's cosine to the sentence adds: there was no open data to calibrate it
BASELINE = -7.0  # about the value of ordinary windows: contributions are counted from it
_EDGE = 1e-7
_ALONE = (np.array([True, False]), np.array([False, True]))  # without the picture, without the sound
WINDOWS = 4
SHARE = 0.5


@dataclass(frozen=True, slots=True)
class PromptResult:
    """A prompt's calibrated probability, the contributions to its logit, and its evidence in words."""

    value: float
    contribution: Contribution
    why: str


@dataclass(frozen=True, slots=True)
class GroundedPrompt:
    """One prompt with the sentences that it must not be confused with, all grounded."""

    name: str
    wanted: Grounding
    unlike: tuple[Grounding, ...] = ()


class PromptScorer:
    """``prompts`` of windows. A row is a sentence: each prompt's own, then those it must not be taken for."""

    def __init__(self, knowledge: ModelVocabulary, prompts: Sequence[GroundedPrompt]) -> None:
        self.prompts = tuple(prompts)
        self._knowledge = knowledge
        self._rows = [one.wanted for one in prompts] + [other for one in prompts for other in one.unlike]
        starts = np.cumsum([len(prompts), *(len(one.unlike) for one in prompts)])
        self._unlike = [slice(starts[n], starts[n + 1]) for n in range(len(prompts))]
        self._sound_weights = np.stack([_weights(row.heard, ("tags",), knowledge) for row in self._rows])
        self._picture_weights = np.stack([_weights(row.seen, PICTURE_KINDS, knowledge) for row in self._rows])
        self._text = knowledge.aligned(np.stack([row.vector for row in self._rows]))
        self._usual = np.median(knowledge.ordinary_heard @ self._text.T, axis=0)
        self._usual_picture = np.median(knowledge.ordinary_seen @ self._text.T, axis=0)
        self._doubt = DISTANCE_PENALTY * np.array([[_distance(row.heard), _distance(row.seen)] for row in self._rows])

    def evidence(self, scores: Scores) -> F64:
        """Calibrated log-odds [rows,2], heard and seen; `NO_EVIDENCE` without the modality or a concept in it."""
        found = np.full((len(self._rows), 2), NO_EVIDENCE)
        features = scores.features
        if features is None:
            return found
        if scores.audio_ok:
            found[:, 0] = np.where(self._sound_weights.any(1), self._sound_log_odds(features), NO_EVIDENCE)
        if scores.video_ok:
            named = _soft_or(self._picture_weights, self._picture_log_odds(scores, features))
            found[:, 1] = np.where(
                self._picture_weights.any(1), np.logaddexp(named, self._likeness_log_odds(features)), NO_EVIDENCE
            )
        return np.where(found > NO_EVIDENCE, np.maximum(found - self._doubt, NO_EVIDENCE + 1), NO_EVIDENCE)

    def score(self, evidence: F64, scores: Scores) -> dict[str, PromptResult]:
        """The result of each prompt, from `evidence` of one or several windows, without prompts that have none."""
        verdicts = {}
        for n, one in enumerate(self.prompts):
            own, others = evidence[n], evidence[self._unlike[n]]
            if own.max() > NO_EVIDENCE:
                logit = _joint_logit(own, others)
                seen, heard = (
                    logit - max(_joint_logit(np.where(kept, own, NO_EVIDENCE), others), BASELINE) for kept in _ALONE
                )
                added = Contribution(
                    max(seen, 0.0) * (own[1] > NO_EVIDENCE), max(heard, 0.0) * (own[0] > NO_EVIDENCE), 0.0
                )
                verdicts[one.name] = PromptResult(float(probability(logit)), added, self._why(n, own, scores))
        return verdicts

    def _sound_log_odds(self, features: Features) -> F64:
        how = self._knowledge.calibration
        named = _soft_or(self._sound_weights, self._above(features) * SHARPNESS) / SHARPNESS
        meant = (self._text @ features.aligned[1] - self._usual) / how.spread
        return np.asarray(how.scale * (named + how.closeness * meant) + how.offset, np.float64)

    def _likeness_log_odds(self, features: Features) -> F64:
        """Log-odds [rows] from the cosine between the sentence and the picture, at most `MAX_LIKENESS`."""
        spread = self._knowledge.calibration.spread_seen
        reach = (self._text @ features.aligned[0] - self._usual_picture) / spread
        return log_odds(MAX_LIKENESS / (1 + np.exp(4.0 - 2.0 * reach)))

    def _above(self, features: Features) -> F64:
        return np.asarray((log_odds(features.tags) - self._knowledge.usual) * self._knowledge.scale)

    def _picture_log_odds(self, scores: Scores, features: Features) -> F64:
        """Log-odds of all picture concepts, in the order of `PICTURE_KINDS`; labels without the part added by sound."""
        start = float(log_odds(np.array(OBJECT_SCORE)))
        labels = [
            float(log_odds(np.array(scores.values.get(name, 0.0)))) - _by_sound(scores, name)
            for name in self._knowledge.names["labels"]
        ]
        objects = OBJECT_SCALE * (log_odds(features.classes) - start)
        return np.concatenate([objects, log_odds(features.picture_tags), np.array(labels)])

    def _why(self, row: int, own: F64, scores: Scores) -> str:
        """The name that speaks most for it, in the modality that does."""
        features = scores.features
        if features is None:
            return ""
        found, wanted = ("heard", self._rows[row].heard) if own[0] >= own[1] else ("seen", self._rows[row].seen)
        names = [(near.name, near.weight) for near in wanted]
        if found == "heard":
            logits = self._above(features)[[near.index for near in wanted]] * SHARPNESS
        else:
            logits = self._picture_log_odds(scores, features)[[_place(near, self._knowledge) for near in wanted]]
        best = int(np.argmax(logits + np.log([weight for _, weight in names])))
        return f"{found} {names[best][0].split(',')[0].lower()}"


def probability(logit: float) -> float:
    """The logistic function."""
    return float(0.5 * (1 + np.tanh(0.5 * logit)))


def log_odds(p: NDArray[np.floating]) -> F64:
    """Log-odds, held within 1e-7 of the ends."""
    held = np.clip(np.asarray(p, np.float64), _EDGE, 1 - _EDGE)
    return np.asarray(np.log(held) - np.log1p(-held))


def _joint_logit(own: F64, others: F64) -> float:
    """Logit of: heard or seen, and more likely than the sentences that it must not be confused with."""
    p = 1 - np.prod([1 - probability(x) for x in own])
    rivals = [float(np.max(other)) for other in others if np.max(other) > NO_EVIDENCE]
    if rivals:
        p *= probability(float(np.max(own)) - max(rivals))
    return float(log_odds(np.array(p)))


def _soft_or(weights: F64, logits: F64) -> F64:
    """log(weights @ exp(logits)) for each row of weights, safely."""
    peak = float(logits.max(initial=-np.inf))
    return np.asarray(np.log(weights @ np.exp(logits - peak) + 1e-30) + peak)


def _weights(nears: Sequence[ConceptMatch], kinds: Sequence[ConceptKind], knowledge: ModelVocabulary) -> F64:
    row = np.zeros(sum(len(knowledge.names[kind]) for kind in kinds))
    for near in nears:
        row[near.index if kinds == ("tags",) else _place(near, knowledge)] = near.weight
    return row


def _place(near: ConceptMatch, knowledge: ModelVocabulary) -> int:
    """The index of a picture concept in the order of `PICTURE_KINDS`."""
    before = PICTURE_KINDS[: PICTURE_KINDS.index(near.kind)]
    return near.index + sum(len(knowledge.names[kind]) for kind in before)


def _distance(nears: Sequence[ConceptMatch]) -> float:
    """How far the closest words are from the sentence, as a cosine."""
    return 1.0 - max((near.closeness for near in nears), default=1.0)


def _by_sound(scores: Scores, label: str) -> float:
    added = scores.contribution.get(label)
    return added.audio if added is not None else 0.0


class EvidenceSmoother:
    """Smooths evidence over one camera's last windows. A modality that is missing now has none; windows in which it
    was missing are left out of the mean."""

    def __init__(self) -> None:
        self._last: deque[F64] = deque(maxlen=WINDOWS)

    def add(self, evidence: F64) -> F64:
        """``evidence`` [rows,2] of the next window, steadied."""
        self._last.append(evidence)
        held = np.stack(self._last)
        known = held > NO_EVIDENCE
        mean = np.where(known, held, 0.0).sum(0) / np.maximum(known.sum(0), 1)
        return np.where(evidence > NO_EVIDENCE, (1 - SHARE) * evidence + SHARE * mean, NO_EVIDENCE)
