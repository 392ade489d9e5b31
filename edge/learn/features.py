"""Runs the frozen picture encoders over composed scenes once and keeps what the heads need, on disk."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edge.learn.backgrounds import Backgrounds, load_backgrounds
from edge.learn.network import FusedNet, starting_network
from edge.learn.progress import Stopwatch
from edge.learn.scenes import HOPS, Scene, compose, render
from edge.learn.soundbank import Bank, build_bank

_log = logging.getLogger(__name__)
F16 = NDArray[np.float16]
F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to compose. `scenes` have 32 hops; `glimpses` are scenes of which two hops are rendered."""

    scenes: int = 56
    glimpses: int = 600
    unseen: int = 120
    seed: int = 100_000


def cache_pictures(
    weights: Path, data: Path, wad: Path | None, photos: Path | None, work: Path, plan: Plan, held_out: bool
) -> Path:  # fmt: skip
    """Compose and encode one split; writes <work>/pictures_<split>.npz and returns it. Resumable: kept if there."""
    path = work / f"pictures_{'held' if held_out else 'train'}.npz"
    if path.exists():
        return path
    bank = build_bank(data, wad, held_out, count=16 if held_out else 48, seed=11)
    places = load_backgrounds(data, photos, held_out)
    net = starting_network(weights)
    seed = plan.seed + (5_000_000 if held_out else 0)
    scenes = [compose(seed + n, bank) for n in range(plan.scenes)]
    grids, tops, objects, covers, hops = [], [], [], [], []
    watch = Stopwatch()
    jobs = [(n, scene, range(HOPS)) for n, scene in enumerate(scenes)]
    jobs += [(-1, *_glimpse(seed + 10_000 + n, bank)) for n in range(plan.glimpses)]
    for k, (n, scene, which) in enumerate(jobs):
        g, t, o, c = _encode(net, scene, places, which)
        grids.append(g)
        tops.append(t)
        objects.append(o)
        covers.append(c)
        hops += [(n, h) for h in which]
        if k % 50 == 49:
            _log.info("pictures: %d of %d scenes, %.0f s", k + 1, len(jobs), watch.seconds())
    np.savez(
        path, grid=np.concatenate(grids), top=np.concatenate(tops), objects=np.concatenate(objects),
        cells=np.concatenate(covers), hops=np.array(hops, np.int32), seeds=np.array([s.seed for s in scenes]),
    )  # fmt: skip
    return path


def _glimpse(seed: int, bank: Bank) -> tuple[Scene, range]:
    """A scene and two hops of it, inside a seen event where there is one."""
    scene = compose(seed, bank)
    rng = np.random.default_rng(seed)
    active = np.flatnonzero(scene.evident[:, 0].max(1) > 0.5)
    at = int(rng.choice(active)) if len(active) and rng.random() < 0.85 else int(rng.integers(0, HOPS))
    at = min(at, HOPS - 2)
    return scene, range(at, at + 2)


def _encode(net: FusedNet, scene: Scene, places: Backgrounds, hops: range) -> tuple[F16, F16, F32, F16]:
    pictures = render(scene, places, hops)
    with torch.no_grad():
        seen = net.see(torch.from_numpy(pictures.frames), torch.ones(len(hops), 2))
    return (
        seen.grid.numpy().astype(np.float16), seen.top.numpy().astype(np.float16),
        seen.objects.numpy(), pictures.cells.astype(np.float16),
    )  # fmt: skip
