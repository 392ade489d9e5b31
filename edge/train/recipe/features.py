"""Cached features of whole scenes, and their sampling and masking for the fusion.

Runs the frozen encoders over composed scenes once and keeps on disk what the heads need.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.files import atomic_path
from edge.train import checkpoint
from edge.train.checkpoint import TrainingBudget
from edge.train.labels import DENSE_CHANNELS, GRID, HOP_S, MEMORY, RATE_HZ, SAMPLES
from edge.train.nets.heads import HopFeatures
from edge.train.nets.image import MAP_CHANNELS, TOP_CHANNELS, pool_cells
from edge.train.nets.network import FusedNet, empty_body_features
from edge.train.scenes.backgrounds import (
    Backgrounds,
    boxes_to_cells,
    fire_clip,
    load_backgrounds,
    zoom_boxes,
    zoom_picture,
)
from edge.train.scenes.compose import HOPS, LEAD_S, ComposedScene, compose_scene, is_event_visible, render_pictures
from edge.train.scenes.soundbank import SoundBank, build_sound_bank

_log = logging.getLogger(__name__)
F16 = NDArray[np.float16]
F32 = NDArray[np.float32]
_Job = tuple[int, int]
_Rows = tuple[F16, F16, F32, F16, list[tuple[int, int]]]
_SCENES_PER_PART: Final = 4
_BANK_SEED: Final = 11


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """How much to compose. `scenes` have 32 hops; `glimpses` are scenes of which two hops are rendered, `fires` more of
    them in which fire is visible; `plain` are real pictures as they are, of each open clip and zoom. `made` sounds are
    synthesised for each label."""

    scenes: int = 56
    glimpses: int = 600
    unseen: int = 120
    plain: int = 20
    fires: int = 220
    made: int = 48
    seed: int = 100_000


def cache_pictures(
    net: FusedNet, data: Path, packages: Path | None, photos: Path | None, work: Path, plan: ScenePlan, held_out: bool
) -> Path:  # fmt: skip
    """Compose and encode one split; writes <work>/pictures_<split>.npz and returns it. Resumable: kept if there, and
    its parts in <work>/pictures_<split>/ until it is."""
    path = work / f"pictures_{'held' if held_out else 'train'}.npz"
    if path.exists():
        return path
    bank = build_sound_bank(data, packages, held_out, plan.made, seed=_BANK_SEED)
    places = load_backgrounds(data, photos, held_out)
    seed = plan.seed + (5_000_000 if held_out else 0)
    jobs: list[_Job] = [(n, seed + n) for n in range(plan.scenes)]
    jobs += [(-1, seed + 10_000 + n) for n in range(plan.glimpses)]
    seen_fire = (n for n in count(seed + 40_000) if is_event_visible(n, bank, "fire"))
    jobs += [(-1, n) for n in islice(seen_fire, plan.fires)]
    folder, watch = work / path.stem, TrainingBudget()
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(jobs), _SCENES_PER_PART):
        part = folder / f"{start:05d}.npz"
        if not part.exists():
            _save_part(part, [_scene_rows(net, bank, places, job) for job in jobs[start : start + _SCENES_PER_PART]])
        _log.info(
            "pictures: %d of %d scenes, %.0f s", min(start + _SCENES_PER_PART, len(jobs)), len(jobs), watch.elapsed_s()
        )
    last = folder / "plain.npz"
    if plan.plain and not last.exists():
        _save_part(
            last,
            [
                (*row, [(-2, h) for h in range(len(row[0]))])
                for row in _plain_pictures(net, data, places, plan.plain, held_out)
            ],
        )
    parts = [np.load(f) for f in sorted(folder.glob("*.npz"))]
    stored = {
        k: np.concatenate([p[k] for p in parts if len(p["hops"])]) for k in ("grid", "top", "objects", "cells", "hops")
    }
    _write_npz(path, stored | {"seeds": np.array([seed + n for n in range(plan.scenes)])})
    shutil.rmtree(folder)
    return path


def _scene_rows(net: FusedNet, bank: SoundBank, places: Backgrounds, job: _Job) -> _Rows:
    """A whole scene, or of a glimpse (scene -1) two hops."""
    number, seed = job
    scene, which = (compose_scene(seed, bank), range(HOPS)) if number >= 0 else _two_hops(seed, bank)
    return *_encode_scene(net, scene, places, which), [(number, h) for h in which]


def _save_part(path: Path, rows: list[_Rows]) -> None:
    """One part of the cache, whole or not at all."""
    empty = np.zeros((0,), np.float32)
    columns = [np.concatenate(c) if rows else empty for c in list(zip(*(r[:4] for r in rows), strict=True)) or [()] * 4]
    hops = np.array([h for r in rows for h in r[4]], np.int32).reshape(-1, 2)
    _write_npz(path, dict(zip(("grid", "top", "objects", "cells"), columns, strict=True)) | {"hops": hops})


def _write_npz(path: Path, arrays: dict[str, Any]) -> None:
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def _two_hops(seed: int, bank: SoundBank) -> tuple[ComposedScene, range]:
    """A scene and two hops of it, inside a visible event where there is one."""
    scene = compose_scene(seed, bank)
    rng = np.random.default_rng(seed)
    active = np.flatnonzero(scene.evident[:, 0].max(1) > 0.5)
    at = int(rng.choice(active)) if len(active) and rng.random() < 0.85 else int(rng.integers(0, HOPS))
    at = min(at, HOPS - 2)
    return scene, range(at, at + 2)


def _plain_pictures(
    net: FusedNet, data: Path, places: Backgrounds, most: int, held_out: bool
) -> Iterator[tuple[F16, F16, F32, F16]]:  # fmt: skip
    """Open clips as they are and zoomed: nothing happens in them, but in the fire clip, whose boxes are its fire;
    whether its haze is smoke nobody labelled (-1)."""
    rng = np.random.default_rng(17)
    house, boxes = fire_clip(data, held_out)
    for clip in (*places.clips, house, *(np.stack([x, x]) for x in places.photos)):
        if len(clip) < 2:
            continue
        burning = clip is house
        pairs = sorted({int(x) for x in np.linspace(0, max(0, len(clip) // 2 - 1), 2 * most if burning else most)})
        for zoom in (1.0, float(rng.uniform(1.15, 1.6)))[: 2 if len(clip) > 2 else 1]:
            frames = np.stack([[clip[2 * n], clip[2 * n + 1]] for n in pairs if 2 * n + 1 < len(clip)])
            cover = np.zeros((len(frames), DENSE_CHANNELS, *GRID), np.float32)
            if burning:
                cover[:, 0] = [
                    boxes_to_cells(zoom_boxes(boxes[2 * n + 1], zoom)) for n in pairs if 2 * n + 1 < len(clip)
                ]
                cover[:, 1] = -1
            frames = np.stack([[zoom_picture(p, zoom) for p in pair] for pair in frames])
            yield _encode_pictures(net, frames, cover)


def _encode_scene(net: FusedNet, scene: ComposedScene, places: Backgrounds, hops: range) -> tuple[F16, F16, F32, F16]:
    pictures = render_pictures(scene, places, hops)
    return _encode_pictures(net, pictures.frames, pictures.cells)


def _encode_pictures(net: FusedNet, frames: NDArray[np.uint8], cover: F32) -> tuple[F16, F16, F32, F16]:
    with torch.no_grad():
        seen = net.encode_vision(torch.from_numpy(frames), torch.ones(len(frames), 2))
    return (
        seen.grid.numpy().astype(np.float16), seen.top.numpy().astype(np.float16),
        seen.objects.numpy(), cover.astype(np.float16),
    )  # fmt: skip


_SCENES_PER_SAVE: Final = 16


class FeatureRows(NamedTuple):
    """Features [N,...], `evident` [N,3,C], and `scene` [N]; hops of a scene are in order. Of recordings also their
    names, one a scene, and where there is sound (`loud` [N])."""

    features: HopFeatures
    evident: Tensor
    scene: Tensor
    names: tuple[str, ...] = ()
    loud: Tensor | None = None


def load_feature_rows(
    net: FusedNet, data: Path, packages: Path | None, work: Path, plan: ScenePlan, held_out: bool
) -> FeatureRows:
    """Rows of the split's scenes with pictures, then of `unseen` scenes without. Sounds are encoded here, once."""
    split = "held" if held_out else "train"
    stored = np.load(work / f"pictures_{split}.npz")
    count = len(stored["seeds"]) * HOPS
    seeds = [*stored["seeds"].tolist(), *(int(stored["seeds"][0]) + 50_000 + n for n in range(plan.unseen))]
    sound, tags, sensors, sensor_ok, evident = encode_sounds(net, data, packages, work, plan, held_out, seeds)
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
    net: FusedNet, data: Path, packages: Path | None, work: Path, plan: ScenePlan, held_out: bool, seeds: list[int]
) -> tuple[Tensor, ...]:
    """Embedding, tags, sensors, their mask and `evident` of these scenes' hops; kept in <work>/sounds_<split>.pt, which
    grows scene by scene, so that a killed run continues."""
    path = work / f"sounds_{'held' if held_out else 'train'}.pt"
    rows: list[list[Tensor]] = checkpoint.load(path) or []
    if len(rows) < len(seeds):
        bank = build_sound_bank(data, packages, held_out, plan.made, seed=_BANK_SEED)
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


def with_modalities(f: HopFeatures, there: Tensor) -> HopFeatures:
    """Only what these modalities [3] (picture, sound, sensors: 1 or 0) tell."""
    video, audio, sensors = there
    return f._replace(
        cells=f.cells * video, top=f.top * video, dense=f.dense * video, objects=f.objects * video,
        video_ok=f.video_ok * video, audio_ok=f.audio_ok * audio, sensor_ok=f.sensor_ok * sensors,
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
    ends = [int((LEAD_S + h * HOP_S) * RATE_HZ) for h in range(HOPS)]
    windows = torch.from_numpy(np.stack([scene.audio[e - SAMPLES : e] for e in ends]))
    with torch.no_grad():
        out = net.audio.eval()(windows)
    ok = torch.from_numpy(scene.sensor_ok).expand(HOPS, -1)
    return out.embedding, out.logits, torch.from_numpy(scene.sensors), ok, torch.from_numpy(scene.evident)
