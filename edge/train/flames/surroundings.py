"""Places for simulated fires: open clips and photographs, views into open panoramas, rooms of boxes; and the fires."""

from __future__ import annotations

import base64
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge.train.flames.simulation import FireSimulation, Rng, linear_to_srgb, simulate_fire
from edge.train.labels import HEIGHT, WIDTH
from edge.train.scenes.backgrounds import Backgrounds, load_backgrounds
from edge.train.scenes.pictures import F32, U8

_EXR: Final = re.compile(rb"base64,([A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True)
class FireBackgrounds:
    """`panoramas`: linear light f32 [256,512,3] each, all round; `burns`: simulated fires."""

    backgrounds: Backgrounds
    panoramas: tuple[F32, ...]
    burns: tuple[FireSimulation, ...]

    def draw_pictures(self, rng: Rng) -> U8:
        """Two consecutive pictures of one place, u8 [2,256,448,3]."""
        if self.panoramas and rng.random() < 0.35:
            view = _panorama_view(self.panoramas[int(rng.integers(len(self.panoramas)))], rng)
            return np.stack([view, view])
        return self.backgrounds.draw_pictures(rng, 2, rooms=0.08)


def load_fire_backgrounds(data: Path, photos: Path | None, held_out: bool, burns: int) -> FireBackgrounds:
    """Everything of the split. `photos`: a folder with Debian's opencv-doc and lomiri-wallpapers-16.04 and npm's
    @pmndrs/assets unpacked in it, or with some of them."""
    found = [] if photos is None else sorted(photos.rglob("*.exr.js"))
    mine = [p for p in found if (zlib.crc32(p.name.encode()) % 4 == 0) == held_out]
    seed = 900_000 if held_out else 800_000
    made = tuple(simulate_fire(np.random.default_rng(seed + n)) for n in range(burns))
    return FireBackgrounds(load_backgrounds(data, photos, held_out), tuple(read_panorama(p) for p in mine), made)


def read_panorama(path: Path) -> F32:
    """An equirectangular picture of linear light in OpenEXR, as text inside a JavaScript module."""
    os.environ["OPENCV_IO_ENABLE_OPENEXR"] = "1"
    found = _EXR.search(path.read_bytes())
    raw = b"" if found is None else base64.b64decode(found.group(1))
    picture = None if not raw else cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 3:
        raise ValueError(f"{path}: no OpenEXR picture in it")
    return np.ascontiguousarray(np.clip(picture[..., 2::-1], 0, 50), dtype=np.float32)


def _panorama_view(panorama: F32, rng: Rng) -> U8:
    """A camera's picture in a drawn direction, width of field and exposure."""
    rows, columns = panorama.shape[:2]
    half = np.tan(np.radians(float(rng.uniform(55, 110)) / 2))
    yaw, pitch = float(rng.uniform(0, 2 * np.pi)), float(np.radians(rng.uniform(-20, 15)))
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    dx, dy = (x - WIDTH / 2) / (WIDTH / 2) * half, (y - HEIGHT / 2) / (WIDTH / 2) * half
    up, ahead = -dy * np.cos(pitch) + np.sin(pitch), np.cos(pitch) + dy * np.sin(pitch)
    around = (np.arctan2(dx, ahead) + yaw) / (2 * np.pi) % 1.0 * columns
    down = (0.5 - np.arctan2(up, np.hypot(dx, ahead)) / np.pi) * rows
    wrapped = np.concatenate([panorama, panorama[:, :2]], 1)
    light = cv2.remap(wrapped, around.astype(np.float32), down.astype(np.float32), cv2.INTER_CUBIC)
    bright = float(np.percentile(light.mean(2), 80)) + 1e-4
    lit = light * float(rng.uniform(0.25, 0.9)) / bright
    return np.asarray(linear_to_srgb(np.asarray(lit, np.float32)) * 255, dtype=np.uint8)
