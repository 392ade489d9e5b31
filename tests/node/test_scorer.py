"""The engine thread's loop, run on the test's own thread."""

from __future__ import annotations

import threading
from typing import Any, cast

from edge.clock import VirtualClock
from edge.node.scorer import Opened, Scorer
from edge.pipeline import Pipeline, Step


class Scripted:
    """A pipeline of prepared steps."""

    def __init__(self, *steps: Step) -> None:
        self.left = list(steps)

    def step(self) -> Step:
        return self.left.pop(0) if self.left else Step()

    def finish(self, reason: str) -> list[Any]:
        return []


class Delivered:
    def __init__(self) -> None:
        self.steps: list[Step] = []

    def deliver(self, step: Step) -> None:
        self.steps.append(step)


def test_a_window_that_gives_no_scores_does_not_keep_the_next_from_being_looked_at() -> None:
    refused, next_one = Step(ready_ns=1), Step(ready_ns=2)  # what a window of broken numbers leaves: nothing
    pipeline, sink, stop = Scripted(refused, next_one), Delivered(), threading.Event()
    stop.set()
    opened = Opened(cast("Pipeline", pipeline), lambda: None, lambda *, at_once=False: None)
    scorer = Scorer(lambda: opened, sink, VirtualClock(0))
    scorer.run(stop)
    assert sink.steps[:2] == [refused, next_one]
    assert not pipeline.left
    assert scorer.idle.is_set()
