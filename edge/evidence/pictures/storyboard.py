"""Small pictures side by side on one sheet, each with a few words under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.types import U8

COLUMNS, TILE_WIDTH, TILE_HEIGHT, CAPTION, GAP = 4, 240, 135, 24, 4
STORYBOARD_QUALITY = 80
_BACKGROUND, _CAPTION_COLOUR = (28, 24, 22), (230, 230, 230)
_VERDICT_COLOURS = {"true": (96, 196, 96), "false": (150, 150, 150)}  # BGR


@dataclass(frozen=True, slots=True)
class StoryboardTile:
    """One picture (JPEG) with the words under it, and what a person said of it."""

    jpeg: bytes
    words: str
    verdict: str | None = None


def make_storyboard(tiles: Sequence[StoryboardTile]) -> bytes | None:
    """A JPEG of `COLUMNS` columns in the order given; pictures keep their shape. None where none can be read."""
    import cv2

    pictures = [
        (tile, cv2.imdecode(np.frombuffer(tile.jpeg, np.uint8), cv2.IMREAD_COLOR)) for tile in tiles if tile.jpeg
    ]
    shown = [(tile, np.asarray(picture, np.uint8)) for tile, picture in pictures if picture is not None]
    if not shown:
        return None
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    size = (rows * (TILE_HEIGHT + CAPTION + GAP) + GAP, columns * (TILE_WIDTH + GAP) + GAP, 3)
    sheet = np.full(size, _BACKGROUND, np.uint8)
    for n, (tile, picture) in enumerate(shown):
        top = GAP + n // columns * (TILE_HEIGHT + CAPTION + GAP)
        left = GAP + n % columns * (TILE_WIDTH + GAP)
        _draw_tile(sheet, picture, top, left)
        ink = _VERDICT_COLOURS.get(tile.verdict or "", _CAPTION_COLOUR)
        words = tile.words.encode("ascii", "replace").decode()
        place = (left + 4, top + TILE_HEIGHT + 17)
        cv2.putText(sheet, words, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, ink, 1, cv2.LINE_AA)
    done, jpeg = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, STORYBOARD_QUALITY])
    return bytes(jpeg) if done else None


def _draw_tile(sheet: U8, picture: U8, top: int, left: int) -> None:
    import cv2

    scale = min(TILE_WIDTH / picture.shape[1], TILE_HEIGHT / picture.shape[0])
    width, height = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    y, x = top + (TILE_HEIGHT - height) // 2, left + (TILE_WIDTH - width) // 2
    sheet[y : y + height, x : x + width] = small
