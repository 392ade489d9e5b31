"""The objects of one camera, on one axis of time that goes on over breaks of the media clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.config.sources import CameraConfig
from edge.detect.rules import objects_of
from edge.detect.tracks import ObjectTrack, Tracker
from edge.detect.zones import LineCrossing, ZoneMap
from edge.engine.manifest import CLASSES_BY_LABEL, Manifest
from edge.media_time import MediaTime
from edge.types import Box, Scores


@dataclass(frozen=True, slots=True)
class PlaceCondition:
    """Where an object must be for a rule: in any of ``zones`` (everywhere without), going over any of ``lines`` (if
    there are any), and there for ``after_ns``."""

    zones: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    direction: Literal["any", "to_left", "to_right"] = "any"
    after_ns: int = 0


@dataclass(frozen=True, slots=True)
class TrackedObject:
    """An object that is where a rule wants it: for ``dwell_ns``, in the rule's ``zone`` if it names any.

    ``zones`` are all that it is in, in the order in which it entered them; ``crossings`` those that the rule asks for;
    ``track`` is its number among the objects of its label.
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
        """Take over what is drawn on the camera's picture."""
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
        """The objects of ``label`` that are in the newest window where ``place`` wants them, best seen first."""
        tracker = self._trackers.get(label)
        if tracker is None:
            return ()
        there = [found for track in tracker.visible(self._t_ns) if (found := self._there(track, place)) is not None]
        return tuple(sorted(there, key=lambda found: -found.box.score))

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
