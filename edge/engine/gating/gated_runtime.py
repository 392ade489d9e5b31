"""The model in parts, each run only for the cameras whose input to it changed; for the others its answers are kept.

Whether a camera's last scores lie so near a threshold that its parts are encoded whatever they show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge.engine.contract import Array
from edge.engine.gating.change_gates import AudioGate, PictureGate
from edge.engine.manifest import Manifest
from edge.engine.runtime import PartsRuntime
from edge.metrics import Metrics
from edge.signal_change import DEFAULT_GATE_LIMITS, GateLimits
from edge.types import F32, Window

_PARTS = {"vision": "video", "audio": "audio"}


@dataclass(slots=True)
class _FeatureCache:
    """A part's answers by camera, and whose answers lie in each row of the runtime's own buffers."""

    rows: Mapping[str, Array]
    owner: list[str | None]
    cameras: dict[str, dict[str, Array]] = field(default_factory=dict)

    def store(self, window: Window) -> None:
        """The row was computed for ``window``."""
        cached = self.cameras.get(window.camera)
        if cached is None:
            cached = self.cameras[window.camera] = {name: np.empty_like(a[0]) for name, a in self.rows.items()}
        for name, array in self.rows.items():
            cached[name][...] = array[window.row]
        self._set_owner(window)

    def restore(self, window: Window) -> None:
        """Have the row hold what was kept of the window's camera."""
        if self.owner[window.row] == window.camera:
            return
        for name, cached in self.cameras[window.camera].items():
            self.rows[name][window.row] = cached
        self._set_owner(window)

    def forget(self, camera: str) -> None:
        """Drop what was kept of ``camera``."""
        self.cameras.pop(camera, None)
        self.owner = [None if owner == camera else owner for owner in self.owner]

    def _set_owner(self, window: Window) -> None:
        """Only the newest row of a camera is its own: others hold what was true earlier."""
        for row, owner in enumerate(self.owner):
            if owner == window.camera:
                self.owner[row] = None
        self.owner[window.row] = window.camera


class GatedRuntime:
    """Decides, runs and counts; one for each runtime, on its thread."""

    def __init__(
        self, runtime: PartsRuntime, manifest: Manifest, metrics: Metrics, limits: GateLimits = DEFAULT_GATE_LIMITS
    ) -> None:
        self._runtime, self._metrics = runtime, metrics
        self._pictures = PictureGate(manifest.geometry, limits)
        self._sound = AudioGate(manifest.geometry, limits)
        self._uncertainty = UncertaintyGate(uncertainty_bounds(manifest, limits.doubt))
        self._vision_cache = _FeatureCache(runtime.vision_features, [None] * runtime.max_batch)
        self._audio_cache = _FeatureCache(runtime.audio_features, [None] * runtime.max_batch)

    def run(self, windows: Sequence[Window]) -> Mapping[str, Array]:
        """The answers of all rows up to the last of ``windows``."""
        stage = self._metrics.stage
        with stage("gate"):
            vision_windows, audio_windows = self._changed(windows)
        with stage("vision"):
            self._runtime.run_vision(window.row for window in vision_windows)
        with stage("audio"):
            self._runtime.run_audio(window.row for window in audio_windows)
        self._fill_rows("vision", self._vision_cache, windows, vision_windows)
        self._fill_rows("audio", self._audio_cache, windows, audio_windows)
        with stage("fusion"):
            return self._runtime.run_fusion(max(window.row for window in windows) + 1)

    def _changed(self, windows: Sequence[Window]) -> tuple[list[Window], list[Window]]:
        """The windows whose pictures, and those whose sound, are to be encoded anew; they are references from now."""
        inputs = self._runtime.inputs
        vision_windows: list[Window] = []
        audio_windows: list[Window] = []
        for window in windows:
            uncertain = self._uncertainty.uncertain_modalities(window.camera)
            if self._pictures.has_changed(window, inputs["frames"][window.row]) or (
                "video" in uncertain and any(window.video_ok)
            ):
                self._pictures.set_reference(window)
                vision_windows.append(window)
            if self._sound.has_changed(window, inputs["audio"][window.row]) or (
                "audio" in uncertain and window.audio_ok > 0
            ):
                self._sound.set_reference(window)
                audio_windows.append(window)
        return vision_windows, audio_windows

    def update(self, window: Window, outputs: Mapping[str, Array]) -> None:
        """What came out for ``window``."""
        self._uncertainty.update(window.camera, outputs["logits"][window.row])

    def forget(self, camera: str) -> None:
        """Encode what ``camera`` shows next."""
        for of_camera in (self._pictures, self._sound, self._uncertainty, self._vision_cache, self._audio_cache):
            of_camera.forget(camera)

    def _fill_rows(self, part: str, cache: _FeatureCache, windows: Sequence[Window], ran: Sequence[Window]) -> None:
        fresh = {window.row for window in ran}
        for window in windows:
            if window.row in fresh:
                cache.store(window)
                self._metrics.encoded.labels(window.camera, part).inc()
        for window in windows:
            if window.row not in fresh:
                cache.restore(window)
                self._metrics.reused.labels(window.camera, part).inc()


def uncertainty_bounds(manifest: Manifest, share: float) -> dict[str, Array]:
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


class UncertaintyGate:
    """Whether a camera's last scores lie near a threshold, so that its parts are encoded whatever they show."""

    def __init__(self, thresholds: Mapping[str, Array]) -> None:
        """``thresholds``: by modality, low and high [2,C] of logits between which a label is in doubt; NaN: never."""
        self._thresholds = thresholds
        self._uncertain: dict[str, frozenset[str]] = {}

    def uncertain_modalities(self, camera: str) -> frozenset[str]:
        """The modalities whose labels are in doubt; empty before the first scores."""
        return self._uncertain.get(camera, frozenset())

    def update(self, camera: str, logits: F32) -> None:
        """The newest logits f32[C]."""
        self._uncertain[camera] = frozenset(
            modality
            for modality, (low, high) in self._thresholds.items()
            if bool(((logits > low) & (logits < high)).any())
        )

    def forget(self, camera: str) -> None:
        """Start ``camera`` anew."""
        self._uncertain.pop(camera, None)
