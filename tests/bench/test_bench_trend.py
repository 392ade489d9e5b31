"""Arithmetic of the long benchmarks: slopes with their errors, and when a machine is back to normal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hour import HourMark, HourWatch, Trend, hour_table, linear_trend, means
from overload import STEP_S, Recovery, back_to_normal_s

from edge.bench.daemon import MetricsScrape


def test_a_line_has_its_slope_and_no_error() -> None:
    found = linear_trend([0, 1, 2, 3], [5, 7, 9, 11])
    assert (found.slope, found.error) == pytest.approx((2.0, 0.0))
    assert not found.is_zero


def test_the_standard_error_covers_the_true_slope_as_often_as_it_says() -> None:
    rng, x = np.random.default_rng(3), np.arange(12.0)
    inside = 0
    for _ in range(400):
        found = linear_trend(list(x), list(0.5 * x + rng.normal(0, 2, 12)))
        inside += abs(found.slope - 0.5) <= found.error
    assert 0.6 < inside / 400 < 0.74, "0.66 by Student's distribution with ten degrees of freedom"


def test_what_falls_or_only_trembles_does_not_grow() -> None:
    assert Trend(-1.0, 0.1).is_zero
    assert Trend(0.15, 0.1).is_zero
    assert not Trend(0.3, 0.1).is_zero


def test_too_few_points_have_no_error() -> None:
    assert linear_trend([1.0], [4.0]).slope == 0
    assert math.isnan(linear_trend([1.0, 2.0], [4.0, 5.0]).error)


def test_means_are_of_stretches() -> None:
    assert means([0, 1, 10, 11, 25], [1, 3, 5, 7, 9], 10) == ([0.5, 10.5, 25], [2, 6, 9])


def test_an_hours_table_names_what_grew_and_what_was_scored() -> None:
    marks = [HourMark(15.0 * k, 300.0 + 0.1 * k, 30, 12 + k // 120) for k in range(1, 240)]
    page = '# TYPE edge_windows counter\nedge_windows_total{camera="a"} %d\n'
    before, after = (MetricsScrape(page % n) for n in (40, 2040))
    told = hour_table(HourWatch(marks, before, after, 1000.0), "one camera", 1, 0.5)
    assert "| +24.0 MB an hour, standard error 0.0 | 0: **missed** |" in told
    assert "| +0.0 files an hour, standard error 0.0 | 0: met |" in told
    assert "| 100.00 % | >= 99 %: met |" in told
    assert "| 12 / 13 |" in told


def steps(*normal: bool) -> list[Recovery]:
    shares = [1.0 if is_normal else 0.5 for is_normal in normal]
    return [Recovery(STEP_S * (k + 1), share, 0.1) for k, share in enumerate(shares)]


def test_normal_is_from_where_all_that_follows_is_normal() -> None:
    assert back_to_normal_s(steps(True, True, True)) == 0
    assert back_to_normal_s(steps(False, True, False, True, True)) == 3 * STEP_S
    assert math.isnan(back_to_normal_s(steps(True, False)))


def test_nobody_who_still_waits_is_back() -> None:
    late = [Recovery(4.0, 1.0, 0.1), Recovery(8.0, 1.0, 5.0), Recovery(12.0, 1.0, math.nan)]
    assert math.isnan(back_to_normal_s(late))


def test_windows_that_cross_the_line_between_two_steps_are_no_loss() -> None:
    shares = [0.71, 0.86, 1.14, 0.99, 0.92, 1.06, 1.0]
    found = [Recovery((k + 1) * STEP_S, share, 0.4) for k, share in enumerate(shares)]
    assert back_to_normal_s(found) == 2 * STEP_S
    assert math.isnan(back_to_normal_s([*found, Recovery(8 * STEP_S, 0.89, 0.4)]))
    assert math.isnan(back_to_normal_s([Recovery((k + 1) * STEP_S, 0.95, 0.4) for k in range(6)]))
