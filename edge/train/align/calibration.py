"""Calibrates prompts: turns a prompt's evidence into a probability, from the class names of open recordings.

Each class name of ESC-10 is scored on each recording of ESC-10, beside names of things that occur in none of them. One
scale and one offset serve all prompts; true pairs together weigh `POSITIVE_SHARE`.
"""

from __future__ import annotations

import csv
import logging
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from edge.media_time import MediaTime
from edge.prompts.encoder import TextEncoder
from edge.prompts.grounding import ModelVocabulary, PromptCalibration, ground
from edge.prompts.scorer import F64, EvidenceSmoother, GroundedPrompt, PromptScorer
from edge.train.align.space import EncodeSound
from edge.train.data import decode_audio
from edge.train.labels import COCO, HOP_S, RATE_HZ, SAMPLES
from edge.train.nets.heads import TextProjection
from edge.train.nets.image import PICTURE_TAG_COUNT
from edge.types import F32, Features, Scores

_log = logging.getLogger(__name__)
CLOSENESS: Final = 0.75
"""How much the way by meaning counts beside the way by name; chosen on names of UrbanSound8K and DCASE 2016."""
POSITIVE_SHARE: Final = 0.05
LOUDNESS_RATIO: Final = 10.0  # a window within 20 dB of the recording's loudest holds its sound
UNRELATED_PROMPTS: Final = (
    "a train", "an airplane", "church bells", "footsteps", "snoring", "breathing", "clapping hands", "thunder", "a cat",
    "a cow", "a frog", "breaking glass", "a vacuum cleaner", "fireworks", "a flushing toilet", "a creaking door",
    "applause", "a cheering crowd", "a hair dryer", "scissors", "sheep", "a duck", "an explosion", "a whistle",
    "a scream", "a bicycle bell", "drums", "a zipper", "burping", "a gunshot", "a car horn", "a siren", "a piano",
    "a telephone ringing", "someone typing on a keyboard", "a camera shutter", "a person laughing", "a horse",
)  # fmt: skip


def fit_calibration(
    knowledge: ModelVocabulary,
    encoder: TextEncoder,
    net: TextProjection,
    encode_sound: EncodeSound,
    data: Path,
    every: int = 2,
) -> PromptCalibration:
    """Scale and offset on every second recording of ESC-10."""
    with open(data / "manifest.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == "ESC-10"][::every]
    names = sorted({row["label"] for row in rows})
    plain = replace(knowledge, calibration=replace(knowledge.calibration, scale=1.0, offset=0.0, closeness=CLOSENESS))
    texts = [*names, *UNRELATED_PROMPTS]
    panel = PromptScorer(plain, [GroundedPrompt(g.text, g) for g in ground(plain, encoder, texts)])
    evidence, truth = [], []
    for row in rows:
        wave = decode_audio(data / row["file"])
        window_evidence = sound_evidence(panel, net, encode_sound, wave)
        loud = loud_windows(wave, len(window_evidence))
        evidence.append(window_evidence[loud])
        truth.append(np.tile([text == row["label"] for text in texts], (int(loud.sum()), 1)))
    z, y = np.concatenate(evidence).ravel(), np.concatenate(truth).ravel().astype(np.float64)
    scale, offset = platt_scaling(
        z, y, np.where(y > 0.5, POSITIVE_SHARE / y.mean(), (1 - POSITIVE_SHARE) / (1 - y.mean()))
    )
    _log.info("prompts: scale %.2f offset %+.2f over %d windows and names", scale, offset, len(z))
    return replace(plain.calibration, scale=scale, offset=offset)


def platt_scaling(z: F64, y: F64, weight: F64, steps: int = 40) -> tuple[float, float]:
    """Scale and offset of evidence by weighted logistic regression (Newton's method)."""
    x = np.stack([z, np.ones_like(z)], 1)
    free = np.array([0.5, float(np.log(POSITIVE_SHARE))])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-x @ free))
        slope = x.T @ (weight * (p - y)) + 1e-6 * free
        curve = (x * (weight * p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        free = free - np.clip(np.linalg.solve(curve, slope), -1, 1)
    return float(free[0]), float(free[1])


def sound_evidence(panel: PromptScorer, net: TextProjection, encode_sound: EncodeSound, wave: F32) -> F64:
    """Evidence [windows,prompts] of a recording's sound, as the service would have it, from the first whole second."""
    hop = round(HOP_S * RATE_HZ)
    ends = range(2 * hop, max(len(wave), 2 * hop) + 1, hop)
    held = np.zeros((len(ends), SAMPLES), np.float32)
    for row, end in zip(held, ends, strict=True):
        part = wave[max(0, end - SAMPLES) : end]
        row[SAMPLES - len(part) :] = part
    odds = encode_sound(held)
    with torch.no_grad():
        aligned = net.project_sound(torch.from_numpy(odds)).numpy()
    tags = 1 / (1 + np.exp(-odds))
    steady = EvidenceSmoother()
    return np.stack(
        [
            steady.add(panel.evidence(sound_only_scores(t, a)))[: len(panel.prompts), 0]
            for t, a in zip(tags, aligned, strict=True)
        ]
    )


def sound_only_scores(tags: F32, aligned: F32) -> Scores:
    """Scores of a window of which only the sound is known."""
    none = np.zeros(0, np.float32)
    features = Features(
        tags, none, np.zeros(len(COCO), np.float32), np.zeros(PICTURE_TAG_COUNT, np.float32), none, none,
        np.stack([np.zeros_like(aligned), aligned]),
    )  # fmt: skip
    return Scores("", 0, 0, MediaTime(0, 0), {}, {}, none, (), {}, 1.0, False, True, "", features)


def loud_windows(wave: F32, count: int) -> NDArray[np.bool_]:
    """Which of a recording's windows are within 20 dB of its loudest."""
    hop = round(HOP_S * RATE_HZ)
    power = [float(np.mean(wave[max(0, (n + 2) * hop - SAMPLES) : (n + 2) * hop] ** 2)) for n in range(count)]
    level = np.sqrt(np.array(power))
    return np.asarray(level >= level.max() / LOUDNESS_RATIO)
