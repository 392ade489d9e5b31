"""What happens to a box in a few days, drawn from one seed: what its cameras see, and which faults come when."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from simulated_cameras import LABELS

CAMERAS: Final = ("gate", "yard")
DAY_S: Final = 86_400.0
FAULTS: Final[Mapping[str, tuple[int, ...]]] = {
    "kill": (1,),
    "kill_in_write": (1, 3),
    "power_cut": (2, 3),
    "power_cut_in_write": (2, 3),
    "write_error": (4,),
    "sync_error": (4,),
    "read_error": (4,),
    "disk_full": (5,),
    "disk_read_only": (6,),
    "disk_hangs": (7,),
    "bit_flip": (8,),
    "clock_at_1970": (9,),
    "clock_steps": (9,),
    "clock_steps_an_hour": (10,),
    "suspended": (11,),
    "broker_away": (12,),
    "broker_silent": (13,),
    "broker_slow": (14,),
    "connection_resets": (14,),
    "broker_forgets": (15,),
    "camera_lost": (17,),
    "camera_clock_jumps": (20,),
    "reload": (24,),
    "reload_broken": (24,),
    "command": (24,),
    "clean_restart": (1,),
}
"""The faults that are drawn, and which rows of the list of faults they belong to (docs/trust.md)."""
LASTING: Final = frozenset(
    {"write_error", "sync_error", "read_error", "disk_full", "disk_read_only", "disk_hangs", "broker_away",
     "broker_silent", "broker_slow", "camera_lost"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault ``at_s`` of its episode; a lasting one ends ``lasts_s`` later. ``amount`` within 0..1 is the fault's own:
    how far, how often, which."""

    kind: str
    at_s: float
    lasts_s: float
    amount: float


@dataclass(frozen=True, slots=True)
class PlannedSight:
    """What a camera sees from ``from_s`` to ``to_s`` of an episode: a label, and how sure the model is of it."""

    camera: str
    label: str
    from_s: float
    to_s: float
    level: float


@dataclass(frozen=True, slots=True)
class Episode:
    """``length_s`` of media, after ``gap_s`` in which cameras deliver nothing."""

    gap_s: float
    length_s: float
    sights: tuple[PlannedSight, ...]
    faults: tuple[PlannedFault, ...]


def plan_episodes(seed: int, days: float) -> list[Episode]:
    """About ``days`` of them; the same seed gives the same."""
    rng = random.Random(seed)
    episodes: list[Episode] = []
    left_s = days * DAY_S
    while left_s > 0:
        gap_s = min(left_s, rng.choice((2.0, 60.0, 900.0, 7_200.0, 30_000.0)) * rng.uniform(0.5, 1.5))
        length_s = rng.uniform(5.0, 25.0)
        episodes.append(Episode(gap_s, length_s, _sights(rng, length_s), _faults(rng, length_s)))
        left_s -= gap_s + length_s
    return episodes


def _sights(rng: random.Random, length_s: float) -> tuple[PlannedSight, ...]:
    sights = []
    for camera in CAMERAS:
        for _ in range(rng.randrange(3)):
            from_s = rng.uniform(0, length_s)
            to_s = from_s + rng.choice((0.5, 2.0, 6.0, 30.0)) * rng.uniform(0.5, 1.5)
            sights.append(PlannedSight(camera, rng.choice(LABELS), from_s, to_s, rng.choice((0.3, 0.7, 0.95))))
    return tuple(sights)


def _faults(rng: random.Random, length_s: float) -> tuple[PlannedFault, ...]:
    faults = []
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        kind = rng.choice(tuple(FAULTS))
        lasts_s = rng.choice((0.5, 3.0, 30.0, 3_600.0, DAY_S)) * rng.uniform(0.5, 1.5) if kind in LASTING else 0.0
        faults.append(PlannedFault(kind, rng.uniform(0, length_s), lasts_s, rng.random()))
    return tuple(sorted(faults, key=lambda fault: fault.at_s))
