"""A sentence -> what the model knows that means it, or why it cannot be asked.

Everything the model recognises by name has words (`knowledge.py`); a sentence rests on those closest to its meaning.
Sound and picture are taken on their own: "clock tick" is heard, and a clock that is only seen is not that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.prompts.encoder import TextEncoder
from edge.prompts.knowledge import KINDS, Kind, Knowledge
from edge.types import F32

LEAST = 0.56  # cosine below which nothing that the model knows means the sentence
MARGIN = 0.15  # a modality whose best word is this much further than the other's is not what is meant,
SURE = 0.8  # unless its own is this close
TEMPERATURE = 0.12  # of the weights, in cosine
REACH = 0.35  # how much further than the best a word may be and still count
ALIKE = 0.5  # correlation with the best tag from which another tag's words count
LEAST_WEIGHT = 0.02
SHOWN = 5
HEARD: tuple[Kind, ...] = ("tags",)
SEEN: tuple[Kind, ...] = ("classes", "picture_tags", "labels")


@dataclass(frozen=True, slots=True)
class Near:
    """Something the model knows: how close its words are to the sentence (cosine), and its share of the evidence."""

    kind: Kind
    index: int
    name: str
    closeness: float
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class Grounding:
    """What a sentence rests on. ``heard`` and ``seen`` are best first, empty where a modality cannot tell; ``nearest``
    is the closest of everything, whether it counts or not."""

    text: str
    vector: F32
    heard: tuple[Near, ...]
    seen: tuple[Near, ...]
    nearest: tuple[Near, ...]

    @property
    def grounded(self) -> bool:
        """Whether the sentence can be asked at all."""
        return bool(self.heard or self.seen)

    def described(self) -> str:
        """In words, for `edge check`: what it rests on, or the nearest things that the model does know."""
        if not self.grounded:
            return f"cannot be grounded; the nearest that the model knows: {_listed(self.nearest, shares=False)}"
        parts = [("heard as", self.heard), ("seen as", self.seen)]
        return "; ".join(f"{word} {_listed(found, shares=True)}" for word, found in parts if found)


def ground(knowledge: Knowledge, encoder: TextEncoder, texts: Sequence[str]) -> list[Grounding]:
    """What each sentence rests on."""
    vectors = encoder.encode([plain(text) for text in texts])
    return [_ground(knowledge, text, vector) for text, vector in zip(texts, vectors, strict=True)]


def plain(text: str) -> str:
    """As compared: ``glass_breaking`` is "glass breaking", and a leading article says nothing."""
    words = text.replace("_", " ").split()
    return " ".join(words[1:] if len(words) > 1 and words[0].lower() in {"a", "an", "the"} else words)


def _ground(knowledge: Knowledge, text: str, vector: F32) -> Grounding:
    closeness = {kind: _closeness(knowledge, kind, vector) for kind in KINDS}
    best = {kinds: max(float(closeness[k].max(initial=-1.0)) for k in kinds) for kinds in (HEARD, SEEN)}
    least = max(LEAST, min(SURE, max(best.values()) - MARGIN))
    heard = _heard(knowledge, closeness["tags"]) if best[HEARD] >= least else ()
    seen = _seen(knowledge, closeness) if best[SEEN] >= least else ()
    nearest = sorted(
        (Near(k, int(n), knowledge.names[k][n], float(c[n])) for k, c in closeness.items() for n in _top(c, SHOWN)),
        key=lambda near: -near.closeness,
    )
    return Grounding(text, vector, heard, seen, tuple(nearest[:SHOWN]))


def _closeness(knowledge: Knowledge, kind: Kind, vector: F32) -> F32:
    """The best cosine of each entry's words [n]; -1 for an entry without words."""
    mine = knowledge.kind == KINDS.index(kind)
    best = np.full(len(knowledge.names[kind]), -1.0, np.float32)
    np.maximum.at(best, knowledge.index[mine], knowledge.phrases[mine] @ vector)
    return best


def _heard(knowledge: Knowledge, closeness: F32) -> tuple[Near, ...]:
    top = int(closeness.argmax())
    together = np.clip((knowledge.alike[top] - ALIKE) / (1 - ALIKE), 0, 1)
    together[top] = 1.0
    weights = np.exp((closeness - closeness[top]) / TEMPERATURE) * together * (closeness > closeness[top] - REACH)
    return _nears(knowledge, "tags", closeness, weights / weights.sum())


def _seen(knowledge: Knowledge, closeness: dict[Kind, F32]) -> tuple[Near, ...]:
    """Objects, concepts and labels at once: no more than `MARGIN` behind the best."""
    best = max(float(closeness[kind].max(initial=-1.0)) for kind in SEEN)
    found = [
        near
        for kind in SEEN
        for near in _nears(knowledge, kind, closeness[kind], np.exp((closeness[kind] - best) / TEMPERATURE))
        if near.closeness >= best - MARGIN
    ]
    return tuple(sorted(found, key=lambda near: -near.weight))


def _nears(knowledge: Knowledge, kind: Kind, closeness: F32, weights: F32) -> tuple[Near, ...]:
    order = np.argsort(-weights, kind="stable")
    return tuple(
        Near(kind, int(n), knowledge.names[kind][n], float(closeness[n]), float(weights[n]))
        for n in order
        if weights[n] >= LEAST_WEIGHT
    )


def _top(closeness: F32, count: int) -> list[int]:
    return [int(n) for n in np.argsort(-closeness, kind="stable")[:count]]


def _listed(found: Sequence[Near], *, shares: bool) -> str:
    return ", ".join(f"{near.name} {near.weight if shares else near.closeness:.2f}" for near in found[:SHOWN])
