"""Fits what prompts need to an exported graph: `align.pt` for the network, `text.npz` for the model folder.

    fit_alignment(engine, data, packages, photos).save(folder)   # align.pt and align_text.npz
    ...                                # load_text_projection(folder / "align.pt") into the network; export
    write_knowledge(engine, folder)    # text.npz beside the graph: it names the graph's digest

Both files belong to one sound and one picture encoder, whose background statistics they hold. Fit again after training
either encoder; the first graph may have no `align`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from edge.engine.contract import dtype_of
from edge.engine.manifest import ModelFolder, load_folder
from edge.profile import ProfilePart, load_part, save_part
from edge.prompts.encoder import TextEncoder, find_text_model
from edge.prompts.grounding import FILE, SCHEMA, ModelVocabulary, PromptCalibration, concept_names, normalised_text
from edge.train.align.calibration import fit_calibration
from edge.train.align.space import (
    KINDS,
    EncodeSound,
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
EncodePictures = Callable[[U8], tuple[F32, F32]]
"""Pictures u8 [n,256,448,3] -> log-odds of the picture tags [n,1000] and of the classes' best boxes [n,80]."""
BACKGROUND_WINDOWS: Final = 600  # ordinary windows that text.npz keeps
MIN_COSINE: Final = 0.995  # cosine between the graph's answer and this module's, 16-bit weights and all
ALIGNMENT_FILE: Final = "align_text.npz"
_EPSILON: Final = 1e-7


@dataclass(frozen=True, slots=True)
class FittedAlignment:
    """The module for the graph and everything for text.npz but the graph's digest."""

    align: TextProjection
    text: ProfilePart

    def save(self, folder: Path) -> None:
        """Write align.pt and align_text.npz."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.align.state_dict(), folder / "align.pt")
        save_part(folder / ALIGNMENT_FILE, self.text)


def fit_alignment(
    engine: Path, data: Path, packages: Path, photos: Path | None, *, windows: int = 3000, pictures: int = 450,
    seed: int = 5,
) -> FittedAlignment:  # fmt: skip
    """Measure what is ordinary, train the space, calibrate. Only open material; about ten minutes on one core."""
    folder = load_folder(engine)
    encoders = GraphEncoders(folder.graph)
    sound_logits = encode_background(encoders.encode_sound, load_background_sounds(data, packages), windows, seed)
    picture_logits = picture_log_odds(encoders.encode_pictures, data, photos, pictures, seed)
    manifest = folder.manifest
    phrases = all_phrases(folder.tag_names, manifest.classes, folder.picture_tag_names, manifest.label_names)
    encoder = TextEncoder(find_text_model())
    embeddings = encoder.encode([normalised_text(phrase.text) for phrase in phrases])
    return fit_from_logits(
        folder, sound_logits, picture_logits, phrases, embeddings, encoder, encoders.encode_sound, data
    )


def fit_from_logits(
    folder: ModelFolder, sound_logits: TagLogits, picture_logits: F32, phrases: list[Phrase], embeddings: F32,
    encoder: TextEncoder,
    encode_sound: EncodeSound, data: Path,
) -> FittedAlignment:  # fmt: skip
    """Fits the parts to logits of background sounds and pictures."""
    net, space = initial_projection(sound_logits, picture_logits, phrases, embeddings)
    space = train_projection(net, space, sound_logits, phrases, embeddings)
    knowledge = build_knowledge(folder, net.eval(), space, sound_logits, picture_logits, phrases, embeddings)
    calibration = fit_calibration(knowledge, encoder, net, encode_sound, data)
    net.fold_sharpness()
    return FittedAlignment(net, knowledge_part(replace(knowledge, calibration=calibration)))


def build_knowledge(
    folder: ModelFolder,
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
        concept_names(folder),
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


def picture_log_odds(encode_pictures: EncodePictures, data: Path, photos: Path | None, count: int, seed: int) -> F32:
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


class GraphEncoders:
    """The encoders of an exported graph, the two of them apart."""

    def __init__(self, graph: Path) -> None:
        self._sound = _Subgraph(graph, ("tags",))
        self._picture = _Subgraph(graph, ("picture_tags", "classes"))

    def encode_sound(self, waves: F32) -> F32:
        """Windows [n,64000] -> log-odds of the tags [n,527]."""
        (tags,) = self._sound.run(audio=waves, audio_ok=np.ones(len(waves), np.float32))
        return _clipped_log_odds(tags)

    def encode_pictures(self, pictures: U8) -> tuple[F32, F32]:
        """Pictures u8 [n,256,448,3] -> log-odds of picture tags [n,1000] and classes [n,80]."""
        frames = np.stack([pictures, pictures], 1)
        tags, classes = self._picture.run(frames=frames, video_ok=np.ones(frames.shape[:2], np.float32))
        return _clipped_log_odds(tags), _clipped_log_odds(classes)


class _Subgraph:
    """What leads to these outputs of a graph, on one thread. Inputs that are not given are zero."""

    def __init__(self, graph: Path, outputs: tuple[str, ...]) -> None:
        import onnx
        import onnxruntime as ort

        model = onnx.load(str(graph))
        inputs = [tensor.name for tensor in model.graph.input]
        piece = onnx.utils.Extractor(model).extract_model(inputs, list(outputs))
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(piece.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def run(self, **inputs: NDArray[Any]) -> list[F32]:
        rows = len(next(iter(inputs.values())))
        feed = {
            tensor.name: inputs.get(tensor.name, np.zeros((rows, *tensor.shape[1:]), dtype_of(tensor.type)))
            for tensor in self._session.get_inputs()
        }
        return [np.asarray(value, np.float32) for value in self._session.run(None, feed)]


def _clipped_log_odds(p: F32) -> F32:
    held = np.clip(p.astype(np.float64), _EPSILON, 1 - _EPSILON)
    return np.asarray(np.log(held) - np.log1p(-held), np.float32)


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
        expected = align.project_sound(torch.from_numpy(_clipped_log_odds(tags))).numpy()
    closeness = (expected * aligned).sum(1)[there]
    if not there.any() or closeness.min() < MIN_COSINE:
        raise ValueError(
            f"{folder.graph}: was exported without this align.pt; load it into the network and export again"
        )
