"""Threads that never fail silently."""

from __future__ import annotations

import threading

from edge.clock import SystemClock
from edge.threads import ThreadGroup


def test_a_bug_is_recorded_and_wakes_the_supervisor() -> None:
    woken = threading.Event()
    crew = ThreadGroup(SystemClock(), woken.set)

    def broken(_cancel: threading.Event) -> None:
        raise RuntimeError("bug")

    crew.start("engine", broken)
    assert woken.wait(10)
    assert isinstance(crew.failure, RuntimeError)


def test_stop_cancels_only_the_named_and_says_who_hangs() -> None:
    crew = ThreadGroup(SystemClock(), lambda: None)
    release = threading.Event()
    crew.start("capture:good", lambda cancel: cancel.wait() and None)
    crew.start("capture:hanging", lambda _cancel: release.wait() and None)
    crew.start("engine", lambda cancel: cancel.wait() and None)
    assert crew.stop("capture:", 0.2) == ["capture:hanging"]
    assert crew.stop("engine", 10) == []
    release.set()
    assert crew.stop("capture:", 10) == []
    assert crew.failure is None
