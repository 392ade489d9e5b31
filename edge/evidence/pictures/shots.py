"""Pictures of events: from the tape at full size, else the live one; masked and blurred, then drawn onto."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edge.config import Config
from edge.config.keeping import EvidenceConfig
from edge.engine.manifest import SHOWN_CLASSES
from edge.errors import SinkError
from edge.evidence.archive.records import EvidenceFile, FileKind
from edge.evidence.clips.tape import PacketRing
from edge.evidence.pictures.blur import BlurTracks, blur
from edge.evidence.pictures.cover import MaskOverlay
from edge.evidence.pictures.snapshot import SnapshotOverlay, draw_overlay, encode_jpeg, picture_at, thumbnail
from edge.evidence.sights import RecentWindow, RecentWindows
from edge.files import atomic_write
from edge.media_time import MediaTime
from edge.types import U8, Box, Event

PictureSource = Callable[[str, MediaTime | None], U8 | None]
"""A camera's picture u8[H,W,3] RGB, without a letterbox: the one taken then, the newest for None; None if not there."""
CLEAR_BOX = 0.4
_BOXED = {"person", "vehicle", "animal"}  # labels that boxes explain better than a map does


class SnapshotTaker:
    """Takes pictures of what cameras showed. ``live`` is asked where the tape does not have it."""

    def __init__(
        self,
        config: Config,
        settings: EvidenceConfig,
        tapes: Mapping[str, PacketRing],
        live: PictureSource | None = None,
    ) -> None:
        self._config = config
        self._settings = settings
        self._tapes = tapes
        self._live = live

    def reconfigure(self, config: Config, settings: EvidenceConfig) -> None:
        """Take over other settings."""
        self._config, self._settings = config, settings

    def picture(self, camera: str, sight: RecentWindow, sights: RecentWindows) -> U8 | None:
        """What ``camera`` showed in the newest picture of ``sight``, fit to be stored; None where it is not there any
        more: never another moment's.

        MediaError when what the camera sent cannot be read.
        """
        picture = self._from_tape(camera, sight)
        if picture is None and self._live is not None and sight.picture is not None:
            picture = self._live(camera, sight.picture)
        if picture is None:
            return None
        if self._settings.blur:
            for rect in BlurTracks(sights.timed_boxes(sight.moment.epoch), self._settings.blur).rects(sight.moment):
                blur(picture, rect)
        MaskOverlay(self._config.cameras[camera].privacy_masks).apply(picture)
        return picture

    def save(
        self, folder: Path, root: Path, event: Event, sight: RecentWindow | None, picture: U8
    ) -> dict[FileKind, EvidenceFile]:
        """Write snapshot and thumbnail into ``folder``, which is below ``root``; SinkError when the disk refuses."""
        shown = draw_overlay(picture, self._drawing(event, sight))
        facts: dict[str, float | str] = {"width": shown.shape[1], "height": shown.shape[0], "type": "image/jpeg"}
        if sight is not None and event.label in sight.values:
            facts["value"] = round(sight.values[event.label] or 0.0, 4)
        made: dict[FileKind, EvidenceFile] = {}
        data: dict[FileKind, bytes] = {"snapshot": encode_jpeg(shown), "thumbnail": thumbnail(picture)}
        for kind, content in data.items():
            path = folder / f"{kind}.jpg"
            atomic_write(path, content)
            made[kind] = EvidenceFile(
                path.relative_to(root).as_posix(), len(content), facts if kind == "snapshot" else {}
            )
        return made

    def _from_tape(self, camera: str, sight: RecentWindow) -> U8 | None:
        tape = self._tapes.get(camera)
        if tape is None:
            return None
        time = sight.moment
        cut = tape.extract(time + -1, time + 1, sight.t_end_ns + time.since(sight.media_end))
        return picture_at(cut, time) if cut is not None else None

    def _drawing(self, event: Event, sight: RecentWindow | None) -> SnapshotOverlay:
        camera = self._config.cameras[event.camera]
        zones = {name: camera.zones[name] for name in event.zones if name in camera.zones}
        title = event.label.replace("_", " ")
        if sight is None:
            return SnapshotOverlay(title, zones=zones)
        value = sight.values.get(event.label)
        boxes = [box for box in sight.boxes if _is_shown(box)]
        heat = sight.heat if self._is_visual(event) and not self._is_boxed(event.label, boxes) else None
        return SnapshotOverlay(
            f"{title}  {value:.0%}" if value is not None else title, boxes, zones, heat, sight.content
        )

    def _is_boxed(self, label: str, boxes: list[Box]) -> bool:
        rule = self._config.events.get(label)
        parts = rule.parts if rule is not None and rule.parts else (label,)
        return bool(boxes) and bool(_BOXED & set(parts))

    @staticmethod
    def _is_visual(event: Event) -> bool:
        """Whether the picture said more for the event than the rest did."""
        contribution = event.contribution
        return contribution is not None and contribution.video > max(0.0, contribution.audio, contribution.sensors)


def room_or_raise(has_room: bool, path: Path) -> None:
    """SinkError when retention has no room for ``path``."""
    if not has_room:
        raise SinkError(f"{path}: no room left; see evidence.keep_gb and evidence.keep_free_gb")


def _is_shown(box: Box) -> bool:
    return box.score >= CLEAR_BOX and box.label in SHOWN_CLASSES
