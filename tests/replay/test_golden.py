"""Golden replay: what the shipped model and the whole pipeline make of the bundled clip.

A change here is a change of behaviour: look at it, then write the file anew with
`edge replay samples/yard.mp4 --events tests/golden/yard.jsonl`.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main

ROOT = Path(__file__).resolve().parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "yard.jsonl"
TRUTH = ROOT / "samples" / "yard.csv"
TAIL_S = 3.0  # a sound stays in the model's window for two seconds, and an event needs one below `leave`


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("golden") / "events.jsonl"
    assert main(["replay", str(ROOT / "samples" / "yard.mp4"), "--events", str(path)]) == 0
    return lines(path)


def test_the_events_are_those_of_the_golden_file(replayed: list[dict[str, Any]]) -> None:
    """Processors round differently, so scores may differ a little; what happened when may not."""
    golden = lines(GOLDEN)
    what = [(e["t_s"], e["label"], e["phase"], e["seq"], e["duration_s"]) for e in replayed]
    assert what == [(e["t_s"], e["label"], e["phase"], e["seq"], e["duration_s"]) for e in golden]
    for one, other in zip(replayed, golden, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=0.02)
        assert one["peak"] == pytest.approx(other["peak"], abs=0.02)
        for modality, added in (one["contribution"] or {}).items():
            assert added == pytest.approx(other["contribution"][modality], abs=0.1)


def test_every_event_is_true_and_every_kind_is_found(replayed: list[dict[str, Any]]) -> None:
    with TRUTH.open(encoding="utf-8", newline="") as table:
        truth = [(float(r["t_begin_s"]), float(r["t_end_s"]), r["label"]) for r in csv.DictReader(table)]
    for event in (e for e in replayed if e["phase"] == "begin"):
        near = [t for t in truth if t[2] == event["label"] and t[0] - 0.5 <= event["t_s"] <= t[1] + TAIL_S]
        assert near, f"{event['label']} at {event['t_s']} s is not in the clip"
    found = {event["label"] for event in replayed}
    assert {"person", "vehicle", "dog_bark", "crying_baby"} <= found
