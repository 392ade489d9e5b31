"""Privacy masks in pictures that are stored: black before anything is written.

A packet holds what the camera sent, so every picture of a masked camera is decoded, covered here and encoded again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.config.values import Point
from edge.types import U8

Polygons = Sequence[Sequence[Point]]
_BLACK, _NO_COLOUR = 16, 128  # of luma and of both chroma planes, limited range


class MaskOverlay:
    """Polygons in 0..1 of the camera's picture; every pixel that they touch, and one more around, is black."""

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
