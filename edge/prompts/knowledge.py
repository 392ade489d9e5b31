"""What a model's `text.npz` holds: words for all that it recognises, what each is ordinarily, and the text's way into
the space of its output ``aligned``. Written by `edge.learn.align.file` together with the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.engine.manifest import ModelFolder
from edge.errors import InputError
from edge.profile import load_part
from edge.types import F32

ConceptKind = Literal["tags", "classes", "picture_tags", "labels"]
CONCEPT_KINDS: tuple[ConceptKind, ...] = ("tags", "classes", "picture_tags", "labels")
FILE = "text.npz"
SCHEMA = 2


@dataclass(frozen=True, slots=True)
class PromptCalibration:
    """``logit = scale * evidence + offset``, fitted on names of sounds (`edge.learn.align.fit`).

    ``closeness`` is what the cosine to the text counts beside the tags, in units of ``spread``, its reach above
    what is ordinary; ``spread_seen`` is that of the picture's cosine.
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
    is the correlation of the tags over ordinary sound. ``mean`` [384], ``basis`` [384,D] lead into the aligned space;
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
