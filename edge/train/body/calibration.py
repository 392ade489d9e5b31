"""Where the body head's zero lies: found on recordings that its nets did not learn from."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from edge.train.body.open_clips import BodySequences
from edge.train.nets.body import BodyHead

CALM_SHARES: Final = torch.tensor([0.9, 0.95])
"""Shares of ordinary recordings in which fall and fight stay under a probability of 0.5."""


class RecordingLogits(NamedTuple):
    """The largest log-odds of each recording [N,2], whether the event is in it (1, 0, or -1 where nobody judges), and
    which recordings are ordinary [N]."""

    logit: Tensor
    truth: Tensor
    is_ordinary: Tensor


def recording_logits(logits: Tensor, rows: BodySequences) -> RecordingLogits:
    """From the log-odds of each hop [N,HOPS,2]: the largest while it happens where it does, else the largest of those
    hops in which it surely does not."""
    found = [_one_recording(logits[own], rows.where(own)) for own in _each(rows.recording)]
    if not found:
        return RecordingLogits(torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0, dtype=torch.bool))
    return RecordingLogits(*(torch.stack(parts) for parts in zip(*found, strict=True)))


def _each(recording: Tensor) -> list[Tensor]:
    """Which pieces are of a recording [N], for each recording."""
    return [recording == number for number in recording.unique()]


def _one_recording(logits: Tensor, rows: BodySequences) -> RecordingLogits:
    """All pieces of one recording: [2], [2] and a scalar."""
    truth = rows.truth.flatten(0, 1)
    most = truth.amax(0)
    top = logits.flatten(0, 1).masked_fill((truth != most) | (truth < 0), -99.0).amax(0)
    return RecordingLogits(top, most, rows.is_ordinary.all())


def limit_false_alarms(head: BodyHead, groups: list[RecordingLogits]) -> None:
    """Moves the head so that in each group `CALM_SHARES` of the ordinary recordings stay under a probability of 0.5;
    as it is without any."""
    calm = [group.logit[group.is_ordinary] for group in groups if group.is_ordinary.any()]
    if not calm:
        return
    limit = torch.stack([logit.quantile(CALM_SHARES, 0).diagonal() for logit in calm])
    for member in head.members:
        last = member.out[-1]  # type: ignore[index]
        assert isinstance(last, nn.Linear)
        last.bias.data -= limit.amax(0)
