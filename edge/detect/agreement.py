"""Whether picture and sound say the same: what each alone would have come to, from the model's own ablations. Pure."""

from __future__ import annotations

from math import exp

from edge.types import Contribution

LEAST_AGREEMENT = 0.2
"""What picture alone and sound alone must each come to. In the sample clip fire's sound alone comes to at most 0.06 in
ordinary windows and to 0.66 in those of a fire."""
_SURE = 1e-9
_MOST = 50.0


def modality_probabilities(value: float, added: Contribution) -> tuple[float, float]:
    """What the picture alone and the sound alone would have come to, 0..1, for a label of probability ``value``.

    A contribution is the log-odds with everything less those without that modality. The parts are joined by a soft-or,
    so what one adds where the other is sure is about nothing; what is left without the other is what it says by itself.
    What the sensors add is taken off both.
    """
    odds = value / max(1.0 - value, _SURE)
    by_sensors = max(1.0 - _less(added.sensors), 0.0)
    picture, sound = (odds * max(_less(other) - by_sensors, 0.0) for other in (added.audio, added.video))
    return picture / (1.0 + picture), sound / (1.0 + sound)


def agree(value: float, added: Contribution) -> bool:
    """Whether both speak for it."""
    return min(modality_probabilities(value, added)) >= LEAST_AGREEMENT


def _less(log_odds: float) -> float:
    """The share of the odds that is left without so much."""
    return exp(min(-log_odds, _MOST))
