"""Boxes of one camera's windows, joined to objects. Deterministic; boxes come once a window, every half second.

A box belongs to the object that it overlaps or that may have come so far: greedy, best pair first, after each object's
last movement went on. An object that is not seen is remembered for two seconds, so that a short occlusion does not make
it another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count
from math import hypot, sqrt

from edge.detect.zones import TrackPath, ZoneMap, foot_point
from edge.types import NS_PER_S, Box, seconds

BEGIN = 0.35
"""Box score from which a new object is believed: about where the model's labels reach one half."""
CONTINUE = 0.15
"""Box score that is enough where an object is already known."""
FORGET_NS = 2 * NS_PER_S
MAX_STEP = 2.0
"""How far an object may come between two windows, in sizes (square root of its box's area)."""
DUPLICATE_IOU = 0.6
"""Boxes of one kind that overlap by this much are one object seen as two classes."""
_LEAST_OVERLAP = 0.1


class ObjectTrack:
    """One object; ``box`` is where it was seen last, ``number`` its own among those of its tracker."""

    __slots__ = ("_velocity", "box", "first_ns", "number", "path", "seen_ns")

    def __init__(self, number: int, t_ns: int, box: Box) -> None:
        self.number = number
        self.box = box
        self.first_ns = self.seen_ns = t_ns
        self.path = TrackPath()
        self._velocity = (0.0, 0.0)

    def move(self, t_ns: int, box: Box) -> None:
        """It was seen at ``t_ns`` in ``box``."""
        (x, y), (new_x, new_y) = foot_point(self.box), foot_point(box)
        passed_s = seconds(t_ns - self.seen_ns)
        self._velocity = ((new_x - x) / passed_s, (new_y - y) / passed_s)
        self.box, self.seen_ns = box, t_ns

    def match_score(self, t_ns: int, box: Box, aspect: float) -> float:
        """How well ``box`` goes on with this object, 0 for not at all; ``aspect`` is the picture's width by height."""
        (x, y), (new_x, new_y) = foot_point(self.box), foot_point(box)
        passed_s = min(seconds(t_ns - self.seen_ns), 1.0)
        ahead_x, ahead_y = x + self._velocity[0] * passed_s, y + self._velocity[1] * passed_s
        size = sqrt(max(_area(self.box), _area(box)) * aspect)
        away = min(
            hypot((new_x - x) * aspect, new_y - y),
            hypot((new_x - ahead_x) * aspect, new_y - ahead_y),
        )
        nearness = 1 - away / (MAX_STEP * size) if size > 0 else 0.0
        shared = iou(self.box, box)
        return shared + max(nearness, 0.0) if nearness > 0 or shared >= _LEAST_OVERLAP else 0.0


class Tracker:
    """The objects of one kind on one camera."""

    def __init__(self, classes: Iterable[str]) -> None:
        self._classes = frozenset(classes)
        self._tracks: list[ObjectTrack] = []
        self._numbers = count()

    def advance(self, t_ns: int, boxes: Sequence[Box], aspect: float, places: ZoneMap) -> None:
        """Take in the boxes of the window at ``t_ns``, which is later than the last."""
        self._tracks = [track for track in self._tracks if t_ns - track.seen_ns <= FORGET_NS]
        found = suppress_duplicates([box for box in boxes if box.label in self._classes and box.score >= CONTINUE])
        known = set()
        for track, n in self._pairs(t_ns, found, aspect):
            track.move(t_ns, found[n])
            known.add(n)
        fresh = [box for n, box in enumerate(found) if n not in known and box.score >= BEGIN]
        self._tracks += [ObjectTrack(next(self._numbers), t_ns, box) for box in fresh]
        for track in self._tracks:
            if track.seen_ns == t_ns:
                track.path.advance(t_ns, track.box, places)
            else:
                track.path.stay()

    def visible(self, t_ns: int) -> list[ObjectTrack]:
        """The objects that are in the window at ``t_ns``, those known longest first."""
        return [track for track in self._tracks if track.seen_ns == t_ns]

    def _pairs(self, t_ns: int, boxes: Sequence[Box], aspect: float) -> list[tuple[ObjectTrack, int]]:
        """Which object each box goes on with; every object and every box once."""
        likely = sorted(
            (-likeness, i, n)
            for i, track in enumerate(self._tracks)
            for n, box in enumerate(boxes)
            if (likeness := track.match_score(t_ns, box, aspect)) > 0
        )
        tracks: set[int] = set()
        taken: set[int] = set()
        pairs = []
        for _, i, n in likely:
            if i not in tracks and n not in taken:
                tracks.add(i)
                taken.add(n)
                pairs.append((self._tracks[i], n))
        return pairs


def suppress_duplicates(boxes: Sequence[Box]) -> list[Box]:
    """The boxes without those that a better one covers, best first."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda b: -b.score):
        if all(iou(box, other) < DUPLICATE_IOU for other in kept):
            kept.append(box)
    return kept


def iou(a: Box, b: Box) -> float:
    """Intersection over union."""
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (_area(a) + _area(b) - shared)


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)
