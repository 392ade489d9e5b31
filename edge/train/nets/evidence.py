"""What each sense says of an event, as log-likelihood ratios, and how the senses are joined so that none takes away.

A likelihood ratio LR is how many times more likely a sense's evidence is with the event than without it. An event may
show itself to every sense or to some of them: with each set of senses equally likely, and at least one sense in it, the
odds of an event after all senses are

    odds = prior odds * (product over senses of (1 + LR) - 1)

Of one sense that is Bayes' rule. Of several it is never less than of any of them alone, whatever the others say: what
one does not show takes nothing away, and two that both show a little say more than either.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASE_RATE: Final = 0.1
"""The prior: of the windows and recordings that calibrate, this share of the weight has the event."""
PRIOR: Final = float(np.log(BASE_RATE / (1 - BASE_RATE)))
_FLOOR: Final = 3e-4
_MOST: Final = 15.0


def join_senses(ratios: Tensor, there: Tensor) -> Tensor:
    """Log-likelihood ratios [B,M,C] of the senses that are ``there`` [B,M,C] -> log-odds [B,C]."""
    total = (F.softplus(ratios) * there).sum(1)
    rest = torch.exp(-total)
    return PRIOR + total + torch.log(1.0 - rest + _FLOOR * rest)


def ratio_limit(probability: float) -> float:
    """The log-likelihood ratio at which a sense alone gives this probability."""
    return float(np.log(probability / (1 - probability))) - PRIOR


class SenseCalibration(nn.Module):
    """Turns a sense's evidence into log-likelihood ratios: a gain and an offset a label, between those of a good and
    those of a degraded sense, as degraded as its features look; at most ``limit`` [C]."""

    mean: Tensor
    scale: Tensor
    limit: Tensor

    def __init__(self, features: int, limit: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("limit", limit)
        self.looks = nn.Linear(features, 1)
        self.gain = nn.Parameter(torch.ones(2, len(limit)))
        self.bias = nn.Parameter(torch.full((2, len(limit)), -PRIOR))
        nn.init.zeros_(self.looks.weight)
        nn.init.constant_(self.looks.bias, -8.0)

    def degradation(self, features: Tensor) -> Tensor:
        """How degraded the sense is [B,1], 0..1, from its features [B,F]."""
        return torch.sigmoid(self.looks(((features - self.mean) * self.scale).clamp(-6, 6)))

    def forward(self, evidence: Tensor, features: Tensor) -> Tensor:
        """Evidence log-odds [B,C], features [B,F] -> log-likelihood ratios [B,C]."""
        share = self.degradation(features)
        gain = self.gain[0] + share * (self.gain[1] - self.gain[0])
        ratio = evidence * gain + self.bias[0] + share * (self.bias[1] - self.bias[0])
        return torch.minimum(ratio, self.limit).clamp(-_MOST, _MOST)

    def rescale(self, label: int, scale: float, offset: float) -> None:
        """Make log-odds of this sense alone ``scale`` times themselves and ``offset``."""
        with torch.no_grad():
            self.gain[:, label] *= scale
            self.bias[:, label] = scale * (self.bias[:, label] + PRIOR) + offset - PRIOR
