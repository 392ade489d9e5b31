"""Thresholds by label from open material: the lowest `enter` at which recordings without the event stay quiet.

Every recording counts by its highest score, whatever its length; what is made to be mistaken for an event counts
little, since an ordinary day has little of it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor

from edge.train.body.calibration import recording_logits
from edge.train.body.open_clips import open_clip_sequences
from edge.train.body.training import predict_all
from edge.train.data import open_recordings
from edge.train.flames.shots import EncodedShots
from edge.train.labels import LABELS
from edge.train.nets.body import BodyHead
from edge.train.nets.evidence import PRIOR
from edge.train.nets.network import FusedNet
from edge.train.recipe.calibration import scene_logits
from edge.train.recipe.features import FeatureRows
from edge.train.recipe.pictures import picture_truth
from edge.train.recipe.senses import LOOKALIKE_WORTH, dense_evidence, shot_worths

_log = logging.getLogger(__name__)
LOWEST: Final = 0.3
HIGHEST: Final = 0.8
_FALL_LIKE_MOVES: Final = "ASSIST-IoT multimodal fall detection videos"
_STEP: Final = 0.05
_EVERY_SENSE: Final = (1.0, 1.0, 1.0)


class QuietBodies(NamedTuple):
    """The highest log-odds of the body head [n,2] in recordings of people who neither fall nor fight, and how much each
    counts [n]."""

    logit: Tensor
    worth: Tensor


class QuietScores(NamedTuple):
    """Highest probabilities of material without the event, and how much each counts, both [n]."""

    score: Tensor
    worth: Tensor


def choose_thresholds(
    net: FusedNet, recordings: Sequence[FeatureRows], shots: EncodedShots, bodies: QuietBodies
) -> dict[str, float]:
    """`enter` of every label but those of the detector: from recordings, held-out shots and clips of people."""
    told = [_highest_scores(net, rows) for rows in recordings]
    seen = _shot_scores(net, shots)
    chosen = {}
    for c, label in enumerate(LABELS):
        if label.body is not None:
            score = torch.sigmoid(bodies.logit[:, label.body])
            chosen[label.name] = lowest_quiet(QuietScores(score, bodies.worth), label.false_share)
        if label.classes or label.body is not None:
            continue
        parts = [QuietScores(score[:, c], absent[:, c].float()) for score, absent in told]
        if c in seen:
            parts.append(seen[c])
        chosen[label.name] = lowest_quiet(_together(parts), label.false_share)
    return chosen


def level_senses(net: FusedNet, recordings: Sequence[FeatureRows], shots: EncodedShots) -> None:
    """Of a label that both picture and sound tell, raise the sense that says less until what is quiet reaches as high
    in both: one threshold then asks as much of either."""
    seen = _shot_scores(net, shots)
    for c, label in enumerate(LABELS):
        if label.dense is None or not label.tags or {"video", "audio"} & {*label.hints}:
            continue
        picture = [_quiet_scores(net, rows, c, (1.0, 0.0, 0.0)) for rows in recordings] + [seen[c]]
        sound = [_quiet_scores(net, rows, c, (0.0, 1.0, 0.0)) for rows in recordings]
        tops = [quiet_limit(_together(pool), label.false_share) for pool in (picture, sound)]
        for sense, top in zip((net.head.picture, net.head.sound), tops, strict=True):
            sense.rescale(c, 1.0, max(tops) - top)
        _log.info("%s: what is quiet reaches log-odds of %.2f in pictures, of %.2f in sounds", label.name, *tops)


def quiet_limit(quiet: QuietScores, share: float) -> float:
    """The log-odds that a ``share`` of the weight reaches."""
    order = quiet.score.argsort(descending=True)
    reached = quiet.worth[order].cumsum(0) / quiet.worth.sum()
    score = quiet.score[order][reached <= share]
    return float(torch.logit(score[-1] if len(score) else quiet.score.max(), eps=1e-6))


def quiet_bodies(head: BodyHead, weights: Path, data: Path) -> QuietBodies:
    """From the open clips of both splits, most of which the head was trained on; those of moves that look like falls
    count as lookalikes do."""
    clips, parts = [r for r in open_recordings(data) if r.kind == "video"], []
    for held_out in (False, True):
        rows = open_clip_sequences(weights, data, held_out)
        found = recording_logits(predict_all(head, rows), rows)
        worth = [
            LOOKALIKE_WORTH if clips[n].source == _FALL_LIKE_MOVES else 1.0 for n in rows.recording.unique().tolist()
        ]
        parts.append(QuietBodies(found.logit[found.is_ordinary], torch.tensor(worth)[found.is_ordinary]))
    return QuietBodies(*(torch.cat(column) for column in zip(*parts, strict=True)))


def lowest_quiet(quiet: QuietScores, share: float) -> float:
    """The lowest step from `LOWEST` to `HIGHEST` that at most a ``share`` of the weight reaches; `HIGHEST` where none
    is."""
    total = float(quiet.worth.sum())
    for n in range(round((HIGHEST - LOWEST) / _STEP)):
        enter = round(LOWEST + n * _STEP, 2)
        if float(quiet.worth[quiet.score >= enter].sum()) <= share * total:
            return enter
    return HIGHEST


def _together(parts: Sequence[QuietScores]) -> QuietScores:
    return QuietScores(*(torch.cat(column) for column in zip(*parts, strict=True)))


def _quiet_scores(net: FusedNet, rows: FeatureRows, c: int, view: tuple[float, ...]) -> QuietScores:
    """Of the recordings without a label that have the sense of ``view``: what it says alone."""
    score, absent = _highest_scores(net, rows, view)
    known = _highest_of_scenes(rows.features.available_modalities() * torch.tensor(view), rows.scene).amax(1) > 0.5
    chosen = absent[:, c] & known
    return QuietScores(score[chosen, c], torch.ones(int(chosen.sum())))


def _highest_scores(net: FusedNet, rows: FeatureRows, view: tuple[float, ...] = _EVERY_SENSE) -> tuple[Tensor, Tensor]:
    """Of every recording [S,C] the highest probability, and whether nothing of the event is in it."""
    score = torch.sigmoid(scene_logits(net.head, rows, view)[0])
    shown = rows.evident.amax(1)
    return _highest_of_scenes(score, rows.scene), _highest_of_scenes(shown, rows.scene) < 0.25


def _highest_of_scenes(values: Tensor, scene: Tensor) -> Tensor:
    """Values >= 0 of hops [N,C] -> the highest of each scene [S,C]."""
    empty = torch.zeros(int(scene[-1]) + 1, values.shape[1])
    return empty.scatter_reduce(0, scene[:, None].expand_as(values), values, "amax")


def _shot_scores(net: FusedNet, shots: EncodedShots) -> dict[int, QuietScores]:
    """By label, what shots without it give to a camera that has no microphone; a fire too small to judge is no quiet
    picture."""
    dense = dense_evidence(net, shots)
    shown, sure = picture_truth(shots.cells.float())
    worth = shot_worths(shots.kinds)
    burning = torch.tensor([kind.startswith("fire:") for kind in shots.kinds])
    told = {}
    for c, label in enumerate(LABELS):
        if label.dense is not None and "video" not in label.hints:
            evidence = torch.zeros(len(worth), len(LABELS))
            evidence[:, c] = dense[:, label.dense]
            with torch.no_grad():
                ratio = net.head.picture(evidence, shots.top.float())[:, c]
            absent = (sure[:, label.dense] > 0) & (shown[:, label.dense] < 0.5) & ~burning
            told[c] = QuietScores(torch.sigmoid(ratio + PRIOR)[absent], worth[absent])
    return told
