"""Fits, sense by sense, how degraded it looks and how far its evidence is to be believed then."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.train.flames.lookalikes import PAINTERS
from edge.train.flames.rendering import FILMED
from edge.train.flames.shots import EncodedShots
from edge.train.labels import LABELS
from edge.train.nets.evidence import BASE_RATE, PRIOR, SenseCalibration
from edge.train.nets.heads import FusionHead
from edge.train.nets.image import channel_statistics
from edge.train.nets.network import FusedNet
from edge.train.recipe.pictures import picture_truth
from edge.train.recipe.sounds import SoundRows, balanced, own_tags, real_sources
from edge.train.scenes.degradation import DEGRADED

_log = logging.getLogger(__name__)
RIDGE: Final = 0.03
SOURCES_TO_CALIBRATE: Final = 6
"""Sources of real sounds of a label from which it is calibrated by itself."""
_LEAST_GAIN: Final = 0.1
_TIE: Final = 0.001
"""How strongly the gains of a good and of a degraded sense are held together."""
LOOKALIKE_WORTH: Final = 0.05
"""What a lookalike counts beside an ordinary picture: they are a third of the shots, and rare on an ordinary day."""
SIMULATED_WORTH: Final = 0.1
"""What a simulated fire counts beside filmed flames, which are harder to tell, as photographs of fires are."""
TAG_HINT: Final = 4.0
"""A hint in tags counts for an event from log-odds of -4 (2 %) on: set, not fitted, for nothing open shows it."""
OBJECT_HINT: Final = -1.0
"""One in a box of the detector does from a score of 0.73 on."""


def fit_degradation(sense: SenseCalibration, features: Tensor, severity: Tensor, ridge: float = RIDGE) -> float:
    """Ridge logistic regression of "degraded" on the features [N,F], whose mean and scale ``sense`` has; the share of
    windows that it gets right."""
    x, y = ((features - sense.mean) * sense.scale).clamp(-6, 6), (severity >= DEGRADED).float()
    weight, bias = torch.zeros(x.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=80, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = F.binary_cross_entropy_with_logits(x @ weight + bias, y) + 0.5 * ridge * weight.pow(2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        sense.looks.weight.copy_(weight[None])
        sense.looks.bias.copy_(bias)
        return float((((x @ weight + bias) > 0) == (y > 0.5)).float().mean())


class Gains(NamedTuple):
    """Gain and offset [2] each, of a good and of a degraded sense; the offset is that of log-odds."""

    gain: Tensor
    offset: Tensor

    def write(self, sense: SenseCalibration, label: int) -> None:
        """Into the calibration of one label."""
        with torch.no_grad():
            sense.gain[:, label], sense.bias[:, label] = self.gain, self.offset - PRIOR


def fit_gains(z: Tensor, truth: Tensor, weight: Tensor, degraded: Tensor) -> Gains:
    """By cross entropy at the base rate, from evidence, truth (-1 where nobody judges), weight and how degraded the
    sense is, all [N]."""
    known = truth >= 0
    z, y, share = z[known], truth[known], degraded[known]
    weights = balanced(y[:, None], weight[known], BASE_RATE)[:, 0]
    free = torch.tensor([[1.0, 1.0], [0.0, 0.0]], requires_grad=True)
    optimiser = torch.optim.LBFGS([free], max_iter=100, line_search_fn="strong_wolfe")

    def posterior() -> Tensor:
        gain = _LEAST_GAIN + F.softplus(free[0])
        return z * (gain[0] + share * (gain[1] - gain[0])) + free[1, 0] + share * (free[1, 1] - free[1, 0])

    def closure() -> Tensor:
        optimiser.zero_grad()
        fit = (F.binary_cross_entropy_with_logits(posterior(), y, reduction="none") * weights).sum()
        loss = fit + _TIE * (free[:, 0] - free[:, 1]).pow(2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return Gains((_LEAST_GAIN + F.softplus(free[0])).detach(), free[1].detach())


def fit_senses(
    net: FusedNet, heard: SoundRows, evidence: Tensor, shots: EncodedShots, held_shots: EncodedShots
) -> None:
    """Picture and sound of the head: how degraded they look, and how far each label's evidence counts. For sounds that
    is told from ``evidence`` [N,C] of rows to which nothing was fitted, for pictures from held-out shots; hints are
    set."""
    head = net.head
    head.picture.mean, head.picture.scale = channel_statistics(shots.top)
    fit_degradation(head.picture, shots.top.float(), shots.severity)
    fit_degradation(head.sound, heard.embedding, heard.severity)
    _fit_seen(net, held_shots)
    fit_heard(head, heard, evidence)
    with torch.no_grad():
        for c, label in enumerate(LABELS):
            if "audio" in label.hints:
                head.sound.bias[:, c] = TAG_HINT
            if "video" in label.hints and label.dense is None:
                head.picture.bias[:, c] = OBJECT_HINT


def fit_heard(head: FusionHead, rows: SoundRows, evidence: Tensor) -> None:
    """Labels with real sounds of enough sources each; the others share what the tags of those have in common. Where no
    label has enough, all stay as they are. Real sounds alone: no reading was fitted without the made ones."""
    real = rows.source >= 0
    rows, evidence = SoundRows(*(column[real] for column in rows)), evidence[real]
    with torch.no_grad():
        degraded, own = head.sound.degradation(rows.embedding)[:, 0], own_tags(head, rows.tags)
    labels = [c for c, label in enumerate(LABELS) if label.tags and "audio" not in label.hints]
    many = [c for c in labels if len(real_sources(rows, c)) >= SOURCES_TO_CALIBRATE]
    if not many:
        _log.warning("sounds: no label has %d sources; what its tags say stays as it is", SOURCES_TO_CALIBRATE)
        return
    for c in many:
        fit_gains(evidence[:, c], rows.truth[:, c], rows.weight, degraded).write(head.sound, c)
    z, truth = (torch.cat([column[:, c] for c in many]) for column in (own, rows.truth))
    shared = fit_gains(z, truth, rows.weight.repeat(len(many)), degraded.repeat(len(many)))
    for c in set(labels) - set(many):
        shared.write(head.sound, c)


def shot_worths(kinds: list[str]) -> Tensor:
    """How much shots of these kinds count [N] beside an ordinary picture or filmed flames."""

    def worth(kind: str) -> float:
        if kind in PAINTERS:
            return LOOKALIKE_WORTH
        return SIMULATED_WORTH if kind.startswith("fire:") and kind != FILMED else 1.0

    return torch.tensor([worth(kind) for kind in kinds])


def dense_evidence(net: FusedNet, shots: EncodedShots) -> Tensor:
    """What the dense head says of each shot, log-odds [N,4]."""
    with torch.no_grad():
        parts = zip(shots.grid.split(64), shots.top.split(64), strict=True)
        return torch.cat([net.dense(grid.float(), top.float())[1] for grid, top in parts])


def _fit_seen(net: FusedNet, shots: EncodedShots) -> None:
    """What the dense head says of fire and smoke in shots."""
    dense = dense_evidence(net, shots)
    with torch.no_grad():
        degraded = net.head.picture.degradation(shots.top.float())[:, 0]
    shown, sure = picture_truth(shots.cells.float())
    worth = shot_worths(shots.kinds)
    for c, label in enumerate(LABELS):
        if label.dense is not None and "video" not in label.hints:
            truth = torch.where(sure[:, label.dense] > 0, shown[:, label.dense], -1.0)
            fit_gains(dense[:, label.dense], truth, worth, degraded).write(net.head.picture, c)
