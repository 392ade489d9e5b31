"""Measures what the engine and the processor did, for the governor, and logs what the governor changed.

Used by the engine thread alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from edge.buffer.attention import Attention, EngineLoad
from edge.clock import Clock
from edge.types import seconds

_log = logging.getLogger(__name__)


class LoadMeter:
    """The load since `take_load`, on a box whose process may use so many ``cores``: of the engine's thread, and of its
    ``workers`` beside it. ``elsewhere_ns`` is the processor time of the processes that work for this one."""

    def __init__(self, clock: Clock, cores: int, workers: int = 1, elsewhere_ns: Callable[[], int] = lambda: 0) -> None:
        self._elsewhere_ns = elsewhere_ns
        self.since_ns = clock.mono_ns()
        self.scored = 0
        self.infer_ns = 0
        self._workers = workers
        self._clock = clock
        self._cores = cores
        self._skipped = self._busy_ns = 0
        self._processor_ns = self._processor_now_ns()
        self._began_ns: int | None = None

    def begin_step(self, now_ns: int, *, is_work: bool) -> None:
        """A step begins, with windows to score or without: the one before it took until now."""
        if self._began_ns is not None:
            self._busy_ns += now_ns - self._began_ns
        self._began_ns = now_ns if is_work else None

    def take_load(self, now_ns: int, skipped: int) -> EngineLoad:
        """What was measured so far; ``skipped`` counts all windows ever skipped."""
        wall_ns, processor_ns = now_ns - self.since_ns, self._processor_now_ns()
        share = (processor_ns - self._processor_ns) / (wall_ns * self._cores)
        busy_s = seconds(max(self._busy_ns, self.infer_ns // self._workers))
        load = EngineLoad(seconds(wall_ns), busy_s, self.scored, skipped - self._skipped, min(1.0, share))
        self.since_ns, self.scored, self.infer_ns, self._skipped, self._busy_ns = now_ns, 0, 0, skipped, 0
        self._processor_ns = processor_ns
        return load

    def _processor_now_ns(self) -> int:
        return self._clock.processor_ns() + self._elsewhere_ns()


def log_changes(changes: Mapping[str, Attention], hop_s: float, load: EngineLoad) -> None:
    """Log how closely cameras are looked at from now on, one line for each way, and the load that it follows from."""
    for attention in dict.fromkeys(changes.values()):
        names = [name for name, one in changes.items() if one == attention]
        _log.log(
            logging.INFO if attention == Attention() else logging.WARNING,
            "%s: looked at every %g s now%s; the engine does %.0f windows a second and skipped %d of %d, "
            "the process takes %.0f %% of the processor",
            ", ".join(names),
            attention.stride * hop_s,
            _key_pictures_text(attention),
            load.scored / load.wall_s,
            load.skipped,
            load.scored + load.skipped,
            100 * load.processor,
        )


def _key_pictures_text(attention: Attention) -> str:
    text = ", of its pictures key pictures alone are decoded" if attention.is_limited else ""
    return text + (f", while quiet at every {attention.key_stride} key pictures" if attention.key_stride > 1 else "")
