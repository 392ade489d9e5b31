"""`edge run` under the stopwatch: ``python -m edge.bench.watched config.yaml``.

A line on standard input is answered with one JSON object on standard output: CPU-seconds by stage, and what the latency
histograms observed since the last answer, value by value.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.bench.stopwatch import StageTimer, thread_cpu_ns

WATCHED = ("edge_end_to_end_seconds", "edge_added_seconds", "edge_infer_seconds")


def main(config: str) -> int:
    """Run the daemon until it is told to stop; its exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does
    from prometheus_client import Histogram

    from edge.node import run

    stopwatch = StageTimer(thread_cpu_ns)
    stopwatch.attach()
    observed: dict[str, list[float]] = {name: [] for name in WATCHED}
    _record_observations(Histogram, observed)
    threading.Thread(target=_serve, args=(stopwatch, observed), name="answers", daemon=True).start()
    return run(Path(config))


def _record_observations(histogram: Any, observed: dict[str, list[float]]) -> None:
    """Also keep what the watched histograms are told."""
    observe: Callable[..., None] = histogram.observe

    def listening(self: Any, amount: float, *args: Any, **kwargs: Any) -> None:
        observe(self, amount, *args, **kwargs)
        if (seen := observed.get(self._name)) is not None:
            seen.append(amount)

    histogram.observe = listening


def _serve(stopwatch: StageTimer, observed: dict[str, list[float]]) -> None:
    for _ in sys.stdin:
        values = {name: seen[: len(seen)] for name, seen in observed.items()}
        for name, seen in values.items():
            del observed[name][: len(seen)]
        answer = {"stages": stopwatch.read(time.process_time_ns()), **values}
        print(json.dumps({**answer, "missing": [f"{s.owner}.{s.method}" for s in stopwatch.missing]}), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
