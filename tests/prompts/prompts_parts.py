"""What the tests of prompts share: a model that knows a few things, in a text space of eight directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from media_times import at

from edge.prompts.grounding import CONCEPT_KINDS, ConceptKind, ModelVocabulary, PromptCalibration
from edge.types import F32, Contribution, Features, Scores

TAGS = ("Dog", "Bark", "Glass", "Speech")
CLASSES = ("person", "dog")
CONCEPTS = ("fence, paling", "beer glass")
LABELS = ("fire", "person")
DIM = 8
MEANINGS = {
    "dog": 0, "bark": 1, "glass": 2, "speech": 3, "person": 4, "fence": 5, "fire": 6, "nothing": 7,
}  # fmt: skip


def meaning(**shares: float) -> F32:
    """A unit vector with these shares of the named meanings."""
    vector = np.zeros(DIM, np.float32)
    for name, share in shares.items():
        vector[MEANINGS[name]] = share
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


WORDS: tuple[tuple[ConceptKind, int, F32], ...] = (
    ("tags", 0, meaning(dog=1)),
    ("tags", 1, meaning(dog=0.6, bark=0.8)),
    ("tags", 2, meaning(glass=1)),
    ("tags", 3, meaning(speech=1)),
    ("classes", 0, meaning(person=1)),
    ("classes", 1, meaning(dog=1)),
    ("picture_tags", 0, meaning(fence=1)),
    ("picture_tags", 1, meaning(glass=0.65, nothing=0.76)),
    ("labels", 0, meaning(fire=1)),
)


def knowledge(closeness: float = 0.0) -> ModelVocabulary:
    """Usual log-odds of -6, a calibration that makes 4 above that even odds; windows that are like nothing."""
    alike = np.eye(len(TAGS), dtype=np.float32)
    alike[0, 1] = alike[1, 0] = 0.9
    return ModelVocabulary(
        names={"tags": TAGS, "classes": CLASSES, "picture_tags": CONCEPTS, "labels": LABELS},
        phrases=np.stack([vector for _, _, vector in WORDS]),
        kind=np.array([CONCEPT_KINDS.index(kind) for kind, _, _ in WORDS], np.uint8),
        index=np.array([index for _, index, _ in WORDS]),
        usual=np.full(len(TAGS), -6, np.float32),
        scale=np.ones(len(TAGS), np.float32),
        alike=alike,
        mean=np.zeros(DIM, np.float32),
        basis=np.eye(DIM, dtype=np.float32),
        ordinary_heard=np.tile(meaning(nothing=1), (5, 1)),
        ordinary_seen=np.tile(meaning(nothing=1), (5, 1)),
        calibration=PromptCalibration(scale=1.0, offset=-4.0, closeness=closeness, spread=0.25, spread_seen=0.25),
    )


class Dictionary:
    """Stands in for the text encoder: sentences that it was given the meaning of."""

    def __init__(self, **sentences: F32) -> None:
        self._known = {name.replace("_", " "): vector for name, vector in sentences.items()}

    def encode(self, sentences: Sequence[str]) -> F32:
        return np.stack([self._known[sentence] for sentence in sentences])


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def window(
    tags: Mapping[str, float] | None = None,
    seen: Mapping[str, float] | None = None,
    values: Mapping[str, float] | None = None,
    *,
    audio: bool = True,
    video: bool = True,
    like: F32 | None = None,
    looks: F32 | None = None,
    epoch: int = 1,
    by_sound: float = 0.0,
) -> Scores:
    """One window's scores: ``tags`` as log-odds above usual, ``seen`` as probabilities, ``values`` of labels."""
    odds = np.array([(tags or {}).get(name, 0.0) - 6 for name in TAGS])
    away = meaning(nothing=1)
    aligned = np.stack([away if looks is None else looks, away if like is None else like])
    none = np.zeros(0, np.float32)
    features = Features(
        tags=(1 / (1 + np.exp(-odds))).astype(np.float32),
        sound=none,
        classes=np.array([(seen or {}).get(name, 0.01) for name in CLASSES], np.float32),
        picture_tags=np.array([(seen or {}).get(name, 0.001) for name in CONCEPTS], np.float32),
        picture=none,
        motion=none,
        aligned=aligned,
    )
    held = {"fire": 0.01, "person": 0.01} | dict(values or {})
    added = {name: Contribution(0.0, by_sound, 0.0) for name in held}
    return Scores("gate", 1, 0, at(0, epoch), held, added, none, (), {}, 1.0, video, audio, "small", features)
