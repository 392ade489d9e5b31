"""Clips and recordings made for the tests of taught events."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np

from edge.adapt.examples import LabelledClip


def clip(
    label: str,
    n: int,
    sound: np.ndarray[Any, Any] | None = None,
    picture: np.ndarray[Any, Any] | None = None,
    group: str | None = None,
) -> LabelledClip:
    """A clip of windows [n,d] of sound, picture or both."""
    rows = {name: v.astype(np.float32) for name, v in (("sound", sound), ("picture", picture)) if v is not None}
    count = len(next(iter(rows.values())))
    return LabelledClip(
        key=f"{label}{n}:0-inf",
        path=f"{label}{n}.wav",
        label=label,
        group=group or f"{label}{n}",
        rows=rows,
        has_sound=np.full(count, sound is not None),
        has_picture=np.full(count, picture is not None),
        model={},
    )


def steady(path: Path, level: float, seconds: float = 2.0, rate: int = 8000) -> Path:
    """A sound file of one constant level, the plainest thing that a toy graph can tell apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, rate, 0, "NONE", ""))
        out.writeframes(np.full(int(seconds * rate), round(level * 32767), np.int16).tobytes())
    return path
