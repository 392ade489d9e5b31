"""What is heard of each label: windows of open and made sounds, encoded once, and a linear reading of them.

The reading starts from the label's own AudioSet tags and moves away from them only as far as sounds of other sources
bear it out: the ridge is the strongest of those that rank sounds of sources left out well, label by label.
"""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edge.train import checkpoint
from edge.train.data import DecodedSound, Wave, clip_sounds, training_sounds
from edge.train.evaluation.metrics import average_precision
from edge.train.labels import LABEL_NAMES, LABELS, RATE_HZ, SAMPLES
from edge.train.nets.audio import AudioNet
from edge.train.nets.heads import FusionHead, tag_offsets
from edge.train.scenes import synthesis
from edge.train.scenes.degradation import draw_severity, through_g711, worsen_sound
from edge.train.scenes.near_misses import NEAR_MISSES
from edge.train.scenes.soundbank import SoundBank, background_bed, crop_loudest, simulate_microphone, synthetic_speech

_log = logging.getLogger(__name__)
RIDGES: Final = (0.1, 0.03, 0.01, 0.003)
NO_READING: Final = 1e4
"""A ridge at which nothing is left of the reading."""
RECOGNISED: Final = -2.2
"""Log-odds of a label's own tags, 10 %, from which a made sound counts as an example."""
FEWEST_SOURCES: Final = 3
"""Sources of real sounds of a label, below which its own tags are all that is read."""
_NARROW: Final = 0.2
"""The share of windows that come as a camera's 8 kHz sound."""
_FOLDS: Final = 4
_RATE: Final = 0.02
_DRAWS: Final = 60
_CONFUSED: Final = (("gunshot", "explosion"), ("siren", "alarm"), ("scream", "crying_baby"))
"""Pairs that no file name keeps apart: an example of one says nothing of the other."""


@dataclass(frozen=True, slots=True)
class SoundPlan:
    """How many windows of each real sound, how many sounds are made for each label, and how much a made one counts."""

    copies: int = 16
    made: int = 40
    made_weight: float = 0.3
    steps: int = 250
    seed: int = 23


class SoundRows(NamedTuple):
    """Windows: AudioSet log-odds [N,527], embedding [N,384], truth [N,C] (-1 where nobody judges), severity [N], weight
    [N], and the number of its source [N], negative for made ones."""

    tags: Tensor
    embedding: Tensor
    truth: Tensor
    severity: Tensor
    weight: Tensor
    source: Tensor


def load_sound_rows(
    net: AudioNet, data: Path, packages: Path | None, work: Path, plan: SoundPlan, held_out: bool
) -> SoundRows:
    """The rows of a split; encoded once, kept in <work>/heard_<split>.pt."""
    path = work / f"heard_{'held' if held_out else 'train'}.pt"
    stored = checkpoint.load(path)
    if stored is None:
        stored = list(_encode_rows(net, data, packages, plan, held_out))
        checkpoint.save(path, stored)
    return without_unrecognised(SoundRows(*stored))


def without_unrecognised(rows: SoundRows) -> SoundRows:
    """Rows in which a made sound is an example only where the encoder takes it for one: a made shot that sounds like a
    door to it would teach that doors are shots."""
    truth = rows.truth.clone()
    for c, label in enumerate(LABELS):
        if label.tags:
            own = rows.tags[:, [tag for tag, _ in label.tags]].amax(1)
            truth[(rows.source < 0) & (truth[:, c] > 0.5) & (own < RECOGNISED), c] = -1
    return rows._replace(truth=truth)


def _encode_rows(net: AudioNet, data: Path, packages: Path | None, plan: SoundPlan, held_out: bool) -> SoundRows:
    rng = np.random.default_rng(plan.seed + (1_000_003 if held_out else 0))
    real = [x for x in (*training_sounds(data, packages), *clip_sounds(data)) if x.held_out == held_out]
    made = _made_sounds(plan.made, held_out, rng)
    beds = SoundBank(others=[x.wave for x in (*real, *made) if not x.label and not x.unsure])
    rows: list[list[Tensor]] = []
    for sounds, copies, worth in ((real, plan.copies, 1.0), (made, max(1, plan.copies // 4), plan.made_weight)):
        for sound in sounds:
            drawn = [_draw_window(sound, beds, rng) for _ in range(copies)]
            with torch.no_grad():
                out = net(torch.from_numpy(np.stack([wave for wave, _ in drawn])))
            number = -1 if sounds is made else zlib.crc32(sound.group.encode())
            columns = (
                torch.tensor([severity for _, severity in drawn]), torch.full((copies,), worth / copies),
                torch.full((copies,), number, dtype=torch.long),
            )  # fmt: skip
            rows.append([out.logits, out.embedding, sound_truth(sound).expand(copies, -1), *columns])
    _log.info("sounds heard: %d real, %d made", len(real), len(made))
    return SoundRows(*(torch.cat(column) for column in zip(*rows, strict=True)))


def _made_sounds(count: int, held_out: bool, rng: np.random.Generator) -> list[DecodedSound]:
    """Made events, what is mistaken for them, talk, and background alone."""
    made = [
        DecodedSound(recipes[n % len(recipes)](rng), label, f"made {label}", held_out)
        for label, recipes in synthesis.EVENTS.items()
        for n in range(count)
    ]
    others = [recipe(rng) for recipe in NEAR_MISSES for _ in range(max(4, count // 3))]
    others += [synthesis.noise_bed(rng, 3.0) for _ in range(count)] + synthetic_speech(held_out)
    return made + [DecodedSound(wave, "", "made", held_out) for wave in others]


def _draw_window(sound: DecodedSound, beds: SoundBank, rng: np.random.Generator) -> tuple[Wave, float]:
    """A window f32 [SAMPLES] that holds the sound, through a microphone or not, and how bad it is."""
    severity = draw_severity(rng)
    wave = crop_loudest(sound.wave, SAMPLES, rng)
    wave = wave / (float(np.abs(wave).max()) + 1e-6)
    if severity:
        wave = worsen_sound(wave, _surroundings(beds, rng), severity)
    else:
        wave = wave + background_bed(beds, rng, SAMPLES / RATE_HZ)[:SAMPLES] * 0.3 * 10 ** (-rng.uniform(25, 60) / 20)
    if rng.random() < 0.5:
        wave = simulate_microphone(wave.astype(np.float32), rng)
    else:
        wave = np.clip(wave * 10 ** rng.uniform(-2.7, 0), -1, 1).astype(np.float32)
    return through_g711(wave) if rng.random() < _NARROW else wave, severity


def _surroundings(beds: SoundBank, rng: np.random.Generator) -> Wave:
    """Other sounds that go on, one or two at once, or steady noise; f32 [SAMPLES]."""
    noise = background_bed(beds, rng, SAMPLES / RATE_HZ)[:SAMPLES]
    for _ in range(int(rng.choice([0, 1, 1, 2]))):
        other = np.resize(beds.draw_other(rng), SAMPLES)
        noise = noise * rng.uniform(0, 0.5) + other / (float(np.sqrt(np.mean(other**2))) + 1e-4)
    return np.asarray(noise, np.float32)


def unjudged_labels(sound: DecodedSound) -> tuple[str, ...]:
    """Labels of which the sound is neither an example nor a counterexample."""
    partners = (pair[1 - pair.index(sound.label)] for pair in _CONFUSED if sound.label in pair)
    return (*sound.unsure, *partners)


def sound_truth(sound: DecodedSound) -> Tensor:
    """What a window with this sound shows [C]: 1, 0, or -1 where nobody judges."""
    truth = torch.zeros(len(LABELS))
    for name in unjudged_labels(sound):
        truth[LABEL_NAMES.index(name)] = -1
    if sound.label in LABEL_NAMES:
        truth[LABEL_NAMES.index(sound.label)] = 1
    return truth


class _Standard(NamedTuple):
    """Tags and embedding of windows about what is usual."""

    raw: Tensor
    tags: Tensor
    embedding: Tensor


class _Reading(NamedTuple):
    """Offsets of the label's tags [C,T], reading of all tags [C,527] and of the embedding [C,384], constants [C]."""

    bias: Tensor
    tags: Tensor
    embedding: Tensor
    constant: Tensor


class SoundReading(NamedTuple):
    """The ridge chosen for each label, and what is heard in each row [N,C] by readings that were fitted without its
    source: how well sounds are told that nothing was fitted to."""

    ridges: dict[str, float]
    left_out: Tensor


def fit_sound_reading(head: FusionHead, rows: SoundRows, plan: SoundPlan) -> SoundReading:
    """Write what is heard of each label into the head."""
    _note_usual(head, rows)
    x = _Standard(
        rows.tags, ((rows.tags - head.tag_mean) * head.tag_scale).clamp(-6, 6),
        (rows.embedding - head.sound.mean) * head.sound.scale,
    )  # fmt: skip
    names, whole = (NO_READING, *RIDGES), torch.ones(len(rows.weight), dtype=torch.bool)
    told = [_predict_left_out(head, rows, x, ridge, plan) for ridge in names]
    best = [
        names[choose_ridge(told, rows, c)] if len(real_sources(rows, c)) >= FEWEST_SOURCES else NO_READING
        for c in range(len(LABELS))
    ]
    fits = {ridge: _fit(head, rows, x, whole, ridge, plan.steps) for ridge in set(best)}
    chosen, left_out = {}, own_tags(head, rows.tags)
    with torch.no_grad():
        for c, label in enumerate(LABELS):
            if not label.tags or label.body is not None:
                continue
            fit, chosen[label.name] = fits[best[c]], best[c]
            if best[c] == NO_READING:
                continue
            left_out[:, c] = told[names.index(best[c])][:, c]
            head.tag_bias[c], head.tag_reading.weight[c] = fit.bias[c], fit.tags[c]
            head.adapter.weight[c] = fit.embedding[c] * head.sound.scale
            head.adapter.bias[c] = fit.constant[c] - head.adapter.weight[c] @ head.sound.mean
    _log.info("sounds: ridges %s", chosen)
    return SoundReading(chosen, left_out)


def own_tags(head: FusionHead, tags: Tensor) -> Tensor:
    """What the labels' own tags say [N,C], before anything is learned."""
    picked = tags.index_select(1, head.tag_index.flatten()).reshape(len(tags), *head.tag_index.shape)
    return torch.logsumexp(picked + tag_offsets(), 2)


def real_sources(rows: SoundRows, label: int) -> set[int]:
    """The sources of real sounds that show a label."""
    return set(rows.source[rows.truth[:, label] > 0.5].tolist()) - {-1}


def _note_usual(head: FusionHead, rows: SoundRows) -> None:
    """What tags and embeddings are where nothing happens."""
    usual = rows.weight[:, None] * (rows.truth.amax(1, keepdim=True) < 0.5)
    for values, mean, scale, least in (
        (rows.tags, head.tag_mean, head.tag_scale, 0.5), (rows.embedding, head.sound.mean, head.sound.scale, 0.05)
    ):  # fmt: skip
        mean.copy_((values * usual).sum(0) / usual.sum())
        scale.copy_(1.0 / (((values - mean) ** 2 * usual).sum(0).div(usual.sum()).sqrt() + least))


def _predict_left_out(head: FusionHead, rows: SoundRows, x: _Standard, ridge: float, plan: SoundPlan) -> Tensor:
    """Log-odds [N,C] of real sounds by readings that were fitted without their sources, fold by fold."""
    fold, is_real, z = rows.source % _FOLDS, rows.source >= 0, torch.zeros_like(rows.truth)
    for n in range(_FOLDS):
        out = is_real & (fold == n)
        z[out] = _read(head, _part(x, out), _fit(head, rows, x, ~out, ridge, plan.steps))
    return z


def choose_ridge(told: list[Tensor], rows: SoundRows, label: int) -> int:
    """Which of the ridges, strongest first: the strongest whose average precision over real sounds, as ``told`` without
    their sources, is within one standard error of the best (Breiman et al. 1984, 3.4.3). The error is a bootstrap's
    over sources."""
    judged = (rows.source >= 0) & (rows.truth[:, label] >= 0)
    shown, source = (rows.truth[judged, label] > 0.5).numpy(), rows.source[judged].numpy()
    scores = [z[judged, label].double().numpy() for z in told]
    precision = np.array([average_precision(score, shown) for score in scores])
    best, rng = int(precision.argmax()), np.random.default_rng(label)
    members = {name: np.flatnonzero(source == name) for name in np.unique(source)}
    names, drawn = list(members), []
    for _ in range(_DRAWS):
        some = np.concatenate([members[names[n]] for n in rng.integers(0, len(names), len(names))])
        if shown[some].any():
            drawn.append(average_precision(scores[best][some], shown[some]))
    return int(np.argmax(precision >= precision[best] - float(np.std(drawn))))


def _fit(head: FusionHead, rows: SoundRows, x: _Standard, part: Tensor, ridge: float, steps: int) -> _Reading:
    some, y, weight = _part(x, part), rows.truth[part], balanced(rows.truth[part], rows.weight[part])
    start, labels = head.tag_bias.detach(), len(LABELS)
    free = _Reading(
        start.clone(), torch.zeros(labels, x.tags.shape[1]), torch.zeros(labels, x.embedding.shape[1]),
        torch.zeros(labels),
    )  # fmt: skip
    for p in free:
        p.requires_grad_(True)
    optimiser = torch.optim.Adam(free, lr=_RATE)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = _RATE * (0.5 + 0.5 * float(np.cos(np.pi * step / steps)))
        z = _read(head, some, free)
        fit = (F.binary_cross_entropy_with_logits(z, y.clamp(min=0), reduction="none") * weight).sum()
        stray = free.tags.pow(2).sum() + free.embedding.pow(2).sum() + (free.bias - start).pow(2).sum()
        optimiser.zero_grad()
        (fit + ridge * stray).backward()
        optimiser.step()
    return _Reading(*(p.detach() for p in free))


def _read(head: FusionHead, x: _Standard, reading: _Reading) -> Tensor:
    """Log-odds [N,C]."""
    shape = (len(x.raw), *head.tag_index.shape)
    picked = x.raw.index_select(1, head.tag_index.flatten()).reshape(shape) + reading.bias
    linear = x.tags @ reading.tags.T + x.embedding @ reading.embedding.T
    return torch.logsumexp(picked, 2) + linear + reading.constant


def _part(x: _Standard, part: Tensor) -> _Standard:
    return _Standard(*(values[part] for values in x))


def balanced(truth: Tensor, weight: Tensor, share: float = 0.3) -> Tensor:
    """Weights [N,C] with which a label's examples are this share of all, and all sum to 1."""
    shown, absent = weight[:, None] * (truth > 0.5), weight[:, None] * (truth == 0)
    return share * shown / shown.sum(0).clamp(min=1e-9) + (1 - share) * absent / absent.sum(0).clamp(min=1e-9)
