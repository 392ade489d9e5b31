from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.engine.contract import Array, TensorSpec
from edge.engine.manifest import load_folder
from edge.engine.runtime import RuntimeInfo
from edge.signal_change import DEFAULT_GATE_LIMITS
from edge.train.evaluation.datasets import DatasetRow
from edge.train.evaluation.gating import (
    CachedGraph,
    GatedRun,
    GatingComparison,
    event_changes,
    event_difference,
    gating_table,
    greatest_precision_change,
    saved_share,
)
from edge.train.evaluation.recordings import DetectedEvent, RecordingResult
from edge.train.evaluation.synthetic import QuietPadding, pad_with_quiet

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "engines" / "fused"
COSTS = {"vision": 0.04, "audio": 0.006, "fusion": 0.004}


def answer(peak: float, *begun: DetectedEvent) -> RecordingResult:
    return RecordingResult(np.array([1.0, 1.5]), np.array([[0.1], [peak]], np.float32), ("fire",), begun, 2.0)


def row(name: str, label: str) -> DatasetRow:
    return DatasetRow(Path(name), "fire_cair", label, "", name, "", "", "picture")


def test_events_are_matched_by_label_and_time() -> None:
    off = [DetectedEvent("person", 1.0, 2.0), DetectedEvent("fire", 3.0, 4.0), DetectedEvent("person", 50.0, 51.0)]
    on = [DetectedEvent("person", 1.0, 2.5), DetectedEvent("person", 50.0, 51.0), DetectedEvent("smoke", 3.0, 4.0)]
    found = event_difference(off, on)
    assert ([e.label for e in found.lost], [e.label for e in found.new], found.max_delay_s) == (
        ["fire"],
        ["smoke"],
        0.5,
    )
    assert event_difference(off, off) == event_difference([], []) or event_difference(off, off).max_delay_s == 0.0


@pytest.mark.learn
def test_the_table_says_what_was_left_out_lost_and_changed() -> None:
    pytest.importorskip("sklearn")
    fire = DetectedEvent("fire", 1.0, 1.5)
    ran, kept = {"vision": 1, "audio": 2, "fusion": 4}, {"vision": 3, "audio": 2, "fusion": 0}
    played = [
        (row("a.jpg", "fire"), GatedRun(answer(0.9, fire), answer(0.1), ran, kept)),
        (row("b.jpg", "normal"), GatedRun(answer(0.2), answer(0.2), ran, kept)),
    ]
    assert saved_share([pair for _, pair in played], COSTS) == pytest.approx((6 * 0.04 + 4 * 0.006) / (8 * 0.05))
    assert greatest_precision_change(played) == pytest.approx(0.5)
    assert [len(d.lost) for _, d in event_changes(played)] == [1, 0]
    text = gating_table(played, COSTS)
    assert "| **all** | 2 | 8 | 75% | 50% | 0% | 66% | 1 | 1 | 0 | 0.0 | 0.5000 |" in text
    assert "`a.jpg`: lost fire at 1.5 s" in text


def test_what_was_computed_once_is_remembered() -> None:
    class Twofold:
        info = RuntimeInfo("numpy", "2", "cpu", "fp32")
        chunk = 4
        calls = 0

        def __init__(self) -> None:
            self.inputs = {"x": TensorSpec("x", np.dtype(np.float32), (2,))}
            self.outputs = {"y": TensorSpec("y", np.dtype(np.float32), (2,))}

        def run(self, feed: dict[str, Array], out: dict[str, Array]) -> None:
            self.calls += 1
            out["y"][...] = 2 * feed["x"]

        def close(self) -> None:
            pass

    graph = Twofold()
    remembered, y = CachedGraph(graph), np.zeros((1, 2), np.float32)
    for value in (1.0, 3.0, 1.0):
        remembered.run({"x": np.full((1, 2), value, np.float32)}, {"y": y})
        assert y.tolist() == [[2 * value] * 2]
    assert graph.calls == len(remembered.costs_s) == 2


@pytest.mark.skipif(load_folder(ENGINE).manifest.parts is None, reason="the model folder has no parts")
def test_the_sample_with_quiet_around_it_gives_the_same_events_for_less(tmp_path: Path) -> None:
    path = tmp_path / "held.mp4"
    pad_with_quiet(ROOT / "samples" / "yard.mp4", path, QuietPadding(hold_s=4.0, play_s=6.0))
    twice = GatingComparison(ENGINE, [DEFAULT_GATE_LIMITS])
    (pair,) = twice.compare(path) or ()
    twice.close()
    found = event_difference(pair.off.events, pair.on.events)
    assert (found.lost, found.new) == ((), ())
    assert found.max_delay_s <= 0.5
    assert pair.reused["vision"] > 0
