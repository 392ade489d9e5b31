"""Trains the space that text, sound and picture share (`TextProjection`), from open sound without labels.

The teacher is the sound encoder on a clean window: the tags that it finds, by name. The student gets that window
through a poor microphone in a room and learns, contrastively in both directions, to point at any phrase for those tags.
The picture side stays the convex combination of names: there are too few open pictures to learn more.

The phrases are the names of the model's tags and classes and their synonyms (`words.txt`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.train.nets.heads import SPACE_DIM, TextProjection, normalise
from edge.train.scenes.soundbank import BackgroundSounds

_log = logging.getLogger(__name__)
Kind = Literal["tags", "classes", "picture_tags", "labels"]
KINDS: Final[tuple[Kind, ...]] = ("tags", "classes", "picture_tags", "labels")
_WORDS: Final = Path(__file__).with_name("words.txt")


@dataclass(frozen=True, slots=True)
class Phrase:
    """``text`` means entry ``index`` of the list ``kind``."""

    text: str
    kind: Kind
    index: int


def load_synonyms() -> dict[str, dict[str, list[str]]]:
    """Section -> name -> phrases, of words.txt."""
    words: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in _WORDS.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = words.setdefault(line.strip("[] "), {})
        elif line and not line.startswith("#"):
            name, _, phrases = line.partition(": ")
            section[name] = [phrase.strip() for phrase in phrases.split(";")]
    return words


def all_phrases(
    tags: Sequence[str], classes: Sequence[str], picture_tags: Sequence[str], labels: Sequence[str]
) -> list[Phrase]:
    """All phrases; ValueError for words about a name that is not there. ImageNet's names are lists of synonyms.

    Of the labels only those in the synonyms: the others have sound, and tags describe them better.
    """
    words = load_synonyms()
    for section, names in (("tags", tags), ("classes", classes)):
        unknown = set(words[section]) - set(names)
        if unknown:
            raise ValueError(f"words.txt, [{section}]: the model does not know {sorted(unknown)}")
    phrases = [Phrase(text, "tags", n) for n, tag in enumerate(tags) for text in (tag, *words["tags"].get(tag, ()))]
    phrases += [
        Phrase(text, "classes", n) for n, name in enumerate(classes) for text in (name, *words["classes"].get(name, ()))
    ]
    phrases += [
        Phrase(text.strip(), "picture_tags", n) for n, names in enumerate(picture_tags) for text in names.split(",")
    ]
    known = {label: n for n, label in enumerate(labels)}
    phrases += [
        Phrase(text, "labels", known[label])
        for label, texts in words["labels"].items()
        if label in known
        for text in (label.replace("_", " "), *texts)
    ]
    return phrases


F32 = NDArray[np.float32]
EncodeSound = Callable[[F32], F32]
"""Windows [n,64000] -> log-odds of the tags [n,527], as in service."""
RANKS: Final = 5
QUANTILE: Final = 0.95
SPREAD: Final = 0.5
_BATCH: Final = 256
_TEMPERATURE: Final = 1 / 20


@dataclass(frozen=True, slots=True)
class TagLogits:
    """Log-odds [n,527] of background windows, as recorded and through the microphone."""

    clean: F32
    tags: F32


@dataclass(frozen=True, slots=True)
class TextSpace:
    """Text embedding e [384] -> unit((e - mean) @ basis), f32 [384] and [384,192]."""

    mean: F32
    basis: F32

    def project(self, embeddings: F32) -> F32:
        """Unit vectors [n,192]."""
        x = (embeddings - self.mean) @ self.basis
        return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def encode_background(encode_sound: EncodeSound, sounds: BackgroundSounds, count: int, seed: int) -> TagLogits:
    """Ordinary windows through the sound encoder."""
    logits = []
    for n, pair in enumerate(sounds.pairs(count, seed)):
        logits.append(encode_sound(np.stack(pair)))
        if n % 500 == 499:
            _log.info("listened to %d of %d windows", n + 1, count)
    both = np.stack(logits)
    return TagLogits(both[:, 0], both[:, 1])


def background_statistics(odds: F32) -> tuple[F32, F32]:
    """What log-odds [n,k] are ordinarily: the median of each, and one over how far it reaches above that where it is
    not among the answers.

    The reach is the 0.95 quantile over the windows in which the entry is not one of the five highest, relative to the
    median of all, to the power 1/2: entries that are always a little on count less. Chosen on names of UrbanSound8K and
    DCASE 2016.
    """
    usual = np.median(odds, 0)
    above = odds - usual
    ranks = (-above).argsort(1).argsort(1)
    reach = np.nanquantile(np.where(ranks < RANKS, np.nan, above), QUANTILE, axis=0)
    reach = np.maximum(reach, 0.05 * float(np.median(reach)))
    return np.asarray(usual, np.float32), np.asarray((reach / np.median(reach)) ** -SPREAD, np.float32)


def initial_projection(
    sound_logits: TagLogits, picture_logits: F32, phrases: Sequence[Phrase], embeddings: F32
) -> tuple[TextProjection, TextSpace]:
    """The module before training: names where their phrases are, in the 192 main directions of all phrases.

    ``picture_logits`` [n,1080] log-odds of ordinary pictures; ``embeddings`` [n,384] of the phrases.
    """
    net = TextProjection()
    for name, odds in (("heard", sound_logits.tags), ("seen", picture_logits)):
        usual, scale = background_statistics(odds)
        getattr(net, f"{name}_usual").copy_(torch.from_numpy(usual))
        getattr(net, f"{name}_scale").copy_(torch.from_numpy(scale))
    tags, concepts, classes = (
        mean_phrase_directions(phrases, embeddings, kind) for kind in ("tags", "picture_tags", "classes")
    )
    seen_names = np.concatenate([concepts, classes])
    mean = tags.mean(0)
    spoken = np.concatenate([embeddings[[p.kind == "tags" for p in phrases]], tags, seen_names]) - mean
    basis = np.linalg.svd(spoken, full_matrices=False)[2][:SPACE_DIM].T
    with torch.no_grad():
        net.heard_names.copy_(torch.from_numpy((tags - mean) @ basis))
        net.seen_names.copy_(torch.from_numpy((seen_names - mean) @ basis))
    return net, TextSpace(mean, np.ascontiguousarray(basis))


def mean_phrase_directions(phrases: Sequence[Phrase], embeddings: F32, kind: str) -> F32:
    """The mean direction [k,384] of each entry's phrases, of one kind, in order."""
    index = np.array([p.index for p in phrases if p.kind == kind])
    rows = embeddings[[p.kind == kind for p in phrases]]
    total = np.zeros((int(index.max()) + 1, embeddings.shape[1]))
    np.add.at(total, index, rows)
    return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), np.float32)


def train_projection(
    net: TextProjection, space: TextSpace, sound_logits: TagLogits, phrases: Sequence[Phrase], embeddings: F32, *,
    epochs: int = 4, rate: float = 5e-4, seed: int = 1, left_out: frozenset[int] = frozenset(),
) -> TextSpace:  # fmt: skip
    """Train the sound side in place and return the text space that goes with it. Tags ``left_out`` are never named."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    text = nn.Linear(embeddings.shape[1], SPACE_DIM, bias=False)
    with torch.no_grad():
        text.weight.copy_(torch.from_numpy(space.basis.T))
    mean, began = torch.from_numpy(space.mean), text.weight.detach().clone()
    names_began = net.heard_names.detach().clone()
    kept = np.array([k for k in range(sound_logits.tags.shape[1]) if k not in left_out])
    first, many = _phrase_offsets(phrases, kept)
    free = [net.heard_names, net.heard_sharpness, *text.parameters()]
    optimiser = torch.optim.Adam(free, lr=rate)
    tags, clean = torch.from_numpy(sound_logits.tags), torch.from_numpy(sound_logits.clean)
    teacher = torch.softmax(((clean - net.heard_usual) * net.heard_scale)[:, kept], 1)
    size = min(_BATCH, len(tags))
    for epoch in range(epochs):
        order, total = torch.from_numpy(rng.permutation(len(tags))), 0.0
        for at in range(0, len(order) - size + 1, size):
            rows = order[at : at + size]
            phrase_embeddings = torch.from_numpy(embeddings[first + (rng.random(len(first)) * many).astype(int)])
            words = normalise(text(phrase_embeddings - mean))
            sound_vectors = net.project_sound(tags[rows])
            loss = soft_info_nce(sound_vectors, words, teacher[rows])
            loss = loss + 2.0 * (text.weight - began).pow(2).sum() / SPACE_DIM
            loss = loss + 0.1 * (net.heard_names - names_began).pow(2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach())
        if epoch % 5 == 4:
            _log.info("epoch %d: loss %.3f", epoch + 1, total * size / len(order))
    basis = text.weight.detach().numpy().T
    return TextSpace(space.mean, np.ascontiguousarray(basis, dtype=np.float32))


def _phrase_offsets(phrases: Sequence[Phrase], tags: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each tag's phrases begin and how many they are; a tag's phrases stand together."""
    of_tag = np.array([p.index if p.kind == "tags" else -1 for p in phrases])
    first = np.array([int(np.argmax(of_tag == k)) for k in tags])
    many = np.array([int((of_tag == k).sum()) for k in tags])
    return first, many


def soft_info_nce(windows: Tensor, words: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy of finding the words [K,192] for windows [B,192] and the windows for words, as the teacher [B,K]
    shares them out (InfoNCE with soft targets)."""
    close = windows @ words.T / _TEMPERATURE
    to_words = -(teacher * F.log_softmax(close, 1)).sum(1).mean()
    column = teacher.sum(0)
    to_windows = -((teacher / (column + 1e-6)) * F.log_softmax(close, 0)).sum(0)
    return to_words + (to_windows * column).sum() / column.sum()
