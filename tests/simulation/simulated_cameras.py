"""Cameras whose pictures say what the model answers, and that model: the simulation knows what must be detected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scripted_model import ScriptedModel
from sim import SMALL, empty_batch

from edge.engine.manifest import Manifest, ModelFolder
from edge.engine.model import ModelOutput
from edge.engine.runtime import RuntimeInfo
from edge.status import SourceState
from edge.types import NS_PER_S, AudioChunk, Contribution, Frame, Gap, MediaItem, Scores, Window

PICTURE_NS = NS_PER_S // 4
LABELS = ("fire", "person", "glass_break")
ROWS = 4


def small_folder(folder: ModelFolder) -> ModelFolder:
    """The model's folder with three labels, and pictures and sound of a size that costs nothing."""
    labels = tuple(label for label in folder.manifest.labels if label.name in LABELS)
    manifest = folder.manifest.model_copy(update={"geometry": SMALL, "labels": labels, "parts": None})
    return ModelFolder(folder.path, manifest, folder.tag_names, folder.picture_tag_names)


class SimulatedSource:
    """Stands in for a network camera's source; it is never opened."""

    live = True

    def __init__(self, name: str) -> None:
        self.name = name


class SimulatedCamera:
    """Stands in for `SourceSupervisor`: pictures and sound come when the simulation says so."""

    def __init__(
        self,
        source: SimulatedSource,
        push: Callable[[MediaItem], None],
        clock: Any,
        _metrics: object,
        *,
        opened: Callable[[bool, bool], None] | None = None,
        **_more: object,
    ) -> None:
        self.name = source.name
        self.state, self.detail = SourceState.CONNECTING, ""
        self._push, self._opened, self._clock = push, opened, clock
        self._pts_ns = 0

    def close(self) -> None:
        """Nothing runs that would have to end."""

    def connect(self, pts_ns: int) -> None:
        """Begin a connection whose clock begins at ``pts_ns``."""
        if self.state is not SourceState.CONNECTING:
            self._push(Gap("reconnect", self._clock.mono_ns()))
        if self._opened is not None:
            self._opened(True, True)
        self.state, self._pts_ns = SourceState.UP, pts_ns

    def lose(self) -> None:
        """The connection breaks."""
        self.state, self.detail = SourceState.LOST, "the connection was reset"

    def jump(self, by_ns: int) -> None:
        """The camera's clock steps."""
        self._pts_ns = max(0, self._pts_ns + by_ns)

    def deliver(self, levels: Mapping[str, float]) -> None:
        """A quarter of a second of picture and sound, that the model answers with ``levels``."""
        if self.state is not SourceState.UP:
            return
        now_ns, video, rate_hz = self._clock.mono_ns(), SMALL.video, SMALL.audio.rate_hz
        image = np.zeros((video.height, video.width, 3), np.uint8)
        image[0, : len(LABELS), 0] = [round(255 * levels.get(label, 0.0)) for label in LABELS]
        image[1, 0, :2] = divmod(self._pts_ns // PICTURE_NS % 65536, 256)  # a picture like no other
        self._push(Frame(self._pts_ns, now_ns, image, (0.0, 0.0, 1.0, 1.0)))
        self._push(AudioChunk(self._pts_ns, now_ns, np.full(rate_hz // 4, 0.01, np.float32)))
        self._pts_ns += PICTURE_NS


class SimulatedModel(ScriptedModel):
    """Reads its answer out of the newest picture; stands in for `Model` in the daemon."""

    max_batch = preferred_rows = ROWS
    info = RuntimeInfo("simulated", "1", "cpu", "fp32")

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.batch = empty_batch(size=ROWS)
        self._seq: dict[str, int] = {}

    @classmethod
    def open(cls, folder: ModelFolder, *_settings: object) -> SimulatedModel:
        return cls(folder.manifest)

    def notify(self, on_done: Callable[[], None]) -> None:
        """What is begun is done."""

    def close(self) -> None:
        """Nothing is open."""

    def score(self, windows: Sequence[Window]) -> ModelOutput:
        return ModelOutput([self._scores(window) for window in windows], 0, windows)

    def _scores(self, window: Window) -> Scores:
        seen = [i for i, is_there in enumerate(window.video_ok) if is_there]
        levels = self.batch.frames[window.row, seen[-1], 0, : len(LABELS), 0] / 255 if seen else np.zeros(len(LABELS))
        values = {label: float(level) for label, level in zip(LABELS, levels, strict=True)}
        return Scores(
            *(window.camera, window.seq, window.t_end_ns, window.media_end, values),
            {label: Contribution(1.0, 0.0, 0.0) for label in LABELS},
            *(np.zeros(4, np.float32), (), {}, window.coverage, bool(seen), window.audio_ok > 0, "simulated 1"),
            picture=window.picture,
        )
