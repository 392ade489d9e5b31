"""Zones and lines: where an object is and what it crosses. Pure geometry.

Coordinates are 0..1 of the camera's picture, y downwards. The position of an object is its foot point, the middle of
its box's lower edge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot
from typing import Literal

from edge.types import NS_PER_S, Box

Point = tuple[float, float]
Direction = Literal["to_left", "to_right"]

EDGE = 0.01
"""Foot points are moved this far inside the picture, so that boxes at its edge are in zones drawn to the edge."""
LINE_MARGIN = 0.15
"""Share of its width by which an object must be away from a line to be on one side, so that jitter is no crossing."""
LEAVE_AFTER_NS = 1 * NS_PER_S
"""An object that is outside a zone for no longer than this has not left it."""


@dataclass(frozen=True, slots=True)
class ZoneMap:
    """The zones and lines of one camera."""

    zones: Mapping[str, tuple[Point, ...]]
    lines: Mapping[str, tuple[Point, Point]]


@dataclass(frozen=True, slots=True)
class LineCrossing:
    """A crossing of ``line``, with the direction seen from the line's first point to its second."""

    line: str
    direction: Direction


def foot_point(box: Box) -> Point:
    """The middle of the lower edge, a little inside the picture."""
    return _inside((box.x1 + box.x2) / 2), _inside(box.y2)


def contains(polygon: tuple[Point, ...], point: Point) -> bool:
    """Whether ``point`` lies in the polygon (even-odd rule)."""
    x, y = point
    inside = False
    x1, y1 = polygon[-1]
    for x2, y2 in polygon:
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
        x1, y1 = x2, y2
    return inside


def side_of(line: tuple[Point, Point], point: Point) -> float:
    """How far to the right of the line the point lies, seen from its first point to its second; negative: left."""
    (ax, ay), (bx, by) = line
    return ((bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax)) / hypot(bx - ax, by - ay)


def crossing(name: str, line: tuple[Point, Point], start: Point, end: Point) -> LineCrossing | None:
    """The crossing of the line on the way from ``start`` to ``end``; None when there is none."""
    before, after = side_of(line, start), side_of(line, end)
    if before == 0 or before * after >= 0:
        return None
    ends = side_of((start, end), line[0]), side_of((start, end), line[1])
    if ends[0] * ends[1] > 0:
        return None
    return LineCrossing(name, "to_left" if after < 0 else "to_right")


class TrackPath:
    """One object's path through the zones and lines of its camera."""

    __slots__ = ("_clear", "_inside_ns", "_since_ns", "crossings")

    def __init__(self) -> None:
        self._since_ns: dict[str, int] = {}  # zone -> time of entry, in order
        self._inside_ns: dict[str, int] = {}  # zone -> last time inside
        self._clear: dict[str, Point] = {}  # line -> the last point that was clearly on one side
        self.crossings: tuple[LineCrossing, ...] = ()

    def advance(self, t_ns: int, box: Box, places: ZoneMap) -> None:
        """Note that the object was detected at ``t_ns``; sets ``crossings``."""
        foot = foot_point(box)
        for zone, polygon in places.zones.items():
            if contains(polygon, foot):
                self._since_ns.setdefault(zone, t_ns)
                self._inside_ns[zone] = t_ns
        for zone in [
            z for z, seen_ns in self._inside_ns.items() if t_ns - seen_ns > LEAVE_AFTER_NS or z not in places.zones
        ]:
            del self._since_ns[zone], self._inside_ns[zone]
        self.crossings = tuple(self._cross(foot, (box.x2 - box.x1) * LINE_MARGIN, places.lines))

    def stay(self) -> None:
        """Note that the object was not detected now."""
        self.crossings = ()

    def zones(self, t_ns: int) -> tuple[str, ...]:
        """The zones that it is in at ``t_ns``, in order of entry."""
        return tuple(zone for zone in self._since_ns if self._inside_ns[zone] == t_ns)

    def dwell_ns(self, zone: str, t_ns: int) -> int:
        """For how long it has been in ``zone``."""
        return t_ns - self._since_ns[zone]

    def _cross(self, foot: Point, clear: float, lines: Mapping[str, tuple[Point, Point]]) -> list[LineCrossing]:
        found = []
        for name, line in lines.items():
            if abs(side_of(line, foot)) < clear:
                continue
            start = self._clear.get(name)
            self._clear[name] = foot
            if start is not None and (crossed := crossing(name, line, start, foot)) is not None:
                found.append(crossed)
        return found


def _inside(value: float) -> float:
    return min(max(value, EDGE), 1 - EDGE)
