"""The interface of sources, their options, and privacy masks.

One thread reads a source: its capture thread, or a replay driver. A mask is black before anything scores, stores or
shows the picture.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.capture.bursts import BurstTurn
from edge.capture.packet_sink import PacketSink
from edge.config.values import Point
from edge.demand import PictureDemand
from edge.types import U8, MediaItem

Polygons = Sequence[Sequence[Point]]
_BORDER = 4  # pixels


class PrivacyMask:
    """Polygons in 0..1 of the camera's picture. Every pixel that they touch, and two more around, become black."""

    def __init__(self, polygons: Polygons = ()) -> None:
        self._polygons = tuple(polygons)
        self._covered: NDArray[np.bool_] | None = None

    def apply(self, picture: U8) -> None:
        """Blacken ``picture`` u8[H,W,3], the camera's own without letterbox, in place."""
        if not self._polygons:
            return
        if self._covered is None or self._covered.shape != picture.shape[:2]:
            self._covered = covered_pixels(self._polygons, picture.shape[1], picture.shape[0])
        picture[self._covered] = 0


def covered_pixels(polygons: Polygons, width: int, height: int) -> NDArray[np.bool_]:
    """Which pixels bool[height,width] the polygons touch, and two around: scaling and colour mix neighbours."""
    import cv2

    plane = np.zeros((height + 2 * _BORDER, width + 2 * _BORDER), np.uint8)  # corners may be rounded out of the picture
    for polygon in polygons:
        corners = np.array([[x * width - 0.5 + _BORDER, y * height - 0.5 + _BORDER] for x, y in polygon])
        cv2.fillPoly(plane, [np.round(corners).astype(np.int32)], 1)
    covered = cv2.dilate(plane, np.ones((5, 5), np.uint8)) > 0
    return np.asarray(covered[_BORDER:-_BORDER, _BORDER:-_BORDER])


class MediaSource(Protocol):
    """A camera, microphone or recording that yields items in order of arrival."""

    name: str
    live: bool
    """Whether media is lost while it is not read: a recording waits, a camera does not."""
    has_video: bool
    has_audio: bool
    """Which streams it delivers; both False until it was opened, that is until the first item."""

    def items(self) -> Generator[MediaItem, None, None]:
        """Open and read; ends with the recording, or when closed.

        A frame's pixels are valid until the next item. SourceError: expected trouble of a device or the network;
        MediaError: a recording that cannot be read. Callable again after it ended or raised: that opens anew.
        """
        ...

    def close(self) -> None:
        """Ask `items` to end soon; callable from any thread, more than once."""
        ...


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Options of a source: the privacy ``masks`` over its picture, and the sink of its encoded packets.

    ``keep_sound``: whether packets of the source's own sound are kept, too. ``threads``: threads for decoding; more
    than one delays pictures by a few, which is fine only for recordings that are not watched live. ``demand``: who
    wants pictures; without it all are decoded. ``burst_ns``: for how long a quiet camera's packets may gather unread;
    cameras with one ``burst_turn`` read theirs one after another.
    """

    masks: Polygons = ()
    packet_sink: PacketSink | None = None
    keep_sound: bool = True
    threads: int = 1
    demand: PictureDemand | None = None
    burst_ns: int = 0
    burst_turn: BurstTurn | None = None


DEFAULT_OPTIONS = SourceOptions()
