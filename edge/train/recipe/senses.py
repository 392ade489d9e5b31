"""Fits, sense by sense, how degraded it looks and how far its evidence is to be believed then."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from edge.train.flames.shots import EncodedShots
from edge.train.labels import DENSE_CHANNELS, LABELS
from edge.train.nets.evidence import PRIOR, SenseCalibration
from edge.train.nets.image import channel_statistics
from edge.train.nets.network import FusedNet
from edge.train.recipe.pictures import picture_truth
from edge.train.recipe.sounds import SoundRows, balanced
from edge.train.scenes.degradation import DEGRADED

RIDGE: Final = 0.03
_LEAST_GAIN: Final = 0.1
_TIE: Final = 0.02
"""How strongly the gains of a good and of a degraded sense are held together."""


HINT_GAIN: Final = 1.0
HINT_OFFSET: Final = 4.0
"""A hint in tags counts for an event from log-odds of -4 (2 %) on: set, not fitted, for nothing open shows it."""


class SenseRows(NamedTuple):
    """Windows of one sense: evidence [N,C], features [N,F], truth [N,C] (-1 where nobody judges), severity [N], weight
    [N]."""

    evidence: Tensor
    features: Tensor
    truth: Tensor
    severity: Tensor
    weight: Tensor


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


def fit_gains(sense: SenseCalibration, rows: SenseRows, label: int) -> None:
    """Gain and offset of a label, for a good and for a degraded sense, by cross entropy at the base rate."""
    known = rows.truth[:, label] >= 0
    z, y = rows.evidence[known, label], rows.truth[known, label]
    weight = balanced(rows.truth[known], rows.weight[known], torch.sigmoid(torch.tensor(PRIOR)).item())[:, label]
    with torch.no_grad():
        share = sense.degradation(rows.features[known])[:, 0]
    free = torch.tensor([[1.0, 1.0], [0.0, 0.0]], requires_grad=True)
    optimiser = torch.optim.LBFGS([free], max_iter=100, line_search_fn="strong_wolfe")

    def posterior() -> Tensor:
        gain = _LEAST_GAIN + F.softplus(free[0])
        return z * (gain[0] + share * (gain[1] - gain[0])) + free[1, 0] + share * (free[1, 1] - free[1, 0])

    def closure() -> Tensor:
        optimiser.zero_grad()
        fit = (F.binary_cross_entropy_with_logits(posterior(), y, reduction="none") * weight).sum()
        loss = fit + _TIE * (free[:, 0] - free[:, 1]).pow(2).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    with torch.no_grad():
        sense.gain[:, label] = _LEAST_GAIN + F.softplus(free[0])
        sense.bias[:, label] = free[1] - PRIOR


def fit_senses(net: FusedNet, heard: SoundRows, shots: EncodedShots, held_shots: EncodedShots) -> None:
    """Picture and sound of the head: how degraded they look, from training shots and held-out sounds, and how far each
    label's evidence counts, from held-out ones. Labels without any keep what they have; hints are set."""
    head = net.head
    head.picture.mean, head.picture.scale = channel_statistics(shots.top)
    fit_degradation(head.picture, shots.top.float(), shots.severity)
    fit_degradation(head.sound, heard.embedding, heard.severity)
    seen, listened = _seen_rows(net, held_shots), _heard_rows(net, heard)
    for c, label in enumerate(LABELS):
        if label.dense is not None and "video" not in label.hints:
            fit_gains(head.picture, seen, c)
        if label.tags and "audio" not in label.hints:
            fit_gains(head.sound, listened, c)
        elif label.tags:
            with torch.no_grad():
                head.sound.gain[:, c], head.sound.bias[:, c] = HINT_GAIN, HINT_OFFSET


def _heard_rows(net: FusedNet, rows: SoundRows) -> SenseRows:
    with torch.no_grad():
        evidence = net.head.heard(rows.tags, rows.embedding)
    return SenseRows(evidence, rows.embedding, rows.truth, rows.severity, rows.weight)


def _seen_rows(net: FusedNet, shots: EncodedShots) -> SenseRows:
    """What the dense head says of shots; other labels are not judged."""
    evidence, truth = torch.zeros(len(shots.grid), len(LABELS)), torch.full((len(shots.grid), len(LABELS)), -1.0)
    with torch.no_grad():
        parts = zip(shots.grid.split(64), shots.top.split(64), strict=True)
        dense = torch.cat([net.dense(grid.float(), top.float())[1] for grid, top in parts])
    shown, sure = picture_truth(shots.cells.float())
    for c, label in enumerate(LABELS):
        if label.dense is not None:
            assert label.dense < DENSE_CHANNELS
            evidence[:, c] = dense[:, label.dense]
            truth[:, c] = torch.where(sure[:, label.dense] > 0, shown[:, label.dense], -1.0)
    return SenseRows(evidence, shots.top.float(), truth, shots.severity, torch.ones(len(evidence)))
