"""Fits what prompts need to a model's encoders: `align.pt` for the network, `text.npz` for the model folder.

    fit_alignment(encoders, data, packages, photos, AlignmentPlan()).save(folder)   # align.pt and align_text.npz
    ...                                # load_text_projection(folder / "align.pt") into the network; export
    write_knowledge(engine, folder)    # text.npz beside the graph: it names the graph's digest

Both files belong to one sound and one picture encoder, whose background statistics they hold. Fit again after training
either encoder; the graph may be one without `align`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from edge.engine.manifest import ModelFolder, load_folder
from edge.profile import ProfilePart, load_part, save_part
from edge.prompts.encoder import TextEncoder, find_text_model
from edge.prompts.grounding import FILE, SCHEMA, ModelVocabulary, PromptCalibration, normalised_text
from edge.train import checkpoint
from edge.train.align.calibration import fit_calibration
from edge.train.align.encoders import ConceptNames, NamedEncoders, clipped_log_odds
from edge.train.align.space import (
    KINDS,
    Phrase,
    TagLogits,
    TextSpace,
    all_phrases,
    encode_background,
    initial_projection,
    train_projection,
)
from edge.train.nets.heads import TextProjection, load_text_projection
from edge.train.nets.image import PICTURE_TAG_COUNT
from edge.train.scenes.backgrounds import load_backgrounds
from edge.train.scenes.soundbank import load_background_sounds
from edge.types import F32, U8

_log = logging.getLogger(__name__)
BACKGROUND_WINDOWS: Final = 600  # ordinary windows that text.npz keeps
MIN_COSINE: Final = 0.995  # cosine between the graph's answer and this module's, 16-bit weights and all
ALIGNMENT_FILE: Final = "align_text.npz"


@dataclass(frozen=True, slots=True)
class FittedAlignment:
    """The module for the graph and everything for text.npz but the graph's digest."""

    align: TextProjection
    text: ProfilePart

    def save(self, folder: Path) -> None:
        """Write align_text.npz and, last, align.pt, whose presence means that both are done."""
        folder.mkdir(parents=True, exist_ok=True)
        save_part(folder / ALIGNMENT_FILE, self.text)
        checkpoint.save(folder / "align.pt", self.align.state_dict())


@dataclass(frozen=True, slots=True)
class AlignmentPlan:
    """How many windows of ordinary sound and how many ordinary pictures are measured."""

    windows: int = 3000
    pictures: int = 450
    seed: int = 5


def fit_alignment(
    encoders: NamedEncoders, data: Path, packages: Path, photos: Path | None, plan: AlignmentPlan
) -> FittedAlignment:
    """Measure what is ordinary, train the space, calibrate. Only open material; about ten minutes on one core."""
    sound_logits = encode_background(
        encoders.encode_sound, load_background_sounds(data, packages), plan.windows, plan.seed
    )
    picture_logits = picture_log_odds(encoders.encode_pictures, data, photos, plan.pictures, plan.seed)
    names = encoders.names
    phrases = all_phrases(names["tags"], names["classes"], names["picture_tags"], names["labels"])
    encoder = TextEncoder(find_text_model())
    embeddings = encoder.encode([normalised_text(phrase.text) for phrase in phrases])
    return fit_from_logits(encoders, sound_logits, picture_logits, phrases, embeddings, encoder, data)


def fit_from_logits(
    encoders: NamedEncoders, sound_logits: TagLogits, picture_logits: F32, phrases: list[Phrase], embeddings: F32,
    encoder: TextEncoder, data: Path,
) -> FittedAlignment:  # fmt: skip
    """Fits the parts to logits of background sounds and pictures."""
    net, space = initial_projection(sound_logits, picture_logits, phrases, embeddings)
    space = train_projection(net, space, sound_logits, phrases, embeddings)
    knowledge = build_knowledge(encoders.names, net.eval(), space, sound_logits, picture_logits, phrases, embeddings)
    calibration = fit_calibration(knowledge, encoder, net, encoders.encode_sound, data)
    net.fold_sharpness()
    return FittedAlignment(net, knowledge_part(replace(knowledge, calibration=calibration)))


def build_knowledge(
    names: ConceptNames,
    net: TextProjection,
    space: TextSpace,
    sound_logits: TagLogits,
    picture_logits: F32,
    phrases: list[Phrase],
    embeddings: F32,
) -> ModelVocabulary:
    """What the service will read from text.npz, not yet calibrated."""
    usual, scale = net.heard_usual.numpy().copy(), net.heard_scale.numpy().copy()
    alike = np.corrcoef((sound_logits.tags - usual).T)
    with torch.no_grad():
        probable = torch.sigmoid(torch.from_numpy(picture_logits))
        looks = net.project_picture(probable[:, :PICTURE_TAG_COUNT], probable[:, PICTURE_TAG_COUNT:]).numpy()
        sounds = net.project_sound(torch.from_numpy(sound_logits.tags[:BACKGROUND_WINDOWS])).numpy()
    spread = _cosine_spread(sounds, space.project(embeddings[[p.kind == "tags" for p in phrases]]))
    spread_seen = _cosine_spread(looks, space.project(embeddings[[p.kind != "tags" for p in phrases]]))
    return ModelVocabulary(
        dict(names),
        embeddings,
        np.array([KINDS.index(p.kind) for p in phrases], np.uint8),
        np.array([p.index for p in phrases], np.int64),
        usual, scale, np.asarray(alike, np.float32), space.mean, space.basis, sounds, looks,
        PromptCalibration(1.0, 0.0, 1.0, spread, spread_seen),
    )  # fmt: skip


def _cosine_spread(windows: F32, words: F32) -> float:
    """How far a word's cosine reaches above its median over these windows: the 0.9 quantile, of the median word."""
    cosines = windows @ words.T
    return float(np.median(np.quantile(cosines, 0.9, axis=0) - np.median(cosines, axis=0)))


def knowledge_part(knowledge: ModelVocabulary) -> ProfilePart:
    """The arrays as they are stored: phrases and correlations in 8 bits, vectors in 16."""
    largest = np.abs(knowledge.phrases).max(1, keepdims=True)
    arrays: dict[str, NDArray[np.generic]] = {
        "phrases": np.round(knowledge.phrases / largest * 127).astype(np.int8),
        "kind": knowledge.kind,
        "index": knowledge.index.astype(np.uint16),
        "usual": knowledge.usual,
        "scale": knowledge.scale,
        "alike": np.round(knowledge.alike * 127).astype(np.int8),
        "mean": knowledge.mean,
        "basis": knowledge.basis.astype(np.float16),
        "ordinary_heard": knowledge.ordinary_heard.astype(np.float16),
        "ordinary_seen": knowledge.ordinary_seen.astype(np.float16),
    }
    labels = [name for n, name in enumerate(knowledge.names["labels"]) if n in _phrased_labels(knowledge)]
    facts = {"schema": SCHEMA, "calibration": asdict(knowledge.calibration), "labels": labels}
    return ProfilePart(arrays, facts)


def write_knowledge(engine: Path, fitted: Path) -> Path:
    """Put text.npz into a model folder whose graph was exported with this align.pt; the path."""
    folder = load_folder(engine)
    part = load_part(fitted / ALIGNMENT_FILE)
    _check_labels(folder, part)
    _check_align(folder, load_text_projection(fitted / "align.pt"))
    path = engine / FILE
    save_part(path, ProfilePart(part.arrays, {**part.facts, "graph_sha256": folder.manifest.sha256}))
    return path


def picture_log_odds(
    encode_pictures: Callable[[U8], tuple[F32, F32]], data: Path, photos: Path | None, count: int, seed: int
) -> F32:
    """Log-odds [n,1080] of ordinary open pictures: picture tags, then classes."""
    parts = []
    for held_out, share in ((False, 2 / 3), (True, 1 / 3)):
        places = load_backgrounds(data, photos, held_out)
        rng = np.random.default_rng(seed + held_out)
        parts += [
            np.concatenate(encode_pictures(places.draw_pictures(rng, 1, rooms=0.1)), 1)
            for _ in range(round(count * share))
        ]
    return np.concatenate(parts)


def _phrased_labels(knowledge: ModelVocabulary) -> set[int]:
    return {int(n) for n in knowledge.index[knowledge.kind == KINDS.index("labels")]}


def _check_labels(folder: ModelFolder, part: ProfilePart) -> None:
    """Indices of labels were taken before the export: its labels must be the same."""
    kinds, index = part.arrays["kind"], part.arrays["index"]
    there = sorted({int(n) for n in index[kinds == KINDS.index("labels")]})
    names = folder.manifest.label_names
    if [names[n] if n < len(names) else "" for n in there] != list(part.facts["labels"]):
        raise ValueError(f"the graph's labels {names} are not those that align was fitted with; fit again")


def _check_align(folder: ModelFolder, align: TextProjection) -> None:
    """The graph's golden answers must be this module's: another align.pt would mean other directions."""
    with np.load(folder.golden) as golden:
        tags, aligned = golden["out_tags"], golden["out_aligned"][:, 1]
    there = np.linalg.norm(aligned, axis=1) > 0.5
    with torch.no_grad():
        expected = align.project_sound(torch.from_numpy(clipped_log_odds(tags))).numpy()
    closeness = (expected * aligned).sum(1)[there]
    if not there.any() or closeness.min() < MIN_COSINE:
        raise ValueError(
            f"{folder.graph}: was exported without this align.pt; load it into the network and export again"
        )
