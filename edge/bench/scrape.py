"""The daemon's own `/metrics` page, as numbers."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Histogram:
    """A Prometheus histogram: cumulative counts by upper bound."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    total_s: float

    @property
    def count(self) -> float:
        """How many were observed."""
        return self.counts[-1] if self.counts else 0.0

    @property
    def mean_s(self) -> float:
        """Their exact mean; NaN where there were none."""
        return self.total_s / self.count if self.count else float("nan")

    def since(self, before: Histogram) -> Histogram:
        """What was observed after ``before`` was read."""
        if not before.counts:
            return self
        counts = tuple(a - b for a, b in zip(self.counts, before.counts, strict=True))
        return Histogram(self.bounds, counts, self.total_s - before.total_s)

    def quantile_s(self, q: float) -> float:
        """A quantile, linear within its bucket as Prometheus does it; NaN where nothing was observed."""
        rank = q * self.count
        low, below = 0.0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if count >= rank and count > below:
                return low if bound == float("inf") else low + (bound - low) * (rank - below) / (count - below)
            low, below = bound, count
        return float("nan")


class MetricsScrape:
    """One reading of a ``/metrics`` page."""

    def __init__(self, text: str) -> None:
        self._samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    @classmethod
    def of(cls, port: int) -> MetricsScrape:
        """Read the page of the daemon that listens there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return cls(answer.read().decode())

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all label values that match."""
        return sum(s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items())

    def by(self, name: str, label: str) -> dict[str, float]:
        """The sums of a metric by the values of one label."""
        sums: dict[str, float] = {}
        for s in self._samples:
            if s.name == name and label in s.labels:
                sums[s.labels[label]] = sums.get(s.labels[label], 0.0) + s.value
        return sums

    def delta(self, before: MetricsScrape, name: str, label: str) -> dict[str, float]:
        """By how much `by` has grown since ``before`` was read."""
        earlier = before.by(name, label)
        return {value: n - earlier.get(value, 0.0) for value, n in self.by(name, label).items()}

    def labels(self, name: str) -> dict[str, str]:
        """The labels of the first sample of a metric; empty where there is none."""
        return next((dict(s.labels) for s in self._samples if s.name == name), {})

    def histogram(self, name: str) -> Histogram:
        """A histogram, summed over its labels."""
        sums: dict[float, float] = {}
        for s in self._samples:
            if s.name == f"{name}_bucket":
                bound = float(s.labels["le"])
                sums[bound] = sums.get(bound, 0.0) + s.value
        bounds = tuple(sorted(sums))
        return Histogram(bounds, tuple(sums[b] for b in bounds), self.total(f"{name}_sum"))
