"""Live reload: noticing a saved file, and telling what can change at once from what needs a restart."""

from __future__ import annotations

from pathlib import Path

from edge.config import Config
from edge.config.sources import CameraConfig

LIVE_SECTIONS = ("events", "health", "location")  # and what is drawn on cameras


class FileWatch:
    """Says once for every saved change of a file. Reads the file's state only, never its content."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last_state = self._state()

    def changed(self) -> bool:
        """Whether the file was saved since the last call; False while it is missing (being replaced)."""
        state = self._state()
        if state is None or state == self._last_state:
            return False
        self._last_state = state
        return True

    def _state(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino


def merge_live(running: Config, requested: Config) -> tuple[Config, list[str]]:
    """The running configuration with what may change live taken over, and the sections that need a restart."""
    cameras = {
        name: _with_drawn(camera, requested.cameras.get(name, camera)) for name, camera in running.cameras.items()
    }
    update = {"cameras": cameras} | {name: getattr(requested, name) for name in LIVE_SECTIONS}
    merged = running.model_copy(update=update)
    refused = [name for name in Config.model_fields if getattr(merged, name) != getattr(requested, name)]
    return merged, refused


def _with_drawn(camera: CameraConfig, requested: CameraConfig) -> CameraConfig:
    return camera.model_copy(update={"zones": requested.zones, "lines": requested.lines})
