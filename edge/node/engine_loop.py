"""The engine thread's work: open the model, then gather -> infer -> detect -> deliver, until cancelled.

Only this thread touches the model and the detector; others call `EngineLoop.submit`.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.clock import Clock
from edge.pipeline import Pipeline, StepResult
from edge.threads import WakeEvent

log = logging.getLogger(__name__)
Request = Callable[[Pipeline], None]


class SaveLearned(Protocol):
    """Saves what was learned."""

    def __call__(self, *, at_once: bool = False) -> None:
        """Save when it is due, or ``at_once``."""
        ...


class StepSink(Protocol):
    """Takes the result of a step."""

    def deliver(self, step: StepResult) -> None:
        """Take a step's scores, events and facts; must not block for long."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedPipeline:
    """A pipeline, how to close its model, and how to save what was learned; all on the thread that made it."""

    pipeline: Pipeline
    close: Callable[[], None]
    save_learned: SaveLearned


class EngineLoop:
    """``open_pipeline`` is called on the engine thread. Its loop is `run`: `open`, `turn` again and again, `finish`."""

    IDLE_S = 0.1  # how often lateness and health are checked when no media arrives
    REST_S = 0.1  # windows of quiet cameras gather meanwhile: this thread and those that read do not meet all the time

    def __init__(self, open_pipeline: Callable[[], OpenedPipeline], sink: StepSink, clock: Clock) -> None:
        self._open_pipeline = open_pipeline
        self._sink = sink
        self._clock = clock
        self._requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.wake = WakeEvent()
        self.ready = threading.Event()
        self.idle = threading.Event()
        self.last_turn_ns = clock.mono_ns()
        self._opened: OpenedPipeline | None = None

    def submit(self, request: Request) -> None:
        """Have ``request(pipeline)`` called on the engine thread, soon."""
        self._requests.put(request)
        self.wake.set()

    def run(self, cancel: threading.Event) -> None:
        """The engine thread's loop."""
        self.open()
        try:
            while not cancel.is_set():
                if self.turn():
                    self._clock.wait(cancel, self.REST_S)
                self.wake.wait(self.IDLE_S)
            self.finish()
        finally:
            self.close()

    def open(self) -> None:
        """Open the pipeline; `turn` may be called from then on."""
        self._opened = self._open_pipeline()
        self.last_turn_ns = self._clock.mono_ns()
        self.ready.set()

    def turn(self) -> bool:
        """All that can be done now; whether windows may gather for a moment."""
        opened = self._require_opened()
        self._step(opened.pipeline)
        opened.save_learned()
        return opened.pipeline.may_rest

    def finish(self) -> None:
        """A last turn, which waits for what is being computed; then every open event ends."""
        opened = self._require_opened()
        self._step(opened.pipeline, wait=True)
        opened.save_learned(at_once=True)
        self._sink.deliver(StepResult(events=opened.pipeline.finish("shutdown")))

    def close(self) -> None:
        """Close the model."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def _require_opened(self) -> OpenedPipeline:
        if self._opened is None:
            raise RuntimeError("the pipeline is not open")
        return self._opened

    def _step(self, pipeline: Pipeline, *, wait: bool = False) -> None:
        """All that can be done now, with ``wait`` also what is being computed."""
        self.idle.clear()
        while not self._requests.empty():
            self._requests.get()(pipeline)
        while True:
            step = pipeline.step(wait=wait)
            self._sink.deliver(step)
            self.last_turn_ns = self._clock.mono_ns()
            if not step.taken and step.ready_ns is None:  # a window may be taken and give no scores
                break
        if not pipeline.is_computing:
            self.idle.set()
