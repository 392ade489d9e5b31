"""Paints the pictures of a simulated scene: luma at half the canvas's size, with textures, noise, light and shake."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.train.body.projection import HALF_HEIGHT, HALF_WIDTH, STEPS, Occluder, Projection
from edge.train.body.skeleton import BONES, Floats, Rng

U8 = NDArray[np.uint8]


def render_people(people: list[Projection], rng: Rng, noise_levels: tuple[float, float], hide: Occluder) -> U8:
    """Pictures u8 [STEPS,128,224] of people, with noise of so many grey levels."""
    ground = _surface(rng, (HALF_HEIGHT, HALF_WIDTH), float(rng.uniform(40, 190)), float(rng.uniform(5, 35)))
    furniture = _surface(rng, (HALF_HEIGHT, HALF_WIDTH), float(rng.uniform(30, 200)), float(rng.uniform(5, 25)))
    cloth = [_clothes(rng) for _ in people]
    noise = float(rng.uniform(*noise_levels))
    flicker = float(rng.choice([0.0, 0.0, 0.5, 2.0, 5.0], p=[0.35, 0.15, 0.25, 0.2, 0.05]))
    shake, light = _camera_shake(rng), _light_changes(rng)
    out = np.zeros((STEPS, HALF_HEIGHT, HALF_WIDTH), np.uint8)
    for t in range(STEPS):
        picture = ground.copy()
        for k in sorted(range(len(people)), key=lambda n: -float(people[n].depth[t, 0])):
            _paint(picture, people[k], cloth[k], t)
        x0, x1 = max(hide.x0, 0), min(hide.x1, HALF_WIDTH)
        picture[hide.top :, x0:x1] = furniture[hide.top :, x0:x1]
        picture = np.roll(picture, shake[t], (0, 1))
        picture = picture * light[t] + flicker * float(rng.normal())
        picture += noise * rng.standard_normal((HALF_HEIGHT, HALF_WIDTH)).astype(np.float32) * 0.5
        out[t] = np.clip(picture, 0, 255)
    return out


def _camera_shake(rng: Rng) -> list[tuple[int, int]]:
    """Where the camera has drifted at each step, in half-size pixels: mostly nowhere."""
    size = float(rng.choice([0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.5]))
    drift = np.zeros((STEPS, 2))
    for t in range(1, STEPS):
        drift[t] = 0.9 * drift[t - 1] + size * rng.standard_normal(2)
    return [(int(y), int(x)) for y, x in np.round(drift)]


def _light_changes(rng: Rng) -> Floats:
    """How bright each picture is [STEPS]: mostly 1; now and then a lamp is switched, or the exposure follows."""
    out = np.ones(STEPS)
    if rng.random() < 0.15:
        for _ in range(int(rng.integers(1, 4))):
            at, last = int(rng.integers(1, STEPS)), int(rng.choice([1, 1, 2, 6]))
            out *= np.interp(np.arange(STEPS), [at - 1, at - 1 + last], [1.0, float(rng.uniform(0.6, 1.5))])
    return np.clip(out, 0.3, 2.0)


def _surface(rng: Rng, shape: tuple[int, int], mean: float, contrast: float) -> NDArray[np.float32]:
    """Grey with structure of several sizes and a few straight edges."""
    import cv2

    h, w = shape
    out = np.full(shape, mean, np.float32)
    for size in (4, 12, 40):
        coarse = rng.standard_normal((max(2, h // size), max(2, w // size))).astype(np.float32)
        out += contrast * float(rng.uniform(0.2, 1.0)) * cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR)
    for _ in range(int(rng.integers(0, 8))):
        x, y = int(rng.integers(0, w)), int(rng.integers(0, h))
        out[y : y + int(rng.integers(5, h)), x : x + int(rng.integers(5, w))] += float(rng.normal(0, contrast))
    return out


def _clothes(rng: Rng) -> list[NDArray[np.float32]]:
    """A texture [24,8] along and across each bone."""
    top, legs, skin = float(rng.uniform(20, 230)), float(rng.uniform(15, 180)), float(rng.uniform(60, 220))
    base = [top, skin, top, legs, top, skin if rng.random() < 0.5 else top, top, 0.0, legs, legs, legs, legs, skin]
    base[7] = base[5]
    rough = float(rng.uniform(2, 22))
    return [(b + rough * rng.standard_normal((24, 8)) * rng.uniform(0.4, 1)).astype(np.float32) for b in base]


def _paint(picture: NDArray[np.float32], person: Projection, cloth: list[NDArray[np.float32]], t: int) -> None:
    depth = [float(person.depth[t, a] + person.depth[t, b]) for a, b, _ in BONES]
    for n in sorted(range(len(BONES)), key=lambda n: -depth[n]):
        a, b = person.pixels[t, BONES[n][0]], person.pixels[t, BONES[n][1]]
        r = float(person.radius[t, n])
        x0, y0 = np.maximum(np.floor(np.minimum(a, b) - r).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(np.maximum(a, b) + r).astype(int) + 1, [HALF_WIDTH, HALF_HEIGHT])
        if x1 <= x0 or y1 <= y0:
            continue
        dx, dy = np.arange(x0, x1)[None] - a[0], np.arange(y0, y1)[:, None] - a[1]
        ex, ey = b - a
        long = max(float(ex * ex + ey * ey), 1e-3)
        u = np.clip((dx * ex + dy * ey) / long, 0, 1)
        across = (dx * ey - dy * ex) / np.sqrt(long)
        near = (dx - u * ex) ** 2 + (dy - u * ey) ** 2 < r * r
        place = np.clip(((across / max(r, 0.5) + 1) * 4).astype(int), 0, 7)
        texture = cloth[n][(u * 23).astype(int), place]
        part = picture[y0:y1, x0:x1]
        part[near] = texture[near]
