"""Makes the logits calibrated: a scale and an offset a label.

Where real recordings were held out (fire, crying_baby, dog_bark) they are fitted on those, on composed held-out
scenes and on ordinary material, every recording counting the same however long it is, and those that hold the event
together for `SHARE` of all, since events are rare. Labels that only tags know get the offset of `labels.py`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from edge.learn.heads import FusionHead, HopFeatures
from edge.learn.labels import LABELS
from edge.learn.network import FusedNet
from edge.learn.train_fusion import Rows, memories

_log = logging.getLogger(__name__)
SHARE: Final = 0.05
CORRECTION: Final = 3.0
"""The most that the fusion may add, times `corrects` (`heads.py`)."""
OBJECT_SCALE: Final = 2.0
OBJECT_SCORE: Final = 0.4
"""Detector scores are sharpened by 2 and a box score of 0.4 becomes 0.5: set, not fitted (no open box labels)."""
VIEWS: Final = {"all": (1, 1, 1), "no picture": (0, 1, 1), "no sound": (1, 0, 1), "no sensors": (1, 1, 0)}


@dataclass(frozen=True, slots=True)
class LabelFit:
    """One label's calibration: expected calibration error before and after (weighted hops), positive hops."""

    label: str
    scale: float
    offset: float
    ece_before: float
    ece_after: float
    positives: int


def calibrate(net: FusedNet, held: Rows, ordinary: Rows, real: Rows) -> list[LabelFit]:
    """Write scale, offset and picture limits into the head, and say how well it went. `ordinary` are open recordings
    without any event, `real` held-out ones, as they are in service (`realistic.py`)."""
    head = net.head
    head.scale.fill_(1.0)
    head.offset.fill_(0.0)
    head.picture_limit.fill_(30.0)
    logits, shown, weight = _judged_logits(head, [(held, 0.5), (ordinary, 0.5), (real, 1.0)])
    fits = []
    for c, label in enumerate(LABELS):
        z, y, w = logits[:, c], shown[:, c], weight[:, c]
        share = float((w * y).sum() / w.sum())
        if label.classes:
            scale, offset = OBJECT_SCALE, -OBJECT_SCALE * float(np.log(OBJECT_SCORE / (1 - OBJECT_SCORE)))
        elif label.tag_offset is not None:
            scale, offset = 1.0, label.tag_offset
        else:
            w = w * torch.where(y > 0.5, SHARE / share, (1 - SHARE) / (1 - share))
            scale, offset = fit_platt(z, y, w)
        head.scale[c], head.offset[c] = scale, offset
        if label.picture_limit is not None:
            top = float(np.log(label.picture_limit / (1 - label.picture_limit)))
            head.picture_limit[c] = (top - offset) / scale - CORRECTION * float(head.corrects[c])
        before, after = (ece(torch.sigmoid(x).numpy(), y.numpy(), w.numpy()) for x in (z, scale * z + offset))
        gaps = (float("nan"), float("nan")) if label.classes else (before, after)
        fits.append(LabelFit(label.name, scale, offset, *gaps, int((y * (weight[:, c] > 0)).sum())))
        _log.info("calibrated %s: scale %.2f offset %+.2f, ECE %.4f -> %.4f", label.name, scale, offset, *gaps)
    return fits


def fit_platt(z: Tensor, y: Tensor, w: Tensor) -> tuple[float, float]:
    """Platt's scale and offset by weighted cross entropy.

    The scale stays within 0.4 and 1.4.
    """
    free = torch.tensor([0.2, 0.0], requires_grad=True)
    optimiser = torch.optim.LBFGS([free], max_iter=60, line_search_fn="strong_wolfe")

    def scale() -> Tensor:
        return 0.9 + 0.5 * torch.tanh(free[0])

    def closure() -> Tensor:
        optimiser.zero_grad()
        fit = F.binary_cross_entropy_with_logits(scale() * z + free[1], y, weight=w, reduction="sum") / w.sum()
        loss = fit + 1e-4 * free.pow(2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(scale().detach()), float(free[1].detach())


def ece(p: NDArray[np.float32], y: NDArray[np.float32], w: NDArray[np.float32], bins: int = 15) -> float:
    """Weighted expected calibration error over equal-width bins (Guo et al. 2017)."""
    total, which = float(w.sum()), np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(float((w * (p - y))[which == b].sum())) for b in range(bins)]
    return sum(gaps) / max(total, 1e-9)


def scene_logits(head: FusionHead, rows: Rows, view: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Logits [N,C] of every hop with only these modalities, and what is known [N,3]; memory as in service."""
    f, outputs, knowns = rows.features, [], []
    video, audio, sensors = (float(v) for v in view)
    for scene in range(int(rows.scene[-1]) + 1):
        index = torch.nonzero(rows.scene == scene)[:, 0]
        part = HopFeatures(*(x[index] for x in f))
        part = part._replace(
            cells=part.cells * video, top=part.top * video, dense=part.dense * video, objects=part.objects * video,
            video_ok=part.video_ok * video, audio_ok=part.audio_ok * audio, sensor_ok=part.sensor_ok * sensors,
        )  # fmt: skip
        with torch.no_grad():
            hop, known = head.hop(part), part.available()
            memory, memory_ok = memories(hop.token, torch.arange(len(index)))
            outputs.append(head.logits(hop, known, memory, memory_ok)[0])
        knowns.append(known)
    return torch.cat(outputs), torch.cat(knowns)


def _judged_logits(head: FusionHead, sets: list[tuple[Rows, float]]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, targets and weights of all sets in every view that shows something; a recording weighs what its set
    says, whatever its length."""
    logits, shown, weights = [], [], []
    for rows, worth in sets:
        for view in VIEWS.values():
            z, known = scene_logits(head, rows, view)
            now = (rows.evident * known[..., None]).amax(1)
            judged = ((now > 0.75) | (rows.evident.amax(1) < 0.25)).float() * known.amax(1)[:, None]
            held = torch.zeros(int(rows.scene[-1]) + 1, judged.shape[1]).index_add_(0, rows.scene, judged)
            logits.append(z)
            shown.append((now > 0.75).float())
            weights.append(worth / len(VIEWS) * judged / held[rows.scene].clamp(min=1))
    return torch.cat(logits), torch.cat(shown), torch.cat(weights)
