"""Trains the dense head: fire and smoke on rendered shots (`flames/shots.py`), explosion and flash on composed scenes.

First the map, cell by cell; the step that does best on shots of other places, panoramas and simulated fires is kept.
Then, for fire and smoke, the whole picture's score: ridge logistic regression on the pooled features, and three numbers
that join the two, fitted on those other shots. The ridge is heavy, since pooled features sooner remember how simulated
fires look than what fire is: of 0.003 to 1, values of 0.1 to 0.3 do best on filmed flames left out of training.

`fine_tune_pictures` trains encoder and dense head together on a GPU, before anything is cached: the CPU composes and
renders scenes while the GPU learns from them. The detector stays as published. So far it has run on CPUs alone.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edge.train.checkpoint import TrainingBudget, TrainingPaths
from edge.train.flames.lookalikes import PAINTERS
from edge.train.flames.shots import ShotPlan, cache_shots, read_shots
from edge.train.nets.image import DenseHead, channel_statistics
from edge.train.nets.network import FusedNet
from edge.train.scenes.backgrounds import Backgrounds, load_backgrounds
from edge.train.scenes.compose import HOPS, compose_scene, render_pictures
from edge.train.scenes.soundbank import SoundBank, build_sound_bank

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
    """One hop of a scene, in a visible event where there is one."""
    scene = compose_scene(seed, bank)
    active = np.flatnonzero(scene.evident[:, 0].max(1) > 0.5)
    hop = int(rng.choice(active)) if len(active) else int(rng.integers(HOPS))
    pictures = render_pictures(scene, places, range(hop, hop + 1))
    return pictures.frames, pictures.cells


_SURE: Final = 0.25
"""Mean cover of a picture's two fullest cells from which the event is there; under a tenth of it, it is not."""
_CLEAR: Final = 0.7


class FeatureMaps(NamedTuple):
    """`grid` [N,MAP,8,14], `top` [N,1280], `cells` [N,4,8,14] with -1 where nobody knows."""

    grid: Tensor
    top: Tensor
    cells: Tensor


class WeightedMaps(NamedTuple):
    """Maps of other sources, and how much each picture counts where the whole and the map are joined [N]."""

    maps: FeatureMaps
    worth: Tensor


@dataclass(frozen=True, slots=True)
class DenseTrainingConfig:
    """Sizes and seed; of a batch two thirds are shots. Where `minutes` end it first it is not repeatable to the bit."""

    shots: ShotPlan = field(default_factory=ShotPlan)
    held: ShotPlan = field(default_factory=lambda: ShotPlan(shards=2, shots=200, burns=14))
    steps: int = 500
    batch: int = 48
    rate: float = 2e-3
    ridge: float = 0.3
    minutes: float = 40.0
    seed: int = 5


def train_dense(net: FusedNet, data: Path, photos: Path | None, work: Path, run: DenseTrainingConfig) -> None:
    """Train `net.dense` in place. Needs <work>/pictures_train.npz; makes <work>/shots_*.npz where they are missing."""
    torch.manual_seed(run.seed)
    shots = _load_shot_maps(cache_shots(net, data, photos, work, run.shots, False))
    others = cache_shots(net, data, photos, work, run.held, True)
    held = _load_shot_maps(others)
    fit_cells(net.dense, shots, load_scene_maps(work / "pictures_train.npz"), held, run)
    for channel in (0, 1):
        fit_whole(net.dense, channel, shots, WeightedMaps(held, shot_weights(read_shots(others).kinds)), run.ridge)


def fit_cells(
    dense: DenseHead, shots: FeatureMaps, scenes: FeatureMaps, held: FeatureMaps, run: DenseTrainingConfig
) -> float:
    """Train the map and leave the whole picture's own say silent; the best held-out loss."""
    dense.mean, dense.scale = channel_statistics(shots.grid[::5])
    dense.top_mean, dense.top_scale = channel_statistics(shots.top)
    parts = [p for name, p in dense.named_parameters() if not name.startswith(("whole", "gain"))]
    optimiser = torch.optim.AdamW(parts, lr=run.rate, weight_decay=0.05)
    rng, watch = np.random.default_rng(run.seed), TrainingBudget()
    best, kept, every = 1e9, dense.state_dict(), max(1, run.steps // 8)
    for step in range(run.steps):
        fraction = watch.used_share(step, run.steps, run.minutes)
        if fraction >= 1:
            break
        slope = min(1, (step + 1) / 20) * (0.5 + 0.5 * float(np.cos(np.pi * fraction)))
        optimiser.param_groups[0]["lr"] = run.rate * slope
        dense.train()
        loss = dense_loss(dense, *_jitter_channels(dense, _draw_batch(rng, shots, scenes, run.batch)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % every == every - 1:
            now = held_out_loss(dense, held)
            shown = (step + 1, float(loss.detach()), now, watch.elapsed_s())
            _log.info("dense step %d: %.4f, held-out %.4f, %.0f s", *shown)
            if now < best:
                best, kept = now, {k: v.clone() for k, v in dense.state_dict().items()}
    dense.load_state_dict(kept)
    dense.eval()
    return best


def shot_weights(kinds: list[str]) -> Tensor:
    """[N] lookalikes count half: they are a third of the shots, and rarer in the world."""
    return torch.tensor([0.5 if kind in PAINTERS else 1.0 for kind in kinds])


def fit_whole(
    dense: DenseHead, channel: int, shots: FeatureMaps, held: WeightedMaps, ridge: float
) -> tuple[float, float, float]:
    """Write the whole picture's say about one event into a head whose map is trained, and the map's gain; returns how
    much the whole and the map count, and the offset. Events that one hardly sees do not count where they are joined."""
    shown, sure = (x[:, channel] for x in picture_truth(shots.cells.float()))
    seen = _standardise(dense, shots.top)[sure > 0]
    weight = logistic(torch.cat([seen, torch.ones(len(seen), 1)], 1), shown[sure > 0], ridge)
    shown, sure = (x[:, channel] for x in picture_truth(held.maps.cells.float()))
    clear = picture_truth(held.maps.cells.float(), _CLEAR)[0][:, channel]
    say = _standardise(dense, held.maps.top) @ weight[:-1] + weight[-1]
    joined = torch.stack([say, top_cell_mean(dense, held.maps)[:, channel], torch.ones(len(say))], 1)
    a, b, c = logistic(joined, shown, 1e-3, held.worth * sure * torch.maximum(clear, 1 - shown)).tolist()
    with torch.no_grad():
        dense.whole.weight[channel], dense.whole.bias[channel] = a * weight[:-1], a * float(weight[-1]) + c
        dense.gain[channel] = b
    _log.info("dense channel %d: whole %.2f, map %.2f, offset %+.2f", channel, a, b, c)
    return a, b, c


def logistic(x: Tensor, y: Tensor, ridge: float, worth: Tensor | None = None) -> Tensor:
    """Logistic regression [K] of y [N] 0 or 1 on x [N,K], whose last column is the constant and is not shrunk; row n
    counts `worth` [N]."""
    counts = torch.ones(len(y)) if worth is None else worth
    weight = torch.zeros(x.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weight], max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        fit = F.binary_cross_entropy_with_logits(x @ weight, y, weight=counts, reduction="sum") / counts.sum()
        loss = fit + 0.5 * ridge * weight[:-1].pow(2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return weight.detach()


def top_cell_mean(dense: DenseHead, maps: FeatureMaps) -> Tensor:
    """Mean of each picture's four strongest cells [N,4]."""
    with torch.no_grad():
        parts = zip(maps.grid.split(64), maps.top.split(64), strict=True)
        return torch.cat([dense(g.float(), t.float())[0].flatten(2).topk(4, dim=2)[0].mean(2) for g, t in parts])


def dense_loss(dense: DenseHead, grid: Tensor, top: Tensor, cells: Tensor) -> Tensor:
    """Cells weighted towards the rarer positives, and the picture's own answer."""
    logits, picture = dense(grid, top)
    target, known = cells.clamp(0, 1), (cells >= 0).float()
    entropy = F.binary_cross_entropy_with_logits
    per_cell = entropy(logits, target, reduction="none") * (1 + 2 * target) * known
    shown, sure = picture_truth(cells)
    per_picture = entropy(picture, shown, reduction="none") * sure
    return per_cell.sum((1, 2, 3)).mean() * 0.03 + per_picture.sum(1).mean()


def picture_truth(cells: Tensor, sure: float = _SURE) -> tuple[Tensor, Tensor]:
    """Whether each event is in each picture [N,4], and whether that can be said: it clearly is, or nothing of it is
    there and no cell is unknown. `sure`: the mean cover of the two fullest cells from which it is."""
    fullest = cells.clamp(0, 1).flatten(2).topk(2, dim=2)[0].mean(2)
    unknown = (cells < 0).float().amax((2, 3))
    shown = (fullest > sure).float()
    return shown, torch.maximum(shown, (fullest < 0.1 * _SURE).float() * (1 - unknown))


def held_out_loss(dense: DenseHead, held: FeatureMaps) -> float:
    """The loss without dropout."""
    dense.eval()
    with torch.no_grad():
        parts = zip(*(x.split(64) for x in held), strict=True)
        return float(np.mean([float(dense_loss(dense, *(x.float() for x in part))) for part in parts]))


def load_scene_maps(path: Path) -> FeatureMaps:
    """The composed scenes' features of `features.cache_pictures`."""
    with np.load(path) as stored:
        grid, top, cells = (torch.from_numpy(stored[k]) for k in ("grid", "top", "cells"))
    return FeatureMaps(grid, top.float(), cells)


def _load_shot_maps(paths: list[Path]) -> FeatureMaps:
    seen = read_shots(paths)
    return FeatureMaps(seen.grid, seen.top.float(), seen.cells)


def _draw_batch(rng: np.random.Generator, shots: FeatureMaps, scenes: FeatureMaps, size: int) -> FeatureMaps:
    """Two thirds shots, one third scenes, mirrored half of the time."""
    some, others = (
        rng.integers(0, len(shots.grid), size * 2 // 3),
        rng.integers(0, len(scenes.grid), size - size * 2 // 3),
    )
    grid, top, cells = (torch.cat([a[some].float(), b[others].float()]) for a, b in zip(shots, scenes, strict=True))
    return FeatureMaps(grid.flip(3), top, cells.flip(3)) if rng.random() < 0.5 else FeatureMaps(grid, top, cells)


def _jitter_channels(dense: DenseHead, maps: FeatureMaps) -> FeatureMaps:
    """Every channel of every picture moved a little, as another camera would."""
    noise = torch.randn(len(maps.grid), maps.grid.shape[1], 1, 1) / dense.scale[:, None, None]
    return maps._replace(grid=maps.grid + 0.25 * noise)


def _standardise(dense: DenseHead, top: Tensor) -> Tensor:
    return ((top - dense.top_mean) * dense.top_scale).clamp(-6, 6)
