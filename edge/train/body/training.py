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
from torch import Tensor

from edge.train.body.open_clips import BodySequences, concatenate, open_clip_sequences
from edge.train.body.scenes import (
    HELD_OUT_STYLE,
    HOPS,
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
from edge.train.labels import BODY_DIM, MEMORY
from edge.train.nets.body import BodyHead, body_measurements, suppress_overlaps
from edge.train.nets.motion import MotionNet

_log = logging.getLogger(__name__)
_LYING_COLUMNS: Final = [4, 5, 6, 7, 9]
_POSITION_COLUMNS: Final = [8, 9]
_MOTION_COLUMNS: Final = [11, 12, 13, 14, 15, 22, 23]
_TRAINING_SETS: Final = (
    ("mixed", TRAIN_STYLE, 0),
    ("street", STREET_STYLE, 2_000_000),
    ("room", ROOM_STYLE, 3_000_000),
)
_HELD_SEED: Final = 7_000_000
_OPEN_WEIGHT: Final = 4
_CALM_SHARES: Final = torch.tensor([0.95, 0.98])
"""Shares of ordinary scenes in which fall and fight stay under a probability of 0.5."""


@dataclass(frozen=True, slots=True)
class BodyTrainingConfig:
    """How much is made and learned: scenes of each of `_TRAINING_SETS`, held-out scenes, draws of the detector for
    each."""

    scenes: tuple[int, int, int] = (640, 300, 260)
    held: int = 160
    draws: int = 4
    steps: int = 1400
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
    np.savez(path, **parts)
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
    rows, judged, ordinary = [], [], []
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
    return BodySequences(torch.stack(rows), torch.stack(judged), torch.tensor(ordinary))


def train_body(work: Path, weights: Path, data: Path, run: BodyTrainingConfig) -> dict[str, Tensor]:
    """The head's weights, also written to <work>/body.pt; the best step on held-out scenes is kept, then
    `limit_false_alarms`."""
    torch.manual_seed(run.seed)
    made = [
        load_scenes(cache_scenes(work, count, style, seed, name), style, run.draws)
        for (name, style, seed), count in zip(_TRAINING_SETS, run.scenes, strict=True)
    ]
    held = load_scenes(cache_scenes(work, run.held, HELD_OUT_STYLE, _HELD_SEED, "held"), HELD_OUT_STYLE, 2)
    real, real_held = (open_clip_sequences(weights, data, held_out) for held_out in (False, True))
    train = concatenate([*made, *[real] * _OPEN_WEIGHT])
    head = limit_false_alarms(fit_body(train, held, run), held, concatenate([real, real_held]))
    torch.save(head.state_dict(), work / "body.pt")
    return head.state_dict()


def limit_false_alarms(head: BodyHead, held: BodySequences, real: BodySequences) -> BodyHead:
    """The head moved so that `_CALM_SHARES` of the held-out scenes of ordinary acts (12 s of more than a camera sees)
    and of open clips, before anything happens in them, stay under a probability of 0.5."""
    made, clips = (
        predict_all(head, rows).masked_fill(rows.truth != 0, -99.0).amax(1) for rows in (_ordinary(held), real)
    )
    limit = torch.maximum(*(most.quantile(_CALM_SHARES, 0).diagonal() for most in (made, clips)))
    head.out[-1].bias.data -= limit  # type: ignore[operator]
    return head


def _ordinary(rows: BodySequences) -> BodySequences:
    """Those in which nothing happens."""
    return BodySequences(*(part[rows.is_ordinary] for part in rows))


def fit_body(train: BodySequences, held: BodySequences, run: BodyTrainingConfig) -> BodyHead:
    """Cross entropy over drawn hops; features are disturbed, parts of them and of the memory left out."""
    head, watch = BodyHead(), TrainingBudget()
    optimiser = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.05)
    generator = torch.Generator().manual_seed(run.seed)
    best, kept = 1e9, head.state_dict()
    for step in range(run.steps):
        fraction = watch.used_share(step, run.steps, run.minutes)
        if fraction >= 1:
            break
        optimiser.param_groups[0]["lr"] = 3e-3 * min(1, (step + 1) / 30) * (0.5 + 0.5 * float(np.cos(np.pi * fraction)))
        scene = torch.randint(len(train.body), (run.batch,), generator=generator)
        hop = torch.randint(HOPS, (run.batch,), generator=generator)
        now, past, ok = history_windows(train.body, scene, hop)
        now, past, ok = augment(now, past, ok, generator)
        loss = body_loss(head(now, past, ok), train.truth[scene, hop])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 49:
            value = held_out_loss(head, held)
            _log.info("body step %d: %.4f, held-out %.4f", step + 1, float(loss.detach()), value)
            if value < best:
                best, kept = value, {k: v.clone() for k, v in head.state_dict().items()}
    head.load_state_dict(kept)
    return head.eval()


def history_windows(body: Tensor, scene: Tensor, hop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features of the drawn hops [P,24], the 16 before each [P,16,24] oldest first, and which of these there are."""
    at = hop[:, None] - torch.arange(MEMORY, 0, -1)
    ok = (at >= 0).float()
    return body[scene, hop], body[scene[:, None], at.clamp(min=0)] * ok[..., None], ok


def augment(now: Tensor, past: Tensor, ok: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Mirrored, noise, other strengths of movement, a detector that misses who lies, a memory that began later."""
    n = len(now)
    both = torch.cat([past, now[:, None]], 1)
    gain = torch.ones(n, 1, BODY_DIM)
    gain[..., _MOTION_COLUMNS] = 0.7 + 0.6 * torch.rand(n, 1, 1, generator=generator)
    gain[..., _LYING_COLUMNS] *= (torch.rand(n, 1, 1, generator=generator) > 0.1).float()
    mirrored = (torch.rand(n, 1, 1, generator=generator) < 0.5).float() * (both[..., _POSITION_COLUMNS] > 0).float()
    both[..., _POSITION_COLUMNS] = (
        both[..., _POSITION_COLUMNS] * (1 - mirrored) + (1 - both[..., _POSITION_COLUMNS]) * mirrored
    )
    missed = (torch.rand(n, MEMORY + 1, 1, generator=generator) > 0.03).float()
    both = (both * gain * missed + 0.02 * torch.randn(both.shape, generator=generator)).clamp(-1, 1)
    begin = torch.randint(0, MEMORY + 1, (n, 1), generator=generator) * (torch.rand(n, 1, generator=generator) < 0.3)
    ok = ok * (torch.arange(MEMORY)[None] >= begin).float()
    return both[:, MEMORY], both[:, :MEMORY] * ok[..., None], ok


def body_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy where somebody judged."""
    entropy = F.binary_cross_entropy_with_logits(logits, truth.clamp(min=0), reduction="none")
    known = (truth >= 0).float()
    return ((entropy * known).sum(0) / known.sum(0).clamp(min=1)).sum()


def predict_all(head: BodyHead, rows: BodySequences) -> Tensor:
    """The head over every hop [N,HOPS,2]."""
    n = len(rows.body)
    scene, hop = torch.arange(n).repeat_interleave(HOPS), torch.arange(HOPS).repeat(n)
    with torch.no_grad():
        return torch.as_tensor(head(*history_windows(rows.body, scene, hop))).reshape(n, HOPS, 2)


def held_out_loss(head: BodyHead, held: BodySequences) -> float:
    """The loss over held-out scenes, undisturbed."""
    return float(body_loss(predict_all(head, held).flatten(0, 1), held.truth.flatten(0, 1)))
