"""The model in parts, each run only for the cameras whose input to it changed; for the others its answers are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.engine.contract import Array
from edge.engine.gating.doubt import DoubtGate
from edge.engine.gating.limits import LIMITS, Limits
from edge.engine.gating.pictures import PictureGate
from edge.engine.gating.sound import SoundGate
from edge.engine.manifest import Manifest
from edge.engine.parts import PartsRuntime
from edge.metrics import Metrics
from edge.types import Window

_PARTS = {"see": "video", "hear": "audio"}


@dataclass(slots=True)
class _Kept:
    """A part's answers by camera, and whose answers lie in each row of the runtime's own buffers."""

    rows: Mapping[str, Array]
    owner: list[str | None]
    cameras: dict[str, dict[str, Array]] = field(default_factory=dict)

    def keep(self, window: Window) -> None:
        """The row was computed for ``window``."""
        kept = self.cameras.get(window.camera)
        if kept is None:
            kept = self.cameras[window.camera] = {name: np.empty_like(a[0]) for name, a in self.rows.items()}
        for name, array in self.rows.items():
            kept[name][...] = array[window.row]
        self._owns(window)

    def restore(self, window: Window) -> None:
        """Have the row hold what was kept of the window's camera."""
        if self.owner[window.row] == window.camera:
            return
        for name, kept in self.cameras[window.camera].items():
            self.rows[name][window.row] = kept
        self._owns(window)

    def forget(self, camera: str) -> None:
        """Drop what was kept of ``camera``."""
        self.cameras.pop(camera, None)
        self.owner = [None if owner == camera else owner for owner in self.owner]

    def _owns(self, window: Window) -> None:
        """Only the newest row of a camera is its own: others hold what was true earlier."""
        for row, owner in enumerate(self.owner):
            if owner == window.camera:
                self.owner[row] = None
        self.owner[window.row] = window.camera


class GatedParts:
    """Decides, runs and counts; one for each runtime, on its thread."""

    def __init__(self, runtime: PartsRuntime, manifest: Manifest, metrics: Metrics, limits: Limits = LIMITS) -> None:
        self._runtime, self._metrics = runtime, metrics
        self._pictures = PictureGate(manifest.geometry, limits)
        self._sound = SoundGate(manifest.geometry, limits)
        self._doubts = DoubtGate(in_doubt(manifest, limits.doubt))
        self._seen = _Kept(runtime.seen, [None] * runtime.max_batch)
        self._heard = _Kept(runtime.heard, [None] * runtime.max_batch)

    def run(self, windows: Sequence[Window]) -> Mapping[str, Array]:
        """The answers of all rows up to the last of ``windows``."""
        inputs = self._runtime.inputs
        see, hear = [], []
        for window in windows:
            doubts = self._doubts.of(window.camera)
            if self._pictures.differs(window, inputs["frames"][window.row]) or (
                "video" in doubts and any(window.video_ok)
            ):
                self._pictures.encoded(window)
                see.append(window)
            if self._sound.differs(window, inputs["audio"][window.row]) or ("audio" in doubts and window.audio_ok > 0):
                self._sound.encoded(window)
                hear.append(window)
        self._runtime.see(window.row for window in see)
        self._runtime.hear(window.row for window in hear)
        self._settle("see", self._seen, windows, see)
        self._settle("hear", self._heard, windows, hear)
        return self._runtime.fuse(max(window.row for window in windows) + 1)

    def scored(self, window: Window, outputs: Mapping[str, Array]) -> None:
        """What came out for ``window``."""
        self._doubts.scored(window.camera, outputs["logits"][window.row])

    def forget(self, camera: str) -> None:
        """Encode what ``camera`` shows next."""
        for of_camera in (self._pictures, self._sound, self._doubts, self._seen, self._heard):
            of_camera.forget(camera)

    def _settle(self, part: str, kept: _Kept, windows: Sequence[Window], ran: Sequence[Window]) -> None:
        fresh = {window.row for window in ran}
        for window in windows:
            if window.row in fresh:
                kept.keep(window)
                self._metrics.encoded.labels(window.camera, part).inc()
        for window in windows:
            if window.row not in fresh:
                kept.restore(window)
                self._metrics.reused.labels(window.camera, part).inc()


def in_doubt(manifest: Manifest, share: float) -> dict[str, Array]:
    """By modality, low and high [2,C] as logits: from each label's thresholds that ``share`` of the way to 0 and 1."""
    leave = np.array([label.leave for label in manifest.labels])
    enter = np.array([label.enter for label in manifest.labels])
    with np.errstate(divide="ignore"):
        span = np.stack([_logit(leave * (1 - share)), _logit(enter + (1 - enter) * share)]).astype(np.float32)
    return {
        modality: np.where([modality in label.modalities for label in manifest.labels], span, np.nan)
        for modality in _PARTS.values()
    }


def _logit(p: Array) -> Array:
    return np.asarray(np.log(p) - np.log1p(-p))
