"""Whether fine-tuning forgot any tag: zero-shot accuracy of 2 s windows, the student against the starting net."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from edge.learn.data import decode_sound
from edge.learn.evaluation.sets import read_rows
from edge.learn.labels import RATE_HZ, SAMPLES
from edge.learn.nets.audio import AudioNet

_CLASSES: Final = {
    "car_horn": (308,), "cat": (81, 83), "chirping_birds": (111, 112, 113), "church_bells": (201, 207),
    "cow": (91, 90), "glass_breaking": (443, 441), "keyboard_typing": (384, 386), "siren": (396, 323, 324, 325),
    "snoring": (43,), "thunderstorm": (287, 286), "wind": (283,), "clock_alarm": (395, 388), "dog": (74, 75),
    "crying_baby": (23,), "chainsaw": (347,), "rooster": (101, 99), "helicopter": (339,), "rain": (289, 291),
    "sea_waves": (294, 295), "crackling_fire": (298, 299), "sneezing": (49,), "clock_tick": (407, 408),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TagQuality:
    """Windows judged, and the share of which the best-scoring class was the right one."""

    windows: int
    accuracy: float


def tag_quality(net: AudioNet, root: Path, dataset: str, split: str = "") -> TagQuality:
    """Windows every second of each clip that are not silent; a class scores by its best tag."""
    rows = [
        r for r in read_rows(root) if r.dataset == dataset and r.label in _CLASSES and (not split or r.split == split)
    ]
    names = sorted({r.label for r in rows})
    right, total = 0, 0
    for row in rows:
        wave = decode_sound(row.path)
        starts = range(0, max(1, len(wave) - SAMPLES + 1), RATE_HZ)
        windows = [np.resize(wave[s : s + SAMPLES], SAMPLES) for s in starts]
        loud = [w for w in windows if float(np.abs(w).max()) > 1e-3]
        if not loud:
            continue
        with torch.no_grad():
            logits = net.eval()(torch.from_numpy(np.stack(loud))).logits.numpy()
        scores = np.stack([logits[:, list(_CLASSES[n])].max(1) for n in names], 1)
        right += int((scores.argmax(1) == names.index(row.label)).sum())
        total += len(loud)
    return TagQuality(total, right / max(1, total))
