"""Trains the body head from scratch on simulated scenes; stops early on scenes of another style. Minutes on a CPU."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.files import atomic_path
from edge.train import checkpoint
from edge.train.body.augmentation import Windows, history_windows, training_batch
from edge.train.body.calibration import limit_false_alarms, recording_logits
from edge.train.body.open_clips import BodySequences, concatenate, open_clip_sequences
from edge.train.body.projection import HOPS
from edge.train.body.scenes import (
    HELD_OUT_STYLE,
    ROOM_STYLE,
    STREET_STYLE,
    TRAIN_STYLE,
    SceneStyle,
    build_scene,
    ground_truth,
    render_luma,
    simulate_detections,
)
from edge.train.checkpoint import TrainingBudget
from edge.train.labels import MEMORY
from edge.train.nets.body import BodyHead, body_measurements, suppress_overlaps
from edge.train.nets.motion import MotionNet

_log = logging.getLogger(__name__)
_TRAINING_SETS: Final = (
    ("mixed", TRAIN_STYLE, 0),
    ("street", STREET_STYLE, 2_000_000),
    ("room", ROOM_STYLE, 3_000_000),
)
_HELD_SEED: Final = 7_000_000
_OPEN_WEIGHT: Final = 12
"""How often each open clip stands beside the made scenes."""


@dataclass(frozen=True, slots=True)
class BodyTrainingConfig:
    """How much is made and learned: scenes of each of `_TRAINING_SETS`, held-out scenes, draws of the detector for
    each; steps and minutes of each member."""

    scenes: tuple[int, int, int] = (720, 420, 360)
    held: int = 200
    draws: int = 4
    steps: int = 1600
    batch: int = 256
    minutes: float = 12.0
    seed: int = 3


def cache_scenes(work: Path, count: int, style: SceneStyle, first: int, name: str) -> Path:
    """Films `count` scenes; motion and seed of each go to <work>/body_<name>.npz, unless it is there."""
    path = work / f"body_{name}.npz"
    if path.exists():
        return path
    net, watch = MotionNet().eval(), TrainingBudget()
    rows: list[tuple[NDArray[Any], ...]] = []
    for n in range(count):
        scene = build_scene(first + n, style)
        rows.append((scene_motion(net, render_luma(scene, style)).astype(np.float16), np.array(first + n)))
        if n % 100 == 99:
            _log.info("body scenes %s: %d of %d, %.0f s", name, n + 1, count, watch.elapsed_s())
    parts: Any = {c: np.stack([r[k] for r in rows]) for k, c in enumerate(("motion", "seed"))}
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez(file, **parts)
    return path


def scene_motion(net: MotionNet, luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The motion net over a scene's hops [HOPS,16,28,K]."""
    grey = F.avg_pool2d(torch.from_numpy(luma).float()[:, None], 2)
    with torch.no_grad():
        parts = [net.match(grey[k + 1 : k + 16 : 2], grey[k : k + 16 : 2]) for k in range(0, 2 * HOPS, 16)]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def load_scenes(path: Path, style: SceneStyle, draws: int) -> BodySequences:
    """The features of what `cache_scenes` stored, each scene with several draws of its detections."""
    stored = np.load(path)
    rows, judged, ordinary, recording = [], [], [], []
    motion, seeds = stored["motion"], stored["seed"].tolist()
    for n, seed in enumerate(seeds):
        scene, flow = build_scene(seed, style), torch.from_numpy(motion[n].astype(np.float32))
        for k in range(draws):
            detections = simulate_detections(scene, np.random.default_rng((seed, k)), style)
            up, up_score, down, down_score = (torch.from_numpy(part).float() for part in detections)
            rows.append(
                body_measurements(
                    suppress_overlaps(up, up_score), suppress_overlaps(down, down_score), flow, torch.ones(HOPS, 2)
                )
            )
            judged.append(torch.from_numpy(ground_truth(scene)).float())
            ordinary.append(scene.act.is_ordinary)
            recording.append(seed)
    return BodySequences(torch.stack(rows), torch.stack(judged), torch.tensor(ordinary), torch.tensor(recording))


def train_body(work: Path, weights: Path, data: Path, run: BodyTrainingConfig) -> dict[str, Tensor]:
    """The head's weights, also written to <work>/body.pt: fitted, then its zero set by what its members left
    out."""
    made = [
        load_scenes(cache_scenes(work, count, style, seed, name), style, run.draws)
        for (name, style, seed), count in zip(_TRAINING_SETS, run.scenes, strict=True)
    ]
    held = load_scenes(cache_scenes(work, run.held, HELD_OUT_STYLE, _HELD_SEED, "held"), HELD_OUT_STYLE, 2)
    real, real_held = (open_clip_sequences(weights, data, held_out) for held_out in (False, True))
    head, left_out = fit_body(concatenate(made), real, held, run)
    clips = concatenate([real, real_held])
    clip_logits = torch.cat([left_out, predict_all(head, real_held)])
    limit_false_alarms(head, [recording_logits(predict_all(head, held), held), recording_logits(clip_logits, clips)])
    checkpoint.save(work / "body.pt", head.state_dict())
    return head.state_dict()


def fit_body(
    made: BodySequences, real: BodySequences, held: BodySequences, run: BodyTrainingConfig
) -> tuple[BodyHead, Tensor]:
    """A head, and the log-odds [N,HOPS,2] of each open clip by the member that did not learn from it: each member
    learns from other clips and other draws."""
    torch.manual_seed(run.seed)
    head, left_out = BodyHead(), torch.zeros_like(real.truth)
    for n, member in enumerate(head.members):
        apart = real.recording % len(head.members) == n
        fit_member(member, concatenate([made, *[real.where(~apart)] * _OPEN_WEIGHT]), held, run, run.seed + n)
        left_out[apart] = predict_all(member, real.where(apart))
    return head.eval(), left_out


def fit_member(
    member: nn.Module, train: BodySequences, held: BodySequences, run: BodyTrainingConfig, seed: int
) -> None:
    """Cross entropy over drawn hops of disturbed windows; keeps the best step on held-out scenes."""
    watch, generator = TrainingBudget(), torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(member.parameters(), lr=3e-3, weight_decay=0.05)
    best, kept = 1e9, member.state_dict()
    for step in range(run.steps):
        fraction = watch.used_share(step, run.steps, run.minutes)
        if fraction >= 1:
            break
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / 30) * (0.5 + 0.5 * float(np.cos(np.pi * fraction)))
        windows, truth = training_batch(train, run.batch, generator)
        loss = body_loss(predict(member, windows), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 99 or step + 1 == run.steps:
            value = held_out_loss(member, held)
            _log.info("body step %d: %.4f, held-out %.4f", step + 1, float(loss.detach()), value)
            if value < best:
                best, kept = value, {k: v.clone() for k, v in member.state_dict().items()}
    member.load_state_dict(kept)


def predict(head: nn.Module, windows: Windows) -> Tensor:
    """The log-odds now [P,2]."""
    past, ok = windows.body[:, :MEMORY], windows.ok[:, :MEMORY]
    return torch.as_tensor(head(windows.body[:, MEMORY], past * ok[..., None], ok))


def body_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy where somebody judged."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth.clamp(min=0), reduction="none")
    known = (truth >= 0).float()
    return ((entropy * known).sum(0) / known.sum(0).clamp(min=1)).sum()


def predict_all(head: nn.Module, rows: BodySequences) -> Tensor:
    """The head over every hop [N,HOPS,2]."""
    n = len(rows.body)
    scene, hop = torch.arange(n).repeat_interleave(HOPS), torch.arange(HOPS).repeat(n)
    with torch.no_grad():
        return predict(head, history_windows(rows, scene, hop)).reshape(n, HOPS, 2)


def held_out_loss(head: nn.Module, held: BodySequences) -> float:
    """The loss over held-out scenes, undisturbed."""
    return float(body_loss(predict_all(head, held).flatten(0, 1), held.truth.flatten(0, 1)))
