"""Metrics of a capture worker: recorded there, and added to the daemon's own when a batch of media comes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from edge.metrics import Metrics, untimed

MetricChange: TypeAlias = tuple[str, tuple[str, ...], str, float]
"""Name of the attribute of `Metrics`, labels, ``inc``, ``set`` or ``observe``, and the value."""
RECORDED = ("frames", "gaps", "drops", "decode_s", "skipped_pictures", "wakes", "awake")
"""The metrics that capture sets."""
_HOW = ("inc", "set", "observe")


class RecordedMetrics(Metrics):
    """The metrics that capture sets, of one camera, in memory until `take`. Used by one thread."""

    def __init__(self) -> None:
        self.stage = untimed
        self._totals: dict[tuple[str, tuple[str, ...], str], float] = {}
        self._values: list[MetricChange] = []
        for name in RECORDED:
            setattr(self, name, _RecordedMetric(self, name))

    def note(self, name: str, labels: tuple[str, ...], how: str, value: float) -> None:
        """Note a change: increments are added up, of settings the last one counts."""
        key = (name, labels, how)
        if how == "observe":
            self._values.append((*key, value))
        else:
            self._totals[key] = value + (self._totals.get(key, 0.0) if how == "inc" else 0.0)

    def take(self) -> list[MetricChange]:
        """The changes since the last call."""
        changes = [*((*key, value) for key, value in self._totals.items()), *self._values]
        self._totals.clear()
        self._values.clear()
        return changes


class _RecordedMetric:
    """Stands for one Counter, Gauge or Histogram, or for one of its label sets."""

    def __init__(self, metrics: RecordedMetrics, name: str, labels: tuple[str, ...] = ()) -> None:
        self._metrics, self._name, self._labels = metrics, name, labels

    def labels(self, *labels: str) -> _RecordedMetric:
        return _RecordedMetric(self._metrics, self._name, labels)

    def inc(self, amount: float = 1) -> None:
        if amount:
            self._metrics.note(self._name, self._labels, "inc", amount)

    def set(self, value: float) -> None:
        self._metrics.note(self._name, self._labels, "set", value)

    def observe(self, amount: float) -> None:
        self._metrics.note(self._name, self._labels, "observe", amount)


def add_changes(metrics: Metrics, changes: Iterable[MetricChange]) -> None:
    """Add what was recorded elsewhere to ``metrics``; ValueError for a metric or change that is not recorded."""
    for name, labels, how, value in changes:
        if name not in RECORDED or how not in _HOW:
            raise ValueError(f"{name}.{how} is not recorded")
        metric: Any = getattr(metrics, name)
        getattr(metric.labels(*labels), how)(value)
