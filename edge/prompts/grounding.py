"""Grounds a sentence in the concepts that the model knows, or says why it is refused.

Every concept of the model has words; a sentence rests on those closest in meaning. Sound and picture are grounded
separately: "clock tick" is a sound, and a visible clock is not evidence for it. `ModelVocabulary` is a model's
`text.npz`: the concepts' words, their ordinary values, and the projection of text into the space of ``aligned``.
`edge.train.align.build` writes it together with the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.engine.manifest import ModelFolder
from edge.errors import InputError
from edge.profile import load_part
from edge.prompts.encoder import TextEncoder
from edge.types import F32

ConceptKind = Literal["tags", "classes", "picture_tags", "labels"]
CONCEPT_KINDS: tuple[ConceptKind, ...] = ("tags", "classes", "picture_tags", "labels")
FILE = "text.npz"
SCHEMA = 2
LEAST_COSINE = 0.56  # cosine below which nothing that the model knows means the sentence
MARGIN = 0.15  # a modality whose best word is this much further than the other's is not what is meant,
CERTAIN = 0.8  # unless its own is this close
TEMPERATURE = 0.12  # of the weights, in cosine
MAX_BEHIND = 0.35  # how much further than the best a word may be and still count
LEAST_CORRELATION = 0.5  # correlation with the best tag from which another tag's words count
LEAST_WEIGHT = 0.02
SHOWN = 5
SOUND_KINDS: tuple[ConceptKind, ...] = ("tags",)
PICTURE_KINDS: tuple[ConceptKind, ...] = ("classes", "picture_tags", "labels")


@dataclass(frozen=True, slots=True)
class PromptCalibration:
    """``logit = scale * evidence + offset``, fitted on names of sounds (`edge.train.align.calibration`).

    ``closeness`` is the weight of the cosine to the text beside the tags, in units of ``spread``, its range above the
    ordinary value; ``spread_seen`` is the same for the picture's cosine.
    """

    scale: float
    offset: float
    closeness: float
    spread: float
    spread_seen: float


@dataclass(frozen=True, slots=True)
class ModelVocabulary:
    """``phrases`` f32[n,384] unit vectors of words; ``kind`` and ``index`` say what each means.

    ``usual`` and ``scale`` f32[527] make a tag's log-odds comparable: (log-odds - usual) * scale. ``alike`` [527,527]
    is the correlation of the tags over ordinary sound. ``mean`` [384], ``basis`` [384,D] project into the text space;
    ``ordinary_heard`` and ``ordinary_seen`` f32[n,D] are ordinary windows there.
    """

    names: Mapping[ConceptKind, Sequence[str]]
    phrases: F32
    kind: NDArray[np.uint8]
    index: NDArray[np.int64]
    usual: F32
    scale: F32
    alike: F32
    mean: F32
    basis: F32
    ordinary_heard: F32
    ordinary_seen: F32
    calibration: PromptCalibration

    def aligned(self, embeddings: F32) -> F32:
        """Text embeddings [n,384] as unit vectors [n,D] of the aligned space."""
        x = (embeddings - self.mean) @ self.basis
        return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def load_vocabulary(folder: ModelFolder) -> ModelVocabulary:
    """Read ``text.npz`` of a model folder; InputError when it is missing, damaged or belongs to another graph."""
    path = folder.path / FILE
    if not path.is_file():
        raise InputError(f"{folder.manifest.name}: this model has no {FILE}, so it knows no words; prompts need it")
    part = load_part(path)
    facts: Mapping[str, Any] = part.facts
    if facts.get("schema") != SCHEMA or facts.get("graph_sha256") != folder.manifest.sha256:
        raise InputError(f"{path}: was not made with this graph; restore the model folder, or export it again")
    a = part.arrays
    phrases = a["phrases"].astype(np.float32)
    return ModelVocabulary(
        names=concept_names(folder),
        phrases=phrases / np.linalg.norm(phrases, axis=1, keepdims=True),
        kind=a["kind"].astype(np.uint8),
        index=a["index"].astype(np.int64),
        usual=a["usual"].astype(np.float32),
        scale=a["scale"].astype(np.float32),
        alike=a["alike"].astype(np.float32) / np.float32(127),
        mean=a["mean"].astype(np.float32),
        basis=a["basis"].astype(np.float32),
        ordinary_heard=a["ordinary_heard"].astype(np.float32),
        ordinary_seen=a["ordinary_seen"].astype(np.float32),
        calibration=PromptCalibration(**facts["calibration"]),
    )


def concept_names(folder: ModelFolder) -> dict[ConceptKind, Sequence[str]]:
    """All that a model recognises by name, in the order of its outputs."""
    return {
        "tags": folder.tag_names,
        "classes": folder.manifest.classes,
        "picture_tags": folder.picture_tag_names,
        "labels": folder.manifest.label_names,
    }


@dataclass(frozen=True, slots=True)
class ConceptMatch:
    """Something the model knows: how close its words are to the sentence (cosine), and its share of the evidence."""

    kind: ConceptKind
    index: int
    name: str
    closeness: float
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Grounding:
    """The concepts that a sentence rests on. ``heard`` and ``seen`` are best first, empty when a modality has none;
    ``nearest`` are the closest of all concepts, whether they count or not."""

    text: str
    vector: F32
    heard: tuple[ConceptMatch, ...]
    seen: tuple[ConceptMatch, ...]
    nearest: tuple[ConceptMatch, ...]

    @property
    def grounded(self) -> bool:
        """Whether the sentence rests on anything."""
        return bool(self.heard or self.seen)

    def summary(self) -> str:
        """In words, for `edge check`: what it rests on, or the nearest concepts that the model knows."""
        if not self.grounded:
            return f"cannot be grounded; the nearest that the model knows: {_listed(self.nearest, shares=False)}"
        parts = [("heard as", self.heard), ("seen as", self.seen)]
        return "; ".join(f"{word} {_listed(found, shares=True)}" for word, found in parts if found)


def ground(knowledge: ModelVocabulary, encoder: TextEncoder, texts: Sequence[str]) -> list[Grounding]:
    """The grounding of each sentence."""
    vectors = encoder.encode([normalised_text(text) for text in texts])
    return [_ground(knowledge, text, vector) for text, vector in zip(texts, vectors, strict=True)]


def normalised_text(text: str) -> str:
    """Text as it is compared: ``glass_breaking`` is "glass breaking", without a leading article."""
    words = text.replace("_", " ").split()
    return " ".join(words[1:] if len(words) > 1 and words[0].lower() in {"a", "an", "the"} else words)


def _ground(knowledge: ModelVocabulary, text: str, vector: F32) -> Grounding:
    closeness = {kind: _closeness(knowledge, kind, vector) for kind in CONCEPT_KINDS}
    best = {kinds: max(float(closeness[k].max(initial=-1.0)) for k in kinds) for kinds in (SOUND_KINDS, PICTURE_KINDS)}
    least = max(LEAST_COSINE, min(CERTAIN, max(best.values()) - MARGIN))
    heard = _match_sound(knowledge, closeness["tags"]) if best[SOUND_KINDS] >= least else ()
    seen = _match_picture(knowledge, closeness) if best[PICTURE_KINDS] >= least else ()
    nearest = sorted(
        (
            ConceptMatch(k, int(n), knowledge.names[k][n], float(c[n]))
            for k, c in closeness.items()
            for n in _top(c, SHOWN)
        ),
        key=lambda near: -near.closeness,
    )
    return Grounding(text, vector, heard, seen, tuple(nearest[:SHOWN]))


def _closeness(knowledge: ModelVocabulary, kind: ConceptKind, vector: F32) -> F32:
    """The best cosine of each entry's words [n]; -1 for an entry without words."""
    mine = knowledge.kind == CONCEPT_KINDS.index(kind)
    best = np.full(len(knowledge.names[kind]), -1.0, np.float32)
    np.maximum.at(best, knowledge.index[mine], knowledge.phrases[mine] @ vector)
    return best


def _match_sound(knowledge: ModelVocabulary, closeness: F32) -> tuple[ConceptMatch, ...]:
    top = int(closeness.argmax())
    together = np.clip((knowledge.alike[top] - LEAST_CORRELATION) / (1 - LEAST_CORRELATION), 0, 1)
    together[top] = 1.0
    weights = np.exp((closeness - closeness[top]) / TEMPERATURE) * together * (closeness > closeness[top] - MAX_BEHIND)
    return _matches(knowledge, "tags", closeness, weights / weights.sum())


def _match_picture(knowledge: ModelVocabulary, closeness: dict[ConceptKind, F32]) -> tuple[ConceptMatch, ...]:
    """Matches of classes, picture tags and labels together, at most `MARGIN` behind the best."""
    best = max(float(closeness[kind].max(initial=-1.0)) for kind in PICTURE_KINDS)
    found = [
        near
        for kind in PICTURE_KINDS
        for near in _matches(knowledge, kind, closeness[kind], np.exp((closeness[kind] - best) / TEMPERATURE))
        if near.closeness >= best - MARGIN
    ]
    return tuple(sorted(found, key=lambda near: -near.weight))


def _matches(knowledge: ModelVocabulary, kind: ConceptKind, closeness: F32, weights: F32) -> tuple[ConceptMatch, ...]:
    order = np.argsort(-weights, kind="stable")
    return tuple(
        ConceptMatch(kind, int(n), knowledge.names[kind][n], float(closeness[n]), float(weights[n]))
        for n in order
        if weights[n] >= LEAST_WEIGHT
    )


def _top(closeness: F32, count: int) -> list[int]:
    return [int(n) for n in np.argsort(-closeness, kind="stable")[:count]]


def _listed(found: Sequence[ConceptMatch], *, shares: bool) -> str:
    return ", ".join(f"{near.name} {near.weight if shares else near.closeness:.2f}" for near in found[:SHOWN])
