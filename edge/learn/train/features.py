"""Runs the frozen picture encoders over composed scenes once and keeps what the heads need, on disk."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from edge.files import atomic_path
from edge.learn.labels import DENSE_CHANNELS, GRID
from edge.learn.nets.network import FusedNet
from edge.learn.scenes.backgrounds import (
    Backgrounds,
    boxes_to_cells,
    fire_clip,
    load_backgrounds,
    zoom_boxes,
    zoom_picture,
)
from edge.learn.scenes.compose import HOPS, ComposedScene, compose_scene, is_event_visible, render_pictures
from edge.learn.scenes.soundbank import SoundBank, build_sound_bank
from edge.learn.train.progress import TrainingBudget

_log = logging.getLogger(__name__)
F16 = NDArray[np.float16]
F32 = NDArray[np.float32]
_Job = tuple[int, int]
_Rows = tuple[F16, F16, F32, F16, list[tuple[int, int]]]
_SCENES_PER_PART: Final = 4


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """How much to compose. `scenes` have 32 hops; `glimpses` are scenes of which two hops are rendered, `fires` more of
    them in which fire is seen; `plain` are real pictures as they are, of each open clip and zoom."""

    scenes: int = 56
    glimpses: int = 600
    unseen: int = 120
    plain: int = 20
    fires: int = 220
    seed: int = 100_000


def cache_pictures(
    net: FusedNet, data: Path, packages: Path | None, photos: Path | None, work: Path, plan: ScenePlan, held_out: bool
) -> Path:  # fmt: skip
    """Compose and encode one split; writes <work>/pictures_<split>.npz and returns it. Resumable: kept if there, and
    its parts in <work>/pictures_<split>/ until it is."""
    path = work / f"pictures_{'held' if held_out else 'train'}.npz"
    if path.exists():
        return path
    bank = build_sound_bank(data, packages, held_out, count=16 if held_out else 48, seed=11)
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
    """A scene and two hops of it, inside a seen event where there is one."""
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
