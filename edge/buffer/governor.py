"""Sets how often each camera is scored, so that the engine keeps up: longer hops under load, shorter ones again later.

Pure: it gets the load measured since the last call and returns the cameras whose hop changes. A camera with a longer
hop is still scored on time, while skipping windows would leave it to chance what is missed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

STRIDES: Final = (1, 2, 4)
"""Every how many of the model's hops a camera is scored."""
SKIPPED_SHARE: Final = 0.02
"""Share of skipped due windows from which the engine counts as behind."""
BEHIND_ROUNDS: Final = 2
"""Rounds in a row in which it must be behind before a hop gets longer, so that a short peak changes nothing."""
TARGET_UTILISATION: Final = 0.9
"""Share of the engine's capacity that is used after a camera was slowed down."""
RECOVERY_UTILISATION: Final = 0.75
"""Share of the engine's capacity up to which a camera gets its shorter hop back."""
CALM_ROUNDS: Final = 5
"""Rounds in a row without a skipped window before the first camera is sped up; then one camera a round."""


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """Load over ``wall_s`` seconds: windows scored and skipped, and how long the engine was busy with them."""

    wall_s: float
    busy_s: float
    scored: int
    skipped: int


class Governor:
    """The hops of some cameras; the shortest is ``hop_s`` seconds."""

    def __init__(self, cameras: Sequence[str], hop_s: float) -> None:
        self._strides = dict.fromkeys(cameras, STRIDES[0])
        self._hop_s = hop_s
        self._behind = self._calm = 0

    @property
    def strides(self) -> Mapping[str, int]:
        """By camera: every how many hops it is scored."""
        return self._strides

    def advance(self, load: EngineLoad, open_cameras: Collection[str] = ()) -> list[str]:
        """Process the measured load; the cameras whose hop changed.

        Cameras with an open event (``open_cameras``) are slowed down last and sped up first.
        """
        due = load.scored + load.skipped
        if not due:
            return []
        is_behind = load.skipped > SKIPPED_SHARE * due
        self._behind = self._behind + 1 if is_behind else 0
        self._calm = 0 if load.skipped else self._calm + 1
        can = load.scored / min(max(load.busy_s, 1e-9), load.wall_s)
        delivering = min(1.0, due / load.wall_s / self._demand_hz())  # cameras that are off have no due windows
        if self._behind >= BEHIND_ROUNDS:
            self._behind = 0
            return self._slow_down(can * TARGET_UTILISATION / delivering, open_cameras)
        if self._calm >= CALM_ROUNDS:
            return self._speed_up(can * RECOVERY_UTILISATION / delivering, open_cameras)
        return []

    def _demand_hz(self) -> float:
        """Windows due per second."""
        return sum(1 / (self._hop_s * every) for every in self._strides.values())

    def _slow_down(self, most: float, open_cameras: Collection[str]) -> list[str]:
        """One step longer, the shortest hops first, until the demand is at most ``most``; at least one camera."""
        changed: dict[str, None] = {}
        while not changed or self._demand_hz() > most:
            can = [name for name, every in self._strides.items() if every != STRIDES[-1]]
            if not can:
                break
            name = min(can, key=lambda camera: (self._strides[camera], camera in open_cameras))
            self._strides[name] = STRIDES[STRIDES.index(self._strides[name]) + 1]
            changed[name] = None
        return list(changed)

    def _speed_up(self, most: float, open_cameras: Collection[str]) -> list[str]:
        """One camera a step shorter, of the longest hops, if the demand then is at most ``most``."""
        slowed = [name for name, every in self._strides.items() if every != STRIDES[0]]
        if not slowed:
            return []
        name = max(slowed, key=lambda camera: (self._strides[camera], camera in open_cameras))
        before = self._strides[name]
        self._strides[name] = STRIDES[STRIDES.index(before) - 1]
        if self._demand_hz() > most:
            self._strides[name] = before
            return []
        return [name]
