"""The metrics of evaluation against plain formulas, and against the one that the box itself uses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn")

from sklearn.metrics import average_precision_score

from edge.adapt import quality_gate
from edge.train.evaluation import metrics

pytestmark = pytest.mark.learn
ROWS = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=30)
WEIGHTED = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans(), st.floats(0, 3, width=32)), max_size=40)


def split(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([s / 20 for s, _ in rows]), np.array([t for _, t in rows])


@given(ROWS)
def test_auc_is_the_chance_of_the_right_order(rows: list[tuple[int, bool]]) -> None:
    scores, truth = split(rows)
    pairs = [(a > b) + (a == b) / 2 for a in scores[truth] for b in scores[~truth]]
    found = metrics.roc_auc(scores, truth)
    assert found == pytest.approx(np.mean(pairs), abs=1e-12) if pairs else np.isnan(found)


@given(ROWS)
def test_average_precision_is_the_area_of_its_steps(rows: list[tuple[int, bool]]) -> None:
    scores, truth = split(rows)
    ranked = sorted(zip(scores, truth, strict=True), key=lambda x: (-x[0], x[1]))
    hits, area = 0, 0.0
    for rank, (_, holds) in enumerate(ranked, 1):
        hits += bool(holds)
        area += hits / rank if holds else 0.0
    assert metrics.average_precision(scores, truth) == pytest.approx(area / max(1, hits), abs=1e-12)


def test_metrics_by_hand() -> None:
    truth = np.array([True, False, True, False])
    assert metrics.average_precision(np.array([0.9, 0.8, 0.7, 0.1]), truth) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.average_precision(np.zeros(4), np.array([True, False, False, False])) == pytest.approx(0.25)
    assert metrics.average_precision(np.ones(2), np.zeros(2, bool)) == 0
    assert metrics.average_precision(np.zeros(0), np.zeros(0, bool)) == 0
    later = np.array([False, False, True, True])
    assert metrics.roc_auc(np.array([0.1, 0.2, 0.3, 0.4]), later) == 1
    assert metrics.roc_auc(np.array([0.4, 0.3, 0.2, 0.1]), later) == 0
    assert metrics.roc_auc(np.array([0.5, 0.5, 0.5, 0.5]), later) == 0.5
    assert metrics.roc_auc(np.array([0.1, 0.3, 0.2, 0.4]), later) == 0.75
    assert np.isnan(metrics.roc_auc(np.ones(2), np.ones(2, bool)))


@given(ROWS)
def test_the_box_and_scikit_learn_agree_on_average_precision(rows: list[tuple[int, bool]]) -> None:
    scores, truth = split(rows)
    wanted = average_precision_score(truth, scores) if truth.any() else 0.0
    assert quality_gate.average_precision(scores, truth) == pytest.approx(wanted, abs=1e-12)


@given(ROWS)
def test_calibration_error_is_between_its_bounds_and_counts_every_score(rows: list[tuple[int, bool]]) -> None:
    p, truth = split(rows)
    error = metrics.expected_calibration_error(p, truth)
    assert abs(p.mean() - truth.mean()) - 1e-9 <= error <= 1
    assert sum(b.count for b in metrics.reliability_bins(p, truth)) == len(p)


def test_calibration_error_by_hand() -> None:
    p, truth = np.array([0.05, 0.15, 0.95, 1.0]), np.array([False, True, True, False])
    assert metrics.expected_calibration_error(p, truth) == pytest.approx((0.05 + 0.85 + 2 * abs(0.975 - 0.5)) / 4)
    assert np.isnan(metrics.expected_calibration_error(np.zeros(0), np.zeros(0, bool)))


@given(WEIGHTED, st.sampled_from([10, 15]))
def test_calibration_error_is_the_weighted_gap_of_each_bin(rows: list[tuple[float, bool, float]], bins: int) -> None:
    p, truth, weights = (np.array([row[n] for row in rows], np.float32) for n in range(3))
    which = np.minimum((p * bins).astype(int), bins - 1)
    gaps = [abs(float((weights * (p - truth))[which == k].sum(dtype=np.float64))) for k in range(bins)]
    found = metrics.expected_calibration_error(p, truth, weights, bins)
    if weights.sum() > 1e-6:
        assert found == pytest.approx(sum(gaps) / float(weights.sum(dtype=np.float64)), abs=1e-5)
    plain = metrics.expected_calibration_error(p, truth, bins=bins)
    alike = metrics.expected_calibration_error(p, truth, np.full_like(p, 7.0), bins)
    assert plain == pytest.approx(alike) if len(p) else np.isnan(plain)


def test_alarms_are_counted_once_a_stretch() -> None:
    t_s = np.arange(0, 90, 0.5)
    scores = np.where((t_s > 10) & (t_s < 14), 0.9, 0.1)
    assert metrics.alarm_peaks(t_s, scores).tolist() == [0.9, 0.1, 0.1]
    assert not len(metrics.alarm_peaks(np.zeros(0), np.zeros(0)))


def test_recall_at_a_rate_of_alarms() -> None:
    positives, alarms = np.array([0.9, 0.6, 0.4]), np.array([0.8, 0.5, 0.1])
    assert metrics.recall_at_alarm_rate(positives, alarms, hours=0.5) == (pytest.approx(1 / 3), 0.8)
    assert metrics.recall_at_alarm_rate(positives, alarms, hours=1.5) == (pytest.approx(2 / 3), 0.5)
    assert metrics.recall_at_alarm_rate(positives, alarms, hours=9) == (1.0, 0.0)


def test_bootstrap_draws_whole_sources() -> None:
    scores, truth = np.array([0.9, 0.8, 0.2, 0.1] * 10), np.array([True, False] * 20)
    wide = metrics.bootstrap_interval(metrics.roc_auc, scores, truth, ["a", "a", "b", "b"] * 10)
    narrow = metrics.bootstrap_interval(metrics.roc_auc, scores, truth, [str(k) for k in range(40)])
    assert wide.value == narrow.value == pytest.approx(0.75)
    assert wide.low == wide.value or wide.low < narrow.low
    assert narrow.low < narrow.value < narrow.high


def test_drawn_average_precisions_are_those_of_the_draws() -> None:
    rng, n = np.random.default_rng(3), 30
    truth, scores = rng.random(n) < 0.2, np.round(rng.random(n), 1)
    draws, expected = np.random.default_rng(9), []
    for _ in range(60):
        some = draws.integers(0, n, n)
        if truth[some].any() and not truth[some].all():
            expected.append(metrics.average_precision(scores[some], truth[some]))
    np.testing.assert_allclose(metrics.drawn_average_precisions(scores, truth, 60, seed=9), expected)
