"""Procedural picture events on real backgrounds: flames, smoke, flashes; what is mistaken for them; cameras.

A layer is `f(t_s) -> (colour f32[H,W,3] 0..1, alpha f32[H,W] 0..1)` on the model's canvas, coherent in time
and fixed by its generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.train.labels import HEIGHT, WIDTH

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Rng = np.random.Generator
Layer = Callable[[float], tuple[F32, F32]]

_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)


@dataclass(frozen=True, slots=True)
class CameraModel:
    """What a camera does to a scene; drawn once a scene."""

    gain: float
    gamma: float
    grey: bool
    blur: float
    noise: float
    quality: int
    tint: tuple[float, float, float]


def draw_camera_model(rng: Rng) -> CameraModel:
    """Day or night, colour or infrared-grey, sharp or not, compressed."""
    night = rng.random() < 0.3
    tint = tuple(float(x) for x in rng.uniform(0.9, 1.1, 3))
    return CameraModel(
        gain=float(rng.uniform(0.25, 0.6) if night else rng.uniform(0.75, 1.2)), gamma=float(rng.uniform(0.8, 1.25)),
        grey=bool(rng.random() < 0.1), blur=float(rng.choice([0, 0, 0.6, 1.2])),
        noise=float(rng.uniform(0, 7 if night else 3)),
        quality=int(rng.integers(30, 92)), tint=(tint[0], tint[1], tint[2]),
    )  # fmt: skip


def darken(background: U8, camera: CameraModel) -> F32:
    """The background under the scene's light, f32 0..1; lights and flames are added after this."""
    x = background.astype(np.float32) / 255.0
    lit = np.clip(x * camera.gain * np.array(camera.tint, np.float32), 0, 1) ** np.float32(camera.gamma)
    return np.asarray(lit, dtype=np.float32)


def expose(scene: F32, camera: CameraModel, rng: Rng) -> U8:
    """Lens, sensor and codec: f32 0..1 -> u8 RGB."""
    x = cv2.GaussianBlur(scene, (0, 0), camera.blur) if camera.blur else scene
    if camera.grey:
        x = np.repeat((x @ np.array([0.3, 0.59, 0.11], np.float32))[..., None], 3, 2)
    x = x * 255.0
    if camera.noise:
        small = rng.standard_normal((HEIGHT, WIDTH, 1)).astype(np.float32)
        x = x + small * camera.noise
    out = np.clip(x, 0, 255).astype(np.uint8)
    _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, camera.quality])
    return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)


def blend(scene: F32, colour: F32, alpha: F32) -> F32:
    """Ordinary over-blending."""
    a = alpha[..., None]
    return scene * (1 - a) + colour * a


def flames(rng: Rng, size: float | None = None) -> Layer:
    """A fire: rising turbulence inside a few teardrops, black-body colours, its glow on the surroundings."""
    noise = _noise(rng)
    big = float(size if size is not None else np.exp(rng.uniform(np.log(12), np.log(220))))
    cx, base = float(rng.uniform(30, WIDTH - 30)), float(rng.uniform(80, HEIGHT + 0.2 * big))
    tongues = [
        (cx + float(rng.normal(0, big * 0.5)), big * float(rng.uniform(0.5, 1.2)), float(rng.uniform(0, 9)))
        for _ in range(int(rng.integers(1, 5)))
    ]
    speed, heat, white = float(rng.uniform(60, 200)), float(rng.uniform(0.8, 1.4)), float(rng.uniform(0.75, 1.1))
    glow = float(rng.uniform(0.05, 0.35))

    def layer(t: float) -> tuple[F32, F32]:
        field = np.zeros((HEIGHT, WIDTH), np.float32)
        for x0, h, phase in tongues:
            sway = x0 + 0.15 * h * np.sin(3.1 * t + phase + _Y / (0.4 * h))
            height = h * (1.0 + 0.25 * np.sin(7.3 * t + phase))
            up = (base - _Y) / (1.6 * height)
            wide = 0.38 * h * np.clip(1.0 - up, 0, 1) ** 0.7 + 1e-3
            body = np.clip(1 - ((_X - sway) / wide) ** 2, 0, 1) * (up > -0.12) * (up < 1)
            field = np.maximum(field, (body * (1.15 - 0.75 * np.clip(up, 0, 1))).astype(np.float32))
        n = _sample(noise, 0.0, t * speed, max(0.25, big / 60))
        temperature = np.clip(field * (0.35 + 1.3 * n) * heat - 0.1, 0, 1.2)
        alpha = np.clip(temperature * 3.0, 0, 1)
        channels = (temperature * 3.2, temperature * 1.7 - 0.2, temperature * 1.6 - 0.95)
        colour = np.clip(np.stack(channels, 2), 0, 1)
        halo = cv2.GaussianBlur(cv2.resize(alpha, (WIDTH // 4, HEIGHT // 4)), (0, 0), 2 + big / 8)
        halo = cv2.resize(halo, (WIDTH, HEIGHT)) * glow
        a = np.maximum(alpha, halo)
        warm = np.array([1.0, 0.55, 0.15], np.float32)
        mixed = np.where(alpha[..., None] > halo[..., None], np.clip(colour * white, 0, 1), warm)
        return mixed.astype(np.float32), a.astype(np.float32)

    return layer


def smoke(rng: Rng) -> Layer:
    """A plume that rises and drifts, widening and thinning; light, brown or black."""
    noise = _noise(rng)
    cx, base = float(rng.uniform(40, WIDTH - 40)), float(rng.uniform(100, HEIGHT - 10))
    width, spread = float(rng.uniform(8, 40)), float(rng.uniform(0.1, 0.55))
    reach, drift = float(rng.uniform(80, 260)), float(rng.uniform(-0.7, 0.7))
    tone = np.float32(rng.choice([rng.uniform(0.6, 0.95), rng.uniform(0.3, 0.6), rng.uniform(0.03, 0.25)]))
    density, speed = float(rng.uniform(0.6, 1.6)), float(rng.uniform(15, 60))
    shade = np.array([1.0, rng.uniform(0.95, 1.0), rng.uniform(0.88, 1.02)], np.float32)

    def layer(t: float) -> tuple[F32, F32]:
        up = np.clip(base + 6 - _Y, 0, None)
        centre = cx + drift * up + 6 * np.sin(0.05 * up - 1.3 * t)
        body = np.exp(-(((_X - centre) / (width + spread * up)) ** 2)) * np.clip(1 - up / reach, 0, 1) ** 0.6 * (up > 0)
        n = _sample(noise, -drift * t * speed, t * speed, 1.0)
        fine = _sample(noise, -drift * t * speed * 1.4 + 31, t * speed * 1.4, 0.45)
        alpha = np.clip(body * (0.2 + 1.3 * n * (0.6 + 0.6 * fine)) * density, 0, 0.97)
        lit = np.clip(tone * (0.75 + 0.5 * fine), 0, 1)
        return (lit[..., None] * shade).astype(np.float32), alpha.astype(np.float32)

    return layer


def fireball(rng: Rng) -> Layer:
    """An explosion seen from t = 0: a white flash, a growing ball of fire that cools to smoke in about two seconds."""
    noise = _noise(rng)
    cx, cy, size = float(rng.uniform(60, WIDTH - 60)), float(rng.uniform(60, HEIGHT - 40)), float(rng.uniform(25, 95))

    def layer(t: float) -> tuple[F32, F32]:
        r = size * (0.35 + 0.9 * min(1.0, t / 0.7) ** 0.5)
        d = np.sqrt((_X - cx) ** 2 + (_Y - cy + 18 * t) ** 2) / r
        n = _sample(noise, t * 20, t * 40, max(0.3, size / 70))
        body = np.clip((1.25 - d) * (0.5 + n), 0, 1)
        hot = np.clip(body * 2.2 - t * 1.1 * (0.6 + 0.8 * n), 0, 1)
        colour = np.stack([0.12 + hot, 0.11 + hot**1.6, 0.1 + hot**3], 2)
        flash = np.float32(max(0.0, 1 - t / 0.3)) * np.exp(-((d / 2.5) ** 2))
        alpha = np.clip(body * max(0.0, 1.5 - 0.5 * t) + flash, 0, 1)
        return np.clip(colour + flash[..., None], 0, 1).astype(np.float32), alpha.astype(np.float32)

    return layer


def muzzle(rng: Rng) -> Layer:
    """A muzzle flash of a few pixels: white-yellow, gone within a frame."""
    cx, cy, size = float(rng.uniform(30, WIDTH - 30)), float(rng.uniform(60, HEIGHT - 40)), float(rng.uniform(4, 16))

    def layer(t: float) -> tuple[F32, F32]:
        d = np.sqrt(((_X - cx) / 1.6) ** 2 + (_Y - cy) ** 2) / size
        alpha = np.clip(np.exp(-(d**2)) * 1.6 + 0.25 * np.exp(-((d / 4) ** 2)), 0, 1) * (0.0 <= t < 0.13)
        colour = np.stack([np.ones_like(d), np.clip(1.15 - 0.2 * d, 0, 1), np.clip(1.1 - 0.6 * d, 0, 1)], 2)
        return colour.astype(np.float32), alpha.astype(np.float32)

    return layer


def draw_lookalike(rng: Rng) -> Layer:
    """One of: red clothing walking, sunset, blinking lamp, street lamp, headlights, fog, cloud, screen, lights on."""
    kind = int(rng.integers(9))
    cx, cy, size = float(rng.uniform(30, WIDTH - 30)), float(rng.uniform(40, HEIGHT - 30)), float(rng.uniform(8, 45))
    vx, rate, phase = float(rng.uniform(-30, 30)), float(rng.uniform(0.5, 3)), float(rng.uniform(0, 6))
    hue = [(0.8, 0.1, 0.08), (0.95, 0.45, 0.1), (0.9, 0.75, 0.2), (0.75, 0.15, 0.3)][int(rng.integers(4))]
    noise = _noise(rng)

    def layer(t: float) -> tuple[F32, F32]:
        colour = np.broadcast_to(np.array(hue, np.float32), (HEIGHT, WIDTH, 3)).copy()
        d = np.sqrt((_X - cx) ** 2 + (_Y - cy) ** 2) / size
        if kind == 0:
            alpha = ((np.abs(_X - cx - vx * t) < size * 0.5) & (np.abs(_Y - cy) < size)) * 0.95
            colour *= (0.7 + 0.4 * _sample(noise, -vx * t, 0, 0.5))[..., None]
        elif kind == 1:
            alpha = np.clip(1 - _Y / (cy + 40), 0, 1) * 0.8
            colour = np.stack([np.full_like(_X, 0.98), 0.35 + 0.4 * _Y / HEIGHT, 0.15 + 0.3 * _Y / HEIGHT], 2)
        elif kind in (2, 3):
            on = 1.0 if kind == 3 else float((t * rate + phase) % 1 < 0.5)
            alpha = np.clip(np.exp(-((3 * d) ** 2)) * 1.5 + 0.35 * np.exp(-(d**2)), 0, 1) * on
        elif kind == 4:
            colour[:] = 1.0
            e = np.minimum(np.abs(_X - cx - 2 * vx * t - 14), np.abs(_X - cx - 2 * vx * t + 14))
            alpha = np.clip(1.6 * np.exp(-(e**2 + (_Y - cy) ** 2) / (2 + size / 3) ** 2), 0, 1)
        elif kind == 5:
            colour[:] = 0.72
            alpha = 0.25 + 0.35 * (1 - _Y / HEIGHT)
        elif kind == 6:
            colour[:] = 0.9
            alpha = np.clip(_sample(noise, t * 2, 0, 1.6) * 1.8 - 0.7, 0, 0.8) * (cy * 0.7 > _Y)
        elif kind == 7:
            alpha = ((np.abs(_X - cx) < size) & (np.abs(_Y - cy) < 0.6 * size)) * 0.95
            colour = _sample(noise, 97 * np.floor(t * rate), 0, 0.3)[..., None] * np.array([0.6, 0.8, 1.0], np.float32)
        else:
            colour[:] = 1.0
            alpha = np.full((HEIGHT, WIDTH), 0.3 * float(np.sin(t * 0.6 + phase) > 0), np.float32)
        return np.clip(colour, 0, 1).astype(np.float32), np.asarray(alpha, np.float32)

    return layer


def cell_coverage(alpha: F32) -> F32:
    """How much of each 32-pixel cell a layer covers, 0..1, [8,14]; a quarter counts as all."""
    share = cv2.resize(alpha, (WIDTH // 32, HEIGHT // 32), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(share * 4.0 - 0.1, 0, 1), dtype=np.float32)


def draw_room(rng: Rng) -> U8:
    """A made-up background: a graded wall and floor with boxes, u8 [256,448,3]."""
    a, b = rng.uniform(40, 220, 3), rng.uniform(20, 180, 3)
    picture = np.empty((HEIGHT, WIDTH, 3), np.float32)
    split = int(rng.uniform(0.4, 0.8) * HEIGHT)
    picture[:split] = a * np.linspace(1, 0.7, split)[:, None, None]
    picture[split:] = b * np.linspace(0.7, 1.1, HEIGHT - split)[:, None, None]
    for _ in range(int(rng.integers(3, 14))):
        x, y = int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT))
        w, h = int(rng.integers(8, 120)), int(rng.integers(8, 120))
        picture[y : y + h, x : x + w] = rng.uniform(10, 245, 3) * rng.uniform(0.8, 1.1)
    texture = _sample(_noise(rng), 0, 0, 0.4)[..., None] * 30 - 15
    return np.clip(cv2.GaussianBlur(picture + texture, (0, 0), 1.0), 0, 255).astype(np.uint8)


def _noise(rng: Rng) -> F32:
    """A tileable 256x256 field 0..1 of three octaves."""
    total = np.zeros((256, 256), np.float32)
    for octave, weight in ((8, 0.55), (16, 0.3), (32, 0.15)):
        grid = rng.random((octave, octave)).astype(np.float32)
        wide = np.tile(grid, (3, 3))
        big = cv2.resize(wide, (768, 768), interpolation=cv2.INTER_CUBIC)
        total += big[256:512, 256:512] * weight
    low, high = float(total.min()), float(total.max())
    return (total - low) / (high - low)


def _sample(noise: F32, dx: float, dy: float, scale: float) -> F32:
    """The field over the canvas, moved by (dx, dy) pixels and scaled."""
    xs = ((_X[0] + dx) / scale) % 256
    ys = ((_Y[:, 0] + dy) / scale) % 256
    return np.asarray(noise[ys.astype(np.int32)][:, xs.astype(np.int32)], dtype=np.float32)
