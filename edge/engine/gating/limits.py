"""What still counts as the same picture and the same sound."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What still counts as the same. Grey levels are of 0..255 of any colour, levels of sound in dB.

    A block of 8 x 8 pixels may move by ``noise`` standard deviations of the camera's own noise, within ``low`` and
    ``high``, one of 32 x 32 by ``wide``; after more than that all pictures are encoded for ``linger_s``, so that what
    moves slowly is seen moving. A band of the sound may stray by ``sound`` of the deviations that Gaussian
    noise has in one short spectrum, by ``hop`` of those of its average over a hop, and by ``level`` at least; its
    loudest sample may be ``peak`` times as loud. After ``pictures_s`` and ``sound_s`` a part is encoded anyway, and
    while a label that it evidences is between its thresholds or within ``doubt`` of the way from them to 0 and 1.
    """

    noise: float = 6.0
    low: float = 4.0
    high: float = 8.0
    wide: float = 2.0
    sound: float = 5.0
    hop: float = 4.5
    level: float = 1.0
    peak: float = 1.5
    linger_s: float = 1.5
    pictures_s: float = 8.0
    sound_s: float = 2.0
    doubt: float = 0.5


DEFAULT_GATE_LIMITS = GateLimits()
