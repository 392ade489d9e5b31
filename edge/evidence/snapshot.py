"""Pictures of events: the snapshot at the strongest moment with an overlay, its thumbnail, and storyboards.

The picture comes from the packet ring at full size, else from the live one; it is masked and blurred, then the overlay
is drawn onto it. Runs on the evidence thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge.config import Config
from edge.config.models import EvidenceConfig
from edge.config.values import Point
from edge.engine.manifest import SHOWN_CLASSES
from edge.errors import MediaError, SinkError
from edge.evidence.archive.records import EvidenceFile, FileKind
from edge.evidence.clips.packet_ring import PacketRange, PacketRing
from edge.evidence.clips.source import ClipSource
from edge.evidence.privacy import BlurTracks, MaskOverlay, blur
from edge.evidence.recent_windows import RecentWindow, RecentWindows
from edge.files import atomic_write
from edge.media_time import MediaTime
from edge.types import F32, U8, Box, Event, Rect

THUMBNAIL_WIDTH = 320
_QUALITY = 88
_SMALL_QUALITY = 80
_BOX = (255, 196, 0)  # RGB: amber stands out by day and in the grey of night
_ZONE = (64, 200, 255)
_TEXT_COLOUR = (16, 18, 22)
_FAINT = 0.25  # evidence below this share of the strongest is not shown
PictureSource = Callable[[str, MediaTime | None], U8 | None]
"""(camera, time) -> its picture u8[H,W,3] RGB without letterbox, taken at that time, or the newest for None. Returns
None when there is none."""
CLEAR_BOX = 0.4
_BOXED = {"person", "vehicle", "animal"}  # labels that boxes explain better than a map does
COLUMNS, TILE_WIDTH, TILE_HEIGHT, CAPTION, GAP = 4, 240, 135, 24, 4
STORYBOARD_QUALITY = 80
_BACKGROUND, _CAPTION_COLOUR = (28, 24, 22), (230, 230, 230)
_VERDICT_COLOURS = {"true": (96, 196, 96), "false": (150, 150, 150)}  # BGR


@dataclass(frozen=True, slots=True)
class SnapshotOverlay:
    """What is drawn onto a picture; all corners in 0..1 of it.

    ``heat`` f32[h,w] lies on the letterboxed canvas, of which ``content`` is the picture; None: not drawn.
    """

    title: str = ""
    boxes: Sequence[Box] = ()
    zones: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    heat: F32 | None = None
    content: Rect = (0.0, 0.0, 1.0, 1.0)


def picture_at(cut: PacketRange, time: MediaTime) -> U8 | None:
    """The picture u8[H,W,3] RGB shown at ``time``, as the camera sent it; None when ``cut`` begins later."""
    with closing(ClipSource(cut)) as clip_source:
        last: Any = None
        for shown_ns, frame in clip_source.pictures(-(2**62), 2**62):
            if shown_ns > cut.pts_of(time):
                break
            last = frame
        if last is None:
            return None
        turns = round(int(last.rotation) / 90) % 4
        return np.array(np.rot90(last.to_ndarray(format="rgb24"), turns), np.uint8)


def draw_overlay(picture: U8, drawing: SnapshotOverlay) -> U8:
    """A copy of ``picture`` u8[H,W,3] RGB with the overlay: evidence and zones below, boxes and text above."""
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
    """Blend the evidence over the picture: the stronger, the more opaque."""
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
    """Text on a filled box whose top left corner is ``place``, moved into the picture."""
    import cv2

    size, line = max(0.35, 0.6 * scale), max(1, round(1.2 * scale))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, line)
    pad = max(2, round(5 * scale))
    x = min(max(0, place[0]), max(0, image.shape[1] - width - 2 * pad))
    y = min(max(0, place[1]), max(0, image.shape[0] - height - below - 2 * pad))
    cv2.rectangle(image, (x, y), (x + width + 2 * pad, y + height + below + pad), ground, cv2.FILLED)
    cv2.putText(image, text, (x + pad, y + pad + height), cv2.FONT_HERSHEY_SIMPLEX, size, ink, line, cv2.LINE_AA)


class SnapshotTaker:
    """Takes pictures of cameras from their packet rings, else from ``live``."""

    def __init__(
        self,
        config: Config,
        settings: EvidenceConfig,
        packet_rings: Mapping[str, PacketRing],
        live: PictureSource | None = None,
    ) -> None:
        self._config = config
        self._settings = settings
        self._packet_rings = packet_rings
        self._live = live

    def reconfigure(self, config: Config, settings: EvidenceConfig) -> None:
        """Apply new settings."""
        self._config, self._settings = config, settings

    def picture(self, camera: str, window: RecentWindow, windows: RecentWindows) -> U8 | None:
        """The newest picture of ``window``, masked and blurred; None when it is no longer kept, never another picture.

        MediaError when the camera's packets cannot be decoded.
        """
        picture = self._from_ring(camera, window)
        if picture is None and self._live is not None and window.picture is not None:
            picture = self._live(camera, window.picture)
        if picture is None:
            return None
        if self._settings.blur:
            for rect in BlurTracks(windows.timed_boxes(window.moment.epoch), self._settings.blur).rects(window.moment):
                blur(picture, rect)
        MaskOverlay(self._config.cameras[camera].privacy_masks).apply(picture)
        return picture

    def save(
        self, folder: Path, root: Path, event: Event, window: RecentWindow | None, picture: U8
    ) -> dict[FileKind, EvidenceFile]:
        """Write snapshot and thumbnail into ``folder``, which is below ``root``; SinkError when that fails."""
        shown = draw_overlay(picture, self._drawing(event, window))
        facts: dict[str, float | str] = {"width": shown.shape[1], "height": shown.shape[0], "type": "image/jpeg"}
        if window is not None and event.label in window.values:
            facts["value"] = round(window.values[event.label] or 0.0, 4)
        made: dict[FileKind, EvidenceFile] = {}
        data: dict[FileKind, bytes] = {"snapshot": encode_jpeg(shown), "thumbnail": thumbnail(picture)}
        for kind, content in data.items():
            path = folder / f"{kind}.jpg"
            atomic_write(path, content)
            made[kind] = EvidenceFile(
                path.relative_to(root).as_posix(), len(content), facts if kind == "snapshot" else {}
            )
        return made

    def _from_ring(self, camera: str, window: RecentWindow) -> U8 | None:
        ring = self._packet_rings.get(camera)
        if ring is None:
            return None
        time = window.moment
        cut = ring.extract(time + -1, time + 1, window.t_end_ns + time.since(window.media_end))
        return picture_at(cut, time) if cut is not None else None

    def _drawing(self, event: Event, window: RecentWindow | None) -> SnapshotOverlay:
        camera = self._config.cameras[event.camera]
        zones = {name: camera.zones[name] for name in event.zones if name in camera.zones}
        title = event.label.replace("_", " ")
        if window is None:
            return SnapshotOverlay(title, zones=zones)
        value = window.values.get(event.label)
        boxes = [box for box in window.boxes if _is_shown(box)]
        heat = window.heat if self._is_visual(event) and not self._is_boxed(event.label, boxes) else None
        return SnapshotOverlay(
            f"{title}  {value:.0%}" if value is not None else title, boxes, zones, heat, window.content
        )

    def _is_boxed(self, label: str, boxes: list[Box]) -> bool:
        rule = self._config.events.get(label)
        parts = rule.parts if rule is not None and rule.parts else (label,)
        return bool(boxes) and bool(_BOXED & set(parts))

    @staticmethod
    def _is_visual(event: Event) -> bool:
        """Whether the picture contributed more to the event than the other modalities."""
        contribution = event.contribution
        return contribution is not None and contribution.video > max(0.0, contribution.audio, contribution.sensors)


def room_or_raise(has_room: bool, path: Path) -> None:
    """SinkError when retention has no room for ``path``."""
    if not has_room:
        raise SinkError(f"{path}: no room left; see evidence.keep_gb and evidence.keep_free_gb")


def _is_shown(box: Box) -> bool:
    return box.score >= CLEAR_BOX and box.label in SHOWN_CLASSES


@dataclass(frozen=True, slots=True)
class StoryboardTile:
    """One picture (JPEG) with the text under it, and the verdict of a user."""

    jpeg: bytes
    words: str
    verdict: str | None = None


def make_storyboard(tiles: Sequence[StoryboardTile]) -> bytes | None:
    """A JPEG with `COLUMNS` columns, in order; pictures keep their aspect. None when no picture can be read."""
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
