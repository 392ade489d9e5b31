"""Tracks the objects of one camera over windows, from boxes that come every half second. Deterministic.

A box is matched to the object that it overlaps or that may have moved this far: greedy, best pair first, after each
object's last motion was continued. An object that is not detected is kept for two seconds, to bridge short occlusions.
`TrackedScene` puts objects on a time axis that continues over breaks of the media clock. On the engine thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from math import hypot, sqrt
from typing import Literal

from edge.config.sources import CameraConfig
from edge.detect.rules import objects_of
from edge.detect.zones import LineCrossing, TrackPath, ZoneMap, foot_point
from edge.engine.manifest import CLASSES_BY_LABEL, Manifest
from edge.media_time import MediaTime
from edge.types import NS_PER_S, Box, Scores, seconds

BEGIN = 0.35
"""Box score from which a new object is accepted: about where the model's labels reach one half."""
CONTINUE = 0.15
"""Box score that continues a known object."""
FORGET_NS = 2 * NS_PER_S
NEW_NS = 10 * NS_PER_S
"""An object that was first seen less long ago is followed in every picture: later ones either move or stay."""
MAX_STEP = 2.0
"""How far an object may move between two windows, in sizes (square root of its box's area)."""
DUPLICATE_IOU = 0.6
"""Boxes of one kind that overlap by this much are one object detected as two classes."""
_LEAST_OVERLAP = 0.1


class ObjectTrack:
    """One object; ``box`` is its last box, ``number`` identifies it within its tracker."""

    __slots__ = ("_velocity", "box", "first_ns", "number", "path", "seen_ns")

    def __init__(self, number: int, t_ns: int, box: Box) -> None:
        self.number = number
        self.box = box
        self.first_ns = self.seen_ns = t_ns
        self.path = TrackPath()
        self._velocity = (0.0, 0.0)

    def move(self, t_ns: int, box: Box) -> None:
        """Note that it was detected at ``t_ns`` in ``box``."""
        (x, y), (new_x, new_y) = foot_point(self.box), foot_point(box)
        passed_s = seconds(t_ns - self.seen_ns)
        self._velocity = ((new_x - x) / passed_s, (new_y - y) / passed_s)
        self.box, self.seen_ns = box, t_ns

    def match_score(self, t_ns: int, box: Box, aspect: float) -> float:
        """How well ``box`` continues this object, 0 for not at all; ``aspect`` is the picture's width by height."""
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
        """Process the boxes of the window at ``t_ns``, which is later than the last."""
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
        """The objects in the window at ``t_ns``, the oldest first."""
        return [track for track in self._tracks if track.seen_ns == t_ns]

    def has_newer_than(self, t_ns: int) -> bool:
        """Whether an object that is not forgotten was first seen after ``t_ns``."""
        return any(track.first_ns > t_ns for track in self._tracks)

    def _pairs(self, t_ns: int, boxes: Sequence[Box], aspect: float) -> list[tuple[ObjectTrack, int]]:
        """Matches objects with boxes, each at most once."""
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
    """The boxes without those that overlap a better one, best first."""
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


@dataclass(frozen=True, slots=True)
class PlaceCondition:
    """Where an object must be for a rule: in any of ``zones`` (without: anywhere), crossing any of ``lines`` (if there
    are any), and present for ``after_ns``."""

    zones: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    direction: Literal["any", "to_left", "to_right"] = "any"
    after_ns: int = 0


@dataclass(frozen=True, slots=True)
class TrackedObject:
    """An object that meets a rule's place condition for ``dwell_ns``, in the rule's ``zone`` if it names any.

    ``zones`` are all zones that it is in, in order of entry; ``crossings`` those that match the rule; ``track`` is its
    number among the objects of its label.
    """

    box: Box
    zones: tuple[str, ...]
    zone: str
    dwell_ns: int
    crossings: tuple[LineCrossing, ...]
    track: int = 0


class TrackedScene:
    """One camera's objects by the label that they evidence."""

    def __init__(self, manifest: Manifest) -> None:
        self._canvas = manifest.geometry.video.width, manifest.geometry.video.height
        kinds = {label: objects_of(label, manifest) for label in CLASSES_BY_LABEL}
        self._trackers = {label: Tracker(classes) for label, classes in kinds.items() if classes}
        self._places = ZoneMap({}, {})
        self._last: tuple[MediaTime, int] | None = None  # media time, local time
        self._t_ns = 0

    def set_zones(self, camera: CameraConfig | None) -> None:
        """Set the zones and lines of the camera."""
        self._places = ZoneMap(camera.zones, camera.lines) if camera is not None else ZoneMap({}, {})

    def advance(self, scores: Scores, *, is_covered: bool) -> int | None:
        """The window's time on the axis of this camera; None when it is not newer than the last."""
        if self._last is not None:
            media, local_ns = self._last
            is_same = scores.media_end.is_on(media)
            passed_ns = scores.media_end.since(media) if is_same else scores.t_end_ns - local_ns
            if passed_ns <= 0:
                return None
            self._t_ns += passed_ns
        self._last = scores.media_end, scores.t_end_ns
        if is_covered and scores.video_ok:
            for tracker in self._trackers.values():
                tracker.advance(self._t_ns, scores.boxes, self._aspect(scores), self._places)
        return self._t_ns

    def objects(self, label: str, place: PlaceCondition) -> tuple[TrackedObject, ...]:
        """The objects of ``label`` in the newest window that meet ``place``, best score first."""
        tracker = self._trackers.get(label)
        if tracker is None:
            return ()
        there = [found for track in tracker.visible(self._t_ns) if (found := self._there(track, place)) is not None]
        return tuple(sorted(there, key=lambda found: -found.box.score))

    def has_new(self, label: str) -> bool:
        """Whether an object of ``label`` came lately and is still there, or was a moment ago."""
        tracker = self._trackers.get(label)
        return tracker is not None and tracker.has_newer_than(self._t_ns - NEW_NS)

    def _there(self, track: ObjectTrack, place: PlaceCondition) -> TrackedObject | None:
        zones = track.path.zones(self._t_ns)
        stood = {zone: track.path.dwell_ns(zone, self._t_ns) for zone in zones if zone in place.zones}
        if place.zones and not stood:
            return None
        zone = max(stood, key=lambda name: stood[name], default="")
        stood_ns = stood[zone] if zone else self._t_ns - track.first_ns
        crossings = tuple(c for c in track.path.crossings if _is_wanted(c, place))
        if stood_ns < place.after_ns or (place.lines and not crossings):
            return None
        return TrackedObject(track.box, zones, zone, stood_ns, crossings, track.number)

    def _aspect(self, scores: Scores) -> float:
        """The picture's width by its height."""
        left, top, right, bottom = scores.content
        width, height = (right - left) * self._canvas[0], (bottom - top) * self._canvas[1]
        return width / height if height > 0 else 1.0


def _is_wanted(crossing: LineCrossing, place: PlaceCondition) -> bool:
    return crossing.line in place.lines and place.direction in {"any", crossing.direction}
