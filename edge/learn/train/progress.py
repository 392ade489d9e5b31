"""How long a stage has run, through the one clock."""

from __future__ import annotations

from edge.clock import Clock, SystemClock


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
