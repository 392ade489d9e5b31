"""What sensors alone tell, learned from made traces: thousands of scenes cost little without picture and sound."""

from __future__ import annotations

import logging

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from edge.learn.nets.heads import FusionHead
from edge.learn.scenes.compose import compose_sensors
from edge.learn.scenes.soundbank import SoundBank
from edge.learn.scenes.synth import EVENTS

_log = logging.getLogger(__name__)
_EVENT_LABELS = {"fire", "crying_baby", "dog_bark", *EVENTS}


def train_sensor_evidence(head: FusionHead, scenes: int = 2000, steps: int = 900, seed: int = 9_000_000) -> float:
    """Train the head's sensor evidence in place by cross entropy; the loss on the tenth of the scenes held out."""
    torch.manual_seed(seed)
    readings, ok, target, judged = _sensor_dataset(scenes, seed)
    x, held = torch.cat([readings * ok, ok], 1), torch.arange(len(readings)) >= len(readings) * 9 // 10
    knows, generator = head.knows[2], torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(head.sensor_net.parameters(), lr=5e-3, weight_decay=1e-3)
    train = torch.nonzero(~held)[:, 0]

    def loss(rows: Tensor) -> Tensor:
        entropy = F.binary_cross_entropy_with_logits(head.sensor_net(x[rows]), target[rows], reduction="none")
        return (entropy * judged[rows] * knows).sum(1).mean()

    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 5e-3 * (0.5 + 0.5 * float(np.cos(np.pi * step / steps)))
        now = loss(train[torch.randint(len(train), (512,), generator=generator)])
        optimiser.zero_grad()
        now.backward()
        optimiser.step()
    with torch.no_grad():
        end = float(loss(torch.nonzero(held)[:, 0]))
    _log.info("sensors: held-out loss %.4f after %d steps", end, steps)
    return end


def _sensor_dataset(scenes: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Readings [N,8], which are there [N,8], what sensors show [N,C], and whether that is settled [N,C]."""
    bank = SoundBank({label: [] for label in _EVENT_LABELS})
    parts = [compose_sensors(seed + n, bank) for n in range(scenes)]
    values, ok, evident = (torch.from_numpy(np.concatenate(column)) for column in zip(*parts, strict=True))
    return values, ok, (evident > 0.75).float(), ((evident - 0.5).abs() > 0.25).float()
