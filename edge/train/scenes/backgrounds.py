"""Backgrounds for scenes by split, filmed and rendered; real flames cut from an open clip."""

from __future__ import annotations

import logging
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.capture.picture import letterbox
from edge.train.data import (
    FIRE_CLIP,
    FIRE_HELD_S,
    FIRE_TRAINS_S,
    VIDEO_GEOMETRY,
    decode_video,
    open_recordings,
    read_photo,
)
from edge.train.labels import FPS, HEIGHT, WIDTH
from edge.train.scenes.pictures import F32, U8, Layer, Rng, cell_coverage, draw_room

_log = logging.getLogger(__name__)
_FIRE_SIZE: Final = (426, 240)
_FIRE_RATE: Final = 29.97
# photographs in Debian's opencv-doc (Apache-2.0 / BSD-3-Clause), without test patterns and drawings
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
    # Debian's lomiri-wallpapers-16.04, those under CC BY 4.0 or CC0
    "aitzgorri_by_Aitzol_Berasategi",
    "friends_by_Aitzol_Berasategi",
    "life_by_Aitzol_Berasategi",
    "picosdeeuropa_by_Aitzol_Berasategi",
    "Picture_0B_by_freespace",
    "Picture_1A_by_freespace",
    "seeding_by_Clements_Engelhardt",
    "sunset_by_Aitzol_Berasategi",
    "umang_by_Abhishek_Mudgal",
    "Wine_by_Jakkub_Mede",
]


@dataclass(frozen=True, slots=True)
class Backgrounds:
    """`clips`: u8 [n,256,448,3] each, 4 a second; `photos`: u8 [256,448,3]; `fires`: real flames, cut out
    (colour, alpha)."""

    clips: tuple[U8, ...]
    photos: tuple[U8, ...]
    fires: tuple[tuple[F32, F32], ...]

    def draw_pictures(self, rng: Rng, length: int, rooms: float = 0.2) -> U8:
        """`length` consecutive pictures of one place, sometimes mirrored or zoomed: u8 [length,256,448,3]; this share
        of them are made-up rooms."""
        kind = rng.random()
        if kind < 0.5 and self.clips:
            clip = self.clips[int(rng.integers(len(self.clips)))]
            at = int(rng.integers(0, max(1, len(clip) - length)))
            index = np.arange(at, at + length) % (2 * len(clip))
            index = np.where(index >= len(clip), 2 * len(clip) - 1 - index, index)
            pictures = clip[index]
        else:
            still = (
                self.photos[int(rng.integers(len(self.photos)))] if kind < 1 - rooms and self.photos else draw_room(rng)
            )
            pictures = np.broadcast_to(still, (length, *still.shape))
        if rng.random() < 0.5:
            pictures = pictures[:, :, ::-1]
        if rng.random() < 0.4:
            x, y = int(rng.integers(0, WIDTH // 4)), int(rng.integers(0, HEIGHT // 4))
            part = pictures[:, y : y + 3 * HEIGHT // 4, x : x + 3 * WIDTH // 4]
            pictures = np.stack([cv2.resize(np.ascontiguousarray(p), (WIDTH, HEIGHT)) for p in part])
        return np.ascontiguousarray(pictures)


def load_backgrounds(data: Path, photos: Path | None, held_out: bool) -> Backgrounds:
    """Everything of the split. Real flames are cut from this split's part of the one open fire clip."""
    clips, fires = [], []
    for r in open_recordings(data):
        if r.kind != "video":
            continue
        if r.path.stem == FIRE_CLIP:
            fires = _cut_out_flames(*fire_clip(data, held_out))
        elif r.held_out == held_out:
            clips.append(decode_video(r.path, limit_s=45))
    files = [] if photos is None else sorted(photos.rglob("*.jpg")) + sorted(photos.rglob("*.png"))
    stills = [
        read_photo(p) for p in files if p.stem in _PHOTOS and (zlib.crc32(p.stem.encode()) % 4 == 0) == held_out
    ]  # fmt: skip
    _log.info("backgrounds: %d clips, %d photographs, %d real flames", len(clips), len(stills), len(fires))
    return Backgrounds(tuple(clips), tuple(stills), tuple(fires))


def filmed_fire(backgrounds: Backgrounds, rng: Rng) -> Layer:
    """One to four real flames side by side, from a few pixels to most of the picture, mirrored or not, with the
    camera's gain and hue moved, played at 4 pictures a second."""
    tall = float(np.exp(rng.uniform(np.log(20), np.log(320))))
    cx, base = float(rng.uniform(20, WIDTH - 20)), float(rng.uniform(80, HEIGHT + 20))
    tint = (rng.uniform(0.85, 1.3) * rng.uniform([0.95, 0.8, 0.4], [1.08, 1.15, 1.05])).astype(np.float32)
    tongues = [
        (int(rng.integers(len(backgrounds.fires))), cx + float(rng.normal(0, 0.4 * tall)) * (n > 0),
         base + float(rng.normal(0, 0.08 * tall)), tall * float(rng.uniform(0.5, 1.0)) if n else tall,
         float(rng.uniform(0.6, 1.8)), bool(rng.random() < 0.5))
        for n in range(int(rng.integers(1, 5)))
    ]  # fmt: skip

    def layer(t: float) -> tuple[F32, F32]:
        colour, alpha = np.zeros((HEIGHT, WIDTH, 3), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
        for start, x, bottom, high, wide, flip in tongues:
            flame, matte = backgrounds.fires[(start + int(t * 4)) % len(backgrounds.fires)]
            if flip:
                flame, matte = flame[:, ::-1], matte[:, ::-1]
            sy = high / matte.shape[0]
            sx = sy * wide
            move = np.array([[sx, 0, x - sx * matte.shape[1] / 2], [0, sy, bottom - high]], np.float32)
            size, ends = (WIDTH, HEIGHT), cv2.BORDER_REPLICATE
            here = cv2.warpAffine(np.ascontiguousarray(matte), move, size, flags=cv2.INTER_LINEAR)
            lit = cv2.warpAffine(np.ascontiguousarray(flame), move, size, flags=cv2.INTER_LINEAR, borderMode=ends)
            over = (here > alpha)[..., None]
            colour, alpha = np.where(over, lit, colour), np.maximum(alpha, here)
        return np.clip(colour * tint, 0, 1).astype(np.float32), alpha.astype(np.float32)

    return layer


def read_fire_boxes(path: Path) -> list[list[tuple[int, int, int, int]]]:
    """The furg label file: for each frame of the clip its fire boxes as x, y, width, height in source pixels."""
    text = path.read_text(encoding="utf-8", errors="replace")
    frames = []
    for part in text.split("<frameNumber>")[1:]:
        found = re.findall(r"<_>\s*(-?\d+) (-?\d+) (\d+) (\d+)\s*</_>", part)
        frames.append([(int(x), int(y), int(w), int(h)) for x, y, w, h in found])
    return frames


def fire_clip(data: Path, held_out: bool) -> tuple[U8, list[list[tuple[int, int, int, int]]]]:
    """The open fire clip's part of this split, 4 pictures a second, and each picture's fire boxes on the canvas.

    One recording, so split by time (`edge.train.data.FIRE_TRAINS_S`).
    """
    found = [r.path for r in open_recordings(data) if r.path.stem == FIRE_CLIP]
    labels = data / "labels" / "furg_house6.xml"
    if not found or not labels.exists():
        return np.zeros((0, HEIGHT, WIDTH, 3), np.uint8), []
    pictures, boxes = decode_video(found[0]), read_fire_boxes(labels)
    part = (
        range(int(FIRE_HELD_S * FPS), len(pictures))
        if held_out
        else range(min(int(FIRE_TRAINS_S * FPS), len(pictures)))
    )
    left, top, width, height = letterbox(*_FIRE_SIZE, VIDEO_GEOMETRY)
    across, down = width / _FIRE_SIZE[0], height / _FIRE_SIZE[1]
    moved = []
    for n in part:
        now = boxes[min(round(n / FPS * _FIRE_RATE), len(boxes) - 1)]
        moved.append([
            (round(x * across + left), round(y * down + top), max(1, round(w * across)), max(1, round(h * down)))
            for x, y, w, h in now
        ])  # fmt: skip
    return pictures[part.start : part.stop], moved


def boxes_to_cells(boxes: list[tuple[int, int, int, int]]) -> F32:
    """[8,14]: how much of each 32-pixel cell the boxes cover, on the scale of `cell_coverage`."""
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    for x, y, w, h in boxes:
        mask[max(0, y) : y + h, max(0, x) : x + w] = 1
    return cell_coverage(mask)


def zoom_boxes(boxes: list[tuple[int, int, int, int]], zoom: float) -> list[tuple[int, int, int, int]]:
    """Boxes after `zoom_picture` with the same zoom."""
    x0, y0 = WIDTH / 2 * (1 - zoom), HEIGHT / 2 * (1 - zoom)
    return [(round(x * zoom + x0), round(y * zoom + y0), round(w * zoom), round(h * zoom)) for x, y, w, h in boxes]


def zoom_picture(picture: U8, zoom: float) -> U8:
    """The canvas enlarged about its centre."""
    if zoom == 1.0:
        return picture
    move = np.array([[zoom, 0, WIDTH / 2 * (1 - zoom)], [0, zoom, HEIGHT / 2 * (1 - zoom)]], np.float32)
    return np.asarray(cv2.warpAffine(picture, move, (WIDTH, HEIGHT)), dtype=np.uint8)


def _cut_out_flames(pictures: U8, boxes: list[list[tuple[int, int, int, int]]]) -> list[tuple[F32, F32]]:
    """Flames inside the boxes as (colour, alpha) crops, f32 0..1: bright and warm, or white inside warm."""
    cut = []
    for picture, frame_boxes in zip(pictures, boxes, strict=True):
        for x, y, w, h in frame_boxes:
            y0, x0 = max(0, y - 3), max(0, x - 3)
            part = picture[y0 : y + h + 3, x0 : x + w + 3].astype(np.float32) / 255.0
            warm = np.clip((part[..., 0] - 0.72) * 6, 0, 1) * np.clip((part[..., 0] - part[..., 2] - 0.24) * 8, 0, 1)
            white = np.clip((part.min(2) - 0.85) * 8, 0, 1) * cv2.dilate(warm, np.ones((5, 5)))
            alpha = cv2.GaussianBlur(np.maximum(warm, white), (0, 0), 0.8)
            border = np.ones(alpha.shape, np.float32)
            border[[0, -1], :], border[:, [0, -1]] = 0, 0
            alpha = alpha * cv2.GaussianBlur(border, (0, 0), 1.0) * border
            if min(alpha.shape) >= 10 and float(alpha.mean()) > 0.08:
                cut.append((part, np.asarray(alpha, np.float32)))
    return cut
