"""The search for how many cameras a machine holds, by live runs: which number to try next."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_CAMERAS = 256
NEAR = 0.05
"""Share of the cameras: closer than this, the largest number that held and the smallest that did not are an answer."""


@dataclass(slots=True)
class CapacitySearch:
    """Brackets the largest number of cameras that holds, from ``start``, with at most ``runs`` trials."""

    start: int
    runs: int
    held: int = 0
    failed: int | None = None
    tried: list[int] = field(default_factory=list)
    _expected: float = 0.0

    def next(self) -> int | None:
        """The number to try now; None when the answer is near enough or all trials are spent."""
        if not self.tried:
            return max(1, min(self.start, MOST_CAMERAS)) if self.runs > 0 else None
        low, high = self.held + 1, (self.failed or MOST_CAMERAS + 1) - 1
        if len(self.tried) >= self.runs or low > high:
            return None
        if self.failed is not None and self.held and self.failed - self.held <= max(1.0, NEAR * self.held):
            return None
        guess = round(self._expected)
        if self.failed is None:  # all held: in steps that double, should what they suggest always be too little
            low = min(high, self.held + self._step(self.held))
        elif not self.held:
            high = max(low, self.failed - self._step(self.failed))
        elif not low <= guess <= high:
            guess = (self.held + self.failed) // 2
        return max(low, min(guess, high))

    def _step(self, cameras: int) -> int:
        return max(1, round(NEAR * cameras)) << (len(self.tried) - 1)

    def add(self, cameras: int, *, held: bool, expected: float) -> None:
        """A trial's answer; ``expected`` is how many cameras it suggests, beyond or below those tried."""
        self.tried.append(cameras)
        self._expected = expected
        if held:
            self.held = max(self.held, cameras)
        elif self.failed is None or cameras < self.failed:
            self.failed = cameras
