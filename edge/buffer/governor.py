"""How often each camera is looked at, so that the engine keeps up: longer hops under load, and back. Pure.

Fed with what was measured since the last time; tells which cameras to thin out. A camera looked at less often still has
every look on time, where skipping would leave it to chance what is missed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

STRIDES: Final = (1, 2, 4)
"""Every how many of the model's hops a camera is looked at."""
SKIPPED_SHARE: Final = 0.02
"""Share of due windows skipped from which the engine counts as behind."""
BEHIND_ROUNDS: Final = 2
"""Looks in a row at which it must be behind before anything is done: a short rush is none of that."""
TARGET_UTILISATION: Final = 0.9
"""Share of what the engine can do that is asked of it after a camera was slowed down."""
RECOVERY_UTILISATION: Final = 0.75
"""Share of what the engine can do up to which a camera is given its shorter hop back."""
CALM_ROUNDS: Final = 5
"""Looks in a row without a skipped window before the first is; then one camera a look."""


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """What was measured over ``wall_s``: windows scored and skipped, and for how long the engine worked on them."""

    wall_s: float
    busy_s: float
    scored: int
    skipped: int


class Governor:
    """The hops of some cameras, ``hop_s`` seconds at their shortest."""

    def __init__(self, cameras: Sequence[str], hop_s: float) -> None:
        self._strides = dict.fromkeys(cameras, STRIDES[0])
        self._hop_s = hop_s
        self._behind = self._calm = 0

    @property
    def strides(self) -> Mapping[str, int]:
        """By camera: every how many hops it is looked at."""
        return self._strides

    def advance(self, load: EngineLoad, open_cameras: Collection[str] = ()) -> list[str]:
        """Take in what was measured; the cameras whose hop changed.

        Cameras with an open event (``open_cameras``) are slowed down last and given back first.
        """
        due = load.scored + load.skipped
        if not due:
            return []
        is_behind = load.skipped > SKIPPED_SHARE * due
        self._behind = self._behind + 1 if is_behind else 0
        self._calm = 0 if load.skipped else self._calm + 1
        can = load.scored / min(max(load.busy_s, 1e-9), load.wall_s)
        delivering = min(1.0, due / load.wall_s / self._demand_hz())  # cameras that are off ask for nothing
        if self._behind >= BEHIND_ROUNDS:
            self._behind = 0
            return self._slow_down(can * TARGET_UTILISATION / delivering, open_cameras)
        if self._calm >= CALM_ROUNDS:
            return self._speed_up(can * RECOVERY_UTILISATION / delivering, open_cameras)
        return []

    def _demand_hz(self) -> float:
        """Windows a second that are due."""
        return sum(1 / (self._hop_s * every) for every in self._strides.values())

    def _slow_down(self, most: float, open_cameras: Collection[str]) -> list[str]:
        """One step longer, the shortest hops first, until no more than ``most`` is asked; at least one camera."""
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
        """One camera a step shorter, of the longest hops, if no more than ``most`` is asked then."""
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
