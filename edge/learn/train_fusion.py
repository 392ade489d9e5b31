"""Trains the dense picture head and the fusion on cached features of composed scenes.

Stages: sound features of every scene by the fine-tuned student; the dense head on feature maps; the fusion
head on whole hops with the memory of their scene, under modality, sensor and memory dropout.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edge.learn.heads import FusionHead, Hop, HopFeatures
from edge.learn.image_net import MAP, TOP, DenseHead, channel_stats, pooled_grid
from edge.learn.labels import MEMORY, RATE_HZ, SAMPLES
from edge.learn.network import FusedNet, starting_network
from edge.learn.progress import Stopwatch
from edge.learn.scenes import HOPS, LEAD_S, compose
from edge.learn.soundbank import Bank, build_bank

_log = logging.getLogger(__name__)
_OBJECTS: Final = 3


class Rows(NamedTuple):
    """Whole scenes as rows: features [N,...], `evident` [N,3,C], and `scene` [N]; hops of a scene are in order."""

    features: HopFeatures
    evident: Tensor
    scene: Tensor


@dataclass(frozen=True, slots=True)
class FusionRun:
    """Sizes and seeds of the two trainings. Where `*_minutes` end a run first, it is not repeatable to the bit."""

    fusion: str = "attention"
    dense_steps: int = 700
    dense_minutes: float = 30.0
    steps: int = 720
    minutes: float = 60.0
    batch: int = 192
    seed: int = 5


def train_fusion(
    weights: Path, data: Path, wad: Path | None, work: Path, run: FusionRun, unseen: int = 120
) -> FusedNet:  # fmt: skip
    """The trained, not yet calibrated network; also written to <work>/fused.pt."""
    torch.manual_seed(run.seed)
    net = starting_network(weights, run.fusion)
    stage = torch.load(work / "audio.pt", map_location="cpu", weights_only=True)
    net.audio.load_state_dict(stage["audio"])
    net.head.load_state_dict(stage["head"], strict=False)
    dense_path = work / "dense.pt"
    if dense_path.exists():
        net.dense.load_state_dict(torch.load(dense_path, weights_only=True))
    else:
        train_dense(net.dense, work, run)
        torch.save(net.dense.state_dict(), dense_path)
    train, held = (load_rows(net, data, wad, work, h, unseen // 3 if h else unseen) for h in (False, True))
    fit_head(net.head, train, held, run)
    torch.save(net.state_dict(), work / "fused.pt")
    return net


def train_dense(dense: DenseHead, work: Path, run: FusionRun) -> None:
    """Per-cell and per-picture cross entropy; the best epoch on held-out places is kept."""
    grid, cells = _maps(work / "pictures_train.npz")
    held_grid, held_cells = _maps(work / "pictures_held.npz")
    dense.mean, dense.scale = channel_stats(grid[::7])
    optimiser = torch.optim.AdamW(dense.parameters(), lr=2e-3, weight_decay=0.02)
    rng, best, kept, watch = np.random.default_rng(run.seed), 1e9, dense.state_dict(), Stopwatch()
    positive = np.flatnonzero(cells.flatten(1).amax(1).numpy() > 0.3)
    for step in range(run.dense_steps):
        fraction = watch.used(step, run.dense_steps, run.dense_minutes)
        if fraction >= 1:
            break
        optimiser.param_groups[0]["lr"] = 2e-3 * (0.5 + 0.5 * float(np.cos(np.pi * fraction)))
        pick = np.concatenate([rng.integers(0, len(grid), 40), rng.choice(positive, 24)])
        x, y = grid[pick].float(), cells[pick].float()
        if rng.random() < 0.5:
            x, y = x.flip(3), y.flip(3)
        dense.train()
        loss = dense_loss(dense, x + 0.05 * torch.randn_like(x) / dense.scale[:, None, None], y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 50 == 49:
            dense.eval()
            with torch.no_grad():
                parts = zip(held_grid.split(128), held_cells.split(128), strict=True)
                now = float(np.mean([float(dense_loss(dense, g.float(), c.float())) for g, c in parts]))
            _log.info("dense step %d: %.4f, held-out %.4f", step + 1, float(loss.detach()), now)
            if now < best:
                best, kept = now, {k: v.clone() for k, v in dense.state_dict().items()}
    dense.load_state_dict(kept)
    dense.eval()


def dense_loss(dense: DenseHead, grid: Tensor, cells: Tensor) -> Tensor:
    """Cells weighted towards the rare positives, and the picture's own answer. Cells under 0 are not known."""
    logits, picture = dense(grid)
    target, known = cells.clamp(0, 1), (cells >= 0).float()
    entropy = F.binary_cross_entropy_with_logits
    per_cell = entropy(logits, target, reduction="none") * (1 + 4 * target) * known
    whole = (cells.flatten(2).topk(2, dim=2)[0].mean(2) > 0.25).float()
    per_picture = entropy(picture, whole, reduction="none") * known.amin((2, 3))
    return per_cell.sum((1, 2, 3)).mean() * 0.05 + per_picture.sum(1).mean()


def load_rows(net: FusedNet, data: Path, wad: Path | None, work: Path, held_out: bool, unseen: int) -> Rows:
    """Rows of the split's scenes with pictures, then of `unseen` scenes without. Sounds are encoded here, once."""
    split = "held" if held_out else "train"
    stored = np.load(work / f"pictures_{split}.npz")
    count = len(stored["seeds"]) * HOPS
    seeds = [*stored["seeds"].tolist(), *(int(stored["seeds"][0]) + 50_000 + n for n in range(unseen))]
    sound, tags, sensors, sensor_ok, evident = cache_sounds(net, data, wad, work, held_out, seeds)
    n = len(sound)
    cells, top, dense, objects = torch.zeros(n, 14, MAP), torch.zeros(n, TOP), torch.zeros(n, 4), torch.zeros(n, 3)
    grid = torch.from_numpy(stored["grid"][:count])
    with torch.no_grad():
        for i in range(0, count, 128):
            g = grid[i : i + 128].float()
            cells[i : i + len(g)], dense[i : i + len(g)] = pooled_grid(g), net.dense(g)[1]
    top[:count] = torch.from_numpy(stored["top"][:count]).float()
    objects[:count] = torch.from_numpy(stored["objects"][:count])
    video_ok = torch.zeros(n, 2)
    video_ok[:count] = 1
    features = HopFeatures(cells, top, dense, objects, sound, tags, sensors, video_ok, torch.ones(n), sensor_ok)
    _log.info("%s: %d hops, %d with pictures", split, n, count)
    return Rows(features, evident, torch.arange(n) // HOPS)


def cache_sounds(
    net: FusedNet, data: Path, wad: Path | None, work: Path, held_out: bool, seeds: list[int]
) -> tuple[Tensor, ...]:
    """Embedding, tags, sensors, their mask and `evident` of these scenes' hops; kept in <work>/sounds_<split>.pt."""
    path = work / f"sounds_{'held' if held_out else 'train'}.pt"
    if path.exists():
        stored: dict[str, list[Tensor]] = torch.load(path, weights_only=True)
        return tuple(stored["rows"])
    bank = build_bank(data, wad, held_out, count=16 if held_out else 48, seed=11)
    parts = [_sound_rows(net, seed, bank) for seed in seeds]
    rows = tuple(torch.cat(x) for x in zip(*parts, strict=True))
    torch.save({"rows": list(rows)}, path)
    return rows


def fit_head(head: FusionHead, train: Rows, held: Rows, run: FusionRun) -> None:
    """Cross entropy on what the modalities that are there can tell, with memory from the scene's earlier hops."""
    scales = [head.tag_bias, head.audio_gain, head.audio_bias, head.video_gain, head.video_bias, head.prior]
    names = {id(p) for p in (*scales, *head.adapter.parameters())}
    rest = [p for p in head.parameters() if id(p) not in names]
    rates, decays = (1e-3, 5e-3, 1e-3), (0.02, 0.0, 0.3)
    groups = [
        {"params": params, "lr": rate, "weight_decay": decay}
        for params, rate, decay in zip((rest, scales, list(head.adapter.parameters())), rates, decays, strict=True)
    ]
    optimiser = torch.optim.AdamW(groups)
    generator = torch.Generator().manual_seed(run.seed)
    best, kept, watch = 1e9, head.state_dict(), Stopwatch()
    for step in range(run.steps):
        fraction = watch.used(step, run.steps, run.minutes)
        if fraction >= 1:
            break
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * min(1, (step + 1) / 30) * (0.5 + 0.5 * float(np.cos(np.pi * fraction)))
        head.train()
        scenes = torch.randint(0, int(train.scene[-1]) + 1, (max(2, run.batch // 16),), generator=generator)
        loss = head_loss(head, train, scenes, generator, dropout=True)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        if step % 40 == 39:
            now = check(head, held)
            shown = (step + 1, float(loss.detach()), now, watch.seconds())
            _log.info("fusion step %d: %.4f, held-out %.4f, %.0f s", *shown)
            if now < best:
                best, kept = now, {k: v.clone() for k, v in head.state_dict().items()}
    head.load_state_dict(kept)
    head.eval()


def head_loss(head: FusionHead, rows: Rows, scenes: Tensor, generator: torch.Generator, dropout: bool) -> Tensor:
    """Half the hops of each drawn scene, tokens of all of them as memory."""
    index = (scenes[:, None] * HOPS + torch.arange(HOPS)).flatten()
    features = HopFeatures(*(part[index] for part in rows.features))
    if dropout:
        features = hide(features, len(scenes), generator)
    hop, known = head.hop(features), features.available()
    picked = torch.randperm(len(index), generator=generator)[: len(index) // 2] if dropout else torch.arange(len(index))
    memory, memory_ok = memories(hop.token, picked)
    if dropout:
        memory_ok = memory_ok * (torch.rand(len(picked), 1, generator=generator) > 0.15).float()
    part = Hop(*(x[picked] for x in hop))
    logits, _ = head.logits(part, known[picked], memory, memory_ok)
    loss = judged(logits, rows.evident[index][picked], known[picked])
    gate = known[picked][..., None] * head.knows
    evident = rows.evident[index][picked]
    alone = F.binary_cross_entropy_with_logits(part.evidence, (evident > 0.75).float(), reduction="none")
    firm = ((evident - 0.5).abs() > 0.25).float() * gate
    firm[..., :_OBJECTS] = 0
    return loss + 0.3 * (alone * firm).sum((1, 2)).mean()


def judged(logits: Tensor, evident: Tensor, known: Tensor) -> Tensor:
    """Cross entropy [mean over rows] where what is known settles it: shown now by a modality that is there (1),
    by none at all (0); otherwise no judgement."""
    shown = (evident * known[..., None]).amax(1)
    anywhere = evident.amax(1)
    weight = ((shown > 0.75) | (anywhere < 0.25)).float()
    weight[:, :_OBJECTS] = 0
    entropy = F.binary_cross_entropy_with_logits(logits, (shown > 0.75).float(), reduction="none")
    return (entropy * weight).sum(1).mean()


def memories(tokens: Tensor, picked: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [S*32,D] in scene order -> for picked rows [P] the 16 before each [P,16,D], oldest first, and masks."""
    position = picked % HOPS
    steps = torch.arange(MEMORY, 0, -1)
    before = (picked[:, None] - steps).clamp(min=0)
    there = (position[:, None] >= steps).to(tokens.dtype)
    return tokens[before] * there[..., None], there


def hide(f: HopFeatures, scenes: int, generator: torch.Generator) -> HopFeatures:
    """Drop whole modalities for a scene, single frames, and short stretches."""
    n = len(f.audio_ok)

    def stretch(chance: float, brief: float) -> Tensor:
        whole = (torch.rand(scenes, 1, generator=generator) > chance).float().expand(-1, HOPS)
        begin = torch.randint(0, HOPS, (scenes, 1), generator=generator)
        hop = torch.arange(HOPS)
        gap = ((hop >= begin) & (hop < begin + 6) & (torch.rand(scenes, 1, generator=generator) < brief)).float()
        return (whole * (1 - gap)).reshape(n)

    video, audio, sensors = stretch(0.2, 0.2), stretch(0.2, 0.2), stretch(0.2, 0.1)
    frame = torch.stack([video * (torch.rand(n, generator=generator) > 0.05).float(), video], 1)
    seen, heard = video[:, None] * f.video_ok[:, 1:], audio[:, None]
    return f._replace(
        cells=f.cells * seen[..., None], top=f.top * seen, dense=f.dense * seen, objects=f.objects * seen,
        sound=f.sound * heard, tags=f.tags, video_ok=f.video_ok * frame, audio_ok=f.audio_ok * audio,
        sensor_ok=f.sensor_ok * sensors[:, None],
    )  # fmt: skip


def check(head: FusionHead, rows: Rows) -> float:
    """Held-out loss, nothing hidden."""
    head.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        scenes = torch.arange(int(rows.scene[-1]) + 1)
        return float(np.mean([float(head_loss(head, rows, s, generator, dropout=False)) for s in scenes.split(8)]))


def _maps(path: Path) -> tuple[Tensor, Tensor]:
    stored = np.load(path)
    return torch.from_numpy(stored["grid"]), torch.from_numpy(stored["cells"])


def _sound_rows(net: FusedNet, seed: int, bank: Bank) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    scene = compose(seed, bank)
    ends = [int((LEAD_S + h * 0.5) * RATE_HZ) for h in range(HOPS)]
    windows = torch.from_numpy(np.stack([scene.audio[e - SAMPLES : e] for e in ends]))
    with torch.no_grad():
        out = net.audio.eval()(windows)
    ok = torch.from_numpy(scene.sensor_ok).expand(HOPS, -1)
    return out.embedding, out.logits, torch.from_numpy(scene.sensors), ok, torch.from_numpy(scene.evident)
