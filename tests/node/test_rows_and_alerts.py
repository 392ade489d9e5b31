"""The event store and the outbox agree, however often the daemon was killed in between."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from daemon_parts import Daemon, config_text, eager, events_in, wait_for

from edge.clock import SystemClock
from edge.evidence.archive.records import EventQuery
from edge.evidence.archive.store import EventStore

EAGER = eager("{enter: 0.01, leave: 0.009, min_s: 0, cooldown_s: 0, merge_s: 0, most_per_hour: 3600}")
KILLS = 5


@pytest.mark.slow
def test_every_alert_has_a_row_with_an_end(tmp_path: Path) -> None:
    config, told = tmp_path / "config.yaml", tmp_path / "data" / "events.jsonl"
    text = config_text(
        tmp_path / "data", more=f"mqtt: null\n{EAGER}evidence: {{keep_free_gb: 0, before_s: 1, after_s: 1}}\n"
    )
    config.write_text(text.replace("pace: fast", "pace: fast, loop: true"), encoding="utf-8")
    draw = random.Random(7)
    for _ in range(KILLS):
        known, daemon = len(events_in(told)), Daemon(config)
        wait_for(lambda known=known: len(events_in(told)) > known + 3, "events")  # type: ignore[misc]
        time.sleep(draw.uniform(0, 0.6))
        assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    last = Daemon(config)
    last.wait_ready(times=KILLS + 1)
    assert last.stop() == 0
    begun = {event["id"] for event in events_in(told)}
    ended = {event["id"] for event in events_in(told) if event["phase"] == "end"}
    store = EventStore(tmp_path / "data" / "evidence", SystemClock(), read_only=True)
    rows = {found.record.id: found.record.end_ns for found in store.find(EventQuery(limit=10_000))}
    store.close()
    assert begun == ended
    assert set(rows) == begun
    assert all(end_ns is not None for end_ns in rows.values())
