"""Blurring of people or other classes, in stored and live pictures, and privacy masks in stored ones.

A packet holds what the camera sent, so every picture of a masked camera is decoded, blackened here before anything is
written, and encoded again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.config.values import Point
from edge.engine.manifest import object_classes_of
from edge.media_time import MediaTime
from edge.types import NS_PER_S, U8, Box, Rect

CELLS = 6
"""Mean values that are left along the longer side of a blurred box: too few to recognise a face."""
LEAST_SCORE = 0.2  # lower than for drawing a box: blurring too much costs less than showing a face
_AROUND = 0.2  # of the box's size, on each side
_HOLD_BEFORE_NS = NS_PER_S
_HOLD_AFTER_NS = 3 * NS_PER_S // 2
_BLIND_NS = 3 * NS_PER_S // 2
_SAME_NS = 3 * NS_PER_S  # a box that was gone for longer is another object
_SAME_WAY = 1.5  # how far it may have moved meanwhile, in its own sizes

_FURTHER = 3.0  # for at most how many steps the last motion is continued

TimedBoxes = tuple[MediaTime, Sequence[Box]]
"""A time and the boxes detected then."""
Polygons = Sequence[Sequence[Point]]
_BLACK, _NO_COLOUR = 16, 128  # of luma and of both chroma planes, limited range


def blur_boxes(image: U8, boxes: Sequence[Box], classes: Collection[str]) -> U8:
    """A copy of ``image`` u8[H,W,3] in which the boxes of ``classes``, enlarged, cannot be recognised."""
    made: U8 = np.array(image)
    for rect in rects_of(boxes, classes):
        blur(made, rect)
    return made


def rects_of(boxes: Sequence[Box], classes: Collection[str]) -> list[Rect]:
    """The boxes of ``classes`` (or of labels that cover several, as ``vehicle``), enlarged."""
    classes = object_classes_of(classes)
    return [_around((b.x1, b.y1, b.x2, b.y2)) for b in boxes if b.label in classes and b.score >= LEAST_SCORE]


def blur(plane: U8, rect: Rect) -> None:
    """Replace ``rect`` of ``plane`` u8[H,W] or u8[H,W,3] by the smoothed means of a few cells, in place."""
    import cv2

    height, width = plane.shape[:2]
    x1, x2 = max(0, int(rect[0] * width)), min(width, int(np.ceil(rect[2] * width)))
    y1, y2 = max(0, int(rect[1] * height)), min(height, int(np.ceil(rect[3] * height)))
    if x2 <= x1 or y2 <= y1:
        return
    part = plane[y1:y2, x1:x2]
    cell = max(x2 - x1, y2 - y1) / CELLS
    size = (max(1, round((x2 - x1) / cell)), max(1, round((y2 - y1) / cell)))
    means = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    plane[y1:y2, x1:x2] = cv2.resize(means, (x2 - x1, y2 - y1), interpolation=cv2.INTER_LINEAR)


@dataclass(slots=True)
class _BlurTrack:
    """One object over time: its corners at the times at which it was detected."""

    label: str
    times: list[int] = field(default_factory=list)
    corners: list[Rect] = field(default_factory=list)


class BlurTracks:
    """Where to blur at any time of one epoch, from boxes that come once a window.

    Between two detections the area of both is blurred. A box is also blurred for 1 s before its first detection and
    for 1.5 s after its last, there together with where its motion leads. More than 1.5 s from any scored window, and
    in any other epoch, the whole picture is blurred.
    """

    def __init__(self, moments: Sequence[TimedBoxes], classes: Collection[str]) -> None:
        """ValueError for moments of more than one epoch."""
        classes = object_classes_of(classes)
        self._tracks: list[_BlurTrack] = []
        epochs = {time.epoch for time, _ in moments}
        if len(epochs) > 1:
            raise ValueError(f"moments of the epochs {sorted(epochs)} have no clock in common")
        self._epoch = epochs.pop() if epochs else None
        self._times = np.array(sorted({time.pts_ns for time, _ in moments}), np.int64)
        for time, boxes in sorted(moments, key=lambda moment: moment[0]):
            self._add_boxes(time.pts_ns, [b for b in boxes if b.label in classes and b.score >= LEAST_SCORE])

    def is_needed(self, begin: MediaTime, end: MediaTime) -> bool:
        """Whether anything is to be blurred between the two times."""
        return self._is_blind(begin, end) or any(
            track.times[0] - _HOLD_BEFORE_NS <= end.pts_ns and begin.pts_ns <= track.times[-1] + _HOLD_AFTER_NS
            for track in self._tracks
        )

    def rects(self, time: MediaTime) -> list[Rect]:
        """The areas to blur at ``time``, enlarged; may reach beyond 0..1."""
        if self._is_blind(time, time):
            return [(0.0, 0.0, 1.0, 1.0)]
        t_ns = time.pts_ns
        return [_around(corners) for track in self._tracks if (corners := _at(track, t_ns)) is not None]

    def _is_blind(self, begin: MediaTime, end: MediaTime) -> bool:
        """Whether a time between the two is further than 1.5 s from any scored window."""
        if begin.epoch != self._epoch or end.epoch != self._epoch:
            return True
        begin_ns, end_ns = begin.pts_ns, end.pts_ns
        near = self._times[(self._times >= begin_ns - _BLIND_NS) & (self._times <= end_ns + _BLIND_NS)]
        if not len(near) or near[0] > begin_ns + _BLIND_NS or near[-1] < end_ns - _BLIND_NS:
            return True
        return bool(np.any(np.diff(near) > 2 * _BLIND_NS))

    def _add_boxes(self, t_ns: int, boxes: Sequence[Box]) -> None:
        free = [track for track in self._tracks if t_ns - track.times[-1] <= _SAME_NS and track.times[-1] < t_ns]
        pairs = sorted(
            (
                (_centre_distance(track.corners[-1], box), k, i)
                for k, track in enumerate(free)
                for i, box in enumerate(boxes)
                if track.label == box.label
            ),
        )
        taken: dict[int, int] = {}
        for way, k, i in pairs:
            if way <= _SAME_WAY and k not in taken.values() and i not in taken:
                taken[i] = k
        for i, box in enumerate(boxes):
            track = free[taken[i]] if i in taken else _BlurTrack(box.label)
            if i not in taken:
                self._tracks.append(track)
            track.times.append(t_ns)
            track.corners.append((box.x1, box.y1, box.x2, box.y2))


def _at(track: _BlurTrack, t_ns: int) -> Rect | None:
    times = track.times
    if not times[0] - _HOLD_BEFORE_NS <= t_ns <= times[-1] + _HOLD_AFTER_NS:
        return None
    after = int(np.searchsorted(times, t_ns))
    if 0 < after < len(times) or len(times) == 1:
        return _hull(track.corners[max(0, after - 1) : after + 1])
    last, former = (0, 1) if after == 0 else (-1, -2)
    share = min((t_ns - times[last]) / (times[last] - times[former]), _FURTHER)
    went = zip(track.corners[last], track.corners[former], strict=True)
    x1, y1, x2, y2 = (near + (near - far) * share for near, far in went)
    return _hull([track.corners[last], (x1, y1, x2, y2)])


def _hull(corners: Sequence[Rect]) -> Rect:
    """The bounding rectangle."""
    x1, y1, x2, y2 = zip(*corners, strict=True)
    return min(x1), min(y1), max(x2), max(y2)


def _centre_distance(corners: Rect, box: Box) -> float:
    """The distance of two boxes' centres, in sizes of the larger one."""
    size = max(corners[2] - corners[0], corners[3] - corners[1], box.x2 - box.x1, box.y2 - box.y1, 1e-6)
    dx = (corners[0] + corners[2] - box.x1 - box.x2) / 2
    dy = (corners[1] + corners[3] - box.y1 - box.y2) / 2
    return float(np.hypot(dx, dy)) / size


def _around(corners: Rect) -> Rect:
    x1, y1, x2, y2 = corners
    dx, dy = (x2 - x1) * _AROUND, (y2 - y1) * _AROUND
    return x1 - dx, y1 - dy, x2 + dx, y2 + dy


class MaskOverlay:
    """Polygons in 0..1 of the camera's picture. Every pixel that they touch, and one more around, becomes black."""

    def __init__(self, polygons: Polygons) -> None:
        self._polygons = tuple(polygons)
        self._luma: NDArray[np.bool_] | None = None
        self._chroma: NDArray[np.bool_] | None = None

    def __bool__(self) -> bool:
        return bool(self._polygons)

    def apply(self, picture: U8) -> None:
        """Blacken ``picture`` u8[H,W,3] in place."""
        if self._polygons:
            picture[self._mask(picture.shape[1], picture.shape[0])] = 0

    def apply_planes(self, luma: U8, blue: U8, red: U8) -> None:
        """Blacken a picture in place: ``luma`` u8[H,W], ``blue`` and ``red`` u8[H/2,W/2]; sizes are even."""
        if not self._polygons:
            return
        covered = self._mask(luma.shape[1], luma.shape[0])
        if self._chroma is None or self._chroma.shape != blue.shape:
            height, width = blue.shape
            self._chroma = np.asarray(covered.reshape(height, 2, width, 2).any(axis=(1, 3)))
        luma[covered] = _BLACK
        blue[self._chroma] = _NO_COLOUR
        red[self._chroma] = _NO_COLOUR

    def _mask(self, width: int, height: int) -> NDArray[np.bool_]:
        known = self._luma
        if known is None or known.shape != (height, width):
            known = mask_pixels(self._polygons, width, height)
            self._luma, self._chroma = known, None
        return known


def mask_pixels(polygons: Polygons, width: int, height: int) -> NDArray[np.bool_]:
    """Which pixels bool[height,width] the polygons touch, with one pixel around."""
    import cv2

    plane = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        corners = np.array([[x * width - 0.5, y * height - 0.5] for x, y in polygon])
        cv2.fillPoly(plane, [np.round(corners).astype(np.int32)], 1)
    return np.asarray(cv2.dilate(plane, np.ones((3, 3), np.uint8)) > 0)
