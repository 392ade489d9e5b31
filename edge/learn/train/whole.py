"""The whole picture side tuned at once, encoder and dense head: for a box with a GPU, before anything is cached.

Scenes are composed and rendered on the CPU while the GPU learns from them. The sound encoder has its own training
(`train/audio.py`), the detector stays as published. Only its shapes were ever run here, on a CPU: no GPU was at hand.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edge.learn.nets.network import FusedNet
from edge.learn.scenes.backgrounds import Backgrounds, load_backgrounds
from edge.learn.scenes.compose import HOPS, compose_scene, render_pictures
from edge.learn.scenes.soundbank import SoundBank, build_sound_bank
from edge.learn.train.checkpoint import TrainingPaths
from edge.learn.train.dense import dense_loss
from edge.learn.train.progress import TrainingBudget

_log = logging.getLogger(__name__)
_CHECKS = 8


@dataclass(frozen=True, slots=True)
class PictureTrainingConfig:
    """Steps, pictures a step, learning rates of encoder and head, and a check on held-out places every so many
    steps; it stops after `patience` checks that brought nothing."""

    steps: int = 4000
    batch: int = 32
    rate: float = 3e-5
    head_rate: float = 1e-3
    every: int = 200
    patience: int = 5
    seed: int = 21


def fine_tune_pictures(
    net: FusedNet, paths: TrainingPaths, run: PictureTrainingConfig, device: str = "cuda"
) -> dict[str, dict[str, Tensor]]:
    """The picture encoder's and the dense head's best weights on held-out places, on the CPU again. Batch norms keep
    their statistics, so that the graph's folded form stays what was trained."""
    torch.manual_seed(run.seed)
    torch.set_default_device(device)
    try:
        net.to(device).eval()
        groups = [
            {"params": list(net.lite.parameters()), "lr": run.rate, "weight_decay": 0.0},
            {"params": list(net.dense.parameters()), "lr": run.head_rate, "weight_decay": 0.02},
        ]
        optimiser = torch.optim.AdamW(groups)
        batches, held = (_scene_batches(paths, run, device, h) for h in (False, True))
        checks = [next(held) for _ in range(_CHECKS)]
        best, kept, since, watch = _held_loss(net, checks), _cpu_weights(net), 0, TrainingBudget()
        for step in range(run.steps):
            for group, rate in zip(optimiser.param_groups, (run.rate, run.head_rate), strict=True):
                group["lr"] = rate * (0.5 + 0.5 * float(np.cos(np.pi * step / run.steps)))
            loss = _loss(net, *next(batches))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            if step % run.every != run.every - 1:
                continue
            now, since = _held_loss(net, checks), since + 1
            _log.info("whole step %d of %d: held-out %.4f, %.0f s", step + 1, run.steps, now, watch.elapsed_s())
            if now < best:
                best, kept, since = now, _cpu_weights(net), 0
            if since >= run.patience:
                break
        return kept
    finally:
        torch.set_default_device("cpu")
        net.to("cpu")


def _loss(net: FusedNet, frames: Tensor, cells: Tensor) -> Tensor:
    seen = net.encode_vision(frames, torch.ones(len(frames), 2))
    return dense_loss(net.dense, seen.grid, seen.top, cells)


def _held_loss(net: FusedNet, checks: list[tuple[Tensor, Tensor]]) -> float:
    with torch.no_grad():
        return float(np.mean([float(_loss(net, *batch)) for batch in checks]))


def _cpu_weights(net: FusedNet) -> dict[str, dict[str, Tensor]]:
    return {
        name: {k: v.cpu().clone() for k, v in getattr(net, name).state_dict().items()} for name in ("lite", "dense")
    }


def _scene_batches(
    paths: TrainingPaths, run: PictureTrainingConfig, device: str, held_out: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Pictures u8 [N,2,256,448,3] and what covers their cells [N,4,8,14], from scenes without end."""
    bank = build_sound_bank(paths.data, paths.packages, held_out, count=16, seed=11)
    places = load_backgrounds(paths.data, paths.photos, held_out)
    seed, rng = 8_000_000 + 500_000 * held_out, np.random.default_rng(run.seed)
    while True:
        parts = [_scene_hop(seed + n, bank, places, rng) for n in range(run.batch)]
        seed += run.batch
        frames, cells = (np.concatenate(column) for column in zip(*parts, strict=True))
        yield torch.from_numpy(frames).to(device), torch.from_numpy(cells).to(device)


def _scene_hop(
    seed: int, bank: SoundBank, places: Backgrounds, rng: np.random.Generator
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """One hop of a scene, in a seen event where there is one."""
    scene = compose_scene(seed, bank)
    active = np.flatnonzero(scene.evident[:, 0].max(1) > 0.5)
    hop = int(rng.choice(active)) if len(active) else int(rng.integers(HOPS))
    pictures = render_pictures(scene, places, range(hop, hop + 1))
    return pictures.frames, pictures.cells
