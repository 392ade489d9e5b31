"""What is held back is told when it changes, and logged once when it begins."""

from __future__ import annotations

import logging

import pytest

from edge.node.outputs import HeldBackReporter
from edge.status import HeldBack, HoldReason
from edge.types import NS_PER_S

LIMITED = HeldBack("gate", "person", 0.6, {HoldReason.RATE_LIMITED: 2}, HoldReason.RATE_LIMITED, 0, 0.9)
WAITING = HeldBack("gate", "fire", 0.5, {HoldReason.WAITING: 2}, HoldReason.WAITING, 0, 0.9)


Told = list[tuple[list[str], int]]


def rig() -> tuple[HeldBackReporter, Told]:
    told: Told = []
    return HeldBackReporter(("gate", "hall"), lambda cameras, held: told.append((list(cameras), len(held)))), told


def test_changes_are_told_each_camera_at_most_every_five_seconds() -> None:
    reporter, told = rig()
    reporter.report((), 0)
    reporter.report((LIMITED,), NS_PER_S)
    assert told == [(["gate", "hall"], 0)], "at first, so that an earlier run's is gone"
    reporter.report((LIMITED,), 5 * NS_PER_S)
    assert told[1:] == [(["gate"], 1)]
    for second in range(6, 60):
        reporter.report((LIMITED,), second * NS_PER_S)
    assert len(told) == 2, "nothing changed"
    reporter.report((), 60 * NS_PER_S)
    assert told[2:] == [(["gate"], 0)]


def test_it_is_logged_once_when_it_begins(caplog: pytest.LogCaptureFixture) -> None:
    reporter, _ = rig()
    with caplog.at_level(logging.INFO):
        for second in range(3590):
            reporter.report((LIMITED, WAITING), second * NS_PER_S)
    (record,) = caplog.records
    assert record.getMessage() == (
        "gate: person is above its threshold of 0.60 and no event: it repeats what was reported often enough in the "
        "last hour (most_per_hour)"
    )
    with caplog.at_level(logging.INFO):
        reporter.report((LIMITED,), 3600 * NS_PER_S)
    assert len(caplog.records) == 2, "and once an hour while it goes on"


def test_what_was_over_within_a_second_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    reporter, _ = rig()
    with caplog.at_level(logging.INFO):
        reporter.report((HeldBack("gate", "shout", 0.6, {HoldReason.COOLDOWN: 1}),), 0)
    assert "shout is above its threshold of 0.60 and no event: one has ended only just now (cooldown_s)" in caplog.text
