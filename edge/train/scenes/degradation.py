"""What makes a sense worse: a picture in the dark, out of focus and noisy, a sound in louder surroundings.

Severity 0 is as recorded, 4 nearly useless; it may lie between whole numbers.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.train.labels import RATE_HZ

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
Rng = np.random.Generator

DEGRADED: Final = 2.0
"""Severity from which a sense counts as degraded."""
_DARKENING: Final = 0.575  # e-fold per severity: a tenth of the light at 4
_BLUR: Final = 0.8
_NOISE: Final = 3.0
_SEVERITIES: Final = [0.0, 1.0, 2.0, 3.0, 4.0]
_G711_HZ: Final = 8000
_MU: Final = 255.0
_SNR_DB: Final = [40.0, 10.0, 0.0, -5.0, -10.0]


def draw_severity(rng: Rng, clean: float = 0.6) -> float:
    """0 with the probability ``clean``, else anything up to 4."""
    severity = float(rng.uniform(0.5, 4.0))
    return 0.0 if rng.random() < clean else severity


def worsen_pictures(pictures: U8, severity: float, rng: Rng) -> U8:
    """Pictures u8 [n,H,W,3], darker, blurred and noisy."""
    if severity <= 0:
        return pictures
    out = np.empty_like(pictures)
    for n, picture in enumerate(pictures):
        dark = cv2.GaussianBlur(picture, (0, 0), _BLUR * severity).astype(np.float32) * np.exp(-_DARKENING * severity)
        noise = rng.standard_normal(picture.shape, np.float32) * (_NOISE * severity)
        out[n] = np.clip(dark + noise, 0, 255)
    return out


def worsen_sound(wave: F32, surroundings: F32, severity: float) -> F32:
    """A wave f32 [n] among ``surroundings`` f32 [n], which are as loud as the severity says."""
    if severity <= 0:
        return wave
    ratio_db = float(np.interp(severity, _SEVERITIES, _SNR_DB))
    power, other = (float(np.mean(x**2)) + 1e-9 for x in (wave, surroundings))
    mixed = wave + surroundings * np.sqrt(power / other / 10 ** (ratio_db / 10))
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max())), np.float32)


def through_g711(wave: F32) -> F32:
    """A wave f32 [n] at 32 kHz as a telephone line or a camera's G.711 sound carries it: 8 kHz, eight bits on a
    logarithmic scale (mu-law, ITU-T G.711)."""
    import soxr

    narrow = np.clip(soxr.resample(wave, RATE_HZ, _G711_HZ), -1, 1)
    compressed = np.round(127 * np.sign(narrow) * np.log1p(_MU * np.abs(narrow)) / np.log1p(_MU)) / 127
    expanded = np.sign(compressed) * ((1 + _MU) ** np.abs(compressed) - 1) / _MU
    out = np.zeros(len(wave), np.float32)
    wide = soxr.resample(expanded, _G711_HZ, RATE_HZ)[: len(wave)]
    out[: len(wide)] = wide
    return out
