"""Real and made backgrounds for scenes, by split; real flames cut from an open clip."""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.learn.data import decode_video, read_photo, recordings
from edge.learn.labels import HEIGHT, WIDTH
from edge.learn.pictures import F32, U8, Layer, Rng, room

_log = logging.getLogger(__name__)
_FIRE_CLIP: Final = "fire_furg_house6"
# photographs in Debian's opencv-doc (Apache-2.0 / BSD-3-Clause); the test patterns and drawings there are left out
_PHOTOS: Final = [
    "fruits",
    "aloeL",
    "aloeR",
    "leuvenA",
    "leuvenB",
    "home",
    "board",
    "starry_night",
    "orange",
    "stuff",
    "messi5",
    "rubberwhale1",
    "graf1",
    "graf3",
    "building",
    "butterfly",
    "aero1",
    "aero3",
    "basketball1",
    "ela_original",
    "left01",
    "left12",
    "cards",
    "box_in_scene",
    "apple",
    "squirrel_cls",
    "baboon",
    "smarties",
    "licenseplate_motion",
    "000",
    "001",
    "002",
    "HappyFish",
    "right07",
    "blox",
    "chicky_512",
]


@dataclass(frozen=True, slots=True)
class Backgrounds:
    """`clips`: u8 [n,256,448,3] each, 4 a second; `photos`: u8 [256,448,3]; `fires`: real flames (colour, alpha)."""

    clips: tuple[U8, ...]
    photos: tuple[U8, ...]
    fires: tuple[tuple[F32, F32], ...]

    def draw(self, rng: Rng, length: int) -> U8:
        """`length` consecutive pictures of one place, sometimes mirrored or zoomed: u8 [length,256,448,3]."""
        kind = rng.random()
        if kind < 0.5 and self.clips:
            clip = self.clips[int(rng.integers(len(self.clips)))]
            at = int(rng.integers(0, max(1, len(clip) - length)))
            index = np.arange(at, at + length) % (2 * len(clip))
            index = np.where(index >= len(clip), 2 * len(clip) - 1 - index, index)
            pictures = clip[index]
        else:
            still = self.photos[int(rng.integers(len(self.photos)))] if kind < 0.8 and self.photos else room(rng)
            pictures = np.broadcast_to(still, (length, *still.shape))
        if rng.random() < 0.5:
            pictures = pictures[:, :, ::-1]
        if rng.random() < 0.4:
            x, y = int(rng.integers(0, WIDTH // 4)), int(rng.integers(0, HEIGHT // 4))
            part = pictures[:, y : y + 3 * HEIGHT // 4, x : x + 3 * WIDTH // 4]
            pictures = np.stack([cv2.resize(np.ascontiguousarray(p), (WIDTH, HEIGHT)) for p in part])
        return np.ascontiguousarray(pictures)


def load_backgrounds(data: Path, photos: Path | None, held_out: bool) -> Backgrounds:
    """Everything of the split. Real flames are cut from the one open fire clip for training only."""
    clips, fires = [], []
    for r in recordings(data):
        if r.kind != "video":
            continue
        if r.path.stem == _FIRE_CLIP:
            fires = [] if held_out else _cut_fires(decode_video(r.path))
        elif r.held_out == held_out:
            clips.append(decode_video(r.path, limit_s=45))
    files = [] if photos is None else sorted(photos.rglob("*.jpg")) + sorted(photos.rglob("*.png"))
    stills = [
        read_photo(p) for p in files if p.stem in _PHOTOS and (zlib.crc32(p.stem.encode()) % 4 == 0) == held_out
    ]  # fmt: skip
    _log.info("backgrounds: %d clips, %d photographs, %d real flames", len(clips), len(stills), len(fires))
    return Backgrounds(tuple(clips), tuple(stills), tuple(fires))


def real_fire(backgrounds: Backgrounds, rng: Rng) -> Layer:
    """Flames of the open clip, moved and scaled, played at 4 pictures a second."""
    start = int(rng.integers(len(backgrounds.fires)))
    scale, x, y = float(rng.uniform(0.5, 1.8)), float(rng.uniform(-120, 120)), float(rng.uniform(-60, 90))
    flip = rng.random() < 0.5
    move = np.array([[scale, 0, WIDTH / 2 * (1 - scale) + x], [0, scale, HEIGHT / 2 * (1 - scale) + y]], np.float32)

    def layer(t: float) -> tuple[F32, F32]:
        colour, alpha = backgrounds.fires[(start + int(t * 4)) % len(backgrounds.fires)]
        if flip:
            colour, alpha = colour[:, ::-1], alpha[:, ::-1]
        moved = cv2.warpAffine(np.ascontiguousarray(colour), move, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
        mask = cv2.warpAffine(np.ascontiguousarray(alpha), move, (WIDTH, HEIGHT))
        return np.asarray(moved, np.float32), np.asarray(mask, np.float32)

    return layer


def _cut_fires(pictures: U8) -> list[tuple[F32, F32]]:
    """Bright warm regions as (colour, alpha), f32 0..1."""
    cut = []
    for picture in pictures:
        x: NDArray[np.float32] = picture.astype(np.float32) / 255.0
        warm = np.clip((x[..., 0] - 0.62) * 5, 0, 1) * np.clip((x[..., 0] - x[..., 2] - 0.12) * 6, 0, 1)
        bright = np.clip((x.min(2) - 0.85) * 8, 0, 1) * cv2.dilate(warm, np.ones((9, 9)))
        alpha = cv2.GaussianBlur(np.maximum(warm, bright), (0, 0), 1.0)
        if float(alpha.mean()) > 0.002:
            cut.append((x, np.asarray(alpha, np.float32)))
    return cut
