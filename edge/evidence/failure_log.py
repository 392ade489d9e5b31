"""Logs that evidence could not be kept: once until it works again, and counted each time."""

from __future__ import annotations

import logging

from edge.metrics import Metrics

log = logging.getLogger(__name__)


class FailureLog:
    """Failures by the kind of evidence, such as "clip"."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._failing: set[str] = set()

    def failed(self, camera: str, what: str, error: Exception) -> None:
        """Note that ``what`` of an event of ``camera`` was not kept."""
        self._metrics.drops.labels(camera, f"evidence_{what}").inc()
        level = logging.DEBUG if what in self._failing else logging.WARNING
        self._failing.add(what)
        log.log(level, "%s: no %s is kept of an event: %s", camera, what, error)

    def succeeded(self, what: str) -> None:
        """Note that ``what`` was kept."""
        if what in self._failing:
            self._failing.discard(what)
            log.info("a %s is kept again", what)
