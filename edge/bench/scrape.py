"""The daemon's own `/metrics` page, as numbers."""

from __future__ import annotations

import urllib.request

from prometheus_client.parser import text_string_to_metric_families


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
