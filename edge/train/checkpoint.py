"""Checkpoints of training, written atomically, and the time budget of a stage by the one clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.clock import Clock, SystemClock
from edge.files import atomic_path


@dataclass(frozen=True, slots=True)
class TrainingPaths:
    """Where things are: open data, starting weights, Debian packages' root (or None), photographs (or None), the work
    folder, and the engine folder to write."""

    data: Path
    weights: Path
    packages: Path | None
    photos: Path | None
    work: Path
    out: Path


def save(path: Path, state: Any) -> None:
    """Write `state` (tensors, numbers, strings, dicts and lists of them) in place of what was there."""
    import torch

    with atomic_path(path) as partial:
        torch.save(state, partial)


def load(path: Path) -> Any:
    """What was kept, or None."""
    import torch

    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


class TrainingBudget:
    """Seconds since it was made, and the share of a budget of steps and minutes that is used up (0..1)."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._start_ns = self._clock.mono_ns()

    def elapsed_s(self) -> float:
        """Elapsed seconds."""
        return (self._clock.mono_ns() - self._start_ns) / 1e9

    def used_share(self, step: int, steps: int, minutes: float) -> float:
        """The larger of the two shares; at 1 the stage ends."""
        return min(1.0, max(step / steps, self.elapsed_s() / (60 * minutes)))
