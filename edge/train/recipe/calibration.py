"""Calibrates each sense: a scale and an offset a label (Platt 1999), for windows and whole recordings at once.

Fitted on held-out open recordings as in service and on background recordings. Every
recording weighs the same whatever its length, and those with the event weigh `POSITIVE_SHARE` together. A recording's
own sample is its highest window. What the senses say together follows from what each says alone (`nets/evidence.py`).
"""

from __future__ import annotations

import logging
import zlib
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edge.train.evaluation.metrics import expected_calibration_error
from edge.train.labels import LABELS
from edge.train.nets.evidence import BASE_RATE, SenseCalibration
from edge.train.nets.heads import FusionHead
from edge.train.nets.network import FusedNet
from edge.train.recipe.features import FeatureRows
from edge.train.recipe.senses import SOURCES_TO_CALIBRATE

_log = logging.getLogger(__name__)
POSITIVE_SHARE: Final = BASE_RATE
OBJECT_SCALE: Final = 2.0
OBJECT_SCORE: Final = 0.4
"""Detector scores are sharpened by 2 and a box score of 0.4 becomes 0.5: set, not fitted (no open box labels)."""
_FOLDS: Final = 4
_BINS: Final = 15


@dataclass(frozen=True, slots=True)
class LabelFit:
    """One label's calibration of one sense, sources with the event, and the expected calibration error on sources left
    out of the fit, of windows and of recordings."""

    label: str
    sense: str
    scale: float
    offset: float
    positives: int
    ece_windows: float
    ece_recordings: float


class CalibrationSamples(NamedTuple):
    """Scores to calibrate: log-odds `z`, truth `y`, weight `w`, all [n]; `source` [n] names the recording as a number,
    `whole` [n] is 1 for a recording's highest window and 0 for a single window."""

    z: Tensor
    y: Tensor
    w: Tensor
    source: Tensor
    whole: Tensor


class _RecordingSet(NamedTuple):
    """A set of recordings: what one counts, and logits [N,C], what is shown [N,C] and judged [N,C] in each view."""

    rows: FeatureRows
    worth: float
    views: list[tuple[Tensor, Tensor, Tensor]]


def calibrate_head(net: FusedNet, ordinary: FeatureRows, real: FeatureRows) -> list[LabelFit]:
    """Write gains and offsets of each sense into the head; the fits. `ordinary` are open recordings without any event,
    `real` held-out ones, as they are in service (`recipe/recordings.py`). What the dense head sees of fire and smoke
    was calibrated on shots (`recipe/senses.py`), of which there are more than recordings; what sensors say where they
    were trained."""
    head, fits = net.head, []
    sets = [(ordinary, 0.5), (real, 1.0)]
    for m, (name, sense) in enumerate((("video", head.picture), ("audio", head.sound))):
        view = tuple(float(m == n) for n in range(3))
        views = [_RecordingSet(rows, worth, [_sense_logits(head, rows, view)]) for rows, worth in sets]
        for c, label in enumerate(LABELS):
            if name not in label.modalities or name in label.hints:
                continue
            if label.classes:
                sense.rescale(c, OBJECT_SCALE, -OBJECT_SCALE * float(np.log(OBJECT_SCORE / (1 - OBJECT_SCORE))))
            elif label.body is None and not (name == "video" and label.dense is not None):
                fits.append(_fit_sense(sense, c, name, concatenate_samples([_label_samples(s, c) for s in views])))
                _log.info("calibrated %s", fits[-1])
    return fits


def _fit_sense(sense: SenseCalibration, c: int, name: str, samples: CalibrationSamples) -> LabelFit:
    """One label and sense; of fewer than `SOURCES_TO_CALIBRATE` with the event it stays as it is."""
    positives = len(set(samples.source[samples.y > 0.5].tolist()))
    if positives < SOURCES_TO_CALIBRATE:
        return LabelFit(LABELS[c].name, name, 1.0, 0.0, positives, float("nan"), float("nan"))
    (scale, offset), gaps = fit_platt(samples), cross_validated_ece(samples)
    sense.rescale(c, scale, offset)
    return LabelFit(LABELS[c].name, name, scale, offset, positives, *gaps)


def calibration_csv(fits: list[LabelFit]) -> str:
    """The fits as CSV."""
    lines = ["label,sense,scale,offset,sources,ece_windows_unseen,ece_recordings_unseen"]
    lines += [
        f"{f.label},{f.sense},{f.scale:.4f},{f.offset:.4f},{f.positives},{f.ece_windows:.4f},{f.ece_recordings:.4f}"
        for f in fits
    ]
    return "\n".join(lines) + "\n"


def fit_platt(samples: CalibrationSamples, fixed: float | None = None) -> tuple[float, float]:
    """Platt's scale and offset by weighted cross entropy; the scale stays within 0.3 and 2.1, or is given."""
    free = torch.tensor([-0.2, 0.0], requires_grad=True)
    optimiser = torch.optim.LBFGS([free], max_iter=80, line_search_fn="strong_wolfe")
    z, y, w = samples.z, samples.y, balanced_weights(samples)

    def scale() -> Tensor:
        return 1.2 + 0.9 * torch.tanh(free[0]) if fixed is None else torch.tensor(fixed)

    def closure() -> Tensor:
        optimiser.zero_grad()
        fit = F.binary_cross_entropy_with_logits(scale() * z + free[1], y, weight=w, reduction="sum") / w.sum()
        loss = fit + 1e-4 * free.pow(2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(scale().detach()), float(free[1].detach())


def cross_validated_ece(samples: CalibrationSamples, fixed: float | None = None) -> tuple[float, float]:
    """Expected calibration error of windows and of recordings where each quarter of the sources is judged by a fit on
    the others."""
    p, fold = torch.zeros_like(samples.z), samples.source % _FOLDS
    for n in range(_FOLDS):
        scale, offset = fit_platt(CalibrationSamples(*(x[fold != n] for x in samples)), fixed)
        p[fold == n] = torch.sigmoid(scale * samples.z[fold == n] + offset)
    weight = balanced_weights(samples)
    first, second = (
        expected_calibration_error(p[part].numpy(), samples.y[part].numpy(), weight[part].numpy(), _BINS)
        for part in (samples.whole < 0.5, samples.whole > 0.5)
    )
    return first, second


def balanced_weights(samples: CalibrationSamples) -> Tensor:
    """Weights with which positives are `POSITIVE_SHARE` of windows and of recordings, and these count the same."""
    weight = torch.zeros_like(samples.w)
    for kind in (0.0, 1.0):
        for truth, share in ((1.0, POSITIVE_SHARE), (0.0, 1 - POSITIVE_SHARE)):
            part = samples.w * (samples.whole == kind) * (samples.y == truth)
            weight = weight + share * part / part.sum().clamp(min=1e-9)
    return weight


def concatenate_samples(parts: list[CalibrationSamples]) -> CalibrationSamples:
    """All samples of ``parts``."""
    empty = CalibrationSamples(*(torch.zeros(0, dtype=torch.long if n == 3 else torch.float32) for n in range(5)))
    return CalibrationSamples(*(torch.cat(column) for column in zip(empty, *parts, strict=True)))


def scene_logits(head: FusionHead, rows: FeatureRows, view: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Logits [N,C] of every hop with only these modalities, and what is known [N,3]."""
    with torch.no_grad():
        hop = head.encode_hop(rows.features)
        known = rows.features.available_modalities() * torch.tensor(view)
        return head.logits(hop, known), known


def _sense_logits(head: FusionHead, rows: FeatureRows, view: tuple[float, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """With one sense alone: logits, what is shown, and whether that settles the hop."""
    z, known = scene_logits(head, rows, view)
    now = (rows.evident * known[..., None]).amax(1)
    judged = ((now > 0.75) | (rows.evident.amax(1) < 0.25)).float() * known.amax(1)[:, None]
    return z, (now > 0.75).float(), judged


def _label_samples(of: _RecordingSet, c: int) -> CalibrationSamples:
    """One label's samples of a set: a recording weighs `worth`, whatever its length."""
    rows, parts = of.rows, []
    for scene in range(int(rows.scene[-1]) + 1):
        at = rows.scene == scene
        source = zlib.crc32(rows.names[scene].encode()) if rows.names else scene
        for z, shown, judged in of.views:
            here = at & (judged[:, c] > 0)
            if here.any():
                parts.append(_recording_samples(z[here, c], shown[here, c], of.worth / len(of.views), source))
    return concatenate_samples(parts)


def _recording_samples(z: Tensor, y: Tensor, worth: float, source: int) -> CalibrationSamples:
    """The windows of one recording and, last, the recording itself: its highest window where the event is shown, else
    its highest of all."""
    if not len(z):
        return CalibrationSamples(z, y, z, torch.zeros(0, dtype=torch.long), z)
    top = z[y > 0.5].max() if bool((y > 0.5).any()) else z.max()
    one = torch.ones(1)
    return CalibrationSamples(
        torch.cat([z, top[None]]), torch.cat([y, y.max()[None]]),
        torch.cat([torch.full_like(z, worth / len(z)), worth * one]),
        torch.full((len(z) + 1,), source, dtype=torch.long), torch.cat([torch.zeros_like(z), one]),
    )  # fmt: skip
