"""Shots of fire, of lookalikes and of neither, encoded once and stored in shards on disk."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.files import atomic_path
from edge.train.checkpoint import TrainingBudget
from edge.train.flames.lookalikes import lookalike_shot, plain_shot
from edge.train.flames.rendering import (
    UNKNOWN,
    FlameShot,
    LensModel,
    fire_shot,
    real_fire_shot,
    smoke_shot,
    with_random_bars,
)
from edge.train.flames.simulation import Rng
from edge.train.flames.surroundings import FireBackgrounds, load_fire_backgrounds
from edge.train.labels import DENSE_CHANNELS, GRID
from edge.train.nets.network import FusedNet
from edge.train.scenes.backgrounds import (
    boxes_to_cells,
    filmed_fire,
    fire_clip,
    zoom_boxes,
    zoom_picture,
)
from edge.train.scenes.degradation import draw_severity, worsen_pictures
from edge.train.scenes.pictures import U8

_log = logging.getLogger(__name__)


F16 = NDArray[np.float16]
_KINDS: Final = ("fire", "filmed", "house", "smoke", "lookalike", "plain")
_KIND_CHANCE: Final = (0.34, 0.07, 0.04, 0.09, 0.34, 0.12)
FireClip = tuple[U8, list[list[tuple[int, int, int, int]]]]
"""The open fire clip's pictures and the fire boxes of each."""
STILL_SHARE: Final = 0.6
"""The share of shots without motion: a photograph, or a camera's one new picture."""


@dataclass(frozen=True, slots=True)
class ShotPlan:
    """How many shards of how many shots, and how many fires are simulated for them."""

    shards: int = 14
    shots: int = 250
    burns: int = 40
    seed: int = 700_000


class EncodedShots(NamedTuple):
    """Encoded shots: `grid` [N,MAP,8,14], `top` [N,1280], `cells` [N,4,8,14] (-1 unknown), `kinds` N words, and how bad
    the picture is (`severity` [N], `scenes/degradation.py`)."""

    grid: Tensor
    top: Tensor
    cells: Tensor
    kinds: list[str]
    severity: Tensor


def cache_shots(
    net: FusedNet, data: Path, photos: Path | None, work: Path, plan: ShotPlan, held_out: bool
) -> list[Path]:  # fmt: skip
    """The shards <work>/shots_<split>_NN.npz; those that are not there are made."""
    split, paths = "held" if held_out else "train", []
    places: FireBackgrounds | None = None
    watch = TrainingBudget()
    for n in range(plan.shards):
        path = work / f"shots_{split}_{n:02d}.npz"
        paths.append(path)
        if path.exists():
            continue
        if places is None:
            places = load_fire_backgrounds(data, photos, held_out, plan.burns)
        house = fire_clip(data, held_out)
        rng = np.random.default_rng(plan.seed + n + (50_000 if held_out else 0))
        shots = [draw_shot(rng, places, house) for _ in range(plan.shots)]
        severity = np.array([draw_severity(rng) for _ in shots], np.float32)
        pictures = [worsen_pictures(x.frames, float(s), rng) for x, s in zip(shots, severity, strict=True)]
        grid, top = encode_shots(net, np.stack(pictures))
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(
                file, grid=grid, top=top, cells=np.stack([shot.cells for shot in shots]).astype(np.float16),
                kinds=np.array([shot.kind for shot in shots]), severity=severity,
            )  # fmt: skip
        _log.info("shots: %s, %.0f s", path.name, watch.elapsed_s())
    return paths


def draw_shot(rng: Rng, places: FireBackgrounds, house: FireClip) -> FlameShot:
    """One shot of any kind."""
    kind, still = str(rng.choice(_KINDS, p=_KIND_CHANCE)), bool(rng.random() < STILL_SHARE)
    place = places.draw_pictures(rng)
    if kind == "filmed" and places.backgrounds.fires:
        return real_fire_shot(rng, filmed_fire(places.backgrounds, rng), place, still)
    if kind == "house" and len(house[0]) > 1:
        return fire_clip_shot(rng, house, still)
    if kind == "smoke":
        return smoke_shot(rng, places.burns, place, still)
    if kind == "lookalike":
        return lookalike_shot(rng, place, still)
    if kind == "plain":
        return plain_shot(rng, place, still)
    return fire_shot(rng, places.burns, place, still)


def fire_clip_shot(rng: Rng, house: FireClip, still: bool) -> FlameShot:
    """The open fire clip as it was filmed, zoomed and through another camera."""
    pictures, boxes = house
    n, zoom = int(rng.integers(1, len(pictures))), float(rng.uniform(1.0, 1.8))
    lens = LensModel.draw(rng)
    pair = [zoom_picture(pictures[m], zoom) for m in ((n, n) if still else (n - 1, n))]
    frames = [lens.expose(((p / 255.0) ** 2.2).astype(np.float32), rng) for p in pair]
    cover = np.zeros((DENSE_CHANNELS, *GRID), np.float32)
    cover[0], cover[1] = boxes_to_cells(zoom_boxes(boxes[n], zoom)), UNKNOWN
    frames[0] = frames[1] if still else frames[0]
    return with_random_bars(rng, FlameShot(np.stack(frames), cover, "fire:house6"))


def encode_shots(net: FusedNet, frames: U8, batch: int = 10) -> tuple[F16, F16]:
    """u8 [N,2,256,448,3] -> grid and top."""
    grids, tops = [], []
    with torch.no_grad():
        for i in range(0, len(frames), batch):
            some = torch.from_numpy(frames[i : i + batch])
            seen = net.encode_vision(some, torch.ones(len(some), 2))
            grids.append(seen.grid.numpy().astype(np.float16))
            tops.append(seen.top.numpy().astype(np.float16))
    return np.concatenate(grids), np.concatenate(tops)


def read_shots(paths: list[Path]) -> EncodedShots:
    """All shards of a split in memory."""
    grids, tops, cells, kinds, severity = [], [], [], [], []
    for path in paths:
        with np.load(path) as stored:
            grids.append(torch.from_numpy(stored["grid"]))
            tops.append(torch.from_numpy(stored["top"]))
            cells.append(torch.from_numpy(stored["cells"]))
            kinds += stored["kinds"].tolist()
            severity.append(torch.from_numpy(stored["severity"]))
    return EncodedShots(torch.cat(grids), torch.cat(tops), torch.cat(cells), kinds, torch.cat(severity))
