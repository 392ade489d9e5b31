"""Windows of a made-up street: people walk across it, sounds hum."""

from __future__ import annotations

from typing import Any

import numpy as np
from detect_parts import scores

from edge.types import Box, Features, Scores

DX, DY, GAIN, FIT = range(4)
HOP_S = 0.5


def features(motion: np.ndarray, sound: np.ndarray, picture: np.ndarray) -> Features:
    none = np.zeros(0, np.float32)
    return Features(none, sound, none, none, picture, motion, none)


def body(motion: np.ndarray, row: int, column: int, speed: float, gain: float = 8.0) -> None:
    """Something two cells wide and high that moves right by ``speed`` pixels."""
    motion[row : row + 2, column : column + 2] = 0
    motion[row : row + 2, column : column + 2, [DX, GAIN, FIT]] = speed, gain, 0.7


def window(t_s: float, rng: np.random.Generator, *, speed: float | None = None, **changes: Any) -> Scores:
    """A window in which one walks at 3 to 5 pixels on row 8, or at ``speed``; others of its values in ``changes``."""
    motion = np.zeros((16, 28, 14), np.float32)
    walk = float(rng.uniform(3, 5)) if speed is None else speed
    column = int(rng.integers(2, 24))
    body(motion, int(rng.integers(8, 10)), column, walk)
    sound = np.full(8, 1, np.float32) + rng.normal(0, 0.05, 8).astype(np.float32)
    picture = np.ones(8, np.float32) + rng.normal(0, 0.05, 8).astype(np.float32)
    foot = 0.6 + float(rng.uniform(0, 0.02))
    box = Box("person", 0.8, column / 28, 0.4, (column + 1) / 28, foot)
    given: dict[str, Any] = {
        "features": features(motion, changes.pop("sound", sound), picture),
        "embedding": np.ones(8, np.float32) + rng.normal(0, 0.05, 8).astype(np.float32),
        "boxes": (box,),
    }
    return scores(t_s, {}, **{**given, **changes})


def street(n: int, seed: int = 0) -> list[Scores]:
    """So many ordinary windows."""
    rng = np.random.default_rng(seed)
    return [window(i * HOP_S, rng) for i in range(1, n + 1)]
