"""The picture of an event: at its strongest moment, with what was found drawn in; and the small one beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.config.values import Point
from edge.errors import MediaError
from edge.evidence.clips.reel import ClipSource
from edge.evidence.clips.tape import PacketRange
from edge.media_time import MediaTime
from edge.types import F32, U8, Box, Rect

THUMBNAIL_WIDTH = 320
_QUALITY = 88
_SMALL_QUALITY = 80
_BOX = (255, 196, 0)  # RGB: amber stands out by day and in the grey of night
_ZONE = (64, 200, 255)
_TEXT_COLOUR = (16, 18, 22)
_FAINT = 0.25  # evidence below this share of the strongest is not shown


@dataclass(frozen=True, slots=True)
class SnapshotOverlay:
    """What goes onto a picture; all corners in 0..1 of it.

    ``heat`` f32[h,w] lies on the letterboxed canvas, of which ``content`` is the picture; None: not drawn.
    """

    title: str = ""
    boxes: Sequence[Box] = ()
    zones: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    heat: F32 | None = None
    content: Rect = (0.0, 0.0, 1.0, 1.0)


def picture_at(cut: PacketRange, time: MediaTime) -> U8 | None:
    """The picture u8[H,W,3] RGB shown at ``time``, whole and as the camera sent it; None where the cut begins later."""
    with closing(ClipSource(cut)) as reel:
        last: Any = None
        for shown_ns, frame in reel.pictures(-(2**62), 2**62):
            if shown_ns > cut.pts_of(time):
                break
            last = frame
        if last is None:
            return None
        turns = round(int(last.rotation) / 90) % 4
        return np.array(np.rot90(last.to_ndarray(format="rgb24"), turns), np.uint8)


def draw_overlay(picture: U8, drawing: SnapshotOverlay) -> U8:
    """A copy of ``picture`` u8[H,W,3] RGB with everything drawn onto it, faint things below, words above."""
    image: U8 = np.array(picture)
    if drawing.heat is not None:
        _heat(image, drawing.heat, drawing.content)
    scale = max(image.shape[0], 240) / 720
    for name, corners in drawing.zones.items():
        _zone(image, name, corners, scale)
    for box in sorted(drawing.boxes, key=lambda box: box.score):
        _box(image, box, scale)
    if drawing.title:
        _draw_text(image, drawing.title, (round(10 * scale), round(10 * scale)), scale, _TEXT_COLOUR, (255, 255, 255))
    return image


def encode_jpeg(image: U8, quality: int = _QUALITY) -> bytes:
    """``image`` u8[H,W,3] RGB as JPEG."""
    import cv2

    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise MediaError("a picture could not be encoded")
    return bytes(data.tobytes())


def thumbnail(image: U8) -> bytes:
    """``image`` u8[H,W,3] RGB as a JPEG of at most 320 pixels width."""
    import cv2

    height, width = image.shape[:2]
    if width > THUMBNAIL_WIDTH:
        size = (THUMBNAIL_WIDTH, max(1, round(height * THUMBNAIL_WIDTH / width)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encode_jpeg(image, _SMALL_QUALITY)


def _heat(image: U8, heat: F32, content: Rect) -> None:
    """Lay the evidence over the picture: the stronger, the less of the picture is seen through it."""
    import cv2

    rows, columns = heat.shape
    fine = cv2.resize(heat, (columns * 16, rows * 16), interpolation=cv2.INTER_CUBIC)
    left, top, right, bottom = content
    x1, x2 = round(left * columns * 16), round(right * columns * 16)
    y1, y2 = round(top * rows * 16), round(bottom * rows * 16)
    part = fine[y1:y2, x1:x2]
    strongest = float(part.max()) if part.size else 0.0
    if strongest <= 0:
        return
    share = np.clip((part / strongest - _FAINT) / (1 - _FAINT), 0, 1)
    share = cv2.resize(share, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    colours = cv2.applyColorMap(np.round(share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    weight = (0.5 * share)[:, :, None]
    image[:] = np.round(image * (1 - weight) + colours * weight).astype(np.uint8)


def _zone(image: U8, name: str, corners: Sequence[Point], scale: float) -> None:
    import cv2

    height, width = image.shape[:2]
    points = np.array([[round(x * (width - 1)), round(y * (height - 1))] for x, y in corners], np.int32)
    tinted = image.copy()
    cv2.fillPoly(tinted, [points], _ZONE)
    cv2.addWeighted(tinted, 0.12, image, 0.88, 0, dst=image)
    cv2.polylines(image, [points], True, _ZONE, max(1, round(1.5 * scale)), cv2.LINE_AA)
    x, y = points[np.argmax(points[:, 1] * 4 - points[:, 0])]  # low and left: the title stands above
    _draw_text(image, name, (int(x) + 2, int(y) - round(26 * scale)), 0.8 * scale, _ZONE, _TEXT_COLOUR)


def _box(image: U8, box: Box, scale: float) -> None:
    import cv2

    height, width = image.shape[:2]
    corner = (round(box.x1 * (width - 1)), round(box.y1 * (height - 1)))
    other = (round(box.x2 * (width - 1)), round(box.y2 * (height - 1)))
    line = max(1, round(2 * scale))
    cv2.rectangle(image, corner, other, _TEXT_COLOUR, line + 2, cv2.LINE_AA)
    cv2.rectangle(image, corner, other, _BOX, line, cv2.LINE_AA)
    above = corner[1] - round(26 * scale)
    place = (corner[0], above if above >= 0 else corner[1] + line)
    _draw_text(image, f"{box.label} {box.score:.0%}", place, 0.8 * scale, _BOX, _TEXT_COLOUR)


def _draw_text(
    image: U8, text: str, place: tuple[int, int], scale: float, ground: tuple[int, int, int], ink: tuple[int, int, int]
) -> None:
    """Words on a plate whose top left corner is ``place``, moved into the picture."""
    import cv2

    size, line = max(0.35, 0.6 * scale), max(1, round(1.2 * scale))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, line)
    pad = max(2, round(5 * scale))
    x = min(max(0, place[0]), max(0, image.shape[1] - width - 2 * pad))
    y = min(max(0, place[1]), max(0, image.shape[0] - height - below - 2 * pad))
    cv2.rectangle(image, (x, y), (x + width + 2 * pad, y + height + below + pad), ground, cv2.FILLED)
    cv2.putText(image, text, (x + pad, y + pad + height), cv2.FONT_HERSHEY_SIMPLEX, size, ink, line, cv2.LINE_AA)
