"""What is kept of a recording comes back as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tune_parts import HOP_NS, facts, window

from edge.errors import SinkError
from edge.pipeline import StepResult
from edge.replay import ReplayStep
from edge.tune import cache as cache_room
from edge.tune.cache import ScoreCache, ScoringFacts, pack_moments, unpack_moments
from edge.types import Scores

share = st.floats(0, 1)


@st.composite
def some_moments(draw: st.DrawFn) -> list[ReplayStep]:
    made = []
    for k in range(draw(st.integers(0, 6))):
        values = draw(st.dictionaries(st.sampled_from(["fire", "dog_bark", "anomaly"]), share, max_size=3))
        evidence = draw(st.sampled_from([None, np.full((2, 3), 0.25, np.float32)]))
        reasons = {"anomaly": "louder than usual"} if "anomaly" in values and k % 2 else {}
        scores = window(k, values, evidence=evidence, reasons=reasons, coverage=draw(share))
        steps = [scores] if draw(st.booleans()) else []
        made.append(ReplayStep((k + 1) * HOP_NS, StepResult(steps, (), (), [facts(k)] * draw(st.integers(0, 2)))))
    return made


def same(one: Scores, other: Scores) -> bool:
    plain = [replace(s, evidence=None, embedding=None) for s in (one, other)]  # type: ignore[arg-type]
    maps = [s.evidence for s in (one, other)]
    return plain[0] == plain[1] and (maps[0] is maps[1] is None or np.array_equal(maps[0], maps[1]))  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(some_moments())
def test_packing_loses_nothing_that_decides(given_moments: list[ReplayStep]) -> None:
    back = list(unpack_moments(pack_moments(given_moments), "a"))
    assert [(m.now_ns, list(m.step.statuses)) for m in back] == [
        (m.now_ns, list(m.step.statuses)) for m in given_moments
    ]
    pairs = [
        (a, b)
        for x, y in zip(given_moments, back, strict=True)
        for a, b in zip(x.step.scores, y.step.scores, strict=True)
    ]
    assert all(same(a, b) for a, b in pairs)
    assert all(list(a.tags) == list(b.tags) for a, b in pairs), "the order of tags is that of an event's payload"


def test_a_recording_counts_only_when_all_of_it_was_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_room, "STEPS_PER_FILE", 3)
    file = tmp_path / "a.wav"
    file.write_bytes(b"sound")
    cache = ScoreCache(tmp_path / "cache", "s1")
    steps = [ReplayStep(k * HOP_NS, StepResult([window(k, {"fire": 0.5})])) for k in range(8)]
    running = cache.store(file, steps)
    for _ in range(5):
        next(running)
    running.close()
    assert cache.facts(file) is None
    assert sum(1 for _ in cache.store(file, steps)) == 8
    cache.commit(file, ScoringFacts(4.0, 8, 1.0))
    assert cache.facts(file) == ScoringFacts(4.0, 8, 1.0)
    assert [m.now_ns for m in cache.moments(file, "gate")] == [k * HOP_NS for k in range(8)]
    assert {s.camera for m in cache.moments(file, "gate") for s in m.step.scores} == {"gate"}
    assert ScoreCache(tmp_path / "cache", "s2").facts(file) is None, "another model or setting"
    file.write_bytes(b"other sound")
    assert cache.facts(file) is None, "another file of that name"


def test_damage_is_said_with_the_folder_to_remove(tmp_path: Path) -> None:
    file = tmp_path / "a.wav"
    file.write_bytes(b"sound")
    cache = ScoreCache(tmp_path / "cache", "s")
    list(cache.store(file, [ReplayStep(0, StepResult([window(0, {"fire": 0.5})]))]))
    cache.commit(file, ScoringFacts(0.5, 1, 1.0))
    part = next((tmp_path / "cache").rglob("*.npz"))
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(SinkError, match=r"remove .*cache"):
        list(cache.moments(file, "a"))
