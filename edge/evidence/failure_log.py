"""What could not be kept: told once until it works again, and counted each time."""

from __future__ import annotations

import logging

from edge.metrics import Metrics

log = logging.getLogger(__name__)


class FailureLog:
    """By what was to be kept, as in "clip"."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._failing: set[str] = set()

    def failed(self, camera: str, what: str, error: Exception) -> None:
        """Something was not kept of an event of ``camera``."""
        self._metrics.drops.labels(camera, f"evidence_{what}").inc()
        level = logging.DEBUG if what in self._failing else logging.WARNING
        self._failing.add(what)
        log.log(level, "%s: no %s is kept of an event: %s", camera, what, error)

    def succeeded(self, what: str) -> None:
        """It was kept this time."""
        if what in self._failing:
            self._failing.discard(what)
            log.info("a %s is kept again", what)
