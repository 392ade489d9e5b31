"""Polygons, lines, and objects on their way."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.detect.tracking import FORGET_NS, Tracker, iou, suppress_duplicates
from edge.detect.zones import ZoneMap, contains, crossing, foot_point, side_of
from edge.types import NS_PER_S, Box

HOP = NS_PER_S // 2
SQUARE = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
LETTER_L = ((0.1, 0.1), (0.3, 0.1), (0.3, 0.7), (0.9, 0.7), (0.9, 0.9), (0.1, 0.9))
UPRIGHT = ((0.5, 0.9), (0.5, 0.1))  # from below to above: left is left
NOTHING = ZoneMap({}, {})
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))

coordinates = st.floats(0, 1).map(lambda v: round(v, 3))
points = st.tuples(coordinates, coordinates)


def person(
    x: float, y: float, score: float = 0.9, width: float = 0.1, height: float = 0.3, label: str = "person"
) -> Box:
    """A box whose foot point is (x, y)."""
    return Box(label, score, x - width / 2, y - height, x + width / 2, y)


def follow(ways: Sequence[Sequence[Box]], places: ZoneMap = NOTHING, classes: str = "person") -> Tracker:
    tracker = Tracker([classes])
    for n, boxes in enumerate(ways):
        tracker.advance(n * HOP, boxes, 16 / 9, places)
    return tracker


def test_inside_and_outside() -> None:
    assert contains(SQUARE, (0.5, 0.5))
    assert not contains(SQUARE, (0.9, 0.5))
    assert contains(LETTER_L, (0.2, 0.5))
    assert contains(LETTER_L, (0.8, 0.8))
    assert not contains(LETTER_L, (0.8, 0.5))


@given(points)
def test_the_order_of_the_corners_makes_no_difference(point: tuple[float, float]) -> None:
    assume(all(abs(v - edge) > 1e-6 for v in point for edge in (0.1, 0.3, 0.7, 0.9)))
    assert contains(LETTER_L, point) == contains(LETTER_L[::-1], point) == contains(LETTER_L[2:] + LETTER_L[:2], point)


@given(coordinates, coordinates, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_zone_over_the_whole_picture_holds_every_box(x: float, y: float, width: float, height: float) -> None:
    assert contains(WHOLE, foot_point(Box("person", 0.9, x, y, min(x + width, 1.0), min(y + height, 1.0))))


def test_left_is_where_the_left_hand_is_on_the_way_along_the_line() -> None:
    assert side_of(UPRIGHT, (0.3, 0.5)) == pytest.approx(-0.2)
    assert side_of(UPRIGHT, (0.7, 0.5)) == pytest.approx(0.2)
    over = crossing("door", UPRIGHT, (0.7, 0.5), (0.3, 0.5))
    assert over is not None
    assert over.direction == "to_left"
    back = crossing("door", UPRIGHT[::-1], (0.7, 0.5), (0.3, 0.5))
    assert back is not None
    assert back.direction == "to_right"


@given(points, points, points, points)
def test_who_comes_back_crosses_the_other_way(
    a: tuple[float, float], b: tuple[float, float], start: tuple[float, float], end: tuple[float, float]
) -> None:
    assume(a != b and start != end)
    assume(abs(side_of((a, b), start)) > 1e-6 < abs(side_of((a, b), end)))
    there, back = crossing("l", (a, b), start, end), crossing("l", (a, b), end, start)
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert {there.direction, back.direction} == {"to_left", "to_right"}


def test_past_the_end_of_a_line_nothing_is_crossed() -> None:
    assert crossing("door", UPRIGHT, (0.7, 0.95), (0.3, 0.95)) is None


def test_a_walk_is_one_object() -> None:
    tracker = follow([[person(0.1 + 0.06 * n, 0.8)] for n in range(12)])
    (track,) = tracker.visible(11 * HOP)
    assert track.first_ns == 0


def test_two_that_pass_each_other_stay_two() -> None:
    tracker = follow([[person(0.2 + 0.05 * n, 0.8), person(0.8 - 0.05 * n, 0.95)] for n in range(12)])
    first, second = tracker.visible(11 * HOP)
    assert (first.first_ns, second.first_ns) == (0, 0)
    assert (first.box.y2, second.box.y2) == (0.8, 0.95)
    assert first.box.x1 > second.box.x1


def test_a_short_occlusion_does_not_make_another() -> None:
    gap = [[] for _ in range(FORGET_NS // HOP - 1)]
    assert follow([[person(0.4, 0.8)], *gap, [person(0.45, 0.8)]]).visible(FORGET_NS)[0].first_ns == 0
    gap += [[], []]
    assert follow([[person(0.4, 0.8)], *gap, [person(0.4, 0.8)]]).visible(FORGET_NS + NS_PER_S)[0].first_ns != 0


def test_who_appears_far_away_is_another() -> None:
    tracker = follow([[person(0.1, 0.8)], [person(0.9, 0.8)]])
    assert [track.first_ns for track in tracker.visible(HOP)] == [HOP]


def test_weak_boxes_go_on_but_do_not_begin() -> None:
    assert follow([[person(0.4, 0.8, 0.2)]]).visible(0) == []
    assert len(follow([[person(0.4, 0.8, 0.5)], [person(0.4, 0.8, 0.2)]]).visible(HOP)) == 1


def test_one_thing_seen_as_two_classes_is_one() -> None:
    both = [person(0.5, 0.5, 0.8, label="car"), person(0.51, 0.5, 0.6, label="truck")]
    assert suppress_duplicates(both) == both[:1]
    assert iou(both[0], both[0]) == pytest.approx(1)
    assert iou(both[0], person(0.9, 0.9)) == 0


def test_a_way_knows_its_zones_in_order_and_for_how_long() -> None:
    places = ZoneMap({"right": ((0.5, 0), (1, 0), (1, 1), (0.5, 1)), "left": ((0, 0), (0.6, 0), (0.6, 1), (0, 1))}, {})
    tracker = follow([[person(0.26 + 0.05 * n, 0.8)] for n in range(7)], places)
    (track,) = tracker.visible(6 * HOP)
    assert track.path.zones(6 * HOP) == ("left", "right")
    assert track.path.dwell_ns("left", 6 * HOP) == 6 * HOP
    assert track.path.dwell_ns("right", 6 * HOP) == HOP


def test_trembling_at_the_edge_of_a_zone_does_not_begin_anew() -> None:
    places = ZoneMap({"yard": SQUARE}, {})
    tracker = follow([[person(0.79 + 0.02 * (n % 2), 0.5)] for n in range(9)], places)
    (track,) = tracker.visible(8 * HOP)
    assert track.path.dwell_ns("yard", 8 * HOP) == 8 * HOP
    left = follow([[person(0.79, 0.5)], *[[person(0.82, 0.5)]] * 3, [person(0.79, 0.5)]], places)
    assert left.visible(4 * HOP)[0].path.dwell_ns("yard", 4 * HOP) == 0


def crossings(xs: Sequence[float], y: float = 0.5) -> list[str]:
    tracker, found = Tracker(["person"]), []
    for n, x in enumerate(xs):
        tracker.advance(n * HOP, [person(x, y)], 16 / 9, ZoneMap({}, {"door": UPRIGHT}))
        found += [f"{n} {c.direction}" for track in tracker.visible(n * HOP) for c in track.path.crossings]
    return found


def test_a_crossing_is_told_once_and_trembling_on_the_line_is_none() -> None:
    assert crossings([0.3, 0.4, 0.49, 0.505, 0.495, 0.505, 0.6, 0.7]) == ["6 to_right"]
    assert crossings([0.3, 0.45, 0.505, 0.495, 0.505, 0.4]) == []
    assert crossings([0.4, 0.6, 0.4]) == ["1 to_right", "2 to_left"]
    assert crossings([0.4, 0.6], y=0.95) == []


def test_a_crossing_behind_a_post_counts_when_it_is_over() -> None:
    tracker = Tracker(["person"])
    places = ZoneMap({}, {"door": UPRIGHT})
    for n, boxes in enumerate([[person(0.4, 0.5)], [], [], [person(0.6, 0.5)]]):
        tracker.advance(n * HOP, boxes, 16 / 9, places)
    assert [c.direction for c in tracker.visible(3 * HOP)[0].path.crossings] == ["to_right"]


BOXES = st.lists(
    st.builds(person, st.floats(0.1, 0.9), st.floats(0.4, 1), st.floats(0.1, 1), st.floats(0.02, 0.2)), max_size=5
)


@given(st.lists(BOXES, max_size=15))
def test_every_box_is_of_one_object_and_every_object_of_one_box(windows: list[list[Box]]) -> None:
    tracker = Tracker(["person"])
    for n, boxes in enumerate(windows):
        tracker.advance(n * HOP, boxes, 16 / 9, ZoneMap({"yard": SQUARE}, {"door": UPRIGHT}))
        seen = tracker.visible(n * HOP)
        assert len({id(track.box) for track in seen}) == len(seen) <= len(boxes)
        assert all(any(track.box is box for box in boxes) for track in seen)
        for track in seen:
            for zone in track.path.zones(n * HOP):
                assert 0 <= track.path.dwell_ns(zone, n * HOP) <= n * HOP - track.first_ns
