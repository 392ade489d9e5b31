"""Whole scenes as rows of cached features, and what is done to rows before the fusion sees them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from edge.learn.labels import MEMORY, RATE_HZ, SAMPLES
from edge.learn.nets.heads import HopFeatures
from edge.learn.nets.image import MAP_CHANNELS, TOP_CHANNELS, pool_cells
from edge.learn.nets.network import FusedNet, empty_body_features
from edge.learn.scenes.compose import HOPS, LEAD_S, compose_scene
from edge.learn.scenes.soundbank import SoundBank, build_sound_bank
from edge.learn.train import checkpoint

_log = logging.getLogger(__name__)
_SCENES_PER_SAVE: Final = 16


class FeatureRows(NamedTuple):
    """Features [N,...], `evident` [N,3,C], and `scene` [N]; hops of a scene are in order. Of recordings also their
    names, one a scene, and where something is heard (`loud` [N])."""

    features: HopFeatures
    evident: Tensor
    scene: Tensor
    names: tuple[str, ...] = ()
    loud: Tensor | None = None


def load_feature_rows(
    net: FusedNet, data: Path, packages: Path | None, work: Path, held_out: bool, unseen: int
) -> FeatureRows:
    """Rows of the split's scenes with pictures, then of `unseen` scenes without. Sounds are encoded here, once."""
    split = "held" if held_out else "train"
    stored = np.load(work / f"pictures_{split}.npz")
    count = len(stored["seeds"]) * HOPS
    seeds = [*stored["seeds"].tolist(), *(int(stored["seeds"][0]) + 50_000 + n for n in range(unseen))]
    sound, tags, sensors, sensor_ok, evident = encode_sounds(net, data, packages, work, held_out, seeds)
    n = len(sound)
    cells, top, dense, objects = (
        torch.zeros(n, 14, MAP_CHANNELS),
        torch.zeros(n, TOP_CHANNELS),
        torch.zeros(n, 4),
        torch.zeros(n, 3),
    )
    grid = torch.from_numpy(stored["grid"][:count])
    top[:count] = torch.from_numpy(stored["top"][:count]).float()
    with torch.no_grad():
        for i in range(0, count, 128):
            g = grid[i : i + 128].float()
            part = slice(i, i + len(g))
            cells[part], dense[part] = pool_cells(g), net.dense(g, top[part])[1]
    objects[:count] = torch.from_numpy(stored["objects"][:count])
    video_ok = torch.zeros(n, 2)
    video_ok[:count] = 1
    features = HopFeatures(
        cells, top, dense, objects, *empty_body_features(top), sound, tags, sensors, video_ok, torch.ones(n), sensor_ok
    )
    _log.info("%s: %d hops, %d with pictures", split, n, count)
    return FeatureRows(features, evident, torch.arange(n) // HOPS)


def encode_sounds(
    net: FusedNet, data: Path, packages: Path | None, work: Path, held_out: bool, seeds: list[int]
) -> tuple[Tensor, ...]:
    """Embedding, tags, sensors, their mask and `evident` of these scenes' hops; kept in <work>/sounds_<split>.pt, which
    grows scene by scene, so that a killed run goes on."""
    path = work / f"sounds_{'held' if held_out else 'train'}.pt"
    rows: list[list[Tensor]] = checkpoint.load(path) or []
    if len(rows) < len(seeds):
        bank = build_sound_bank(data, packages, held_out, count=16 if held_out else 48, seed=11)
        while len(rows) < len(seeds):
            rows += [list(_sound_rows(net, seed, bank)) for seed in seeds[len(rows) : len(rows) + _SCENES_PER_SAVE]]
            checkpoint.save(path, rows)
            _log.info("sounds: %d of %d scenes", len(rows), len(seeds))
    return tuple(torch.cat(column) for column in zip(*rows[: len(seeds)], strict=True))


def memory_windows(tokens: Tensor, picked: Tensor) -> tuple[Tensor, Tensor]:
    """Tokens [S*32,D] in scene order -> for picked rows [P] the 16 before each [P,16,D], oldest first, and masks."""
    position = picked % HOPS
    steps = torch.arange(MEMORY, 0, -1)
    before = (picked[:, None] - steps).clamp(min=0)
    there = (position[:, None] >= steps).to(tokens.dtype)
    return tokens[before] * there[..., None], there


def drop_modalities(f: HopFeatures, scenes: int, generator: torch.Generator) -> HopFeatures:
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
    video_mask, audio_mask = video[:, None] * f.video_ok[:, 1:], audio[:, None]
    return f._replace(
        cells=f.cells * video_mask[..., None], top=f.top * video_mask, dense=f.dense * video_mask,
        objects=f.objects * video_mask,
        sound=f.sound * audio_mask, tags=f.tags, video_ok=f.video_ok * frame, audio_ok=f.audio_ok * audio,
        sensor_ok=f.sensor_ok * sensors[:, None],
    )  # fmt: skip


def scene_weights(rows: FeatureRows) -> Tensor:
    """How often to draw each scene [S], so that rare events come nearly as often as common ones: 1 plus, for each of
    its events, a twentieth of how many times more scenes have none of it."""
    count = int(rows.scene[-1]) + 1
    shown = (rows.evident.amax(1) > 0.75).float()
    there = torch.zeros(count, rows.evident.shape[2]).index_add_(0, rows.scene, shown) > 0
    share = there.float().mean(0).clamp(min=1 / count)
    return 1.0 + 0.05 * (there * (1 - share) / share).sum(1).clamp(max=60.0)


def _sound_rows(net: FusedNet, seed: int, bank: SoundBank) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    scene = compose_scene(seed, bank)
    ends = [int((LEAD_S + h * 0.5) * RATE_HZ) for h in range(HOPS)]
    windows = torch.from_numpy(np.stack([scene.audio[e - SAMPLES : e] for e in ends]))
    with torch.no_grad():
        out = net.audio.eval()(windows)
    ok = torch.from_numpy(scene.sensor_ok).expand(HOPS, -1)
    return out.embedding, out.logits, torch.from_numpy(scene.sensors), ok, torch.from_numpy(scene.evident)
