"""Pictures with fire in them: simulated flames of every size in a place, with glow, smoke and things in front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from edge.train.flames.simulation import (
    COLUMNS,
    FRAMES,
    ROWS,
    FireSimulation,
    Rng,
    glow_colour,
    linear_to_srgb,
    srgb_to_linear,
)
from edge.train.labels import DENSE_CHANNELS, GRID, HEIGHT, PAD_VALUE, WIDTH
from edge.train.scenes.pictures import F32, U8, Layer, cell_coverage

_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
_ROW: Final = np.arange(ROWS, dtype=np.float32)[:, None]
_SIDES: Final = np.clip(np.minimum(np.arange(COLUMNS), np.arange(COLUMNS)[::-1]) / 14.0, 0, 1).astype(np.float32)
LAYOUTS: Final = ("small", "medium", "large", "front", "close", "house", "trees", "room")
_CHANCE: Final = (0.14, 0.16, 0.15, 0.13, 0.06, 0.11, 0.11, 0.14)
UNKNOWN: Final = -1.0
FILMED: Final = "fire:filmed"
"""The kind of a shot with real flames, cut out of a film."""


@dataclass(frozen=True, slots=True)
class FlameShot:
    """`frames` u8 [2,256,448,3], earlier first (equal for a still); `cell_coverage` f32 [4,8,14], how much of each cell
    each dense event covers, -1 where unknown; `kind` names what was added."""

    frames: U8
    cells: F32
    kind: str


@dataclass(frozen=True, slots=True)
class _Flame:
    burn: FireSimulation
    start: int
    step: int
    move: F32
    flip: bool
    mask: F32


@dataclass(frozen=True, slots=True)
class LensModel:
    """Exposure, white balance, gamma's slope, bloom, blur, noise and JPEG quality; drawn once a shot."""

    gain: float
    white: F32
    contrast: float
    bloom: float
    blur: float
    noise: float
    quality: int
    grey: bool

    @staticmethod
    def draw(rng: Rng) -> LensModel:
        """As the web's cameras differ."""
        white = rng.uniform([0.85, 0.92, 0.75], [1.2, 1.08, 1.25]).astype(np.float32)
        return LensModel(
            gain=float(np.exp(rng.normal(0, 0.25))), white=white, contrast=float(rng.uniform(0.8, 1.25)),
            bloom=float(rng.choice([0, 0.03, 0.08, 0.2])), blur=float(rng.choice([0, 0, 0.6, 1.0, 1.6])),
            noise=float(rng.choice([0, 1, 2, 5])), quality=int(rng.integers(25, 95)), grey=bool(rng.random() < 0.02),
        )  # fmt: skip

    def expose(self, light: F32, rng: Rng) -> U8:
        """Linear light [H,W,3] -> u8 RGB."""
        x = light * (self.gain * self.white)
        if self.bloom:
            small = cv2.resize(np.clip(x, 0, 3), (WIDTH // 8, HEIGHT // 8), interpolation=cv2.INTER_AREA)
            x = x + self.bloom * cv2.resize(cv2.GaussianBlur(small, (0, 0), 3), (WIDTH, HEIGHT))
        y = linear_to_srgb(np.asarray(x, np.float32))
        y = np.clip((y - 0.45) * self.contrast + 0.45, 0, 1) * 255.0
        if self.blur:
            y = cv2.GaussianBlur(y, (0, 0), self.blur)
        if self.grey:
            y = np.repeat(y.mean(2, keepdims=True), 3, 2)
        if self.noise:
            y = y + self.noise * rng.standard_normal((HEIGHT, WIDTH, 1), np.float32)
        out = np.clip(y, 0, 255).astype(np.uint8)
        _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)


def fire_shot(
    rng: Rng, burns: tuple[FireSimulation, ...], place: U8, still: bool, layout: str | None = None
) -> FlameShot:
    """A fire in a place u8 [2,256,448,3]; ``layout`` is one of `LAYOUTS`, or drawn."""
    kind = layout or str(rng.choice(LAYOUTS, p=_CHANCE))
    lens, colour = LensModel.draw(rng), glow_colour(rng)
    night = rng.random() < 0.45
    ambient = float(np.exp(rng.uniform(np.log(0.015), np.log(0.3)))) if night else float(rng.uniform(0.35, 1.1))
    tongues = _place_flames(rng, burns, kind)
    indoors = kind == "room"
    brightest = (6, 30) if indoors or rng.random() < 0.15 else (1.2, 9)
    gain, power = float(np.exp(rng.uniform(*np.log(brightest)))), float(rng.uniform(0.9, 1.8))
    layer = draw_smoke_layer(rng) if indoors and rng.random() < 0.7 else np.zeros((HEIGHT, WIDTH), np.float32)
    smoke = _smoke(rng, burns, tongues) if rng.random() < (0.45 if night else 0.8) else []
    tone = (float(rng.choice([rng.uniform(0.005, 0.06), rng.uniform(0.05, 0.2), rng.uniform(0.2, 0.6)]))
            * max(ambient, 0.05) * rng.uniform([0.9, 0.9, 0.85], [1.15, 1.05, 1.05])).astype(np.float32)  # fmt: skip
    opaque = float(rng.uniform(0.2, 3.0))
    thick, spill = float(rng.uniform(0.4, 2.5)), float(rng.uniform(*((1.0, 3.0) if indoors else (0.2, 2.0))))
    front = draw_foreground(rng, kind)
    frames, cover = [], np.zeros((DENSE_CHANNELS, *GRID), np.float32)
    for k in (1,) if still else (0, 1):
        heat, soot = _heat_and_soot(tongues, k)
        light = gain * np.clip(heat - 0.06, 0, None) ** power
        _, plume = _heat_and_soot(smoke, k) if smoke else (None, np.zeros_like(soot))
        plume = plume + layer
        smoke_opacity = 1 - np.exp(-thick * (plume + 0.5 * soot))
        scene = srgb_to_linear(place[k]) * ambient
        glow = _spread(light * (1 - 0.6 * smoke_opacity))[..., None] * colour
        scene = scene * (1 + spill * 6 * glow / max(ambient, 0.1))
        scene = scene * (1 - smoke_opacity[..., None]) + smoke_opacity[..., None] * (tone + 0.35 * spill * glow)
        scene = scene * np.exp(-opaque * light)[..., None]
        hidden = light * (1 - 0.75 * (1 - np.exp(-thick * 0.6 * plume)))
        scene = scene + hidden[..., None] * colour
        if front is not None:
            scene = scene * (1 - front[..., None]) + front[..., None] * 0.03 * (ambient + spill * glow)
            hidden, smoke_opacity = hidden * (1 - front), smoke_opacity * (1 - front)
        if k == 1:
            backdrop = srgb_to_linear(place[k]).mean(2) * ambient
            cover[0] = cell_coverage(np.asarray(np.clip(3 * (hidden - 0.12) / (backdrop + 0.15), 0, 1), np.float32))
            cover[1] = _smoke_cells(np.asarray(smoke_opacity, np.float32))
            cover[2] = UNKNOWN * (cover[0] > 0)
        frames.append(lens.expose(np.asarray(scene, np.float32), rng))
    pair = np.stack([frames[0], frames[-1]])
    return with_random_bars(rng, FlameShot(pair, cover, f"fire:{kind}"))


def smoke_shot(rng: Rng, burns: tuple[FireSimulation, ...], place: U8, still: bool) -> FlameShot:
    """Smoke and no fire in a place."""
    lens, ambient = LensModel.draw(rng), float(rng.uniform(0.3, 1.1))
    x, base = float(rng.uniform(0, WIDTH)), float(rng.uniform(80, 280))
    tall = float(np.exp(rng.uniform(np.log(25), np.log(420))))
    plumes = [
        _place_flame(rng, burns, x + float(rng.normal(0, 0.3 * tall)), base, tall)
        for _ in range(int(rng.integers(1, 4)))
    ]
    tone = (float(np.exp(rng.uniform(np.log(0.01), np.log(0.8)))) * ambient
            * rng.uniform([0.9, 0.9, 0.85], [1.15, 1.05, 1.05])).astype(np.float32)  # fmt: skip
    thick, frames, cover = float(rng.uniform(0.5, 3)), [], np.zeros((DENSE_CHANNELS, *GRID), np.float32)
    layer = draw_smoke_layer(rng) if rng.random() < 0.4 else np.zeros((HEIGHT, WIDTH), np.float32)
    for k in (1,) if still else (0, 1):
        haze = 1 - np.exp(-thick * (_heat_and_soot(plumes, k)[1] + layer))
        scene = srgb_to_linear(place[k]) * ambient * (1 - haze[..., None]) + haze[..., None] * tone
        frames.append(lens.expose(np.asarray(scene, np.float32), rng))
    cover[1] = _smoke_cells(np.asarray(haze, np.float32))
    return with_random_bars(rng, FlameShot(np.stack([frames[0], frames[-1]]), cover, "smoke"))


def real_fire_shot(rng: Rng, layer: Layer, place: U8, still: bool) -> FlameShot:
    """Filmed flames, cut out, in a place."""
    lens = LensModel.draw(rng)
    ambient = float(np.exp(rng.uniform(np.log(0.02), np.log(1.1))))
    frames, cover = [], np.zeros((DENSE_CHANNELS, *GRID), np.float32)
    for k in (1,) if still else (0, 1):
        colour, alpha = layer(1.0 + 0.25 * k)
        light = colour**2.2
        scene = srgb_to_linear(place[k]) * ambient * (1 - alpha[..., None]) + light * alpha[..., None]
        glow = _spread(np.asarray(alpha * light.mean(2), np.float32))[..., None]
        scene = scene + glow * 0.15 * np.array([1, 0.4, 0.1], np.float32)
        frames.append(lens.expose(np.asarray(scene, np.float32), rng))
    cover[0], cover[1], cover[2] = cell_coverage(alpha), 0.0, UNKNOWN * (cell_coverage(alpha) > 0)
    return with_random_bars(rng, FlameShot(np.stack([frames[0], frames[-1]]), cover, FILMED))


def with_random_bars(rng: Rng, shot: FlameShot) -> FlameShot:
    """Sometimes the picture has another shape and grey bars beside it, as `capture` lays it on the canvas."""
    if rng.random() < 0.5:
        return shot
    wide = int(rng.choice([256, 320, 341, 341, 384])) // 32 * 32
    left = (WIDTH - wide) // 2 // 32 * 32
    pair = np.full_like(shot.frames, PAD_VALUE)
    cut = int(rng.integers(0, (WIDTH - wide) // 32 + 1)) * 32
    pair[:, :, left : left + wide] = shot.frames[:, :, cut : cut + wide]
    cover = np.zeros_like(shot.cells)
    cover[:, :, left // 32 : (left + wide) // 32] = shot.cells[:, :, cut // 32 : (cut + wide) // 32]
    return FlameShot(pair, cover, shot.kind)


def _place_flames(rng: Rng, burns: tuple[FireSimulation, ...], kind: str) -> list[_Flame]:
    """Which flames burn where: heights in pixels, bases in picture rows."""
    one, spots = float(rng.uniform(0.08, 0.92)) * WIDTH, list[tuple[float, float, float]]()
    if kind == "small":
        spots = [(one, float(rng.uniform(90, 250)), float(np.exp(rng.uniform(np.log(16), np.log(60)))))]
        spots += [(one + float(rng.normal(0, 30)), spots[0][1], 0.7 * spots[0][2])] * int(rng.integers(0, 3))
    elif kind == "medium":
        base = float(rng.uniform(140, 260))
        tall = float(rng.uniform(60, 160))
        for _ in range(int(rng.integers(1, 4))):
            x, y = one + float(rng.normal(0, 0.5 * tall)), base + float(rng.normal(0, 8))
            spots.append((x, y, tall * float(rng.uniform(0.6, 1.1))))
    elif kind in ("large", "house", "trees"):
        base, tall = float(rng.uniform(170, 290)), float(rng.uniform(120, 340))
        spots = [(float(rng.uniform(0, WIDTH)), base + float(rng.normal(0, 12)), tall * float(rng.uniform(0.5, 1.1)))
                 for _ in range(int(rng.integers(2, 7)))]  # fmt: skip
    elif kind == "room":
        base, tall = float(rng.uniform(140, 260)), float(rng.uniform(120, 400))
        for _ in range(int(rng.integers(1, 5))):
            x, y = one + float(rng.normal(0, 0.3 * tall)), base + float(rng.normal(0, 8))
            spots.append((x, y, tall * float(rng.uniform(0.5, 1.1))))
        spots += [(float(rng.uniform(0, WIDTH)), float(rng.uniform(40, 130)), float(rng.uniform(50, 160)))
                  for _ in range(int(rng.integers(0, 6)))]  # fmt: skip
    elif kind == "front":
        base, tilt, tall = float(rng.uniform(90, 250)), float(rng.uniform(-0.25, 0.25)), float(rng.uniform(14, 80))
        begin, end = sorted(rng.uniform(-40, WIDTH + 40, 2).tolist())
        across = np.arange(begin, end + 30, 0.7 * tall)[:14]
        spots = [(float(x), base + tilt * (float(x) - 224), tall * float(rng.uniform(0.4, 1.3))) for x in across]
    else:
        spots = [(float(rng.uniform(100, 350)), float(rng.uniform(300, 700)), float(rng.uniform(450, 1000)))]
    return [_place_flame(rng, burns, *spot) for spot in spots]


def _place_flame(rng: Rng, burns: tuple[FireSimulation, ...], x: float, base: float, tall: float) -> _Flame:
    """`tall` is the height of the whole simulated field above its source; flames fill about half of it."""
    tall = 1.7 * tall
    sy = tall / (ROWS - 10)
    sx = sy * float(rng.uniform(0.7, 1.5))
    move = np.array([[sx, 0, x - sx * COLUMNS / 2], [0, sy, base - sy * (ROWS - 6)]], np.float32)
    ragged = cv2.resize(rng.random((1, int(rng.integers(6, 20)))).astype(np.float32), (COLUMNS, 1))[0]
    cut = np.clip((ROWS - 5 - 14 * ragged - _ROW) / 3, 0, 1) * _SIDES
    slow = 1 if tall > 150 else 2 if tall > 60 else 4
    step = int(rng.integers(slow, slow + 4))
    burn = burns[int(rng.integers(len(burns)))]
    mask = (cut * float(rng.uniform(0.7, 1.1))).astype(np.float32)
    return _Flame(burn, int(rng.integers(0, FRAMES - step)), step, move, bool(rng.random() < 0.5), mask)


def _smoke(rng: Rng, burns: tuple[FireSimulation, ...], tongues: list[_Flame]) -> list[_Flame]:
    """One to three large plumes that begin where it burns."""
    plumes = []
    for n in rng.integers(len(tongues), size=int(rng.integers(1, 4))):
        at = tongues[int(n)].move
        x, base = float(at[0, 2] + at[0, 0] * COLUMNS / 2), float(at[1, 2] + at[1, 1] * (ROWS - 6))
        plumes.append(_place_flame(rng, burns, x, base, float(rng.uniform(140, 420))))
    return plumes


def _heat_and_soot(tongues: list[_Flame], k: int) -> tuple[F32, F32]:
    """Heat and soot on the canvas at the earlier (0) or current (1) frame."""
    heat, soot = np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
    for tongue in tongues:
        n = tongue.start + k * tongue.step
        for total, source in ((heat, tongue.burn.heat[n]), (soot, tongue.burn.soot[n])):
            field = source.astype(np.float32) * tongue.mask
            if tongue.flip:
                field = np.ascontiguousarray(field[:, ::-1])
            if tongue.move[1, 1] < 0.6:
                field = cv2.GaussianBlur(field, (0, 0), 0.4 / float(tongue.move[1, 1]))
            np.maximum(total, cv2.warpAffine(field, tongue.move, (WIDTH, HEIGHT)), out=total)
    return heat, soot


def _spread(light: F32) -> F32:
    """How much of the flames' light reaches each place: wide blurs of it."""
    small = cv2.resize(np.minimum(light, 6), (WIDTH // 8, HEIGHT // 8), interpolation=cv2.INTER_AREA)
    near, far = cv2.GaussianBlur(small, (0, 0), 2.5), cv2.GaussianBlur(small, (0, 0), 9)
    return np.asarray(cv2.resize(0.25 * near + 0.5 * far, (WIDTH, HEIGHT)), dtype=np.float32)


def _smoke_cells(haze: F32) -> F32:
    """Smoke's cells: thick ones 1, thin ones unknown."""
    share = cv2.resize(haze, (GRID[1], GRID[0]), interpolation=cv2.INTER_AREA)
    return np.asarray(np.where(share > 0.3, 1.0, np.where(share > 0.06, UNKNOWN, 0.0)), dtype=np.float32)


def draw_smoke_layer(rng: Rng) -> F32:
    """Smoke that hangs under a ceiling or fills a room, how thick [H,W], with a ragged lower edge."""
    low = float(rng.uniform(30, 200)) if rng.random() < 0.7 else 2.0 * HEIGHT
    soft, most = float(rng.uniform(10, 80)), float(rng.uniform(0.3, 2.5))
    coarse = rng.random((int(rng.integers(2, 7)), int(rng.integers(3, 12)))).astype(np.float32)
    uneven = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    depth = 1 / (1 + np.exp((_Y - low - 50 * (uneven - 0.5)) / soft))
    return np.asarray(most * depth * (0.5 + 0.8 * np.clip(uneven, 0, 1)), np.float32)


def draw_foreground(rng: Rng, kind: str) -> F32 | None:
    """Silhouettes in front, 0..1 [H,W]: a house with openings, trunks and branches, or now and then a few beams."""
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    if kind == "house":
        _house(rng, mask)
    elif kind == "trees":
        for _ in range(int(rng.integers(4, 26))):
            x, wide = int(rng.integers(0, WIDTH)), int(rng.integers(1, 9))
            lean, top = int(rng.normal(0, 20)), int(rng.integers(-40, 150))
            cv2.line(mask, (x, HEIGHT), (x + lean, top), 1.0, wide)
            for _ in range(int(rng.integers(0, 9))):
                y = int(rng.integers(max(0, top), HEIGHT))
                reach = int(rng.normal(0, 40))
                cv2.line(mask, (x, y), (x + reach, y - abs(reach) // 2), 1.0, max(1, wide // 3))
    elif rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 7))):
            a, b = rng.uniform([0, 0], [WIDTH, HEIGHT], (2, 2)).astype(int).tolist()
            cv2.line(mask, a, b, 1.0, int(rng.integers(1, 14)))
    elif rng.random() < 0.3:
        top = int(rng.uniform(0.65, 0.95) * HEIGHT)
        edge = cv2.resize(rng.random((1, int(rng.integers(4, 40)))).astype(np.float32), (WIDTH, 1))[0]
        mask[top + 30 * edge < _Y] = 1.0
    else:
        return None
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 0.7), dtype=np.float32)


def _house(rng: Rng, mask: F32) -> None:
    """A dark front with windows, doors and a broken roof through which it burns."""
    x0, wide = int(rng.integers(-80, 200)), int(rng.integers(120, 420))
    top, eave = int(rng.integers(20, 150)), int(rng.integers(0, 60))
    cv2.rectangle(mask, (x0, top), (x0 + wide, HEIGHT), 1.0, -1)
    if rng.random() < 0.5:
        roof = np.array([[x0 - 8, top], [x0 + wide // 2, top - eave], [x0 + wide + 8, top]], np.int32)
        cv2.fillPoly(mask, [roof], 1.0)
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(2, 7))
    for r in range(rows):
        for c in range(columns):
            if rng.random() < 0.8:
                w, h = int(wide / columns * rng.uniform(0.3, 0.8)), int((HEIGHT - top) / rows * rng.uniform(0.3, 0.8))
                x = x0 + int((c + 0.2) * wide / columns)
                y = top + int((r + 0.2) * (HEIGHT - top) / rows)
                cv2.rectangle(mask, (x, y), (x + w, y + h), 0.0, -1)
                if rng.random() < 0.5:
                    cv2.line(mask, (x + w // 2, y), (x + w // 2, y + h), 1.0, 2)
    if rng.random() < 0.4:
        bite = int(rng.integers(20, 120))
        cv2.circle(mask, (x0 + int(rng.integers(0, wide)), top), bite, 0.0, -1)
