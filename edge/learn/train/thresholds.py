"""Where `enter` stands: just above what open material without the event reaches. Prints what `labels.py` then says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch

from edge.learn.labels import LABELS
from edge.learn.nets.heads import FusionHead
from edge.learn.train.calibrate import CALIBRATION_VIEWS, scene_logits
from edge.learn.train.rows import FeatureRows

MARGIN: Final = 1.25
LOWEST: Final = 0.25
HIGHEST: Final = 0.6


@dataclass(frozen=True, slots=True)
class Threshold:
    """`ordinary`: the highest probability on ordinary recordings; `composed`: what 1 in 1000 hops without the event
    exceeds in composed scenes; `enter`: `MARGIN` times the higher, within LOWEST and HIGHEST, in steps of 0.05.
    `recall`: hops of held-out real recordings of the event over it (nan: there are none)."""

    label: str
    ordinary: float
    composed: float
    enter: float
    recall: float


def thresholds(
    head: FusionHead, ordinary: list[FeatureRows], composed: FeatureRows, real: FeatureRows
) -> list[Threshold]:
    """For every label but the detector's. Negatives among `real` count as ordinary."""
    quiet = [_hops(head, rows, ((1, 1, 1),)) for rows in (*ordinary, real)]
    scenes, heard = _hops(head, composed, tuple(CALIBRATION_VIEWS.values())), quiet[-1]
    found = []
    for c, label in enumerate(LABELS):
        if label.classes:
            continue
        high = max(float(p[none[:, c], c].max()) for p, _, none in quiet)
        rare = float(scenes[0][scenes[2][:, c], c].quantile(0.999))
        steps = torch.ceil(torch.tensor(MARGIN * max(high, rare) / 0.05 - 1e-6)) * 0.05
        enter = float(steps.clamp(LOWEST, HIGHEST))
        found.append(
            Threshold(label.name, high, rare, enter, float((heard[0][heard[1][:, c], c] > enter).float().mean()))
        )
    return found


def _hops(head: FusionHead, rows: FeatureRows, views: tuple[tuple[int, int, int], ...]) -> tuple[torch.Tensor, ...]:
    """Probabilities [N,C] over the views, where the event is shown and where nothing of it is there."""
    parts = []
    for view in views:
        z, known = scene_logits(head, rows, view)
        shown = (rows.evident * known[..., None]).amax(1) > 0.75
        parts.append((torch.sigmoid(z), shown, rows.evident.amax(1) < 0.25))
    p, yes, no = (torch.cat(x) for x in zip(*parts, strict=True))
    return p, yes, no
