"""Flames and smoke by simulation: a small two-dimensional fluid that burns, and how a camera exposes it.

The fluid is stable fluids (Stam, 1999: semi-Lagrangian advection, projection by Fourier transform) with buoyancy,
vorticity confinement (Fedkiw, Stam and Jensen, 2001) and cooling. Light is that of soot: one warm colour over a large
range of intensities, so that the camera's own clipping makes it red, orange, yellow and white.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F16 = NDArray[np.float16]
Rng = np.random.Generator

ROWS: Final = 144
COLUMNS: Final = 112
FRAMES: Final = 40
_WARM_UP: Final = 70
_Y, _X = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32)
_KY: Final = np.fft.fftfreq(ROWS)[:, None] * 2 * np.pi
_KX: Final = np.fft.rfftfreq(COLUMNS)[None, :] * 2 * np.pi
_K2: Final = np.where(_KX**2 + _KY**2 == 0, 1, _KX**2 + _KY**2)
_LINEAR: Final = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
_ENCODED: Final = ((np.arange(4096) / 4095.0) ** (1 / 2.2)).astype(np.float32)
_KINDS: Final = ("point", "line", "patches", "spread")


@dataclass(frozen=True, slots=True)
class FireSimulation:
    """One burning: `heat` and `soot` f16 [FRAMES,144,112], 0..about 1.2, rows from the top; frames are 1/15 s to 1/30 s
    apart at the size of a person."""

    heat: F16
    soot: F16
    kind: str


def simulate_fire(rng: Rng) -> FireSimulation:
    """Simulate one fire: a point, a line, patches of a line, or a broad front; calm or in wind, lazy or fierce."""
    kind = str(rng.choice(_KINDS))
    source = _source(rng, kind)
    lift, curl = float(rng.uniform(0.25, 0.6)), float(rng.uniform(0.25, 0.7))
    cool, wind = float(rng.uniform(0.012, 0.032)), float(rng.normal(0, 0.012))
    grain = float(rng.uniform(0.15, 0.6))
    fade, rough = float(rng.uniform(0.985, 0.997)), float(rng.uniform(0.05, 0.3))
    u, v = np.zeros((ROWS, COLUMNS), np.float32), np.zeros((ROWS, COLUMNS), np.float32)
    heat, soot = np.zeros_like(u), np.zeros_like(u)
    heats, soots = [], []
    every = int(rng.integers(2, 4))
    for step in range(_WARM_UP + every * FRAMES):
        feed = source * (0.7 + 0.6 * _blotches(rng, 10))
        heat = np.maximum(heat, feed)
        if step % 2 == 0:
            heat = heat * (1 + grain * (_blotches(rng, 4) - 0.55))
        v = v - lift * heat
        u = u + wind
        u, v = _confine_vorticity(u, v, curl)
        if step % 3 == 0:
            u = u + rough * (_blotches(rng, 8) - 0.5) * (heat > 0.05)
        u, v = _project(u, v, np.float32(0.06) * feed)
        damp = np.where(_Y < 12, _Y / 12, 1.0).astype(np.float32)
        u, v = _advect(u, u, v) * damp * 0.998, _advect(v, u, v) * damp * 0.998
        heat, soot = _advect(heat, u, v), _advect(soot, u, v) * fade
        lost = np.minimum(heat, cool * (0.35 + heat))
        heat, soot = heat - lost, np.minimum(soot + 1.6 * lost * (heat < 0.35), 1.5)
        heat, soot = heat * damp, soot * damp
        if step >= _WARM_UP and (step - _WARM_UP) % every == 0:
            heats.append(heat.astype(np.float16))
            soots.append(soot.astype(np.float16))
    return FireSimulation(np.stack(heats), np.stack(soots), kind)


def glow_colour(rng: Rng) -> F32:
    """The linear colour of burning soot, red 1: deep red by daylight to yellow at night, through some white balance."""
    green = float(np.exp(rng.uniform(np.log(0.07), np.log(0.5))))
    return np.array([1.0, green, green * float(rng.uniform(0.05, 0.35))], np.float32)


def srgb_to_linear(picture: NDArray[np.uint8]) -> F32:
    """sRGB u8 -> linear light 0..1 (as a power of 2.2)."""
    return np.asarray(_LINEAR[picture], dtype=np.float32)


def linear_to_srgb(light: F32) -> F32:
    """Linear light -> sRGB 0..1 in 4096 steps, clipped as a sensor clips."""
    return np.asarray(_ENCODED[(np.clip(light, 0, 1) * 4095).astype(np.uint16)], dtype=np.float32)


def _source(rng: Rng, kind: str) -> F32:
    """Where fuel burns, 0..1, at the bottom of the field."""
    height = float(rng.uniform(2, 7))
    base = ROWS - 10.0
    row = np.exp(-(((_Y - base) / height) ** 2))
    centre = COLUMNS / 2 + float(rng.normal(0, 4))
    if kind == "point":
        across = np.exp(-(((_X - centre) / float(rng.uniform(3, 10))) ** 2))
    elif kind == "line":
        across = 1 / (1 + np.exp((np.abs(_X - centre) - float(rng.uniform(14, 38))) / 2))
    elif kind == "patches":
        across = np.zeros_like(_X)
        for _ in range(int(rng.integers(2, 6))):
            at, wide = float(rng.uniform(14, COLUMNS - 14)), float(rng.uniform(2, 8))
            across = np.maximum(across, float(rng.uniform(0.5, 1)) * np.exp(-(((_X - at) / wide) ** 2)))
    else:
        slope = float(rng.uniform(-0.5, 0.5))
        row = np.exp(-(((_Y - base + slope * np.abs(_X - centre) * 0.6) / (2 * height)) ** 2))
        across = 0.4 + 0.6 * cv2.resize(rng.random((1, 12)).astype(np.float32), (COLUMNS, 1))[0] ** 2 + 0 * _X
    return np.asarray(np.clip(row * across * float(rng.uniform(0.85, 1.1)), 0, 1.2), dtype=np.float32)


def _blotches(rng: Rng, size: int) -> F32:
    grid = rng.random((ROWS // size + 1, COLUMNS // size + 1)).astype(np.float32)
    return np.asarray(cv2.resize(grid, (COLUMNS, ROWS), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _advect(field: F32, u: F32, v: F32) -> F32:
    out = cv2.remap(field, _X - u, _Y - v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(out, dtype=np.float32)


def _confine_vorticity(u: F32, v: F32, strength: float) -> tuple[F32, F32]:
    """Give back the swirl that a coarse grid loses."""
    curl = _dx(v) - _dy(u)
    gx, gy = _dx(np.abs(curl)), _dy(np.abs(curl))
    size = np.sqrt(gx * gx + gy * gy) + 1e-5
    push = strength * curl / size
    return np.asarray(u + push * gy, np.float32), np.asarray(v - push * gx, np.float32)


def _project(u: F32, v: F32, swell: F32) -> tuple[F32, F32]:
    """Make the divergence `swell`: gas expands where it burns."""
    fu, fv = np.fft.rfft2(u), np.fft.rfft2(v)
    excess = 1j * (_KX * fu + _KY * fv) - np.fft.rfft2(swell)
    fu, fv = fu + 1j * _KX * excess / _K2, fv + 1j * _KY * excess / _K2
    free_u, free_v = np.fft.irfft2(fu, (ROWS, COLUMNS)), np.fft.irfft2(fv, (ROWS, COLUMNS))
    return np.clip(free_u, -9, 9).astype(np.float32), np.clip(free_v, -9, 9).astype(np.float32)


def _dx(field: F32) -> F32:
    return np.asarray((np.roll(field, -1, 1) - np.roll(field, 1, 1)) * 0.5, dtype=np.float32)


def _dy(field: F32) -> F32:
    return np.asarray((np.roll(field, -1, 0) - np.roll(field, 1, 0)) * 0.5, dtype=np.float32)
