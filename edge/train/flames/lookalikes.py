"""Pictures of what is mistaken for fire: candles, sunsets, lamps, red things, leaves, fireworks and more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from edge.train.flames.rendering import UNKNOWN, FlameShot, LensModel, draw_foreground, with_random_bars
from edge.train.flames.simulation import Rng, glow_colour, srgb_to_linear
from edge.train.labels import DENSE_CHANNELS, GRID, HEIGHT, WIDTH
from edge.train.scenes.pictures import F32, U8

_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
Painter = Callable[[Rng, F32], Callable[[float], F32]]
"""Draws what stays the same from the generator, given the scene's linear light; then light at t seconds."""


def lookalike_shot(rng: Rng, place: U8, still: bool, kind: str | None = None) -> FlameShot:
    """A place u8 [2,256,448,3] with one kind of lookalike in it (two, now and then), and no fire."""
    names = sorted(PAINTERS)
    chosen = [kind if kind is not None else names[int(rng.integers(len(names)))]]
    if kind is None and rng.random() < 0.25:
        chosen.append(names[int(rng.integers(len(names)))])
    lens = LensModel.draw(rng)
    night = rng.random() < _NIGHT_CHANCE.get(chosen[0], 0.3)
    ambient = float(np.exp(rng.uniform(np.log(0.01), np.log(0.3)))) if night else float(rng.uniform(0.4, 1.1))
    scenes = [srgb_to_linear(p) * ambient for p in place]
    for name in chosen:
        paint = PAINTERS[name](np.random.default_rng(int(rng.integers(2**31))), scenes[-1])
        layers = [paint(0.0), paint(0.25)]
        scenes = [
            np.asarray(scene * (1 - layer[..., 3:]) + layer[..., :3], np.float32)
            for scene, layer in zip(scenes, layers, strict=True)
        ]
    front = draw_foreground(rng, str(rng.choice(["house", "trees", "any"]))) if rng.random() < 0.3 else None
    if front is not None:
        scenes = [scene * (1 - front[..., None]) + front[..., None] * 0.03 * ambient for scene in scenes]
    frames = [lens.expose(scene, rng) for scene in (scenes[1:] if still else scenes)]
    cover = np.zeros((DENSE_CHANNELS, *GRID), np.float32)
    if chosen[0] == "clouds":
        cover[1] = UNKNOWN
    return with_random_bars(rng, FlameShot(np.stack([frames[0], frames[-1]]), cover, chosen[0]))


def plain_shot(rng: Rng, place: U8, still: bool) -> FlameShot:
    """The place as it is, by day, night or lamp light."""
    lens = LensModel.draw(rng)
    warm = np.array([1, rng.uniform(0.45, 1), rng.uniform(0.15, 1)]) if rng.random() < 0.4 else np.ones(3)
    light = (float(np.exp(rng.uniform(np.log(0.1), np.log(2.0)))) * warm).astype(np.float32)
    frames = [lens.expose(srgb_to_linear(p) * light, rng) for p in (place[1:] if still else place)]
    cover = np.zeros((DENSE_CHANNELS, *GRID), np.float32)
    return with_random_bars(rng, FlameShot(np.stack([frames[0], frames[-1]]), cover, "plain"))


def _alpha_layer(colour: F32, alpha: F32) -> F32:
    return np.concatenate([colour * alpha[..., None], alpha[..., None]], 2).astype(np.float32)


def _light_layer(light: F32, colour: F32) -> F32:
    return np.concatenate([light[..., None] * colour, np.zeros_like(light)[..., None]], 2).astype(np.float32)


def _fractal_noise(rng: Rng, coarse: int, fine: int = 4) -> F32:
    """Fractal noise 0..1."""
    total, weight = np.zeros((HEIGHT, WIDTH), np.float32), 0.0
    for n in range(fine):
        cells = (max(2, (coarse << n) * HEIGHT // WIDTH), coarse << n)
        total += cv2.resize(rng.random(cells).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) / 2**n
        weight += 1 / 2**n
    return np.asarray(np.clip((total / weight - 0.5) * 1.6 + 0.5, 0, 1), dtype=np.float32)


def _warm_colour(rng: Rng) -> F32:
    green = float(rng.uniform(0.02, 0.55))
    return np.array([1.0, green, green * float(rng.uniform(0.02, 0.5))], np.float32)


def _candles(rng: Rng, _scene: F32) -> Callable[[float], F32]:
    """One to six still candle flames, small and smooth, with their wax."""
    colour, count = glow_colour(rng), int(rng.choice([1, 1, 1, 2, 3, 6]))
    tall = float(np.exp(rng.uniform(np.log(7), np.log(55)))) / count**0.4
    base = float(rng.uniform(80, 230))
    spots = [(float(rng.uniform(30, WIDTH - 30)), base + float(rng.normal(0, 12))) for _ in range(count)]
    gain, wax, phase = float(rng.uniform(2, 9)), rng.uniform(0.2, 0.9, 3).astype(np.float32), float(rng.uniform(0, 6))

    def at(t: float) -> F32:
        light, alpha = np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
        for x, y in spots:
            h = tall * (1 + 0.03 * np.sin(9 * t + phase + x))
            up = (y - _Y) / h
            wide = 0.22 * h * np.sqrt(np.clip(up, 0, 1)) * np.clip(1 - up, 0, 1) ** 0.55 * 1.9 + 1e-3
            body = np.clip(1.1 - ((_X - x - 0.02 * h * np.sin(5 * t + x)) / wide) ** 2, 0, 1) * (up > 0) * (up < 1)
            halo = np.exp(-((_X - x) ** 2 + (_Y - y + h / 2) ** 2) / (2.2 * h) ** 2)
            light = np.maximum(light, gain * body * (0.35 + 0.65 * np.clip(1.3 - up, 0, 1))) + 0.10 * halo
            alpha = np.maximum(alpha, ((np.abs(_X - x) < 0.25 * h) & (np.abs(_Y - y - 1.04 * h) < 0.96 * h)) * 0.95)
        lit = np.broadcast_to(wax * 0.35, (HEIGHT, WIDTH, 3)).astype(np.float32)
        return _alpha_layer(lit, alpha.astype(np.float32)) + _light_layer(light, colour)

    return at


def _sunset(rng: Rng, scene: F32) -> Callable[[float], F32]:
    """A red to yellow sky with bands of cloud, sometimes a sun and its glitter on water, over a dark land."""
    horizon = float(rng.uniform(0.4, 0.95)) * HEIGHT
    low, high = _warm_colour(rng) * float(rng.uniform(0.4, 1.6)), rng.uniform([0.05, 0.03, 0.05], [0.6, 0.35, 0.5])
    up = np.clip((horizon - _Y) / horizon, 0, 1)[..., None]
    sky = low * (1 - up) ** float(rng.uniform(1, 3)) + high.astype(np.float32) * up
    wide = cv2.resize(_fractal_noise(rng, 4), (WIDTH, HEIGHT * 3))[HEIGHT : 2 * HEIGHT]
    bands = np.clip((wide - float(rng.uniform(0.3, 0.6))) * 3, 0, 1)[..., None]
    sky = sky * (1 - 0.7 * bands * rng.uniform(0.3, 1)) + bands * low * float(rng.uniform(0, 0.5))
    x, y, r = float(rng.uniform(40, 400)), horizon - float(rng.uniform(-5, 110)), float(rng.uniform(5, 28))
    d = np.sqrt((_X - x) ** 2 + (_Y - y) ** 2)
    sun = (6 * np.clip(r - d + 1, 0, 1) + 0.7 * np.exp(-d / (4 * r)))[..., None] * np.array([1, 0.6, 0.2], np.float32)
    sky = sky + sun * (rng.random() < 0.7)
    water, glitter = rng.random() < 0.4, _fractal_noise(rng, 40, 2)
    edge = horizon + 14 * (_fractal_noise(rng, 9, 3)[0] - 0.5) * (not water)

    def at(t: float) -> F32:
        below = np.clip(_Y - edge, 0, 1)
        colour = sky.astype(np.float32)
        if water:
            ripple = 0.3 + 0.9 * np.roll(glitter, int(t * 40), 1)
            colour = np.where(below[..., None] > 0.5, colour[::-1] * ripple[..., None] * 0.8, colour)
            return _alpha_layer(colour.astype(np.float32), np.ones((HEIGHT, WIDTH), np.float32))
        land = scene * 0.12
        colour = colour * (1 - below[..., None]) + land * below[..., None]
        return _alpha_layer(colour.astype(np.float32), np.ones((HEIGHT, WIDTH), np.float32))

    return at


def _lamps(rng: Rng, _scene: F32) -> Callable[[float], F32]:
    """Street lamps, bulbs, tubes, neon, brake lights and blinkers with their halos."""
    items = []
    for _ in range(int(rng.choice([1, 2, 3, 5, 9, 20]))):
        size = float(np.exp(rng.uniform(np.log(1.5), np.log(26))))
        colour = _warm_colour(rng) if rng.random() < 0.8 else rng.uniform(0.1, 1, 3).astype(np.float32)
        shape, rate = int(rng.integers(4)), float(rng.choice([0, 0, 0, 1, 2]))
        items.append((float(rng.uniform(0, WIDTH)), float(rng.uniform(0, 220)), size, colour, shape, rate))

    def at(t: float) -> F32:
        out = np.zeros((HEIGHT, WIDTH, 4), np.float32)
        for x, y, size, colour, shape, rate in items:
            dx, dy = (_X - x) / size, (_Y - y) / size
            if shape == 1:
                dx = np.maximum(np.abs(dx) - 4, 0)
            elif shape == 2:
                dy = np.maximum(np.abs(dy) - 4, 0)
            d = np.abs(np.sqrt(dx**2 + dy**2) - 3) * 2 if shape == 3 else np.sqrt(dx**2 + dy**2)
            on = 1.0 if not rate or (t * rate * 4) % 2 < 1 else 0.05
            out += _light_layer((on * (4 * np.clip(1.4 - d, 0, 1) + 0.5 * np.exp(-d / 1.8))).astype(np.float32), colour)
        return out

    return at


def _bokeh(rng: Rng, _scene: F32) -> Callable[[float], F32]:
    """Discs of warm lights out of focus, and lights of a town at night."""
    out = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    radius, disc = int(np.exp(rng.uniform(np.log(2), np.log(26)))), np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for n in range(int(rng.integers(8, 90))):
        at = (int(rng.uniform(0, WIDTH)), int(rng.normal(130, 50)))
        colour = _warm_colour(rng) * float(rng.uniform(0.1, 1.2))
        cv2.circle(disc, at, max(1, int(radius * rng.uniform(0.7, 1.2))), colour.tolist(), -1)
        if n % 15 == 14:
            out, disc = out + disc, np.zeros_like(disc)
    out = np.asarray(cv2.GaussianBlur(out + disc, (0, 0), 0.7), np.float32)
    layer = np.concatenate([out, np.zeros((HEIGHT, WIDTH, 1), np.float32)], 2)
    return lambda _: layer


def _things(rng: Rng, _scene: F32) -> Callable[[float], F32]:
    """Red, orange and yellow cloth, cars, containers, fruit: shaded bodies with texture."""
    parts = []
    for _ in range(int(rng.integers(1, 5))):
        mask = np.zeros((HEIGHT, WIDTH), np.float32)
        cx, cy = rng.uniform([20, 40], [WIDTH - 20, HEIGHT - 20]).tolist()
        size, points = float(np.exp(rng.uniform(np.log(14), np.log(140)))), int(rng.integers(4, 9))
        angles = np.sort(rng.uniform(0, 2 * np.pi, points))
        reach = size * rng.uniform(0.6, 1.1, points)
        outline = np.stack([cx + np.cos(angles) * reach, cy + np.sin(angles) * reach * 0.8], 1)
        cv2.fillPoly(mask, [outline.astype(np.int32)], 1.0)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 3))), np.float32)
        shade = 0.3 + 0.9 * _fractal_noise(rng, int(rng.integers(3, 30)), 2) * np.clip(
            1.3 - (_Y - cy) / (2 * size), 0.3, 1.5
        )
        colour = _warm_colour(rng) * float(rng.uniform(0.3, 1.1))
        parts.append((mask, shade[..., None] * colour, float(rng.normal(0, 30)) * (rng.random() < 0.4)))

    def at(t: float) -> F32:
        out = np.zeros((HEIGHT, WIDTH, 4), np.float32)
        for mask, colour, speed in parts:
            layer = _alpha_layer(colour.astype(np.float32), mask)
            layer = np.roll(layer, int(t * speed), 1)
            out = out * (1 - layer[..., 3:]) + layer
        return out

    return at


def _leaves(rng: Rng, _scene: F32) -> Callable[[float], F32]:
    """Autumn: crowns and ground full of yellow, orange and red leaves, in sun and shade."""
    canvas, size = np.zeros((HEIGHT, WIDTH, 3), np.float32), int(rng.integers(2, 15))
    hues = [_warm_colour(rng) * float(rng.uniform(0.2, 1.0)) for _ in range(5)]
    for _ in range(min(2500, int(26000 / (size * size) ** 0.8) + 60)):
        x, y = rng.uniform([0, 0], [WIDTH, HEIGHT]).tolist()
        hue = hues[int(rng.integers(5))] * float(rng.uniform(0.4, 1.3))
        corners = np.array([x, y]) + rng.normal(0, size, (int(rng.integers(3, 6)), 2))
        cv2.fillPoly(canvas, [corners.astype(np.int32)], tuple(float(v) for v in hue))
    where = np.clip((_fractal_noise(rng, int(rng.integers(2, 7)), 3) - float(rng.uniform(0.1, 0.6))) * 8, 0, 1)
    shade = 0.35 + 1.1 * _fractal_noise(rng, 5, 3)
    layer = _alpha_layer(canvas * shade[..., None], where.astype(np.float32))
    sway = float(rng.choice([0, 0, 2, 4]))
    return lambda t: np.roll(layer, int(sway * 4 * t), 1)


def _fireworks(rng: Rng, _scene: F32) -> Callable[[float], F32]:
    """Bursts of thin bright streaks over a dark sky."""
    bursts = []
    for _ in range(int(rng.integers(1, 5))):
        colour = _warm_colour(rng) if rng.random() < 0.5 else rng.uniform(0.05, 1, 3).astype(np.float32)
        centre, reach = rng.uniform([30, 10], [WIDTH - 30, 170]), float(rng.uniform(20, 130))
        bursts.append((colour, centre, reach, rng.normal(0, 1, (int(rng.integers(30, 160)), 2)), rng.random()))
    gain = float(rng.uniform(1, 4))

    def at(t: float) -> F32:
        out = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for colour, centre, reach, rays, age in bursts:
            grown = 0.35 + 0.65 * min(1.0, age + t)
            streaks = np.zeros((HEIGHT, WIDTH), np.float32)
            for ray in rays / (np.linalg.norm(rays, axis=1, keepdims=True) + 0.3):
                a, b = centre + ray * reach * grown * 0.5, centre + ray * reach * grown + [0, 12 * grown]
                cv2.line(streaks, a.astype(int).tolist(), b.astype(int).tolist(), 1.0, 1, cv2.LINE_AA)
            out += (gain * cv2.GaussianBlur(streaks, (0, 0), 0.8))[..., None] * colour
        return np.concatenate([out, np.zeros((HEIGHT, WIDTH, 1), np.float32)], 2)

    return at


def _palette(rng: Rng, _scene: F32) -> Callable[[float], F32]:
    """The very colours of fire without its shapes: soft blobs, stripes, a glowing wall, hot metal, lava lamps."""
    colour, kind = glow_colour(rng), int(rng.integers(4))
    if kind == 0:
        light = np.zeros((HEIGHT, WIDTH), np.float32)
        for _ in range(int(rng.integers(1, 7))):
            x, y, sx, sy = rng.uniform([0, 0, 6, 6], [WIDTH, HEIGHT, 90, 90]).tolist()
            light += np.exp(-(((_X - x) / sx) ** 2) - ((_Y - y) / sy) ** 2)
    elif kind == 1:
        angle, pitch = float(rng.uniform(0, np.pi)), float(rng.uniform(8, 70))
        light = 0.5 + 0.5 * np.sin((_X * np.cos(angle) + _Y * np.sin(angle)) / pitch * 2 * np.pi)
    elif kind == 2:
        light = np.zeros((HEIGHT, WIDTH), np.float32)
        for _ in range(int(rng.integers(1, 6))):
            a, b = rng.uniform([0, 0], [WIDTH, HEIGHT], (2, 2)).astype(int).tolist()
            cv2.rectangle(light, a, b, float(rng.uniform(0.2, 1)), -1)
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), float(rng.uniform(0.7, 12))), np.float32)
    else:
        light = np.exp(-np.abs(_Y - float(rng.uniform(0, HEIGHT))) / float(rng.uniform(20, 120))).astype(np.float32)
    layer = _light_layer((float(rng.uniform(0.3, 3.5)) * np.clip(light, 0, 1.3) ** 1.5).astype(np.float32), colour)
    layer[..., 3] = np.clip(layer[..., 0], 0, 1) * float(rng.uniform(0, 0.9))
    return lambda _: layer


def _screen(rng: Rng, _scene: F32) -> Callable[[float], F32]:
    """A lit screen or sign that changes."""
    x0, y0 = rng.uniform([0, 0], [300, 150]).astype(int).tolist()
    w, h = int(rng.uniform(30, 220)), int(rng.uniform(20, 140))
    shows = [np.clip(rng.random((6, 9, 3)) * rng.uniform(0.2, 1.3, 3), 0, 1).astype(np.float32) for _ in range(2)]

    def at(t: float) -> F32:
        out = np.zeros((HEIGHT, WIDTH, 4), np.float32)
        part = out[y0 : y0 + h, x0 : x0 + w]
        big = cv2.resize(shows[int(t > 0.1)], (part.shape[1], part.shape[0]), interpolation=cv2.INTER_CUBIC)
        part[..., :3], part[..., 3] = np.clip(big, 0, 1), 1.0
        return out

    return at


def _warm_light(rng: Rng, scene: F32) -> Callable[[float], F32]:
    """The whole place in sodium, tungsten or red light, or low sun on a part of it."""
    colour = _warm_colour(rng) * float(rng.uniform(1, 4))
    where = np.ones((HEIGHT, WIDTH), np.float32)
    if rng.random() < 0.6:
        angle = float(rng.uniform(0, 2 * np.pi))
        edge = (_X - 224) * np.cos(angle) + (_Y - 128) * np.sin(angle) + 120 * (_fractal_noise(rng, 4, 3) - 0.5)
        where = np.clip(edge / float(rng.uniform(3, 80)) + 0.5, 0, 1).astype(np.float32)
    layer = _alpha_layer(scene * colour, (where * 0.97).astype(np.float32))
    return lambda _: layer


def _clouds(rng: Rng, _scene: F32) -> Callable[[float], F32]:
    """Fog, steam and cloud, white or lit warm."""
    tone = (_warm_colour(rng) * 0.7 if rng.random() < 0.4 else np.full(3, rng.uniform(0.3, 0.9))).astype(np.float32)
    thick = np.clip((_fractal_noise(rng, int(rng.integers(2, 8)), 5) - float(rng.uniform(0, 0.5))) * 2, 0, 0.95)
    thick = thick * np.clip((float(rng.uniform(0.3, 1.5)) * HEIGHT - _Y) / 60, 0, 1)
    layer = _alpha_layer(np.broadcast_to(tone, (HEIGHT, WIDTH, 3)).astype(np.float32), thick.astype(np.float32))
    drift = float(rng.normal(0, 6))
    return lambda t: np.roll(layer, int(4 * t * drift), 1)


PAINTERS: Final[dict[str, Painter]] = {
    "candles": _candles, "sunset": _sunset, "lamps": _lamps, "bokeh": _bokeh, "red things": _things,
    "leaves": _leaves, "fireworks": _fireworks, "palette": _palette, "screen": _screen, "warm light": _warm_light,
    "clouds": _clouds,
}  # fmt: skip
_NIGHT_CHANCE: Final = {"candles": 0.7, "sunset": 0.2, "lamps": 0.6, "bokeh": 0.8, "fireworks": 0.95, "leaves": 0.05,
                "red things": 0.1, "warm light": 0.4}  # fmt: skip
