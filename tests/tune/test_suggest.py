"""What is suggested, what it promises, and when nothing is."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_times import at
from tune_parts import HOP_NS, barks, recording

from edge.config import parse
from edge.engine.manifest import Manifest, find_folder, load_folder
from edge.tune.labels import LabelledSpan
from edge.tune.offline_detector import DetectionResult, OfflineDetector, RuleTrace
from edge.tune.suggest import (
    background_thresholds,
    best_threshold,
    poisson_upper,
    suggest_by_background,
    suggest_by_labels,
)
from edge.tune.sweep import ThresholdSweep, TunedRecording, sweep_thresholds

HOUR = 7200  # windows


@pytest.fixture(scope="module")
def judge() -> OfflineDetector:
    manifest: Manifest = load_folder(find_folder("fused")).manifest
    return OfflineDetector(
        parse("cameras: {a: {source: {type: file, path: x}}}\nevents: {dog_bark: {min_s: 1}}").config, manifest
    )


def spans(at: list[int]) -> list[LabelledSpan]:
    return [LabelledSpan("dog_bark", k / 2, k / 2 + 2) for k in at]


def unheard(values: np.ndarray) -> TunedRecording:
    """A recording without any event at the thresholds in force."""
    times = np.arange(1, len(values) + 1, dtype=np.int64) * HOP_NS
    trace = RuleTrace(times, tuple(at(t) for t in times.tolist()), ("dog_bark",), values[:, None])
    return TunedRecording(Path("quiet.wav"), "a", DetectionResult((), trace), (), list)


def site(judge: OfflineDetector, loud: float, noise: float, count: int = 5) -> list[TunedRecording]:
    """Each of ``count`` recordings has two barks at ``loud`` and one thing at ``noise`` that is none."""
    values = barks(HOUR // 2, [400, 1400], loud)
    values[2400:2404] = [noise] * 4
    one = recording(judge, values, spans([400, 1400]))
    return [replace(one, path=Path(f"r{k}.wav")) for k in range(count)]


def test_a_threshold_above_what_disturbs_and_below_what_is_meant(judge: OfflineDetector) -> None:
    swept = sweep_thresholds(judge, site(judge, 0.95, 0.7), "dog_bark", HOP_NS)
    assert swept.is_exact
    done = suggest_by_labels(swept, 1.0)
    assert (done.before.found, done.before.false) == (10, 5)
    assert done.after is not None
    assert 0.7 < done.after.enter <= 0.95
    assert (done.after.found, done.after.false) == (10, 0)
    assert done.apart is not None
    assert (done.apart.found, done.apart.false) == (10, 0)


def test_a_threshold_low_enough_to_find_what_was_missed(judge: OfflineDetector) -> None:
    done = suggest_by_labels(sweep_thresholds(judge, site(judge, 0.4, 0.1), "dog_bark", HOP_NS), 1.0)
    assert done.before.found == 0
    assert done.after is not None
    assert 0.1 < done.after.enter <= 0.4
    assert done.after.recall == 1.0
    assert done.after.false == 0


def test_a_good_threshold_is_left_alone(judge: OfflineDetector) -> None:
    done = suggest_by_labels(sweep_thresholds(judge, site(judge, 0.9, 0.2), "dog_bark", HOP_NS), 1.0)
    assert done.after is None
    assert "leave it" in done.remark


def test_too_little_is_said_and_nothing_guessed(judge: OfflineDetector) -> None:
    few = suggest_by_labels(sweep_thresholds(judge, site(judge, 0.4, 0.1, 1), "dog_bark", HOP_NS), 1.0)
    assert few.after is None
    assert "2 labelled events" in few.remark
    assert "at least 60" in few.remark


def test_a_rate_that_cannot_be_met_is_said(judge: OfflineDetector) -> None:
    done = suggest_by_labels(sweep_thresholds(judge, site(judge, 0.9, 0.999), "dog_bark", HOP_NS), 1.0)
    assert "no threshold stays within" in done.remark


def test_without_labels_the_rate_follows_from_quiet_time(judge: OfflineDetector) -> None:
    rng = np.random.default_rng(3)
    quiet = np.minimum(1 / (1 + np.exp(-rng.normal(-4, 1.0, 4 * HOUR))), 0.59)
    heard = [unheard(quiet)]
    labels = [x for x in load_folder(find_folder("fused")).manifest.labels if x.name == "dog_bark"]
    enter, minutes = background_thresholds(labels, HOP_NS, heard, 1.0)["dog_bark"]
    assert minutes in (239, 240)
    assert enter is not None
    assert enter >= labels[0].enter / 2
    done = suggest_by_background(sweep_thresholds(judge, heard, "dog_bark", HOP_NS, (enter,)), enter, 1.0, minutes, 180)
    assert done.after is not None
    assert done.after.enter == enter
    assert "not known without labels" in done.remark
    short = [unheard(quiet[:HOUR])]
    enter, minutes = background_thresholds(labels, HOP_NS, short, 1.0)["dog_bark"]
    assert enter is None
    done = suggest_by_background(sweep_thresholds(judge, short, "dog_bark", HOP_NS), None, 1.0, minutes, 180)
    assert done.after is None
    assert "59 quiet minutes" in done.remark or "60 quiet minutes" in done.remark


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=20),
    st.integers(0, 19),
    st.floats(0.5, 500),
)
def test_nothing_allowed_finds_more_than_what_is_chosen(
    points: list[tuple[int, int]], current: int, asked: float
) -> None:
    counts = np.array([[9, found, false, 3600.0] for found, false in points])
    thresholds = np.linspace(0.1, 0.9, len(points))
    current %= len(points)
    at, is_met = best_threshold(counts, thresholds, current, asked)
    allowed = counts[:, 2] * 24 <= asked + 1e-6
    assert is_met == bool(allowed.any())
    assert counts[at, 2] * 24 <= asked + 1e-6 if is_met else counts[at, 2] == counts[:, 2].min()
    assert not is_met or counts[at, 1] == counts[allowed, 1].max()
    if (allowed[current] or not is_met) and counts[current, 1] == counts[at, 1] and counts[current, 2] <= counts[at, 2]:
        assert at == current


@pytest.mark.parametrize(("count", "most"), [(0, 2.996), (1, 4.744), (5, 10.513)])
def test_the_bound_on_a_rate_is_poissons(count: int, most: float) -> None:
    assert math.isclose(poisson_upper(count), most, abs_tol=1e-3)


def test_bands_hold_the_whole_between_them(judge: OfflineDetector) -> None:
    swept: ThresholdSweep = sweep_thresholds(judge, site(judge, 0.9, 0.7), "dog_bark", HOP_NS)
    bands = suggest_by_labels(swept, 1.0).bands
    assert bands is not None
    recall = swept.counts[:, :, 1].sum(axis=0) / swept.counts[:, :, 0].sum(axis=0)
    assert (bands.recall[0] <= recall + 1e-9).all()
    assert (bands.recall[1] >= recall - 1e-9).all()
