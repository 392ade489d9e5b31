"""The engine thread's loop, run on the test's own thread."""

from __future__ import annotations

import threading
from typing import Any, cast

from edge.clock import VirtualClock
from edge.node.engine_loop import EngineLoop, OpenedPipeline
from edge.pipeline import Pipeline, StepResult
from edge.types import nanoseconds


class Scripted:
    """A pipeline of prepared steps."""

    def __init__(self, *steps: StepResult) -> None:
        self.left = list(steps)

    is_computing = False
    may_rest = False

    def step(self, *, wait: bool) -> StepResult:
        return self.left.pop(0) if self.left else StepResult()

    def finish(self, reason: str) -> list[Any]:
        return []


class Delivered:
    def __init__(self) -> None:
        self.steps: list[StepResult] = []

    def deliver(self, step: StepResult) -> None:
        self.steps.append(step)


def test_a_window_that_gives_no_scores_does_not_keep_the_next_from_being_looked_at() -> None:
    refused, next_one = (
        StepResult(ready_ns=1),
        StepResult(ready_ns=2),
    )  # what a window of broken numbers leaves: nothing
    pipeline, sink, stop = Scripted(refused, next_one), Delivered(), threading.Event()
    stop.set()
    opened = OpenedPipeline(cast("Pipeline", pipeline), lambda: None, lambda *, at_once=False: None)
    scorer = EngineLoop(lambda: opened, sink, VirtualClock(0))
    scorer.run(stop)
    assert sink.steps[:2] == [refused, next_one]
    assert not pipeline.left
    assert scorer.idle.is_set()


def test_windows_of_quiet_cameras_gather_between_two_turns() -> None:
    class Stopping(Delivered):
        def deliver(self, step: StepResult) -> None:
            super().deliver(step)
            if len(self.steps) == 3:
                stop.set()

    pipeline, sink, stop, clock = Scripted(), Stopping(), threading.Event(), VirtualClock(0)
    opened = OpenedPipeline(cast("Pipeline", pipeline), lambda: None, lambda *, at_once=False: None)
    loop = EngineLoop(lambda: opened, sink, clock)
    loop.wake.set()
    pipeline.may_rest = True
    began_ns = clock.mono_ns()
    loop.run(stop)
    assert clock.mono_ns() - began_ns >= 2 * nanoseconds(loop.REST_S)
