"""The benchmark's own arithmetic: medians, goals, histogram quantiles and the table."""

from __future__ import annotations

import math

import pytest

from edge.bench.daemon import MetricsScrape
from edge.bench.figures import Figure, FigureTable, figure_cells, markdown_table, quantile, ratios

PAGE = """# TYPE edge_infer_seconds histogram
edge_infer_seconds_bucket{le="0.01"} %d
edge_infer_seconds_bucket{le="0.02"} %d
edge_infer_seconds_bucket{le="+Inf"} %d
edge_infer_seconds_count %d
edge_infer_seconds_sum %f
# TYPE edge_windows counter
edge_windows_total{camera="a"} 3.0
edge_windows_total{camera="b"} 4.0
"""


def test_a_figure_is_the_median_of_the_rounds_that_measured_it() -> None:
    assert Figure("x", [3.0, 1.0, math.nan, 2.0]).value == 2.0
    assert math.isnan(Figure("x", [math.nan]).value)


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        ("<= 1.10", 1.1, True),
        ("<= 1.10", 1.2, False),
        (">= 20 x", 30.0, True),
        (">= 20 x", 3.0, False),
        ("", 1.0, None),
    ],
)
def test_goals_are_bounds(goal: str, value: float, met: bool | None) -> None:
    assert Figure("x", [value], goal=goal).met is met


def test_nothing_measured_meets_no_goal() -> None:
    figure = Figure("x", [], goal="<= 1")
    assert figure.met is None
    assert "not measured" in figure_cells(figure)


def test_a_missed_goal_is_said_plainly() -> None:
    table = FigureTable()
    table.add(Figure("cost", [1.2, 1.3, 1.25], "x", "<= 1.10", "4 cameras"))
    assert "| cost | 1.25 x | 1.2 - 1.3 | <= 1.10 | **missed**; 4 cameras |" in table.markdown()


def test_ratios_are_taken_within_a_round() -> None:
    assert ratios([2.0, 9.0], [1.0, 3.0]) == [2.0, 3.0]


def test_a_counter_is_summed_over_its_labels() -> None:
    scrape = MetricsScrape(PAGE % (1, 1, 1, 1, 0.0))
    assert scrape.total("edge_windows_total") == 7
    assert scrape.total("edge_windows_total", camera="b") == 4


def test_what_was_not_measured_is_an_empty_cell() -> None:
    table = markdown_table(["a", "b"], [["x", math.nan], [None, 1234.5]])
    assert table.splitlines()[2:] == ["| x |  |", "|  | 1234 |"]


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([1.0], 0.99) == 1.0
    assert math.isnan(quantile([], 0.5))


def test_growth_of_a_counter_by_label() -> None:
    before, after = (
        MetricsScrape(PAGE % (1, 1, 1, 1, 0.0)),
        MetricsScrape(PAGE.replace("4.0", "9.0") % (1, 1, 1, 1, 0.0)),
    )
    assert after.delta(before, "edge_windows_total", "camera") == {"a": 0.0, "b": 5.0}
