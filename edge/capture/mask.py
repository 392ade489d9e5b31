"""Privacy masks: parts of the picture that are black before anything sees, stores or shows it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.config.values import Point
from edge.types import U8

Polygons = Sequence[Sequence[Point]]


class PrivacyMask:
    """Polygons in 0..1 of the camera's picture; every pixel that they touch, and two more around, are black."""

    def __init__(self, polygons: Polygons = ()) -> None:
        self._polygons = tuple(polygons)
        self._covered: NDArray[np.bool_] | None = None

    def apply(self, picture: U8) -> None:
        """Blacken ``picture`` u8[H,W,3], the camera's own without a letterbox, in place."""
        if not self._polygons:
            return
        if self._covered is None or self._covered.shape != picture.shape[:2]:
            self._covered = covered_pixels(self._polygons, picture.shape[1], picture.shape[0])
        picture[self._covered] = 0


def covered_pixels(polygons: Polygons, width: int, height: int) -> NDArray[np.bool_]:
    """Which pixels bool[height,width] the polygons touch, and two around: scaling and colour mix neighbours."""
    import cv2

    plane = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        corners = np.array([[x * width - 0.5, y * height - 0.5] for x, y in polygon])
        cv2.fillPoly(plane, [np.round(corners).astype(np.int32)], 1)
    return np.asarray(cv2.dilate(plane, np.ones((5, 5), np.uint8)) > 0)
