"""Calibrates the logits: a scale and an offset a label (Platt 1999), for windows and whole recordings at once.

Fitted on held-out open recordings as in service, on composed held-out scenes and on background recordings. Every
recording weighs the same whatever its length, and those with the event weigh `POSITIVE_SHARE` together. A recording's
own sample is its highest window. Labels without real recordings borrow their positives from AudioSet tags that have
recordings (`shared_samples`), keep their own negatives and fit an offset alone; leaving out classes shows how well that
carries over.
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
from edge.train.labels import LABELS, LabelSpec
from edge.train.nets.heads import FusionHead, HopFeatures
from edge.train.nets.network import FusedNet
from edge.train.recipe.features import FeatureRows, memory_windows

_log = logging.getLogger(__name__)
POSITIVE_SHARE: Final = 0.1
CORRECTION: Final = 3.0
"""The most that the fusion may add, times `corrects` (`nets/heads.py`)."""
OBJECT_SCALE: Final = 2.0
OBJECT_SCORE: Final = 0.4
"""Detector scores are sharpened by 2 and a box score of 0.4 becomes 0.5: set, not fitted (no open box labels)."""
CALIBRATION_VIEWS: Final = {"all": (1, 1, 1), "no picture": (0, 1, 1), "no sound": (1, 0, 1), "no sensors": (1, 1, 0)}
_ESC10: Final = {
    0: (74, 75), 1: (99, 101), 10: (289, 290, 291), 11: (294, 295), 12: (298, 299), 20: (23,), 21: (49,),
    38: (407, 408), 40: (339,), 41: (347,),
}  # fmt: skip
"""ESC-50 class number, the last part of a file's name -> AudioSet tags."""
_FOLDS: Final = 4
_BINS: Final = 15


@dataclass(frozen=True, slots=True)
class LabelFit:
    """One label's calibration, where it is from (`recordings`, `tags`: the fit that tags share, `set`), recordings with
    the event, and the expected calibration error on sources left out of the fit, of windows and of recordings."""

    label: str
    origin: str
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


def calibrate_head(net: FusedNet, held: FeatureRows, ordinary: FeatureRows, real: FeatureRows) -> list[LabelFit]:
    """Write scale, offset and picture limits into the head; the fit of each label. `ordinary` are open recordings
    without any event, `real` held-out ones, as they are in service (`recipe/recordings.py`)."""
    head = net.head
    head.scale.fill_(1.0)
    head.offset.fill_(0.0)
    head.picture_limit.fill_(30.0)
    sets = [
        _RecordingSet(rows, worth, _view_logits(head, rows))
        for rows, worth in ((held, 0.5), (ordinary, 0.5), (real, 1.0))
    ]
    tags, fits = shared_samples(real), []
    for c, label in enumerate(LABELS):
        samples = concatenate_samples([_label_samples(s, c) for s in sets])
        gaps, origin, positives = (float("nan"), float("nan")), "set", _positive_recordings(real, c)
        if label.classes:
            scale, offset = OBJECT_SCALE, -OBJECT_SCALE * float(np.log(OBJECT_SCORE / (1 - OBJECT_SCORE)))
        elif label.body is not None:
            scale, offset = 1.0, 0.0
        else:
            known = label.tag_offset is None
            origin, samples = ("recordings", samples) if known else ("tags", borrow_positives(tags, samples))
            fixed = None if known else 1.0
            (scale, offset), gaps = fit_platt(samples, fixed), cross_validated_ece(samples, fixed)
        _write_calibration(head, c, label, scale, offset)
        fits.append(LabelFit(label.name, origin, scale, offset, positives, *gaps))
        _log.info("calibrated %s", fits[-1])
    return fits


def calibration_csv(fits: list[LabelFit]) -> str:
    """The fits as CSV."""
    lines = ["label,origin,scale,offset,recordings,ece_windows_unseen,ece_recordings_unseen"]
    lines += [
        f"{f.label},{f.origin},{f.scale:.4f},{f.offset:.4f},{f.positives},{f.ece_windows:.4f},{f.ece_recordings:.4f}"
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


def shared_samples(real: FeatureRows) -> CalibrationSamples:
    """Every ESC-10 recording among `real`, judged for each of its ten classes by the tags of that class. The source is
    the class, so that what is left out when judging is whole classes."""
    parts = []
    for n, (number, tags) in enumerate(_ESC10.items()):
        z = torch.logsumexp(real.features.tags[:, list(tags)], 1)
        loud = real.evident.new_ones(len(z)) if real.loud is None else real.loud
        for scene, name in enumerate(real.names):
            kind = name.rsplit("-", 1)[-1]
            if name.count("-") != 3 or not kind.isdigit() or int(kind) not in _ESC10:
                continue
            rows = (real.scene == scene) & (loud > 0.5)
            truth = float(int(kind) == number)
            parts.append(_recording_samples(z[rows], torch.full_like(z[rows], truth), 1.0, n))
    return concatenate_samples(parts)


def borrow_positives(tags: CalibrationSamples, own: CalibrationSamples) -> CalibrationSamples:
    """The positives of other tags beside a label's own negatives."""
    return concatenate_samples(
        [CalibrationSamples(*(x[tags.y > 0.5] for x in tags)), CalibrationSamples(*(x[own.y < 0.5] for x in own))]
    )


def concatenate_samples(parts: list[CalibrationSamples]) -> CalibrationSamples:
    """All samples of ``parts``."""
    return CalibrationSamples(*(torch.cat(column) for column in zip(*parts, strict=True)))


def scene_logits(
    head: FusionHead, rows: FeatureRows, view: tuple[int, int, int], remembers: bool = True
) -> tuple[Tensor, Tensor]:
    """Logits [N,C] of every hop with only these modalities, and what is known [N,3]; memory as in service, or none."""
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
            hop, available = head.encode_hop(part), part.available_modalities()
            memory, memory_ok = memory_windows(hop.token, torch.arange(len(index)))
            outputs.append(head.logits(hop, available, memory, memory_ok * float(remembers))[0])
        knowns.append(available)
    return torch.cat(outputs), torch.cat(knowns)


def _view_logits(head: FusionHead, rows: FeatureRows) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each view: logits, what is shown, and whether that settles the hop."""
    found = []
    for view in CALIBRATION_VIEWS.values():
        z, known = scene_logits(head, rows, view)
        now = (rows.evident * known[..., None]).amax(1)
        judged = ((now > 0.75) | (rows.evident.amax(1) < 0.25)).float() * known.amax(1)[:, None]
        found.append((z, (now > 0.75).float(), judged))
    return found


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


def _write_calibration(head: FusionHead, c: int, label: LabelSpec, scale: float, offset: float) -> None:
    head.scale[c], head.offset[c] = scale, offset
    if label.picture_limit is not None:
        top = float(np.log(label.picture_limit / (1 - label.picture_limit)))
        head.picture_limit[c] = (top - offset) / scale - CORRECTION * float(head.corrects[c])


def _positive_recordings(rows: FeatureRows, c: int) -> int:
    """Recordings in which the label is shown."""
    return len(set(rows.scene[rows.evident[:, :, c].amax(1) > 0.75].tolist()))
