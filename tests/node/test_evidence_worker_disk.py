"""Evidence that the disk refuses stops evidence, never the thread, and so never the daemon."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from edge.errors import InputError, MediaError, SinkError
from edge.metrics import Metrics
from edge.node.evidence_worker import EvidenceWorker
from edge.types import EvidenceFiles

KEPT = EvidenceFiles("e1", "gate", "fire", 0, {})


class Script:
    """A recorder whose turns do what the test says; the last one ends the thread."""

    def __init__(self, stop: threading.Event, *turns: Exception | list[EvidenceFiles]) -> None:
        self._stop, self._turns = stop, list(turns)

    def step(self) -> list[EvidenceFiles]:
        turn = self._turns.pop(0)
        if not self._turns:
            self._stop.set()
        if isinstance(turn, Exception):
            raise turn
        return turn

    def close(self, limit_s: float) -> list[EvidenceFiles]:
        raise OSError(5, "Input/output error")


class Told:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.kept: list[EvidenceFiles] = []

    def publish_evidence(self, kept: EvidenceFiles, snapshot: bytes | None = None) -> None:
        self.kept.append(kept)


class Well:
    """A store without trouble."""

    trouble = ""
    folder = Path()


def keeping(recorder: Script, told: Told, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> EvidenceWorker:
    monkeypatch.setattr(EvidenceWorker, "TURN_S", 0.0)
    return EvidenceWorker(cast("Any", recorder), cast("Any", Well()), cast("Any", None), cast("Any", told), metrics)


@pytest.mark.parametrize(
    "error",
    [
        SinkError("events.db: disk I/O error; check the disk"),
        OSError(5, "Input/output error"),
        InputError("events.db: is damaged"),
        MediaError("clip: cannot be read"),
    ],
)
def test_what_the_disk_refuses_is_counted_and_the_next_turn_goes_on(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, told, metrics = threading.Event(), Told(), Metrics()
    one = keeping(Script(stop, error, error, [KEPT]), told, metrics, monkeypatch)
    asked: list[str] = []

    def refused() -> None:
        asked.append("snapshot")
        raise error

    one.submit(refused)
    one.run(stop)
    assert told.kept == [KEPT]
    assert asked == ["snapshot"]
    dropped = metrics.registry.get_sample_value("edge_drops_total", {"source": "evidence", "place": "refused"})
    assert dropped == 4, "the request, two turns, and the closing"
    assert "Input/output error" in one.trouble


def test_a_bug_still_ends_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    with pytest.raises(ZeroDivisionError):
        keeping(Script(stop, ZeroDivisionError(), [KEPT]), Told(), Metrics(), monkeypatch).run(stop)
