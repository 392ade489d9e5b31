"""`edge run` with its stages timed: ``python -m edge.bench.stopwatch config.yaml``.

Processor time of this process by stage, exactly: at the boundaries of a stage (`Metrics.stage`) a thread notes its own
CPU clock. A stage's time is its own: what it calls in another stage is that one's. What a thread does outside of all
stages falls to the stage of the thread's name. Costs two readings of a clock a stage, a few hundred a second.

A line on standard input is answered with one JSON object on standard output: CPU-seconds by stage, and what the latency
histograms observed since the last answer, value by value.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from prometheus_client import Histogram

from edge.metrics import Metrics, Stage

STAGES: tuple[str, ...] = (*get_args(Stage), "other")
"""In the order in which the data flows."""
THREADS = {"capture": "decode", "engine": "detect", "model": "model", "evidence": "evidence", "describer": "evidence",
           "publish": "publish", "paho": "publish"}  # fmt: skip
"""Beginnings of thread names -> the stage of what their thread does outside of all stages."""


@dataclass(slots=True)
class _ThreadAccount:
    """One thread's account: the stage it is in, since when, and what it has spent."""

    thread: threading.Thread
    stage: str = ""
    since_ns: int = 0
    spent_ns: Counter[str] = field(default_factory=Counter)

    def switch(self, stage: str, now_ns: int) -> str:
        """Go over to ``stage``; the one before."""
        before, self.stage = self.stage, stage
        self.spent_ns[before] += now_ns - self.since_ns
        self.since_ns = now_ns
        return before


class StageStopwatch:
    """Accounts of all threads. ``thread_ns`` gives the calling thread's CPU time so far, ``total_ns`` that of any
    thread, or None where it has ended."""

    def __init__(
        self,
        thread_ns: Callable[[], int] = time.thread_time_ns,
        total_ns: Callable[[threading.Thread], int | None] | None = None,
    ) -> None:
        self._thread_ns, self._total_ns = thread_ns, total_ns or thread_cpu_ns
        self._own = threading.local()
        self._accounts: list[_ThreadAccount] = []

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """The calling thread's time is ``stage``'s until the context is left (`edge.metrics.StageTimer`)."""
        account = self._account()
        before = account.switch(stage, self._thread_ns())
        try:
            yield
        finally:
            account.switch(before, self._thread_ns())

    def read(self, process_ns: int) -> dict[str, float]:
        """CPU-seconds by stage so far; what of ``process_ns`` no thread of ours spent is ``other``."""
        spent: Counter[str] = Counter()
        accounts = {account.thread: account for account in list(self._accounts)}
        for account in accounts.values():
            spent.update({stage: ns for stage, ns in account.spent_ns.items() if stage})
        for thread in threading.enumerate():
            total_ns = self._total_ns(thread)
            if total_ns is not None:
                staged = accounts[thread].spent_ns if thread in accounts else {}
                spent[stage_of(thread.name)] += total_ns - sum(ns for stage, ns in staged.items() if stage)
        spent["other"] += process_ns - sum(spent.values())
        return {stage: spent[stage] / 1e9 for stage in STAGES}

    def _account(self) -> _ThreadAccount:
        account: _ThreadAccount | None = getattr(self._own, "account", None)
        if account is None:
            account = _ThreadAccount(threading.current_thread(), since_ns=self._thread_ns())
            self._own.account = account
            self._accounts.append(account)
        return account


def stage_of(thread: str) -> str:
    """The stage that a thread of this name works for."""
    return next((stage for name, stage in THREADS.items() if thread.startswith(name)), "other")


def thread_cpu_ns(thread: threading.Thread) -> int | None:
    """CPU time of a thread so far, on Linux; None where it has ended."""
    if thread.ident is None or not thread.is_alive():
        return None
    try:
        return time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
    except OSError:
        return None


def time_by_stage(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """What each stage spent between two readings; stages that spent nothing are left out."""
    spent = {stage: after[stage] - before[stage] for stage in after}
    return {stage: s for stage, s in spent.items() if s > 0}


class ObservedHistogram(Histogram):
    """A histogram that also keeps what it is shown, until it is taken."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._values: list[float] = []

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """As the parent, and keep it."""
        super().observe(amount, exemplar)
        self._values.append(amount)

    def take(self) -> list[float]:
        """What was observed since the last time."""
        taken = self._values[:]
        del self._values[: len(taken)]
        return taken


def main(config: str) -> int:
    """Run the daemon until it is told to stop; its exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does
    from edge.node import run

    stopwatch = StageStopwatch()
    metrics = Metrics(stopwatch.stage, ObservedHistogram)
    threading.Thread(target=_serve, args=(stopwatch, metrics), name="answers", daemon=True).start()
    return run(Path(config), metrics)


def _serve(stopwatch: StageStopwatch, metrics: Metrics) -> None:
    for _ in sys.stdin:
        print(json.dumps(answer(stopwatch, metrics, time.process_time_ns())), flush=True)


def answer(stopwatch: StageStopwatch, metrics: Metrics, process_ns: int) -> dict[str, Any]:
    """CPU-seconds by stage so far, and the latencies in seconds since the last answer, by name."""
    latencies = {
        "end_to_end_s": metrics.end_to_end_s,
        "added_s": metrics.added_s,
        "infer_s": metrics.infer_s,
        "wait_s": metrics.wait_s,
        "queue_s": metrics.queue_s,
    }
    observed = {name: h.take() for name, h in latencies.items() if isinstance(h, ObservedHistogram)}
    return {"stages": stopwatch.read(process_ns), **observed}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
