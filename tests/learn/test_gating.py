from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.engine.contract import Array, Tensor
from edge.engine.gating.limits import LIMITS
from edge.engine.manifest import load_folder
from edge.engine.runtime import RuntimeInfo
from edge.learn.evaluation.gating import Pair, Remembered, Twice, difference
from edge.learn.evaluation.gating_report import changes, greatest_change, saved, table
from edge.learn.evaluation.held import Holding, hold
from edge.learn.evaluation.recordings import Answer, Begun
from edge.learn.evaluation.sets import Row

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "engines" / "fused"
COSTS = {"see": 0.04, "hear": 0.006, "fuse": 0.004}


def answer(peak: float, *begun: Begun) -> Answer:
    return Answer(np.array([1.0, 1.5]), np.array([[0.1], [peak]], np.float32), ("fire",), begun, 2.0)


def row(name: str, label: str) -> Row:
    return Row(Path(name), "fire_cair", label, "", name, "", "", "picture")


def test_events_are_matched_by_label_and_time() -> None:
    off = [Begun("person", 1.0, 2.0), Begun("fire", 3.0, 4.0), Begun("person", 50.0, 51.0)]
    on = [Begun("person", 1.0, 2.5), Begun("person", 50.0, 51.0), Begun("smoke", 3.0, 4.0)]
    found = difference(off, on)
    assert ([e.label for e in found.lost], [e.label for e in found.new], found.later_s) == (["fire"], ["smoke"], 0.5)
    assert difference(off, off) == difference([], []) or difference(off, off).later_s == 0.0


def test_the_table_says_what_was_left_out_lost_and_changed() -> None:
    fire = Begun("fire", 1.0, 1.5)
    ran, kept = {"see": 1, "hear": 2}, {"see": 3, "hear": 2}
    played = [
        (row("a.jpg", "fire"), Pair(answer(0.9, fire), answer(0.1), ran, kept)),
        (row("b.jpg", "normal"), Pair(answer(0.2), answer(0.2), ran, kept)),
    ]
    assert saved([pair for _, pair in played], COSTS) == pytest.approx((6 * 0.04 + 4 * 0.006) / (8 * 0.05))
    assert greatest_change(played) == pytest.approx(0.5)
    assert [len(d.lost) for _, d in changes(played)] == [1, 0]
    text = table(played, COSTS)
    assert "| **all** | 2 | 8 | 75% | 50% | 66% | 1 | 1 | 0 | 0.0 | 0.5000 |" in text
    assert "`a.jpg`: lost fire at 1.5 s" in text


def test_what_was_computed_once_is_remembered() -> None:
    class Twofold:
        info = RuntimeInfo("numpy", "2", "cpu", "fp32")
        chunk = 4
        calls = 0

        def __init__(self) -> None:
            self.inputs = {"x": Tensor("x", np.dtype(np.float32), (2,))}
            self.outputs = {"y": Tensor("y", np.dtype(np.float32), (2,))}

        def run(self, feed: dict[str, Array], out: dict[str, Array]) -> None:
            self.calls += 1
            out["y"][...] = 2 * feed["x"]

        def close(self) -> None:
            pass

    graph = Twofold()
    remembered, y = Remembered(graph), np.zeros((1, 2), np.float32)
    for value in (1.0, 3.0, 1.0):
        remembered.run({"x": np.full((1, 2), value, np.float32)}, {"y": y})
        assert y.tolist() == [[2 * value] * 2]
    assert graph.calls == len(remembered.costs_s) == 2


@pytest.mark.skipif(load_folder(ENGINE).manifest.parts is None, reason="the model folder has no parts")
def test_the_sample_with_quiet_around_it_gives_the_same_events_for_less(tmp_path: Path) -> None:
    path = tmp_path / "held.mp4"
    hold(ROOT / "samples" / "yard.mp4", path, Holding(hold_s=4.0, play_s=6.0))
    twice = Twice(ENGINE, [LIMITS])
    (pair,) = twice.play(path) or ()
    twice.close()
    found = difference(pair.off.begun, pair.on.begun)
    assert (found.lost, found.new) == ((), ())
    assert found.later_s <= 0.5
    assert pair.reused["see"] > 0
