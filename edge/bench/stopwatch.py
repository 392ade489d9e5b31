"""Processor time of this process by stage, exactly: chosen methods note their thread's CPU clock on the way in and out.

A stage's time is its own: what it calls in another stage is that one's. What a thread does outside of all stages falls
to the stage of the thread's name. Costs two readings of a clock a call; calls are a few hundred a second.

`edge run` under the stopwatch: ``python -m edge.bench.stopwatch config.yaml``.

A line on standard input is answered with one JSON object on standard output: CPU-seconds by stage, and what the latency
histograms observed since the last answer, value by value.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

STAGES = (
    "decode",
    "scale",
    "sound",
    "gather",
    "gate",
    "vision",
    "audio",
    "fusion",
    "model",
    "detect",
    "evidence",
    "publish",
    "other",
)
"""In the order in which the data flows; ``model`` is a graph in one piece, and what is around its parts; ``gate`` looks
whether anything changed."""

THREADS = {"capture": "decode", "engine": "detect", "evidence": "evidence", "describer": "evidence",
           "publish": "publish", "paho": "publish"}  # fmt: skip
"""Beginnings of thread names -> the stage of what their thread does outside of all stages."""


@dataclass(frozen=True, slots=True)
class TimedMethod:
    """A method that belongs to a stage."""

    stage: str
    module: str
    owner: str
    method: str


TIMED_METHODS = (
    TimedMethod("scale", "edge.capture.picture", "FrameScaler", "scale"),
    TimedMethod("scale", "edge.capture.picture", "FrameScaler", "mean_luma"),
    TimedMethod("sound", "edge.capture.sound", "AudioBlockAssembler", "add"),
    TimedMethod("sound", "edge.capture.sound", "Resampler", "push"),
    TimedMethod("gather", "edge.buffer.camera", "CameraBuffer", "push"),
    TimedMethod("gather", "edge.buffer.camera", "CameraBuffer", "take"),
    TimedMethod("gather", "edge.buffer.camera", "CameraBuffer", "due"),
    TimedMethod("gate", "edge.engine.gating.change_gates", "PictureGate", "has_changed"),
    TimedMethod("gate", "edge.engine.gating.change_gates", "AudioGate", "has_changed"),
    TimedMethod("vision", "edge.engine.runtime", "PartsRuntime", "run_vision"),
    TimedMethod("audio", "edge.engine.runtime", "PartsRuntime", "run_audio"),
    TimedMethod("fusion", "edge.engine.runtime", "PartsRuntime", "run_fusion"),
    TimedMethod("model", "edge.engine.model", "Model", "score"),
    TimedMethod("detect", "edge.detect.detector", "Detector", "scores"),
    TimedMethod("detect", "edge.detect.detector", "Detector", "health"),
    TimedMethod("evidence", "edge.evidence.recorder", "Recorder", "observe"),
    TimedMethod("evidence", "edge.evidence.recorder", "Recorder", "step"),
    TimedMethod("publish", "edge.publish.facade", "EventPublisher", "publish_events"),
    TimedMethod("publish", "edge.publish.facade", "EventPublisher", "publish_scores"),
    TimedMethod("publish", "edge.publish.facade", "EventPublisher", "publish_health"),
)


@dataclass(slots=True)
class _ThreadAccount:
    """One thread's account: the stage it is in, since when, and what it has spent."""

    thread: threading.Thread
    stage: str = ""
    since_ns: int = 0
    spent_ns: Counter[str] = field(default_factory=Counter)

    def switch(self, stage: str) -> str:
        """Go over to ``stage``; the one before."""
        now_ns = time.thread_time_ns()
        before, self.stage = self.stage, stage
        self.spent_ns[before] += now_ns - self.since_ns
        self.since_ns = now_ns
        return before


class StageTimer:
    """``clock`` gives a thread's CPU time so far in ns, or None where it has ended."""

    def __init__(self, clock: Callable[[threading.Thread], int | None]) -> None:
        self._clock = clock
        self._own = threading.local()
        self._books: list[_ThreadAccount] = []
        self._missing: list[TimedMethod] = []

    @property
    def missing(self) -> Sequence[TimedMethod]:
        """Methods that are not there any more: their time falls to the stage around them."""
        return self._missing

    def attach(self, spots: Sequence[TimedMethod] = TIMED_METHODS) -> None:
        """Time these methods from now on, in all instances."""
        for spot in spots:
            owner = getattr(import_module(spot.module), spot.owner, None)
            method = getattr(owner, spot.method, None)
            if method is None:
                self._missing.append(spot)
            else:
                setattr(owner, spot.method, self.timed(spot.stage, method))

    def timed(self, stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """``method``, its time on ``stage``."""

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            book = self._book()
            before = book.switch(stage)
            try:
                return method(*args, **kwargs)
            finally:
                book.switch(before)

        return call

    def read(self, process_ns: int) -> dict[str, float]:
        """CPU-seconds by stage so far; what of ``process_ns`` no thread of ours spent is ``other``."""
        spent: Counter[str] = Counter()
        for book in list(self._books):
            spent.update({stage: ns for stage, ns in book.spent_ns.items() if stage})
        books = {book.thread: book for book in list(self._books)}
        for thread in threading.enumerate():
            total_ns = self._clock(thread)
            if total_ns is not None:
                staged = books[thread].spent_ns if thread in books else {}
                spent[stage_of(thread.name)] += total_ns - sum(ns for stage, ns in staged.items() if stage)
        spent["other"] += process_ns - sum(spent.values())
        return {stage: spent[stage] / 1e9 for stage in STAGES}

    def _book(self) -> _ThreadAccount:
        book: _ThreadAccount | None = getattr(self._own, "book", None)
        if book is None:
            book = _ThreadAccount(threading.current_thread(), since_ns=time.thread_time_ns())
            self._own.book = book
            self._books.append(book)
        return book


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
