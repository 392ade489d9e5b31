"""Pictures of events: from the tape at full size, else the live one; masked and blurred, then drawn onto."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from edge.config import Config
from edge.config.keeping import Evidence
from edge.engine.manifest import SHOWN_CLASSES
from edge.errors import SinkError
from edge.evidence.archive.records import File, FileKind
from edge.evidence.clips.tape import Tape
from edge.evidence.pictures.blur import Veil, blur
from edge.evidence.pictures.cover import Cover
from edge.evidence.pictures.snapshot import Drawing, drawn, jpeg, picture_at, thumbnail
from edge.evidence.sights import Sight, Sights
from edge.files import atomic_write
from edge.media_time import MediaTime
from edge.types import U8, Box, Event

LivePicture = Callable[[str, MediaTime | None], U8 | None]
"""A camera's picture u8[H,W,3] RGB, without a letterbox: the one taken then, the newest for None; None if not there."""
CLEAR_BOX = 0.4
_BOXED = {"person", "vehicle", "animal"}  # labels that boxes explain better than a map does


class Shots:
    """Takes pictures of what cameras showed. ``live`` is asked where the tape does not have it."""

    def __init__(
        self, config: Config, settings: Evidence, tapes: Mapping[str, Tape], live: LivePicture | None = None
    ) -> None:
        self._config = config
        self._settings = settings
        self._tapes = tapes
        self._live = live

    def replace(self, config: Config, settings: Evidence) -> None:
        """Take over other settings."""
        self._config, self._settings = config, settings

    def plain(self, camera: str, sight: Sight, sights: Sights) -> U8 | None:
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
            for rect in Veil(sights.seen(sight.moment.epoch), self._settings.blur).rects(sight.moment):
                blur(picture, rect)
        Cover(self._config.cameras[camera].privacy_masks).apply(picture)
        return picture

    def keep(self, folder: Path, root: Path, event: Event, sight: Sight | None, picture: U8) -> dict[FileKind, File]:
        """Write snapshot and thumbnail into ``folder``, which is below ``root``; SinkError when the disk refuses."""
        shown = drawn(picture, self._drawing(event, sight))
        facts: dict[str, float | str] = {"width": shown.shape[1], "height": shown.shape[0], "type": "image/jpeg"}
        if sight is not None and event.label in sight.values:
            facts["value"] = round(sight.values[event.label] or 0.0, 4)
        made: dict[FileKind, File] = {}
        data: dict[FileKind, bytes] = {"snapshot": jpeg(shown), "thumbnail": thumbnail(picture)}
        for kind, content in data.items():
            path = folder / f"{kind}.jpg"
            atomic_write(path, content)
            made[kind] = File(path.relative_to(root).as_posix(), len(content), facts if kind == "snapshot" else {})
        return made

    def _from_tape(self, camera: str, sight: Sight) -> U8 | None:
        tape = self._tapes.get(camera)
        if tape is None:
            return None
        time = sight.moment
        cut = tape.cut(time + -1, time + 1, sight.t_end_ns + time.since(sight.media_end))
        return picture_at(cut, time) if cut is not None else None

    def _drawing(self, event: Event, sight: Sight | None) -> Drawing:
        camera = self._config.cameras[event.camera]
        zones = {name: camera.zones[name] for name in event.zones if name in camera.zones}
        title = event.label.replace("_", " ")
        if sight is None:
            return Drawing(title, zones=zones)
        value = sight.values.get(event.label)
        boxes = [box for box in sight.boxes if _is_shown(box)]
        heat = sight.heat if self._is_seen(event) and not self._is_boxed(event.label, boxes) else None
        return Drawing(f"{title}  {value:.0%}" if value is not None else title, boxes, zones, heat, sight.content)

    def _is_boxed(self, label: str, boxes: list[Box]) -> bool:
        rule = self._config.events.get(label)
        parts = rule.parts if rule is not None and rule.parts else (label,)
        return bool(boxes) and bool(_BOXED & set(parts))

    @staticmethod
    def _is_seen(event: Event) -> bool:
        """Whether the picture said more for the event than the rest did."""
        said = event.contribution
        return said is not None and said.video > max(0.0, said.audio, said.sensors)


def room_or_raise(has_room: bool, path: Path) -> None:
    """SinkError when retention has no room for ``path``."""
    if not has_room:
        raise SinkError(f"{path}: no room left; see evidence.keep_gb and evidence.keep_free_gb")


def _is_shown(box: Box) -> bool:
    return box.score >= CLEAR_BOX and box.label in SHOWN_CLASSES
