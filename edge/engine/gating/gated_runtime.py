"""The model in parts, each run only for a camera whose input to it changed; else its kept output stands.

`GatedRuntime.judge` decides on the engine's thread, `GatedRuntime.run` computes on any; a camera has one row at a time.

Whether a camera's last scores lie so near a threshold that its parts are encoded whatever they show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge.engine.contract import Array
from edge.engine.gating.caches import AnswerInputs, PartCache
from edge.engine.gating.change_gates import AudioGate, Comparison, PictureGate
from edge.engine.manifest import Manifest
from edge.engine.runtime import PartsRuntime
from edge.metrics import Metrics
from edge.signal_change import DEFAULT_GATE_LIMITS, GateLimits
from edge.types import F32, Window

_MODALITIES = ("video", "audio")


@dataclass(frozen=True, slots=True)
class RowPlan:
    """What is to be computed for ``window``: a part whose input is the same is not encoded."""

    window: Window
    vision: Comparison
    audio: Comparison

    @property
    def is_trial(self) -> bool:
        """Whether something is encoded, and only because it is old: what is kept stands unless the answer moves."""
        found = (self.vision, self.audio)
        return Comparison.EXPIRED in found and Comparison.DIFFERENT not in found

    @property
    def encodes_vision(self) -> bool:
        """Whether the pictures are encoded."""
        return self.vision is not Comparison.SAME

    @property
    def encodes_audio(self) -> bool:
        """Whether the sound is encoded."""
        return self.audio is not Comparison.SAME


class GatedRuntime:
    """Decides, runs and counts; one for each runtime."""

    def __init__(
        self, runtime: PartsRuntime, manifest: Manifest, metrics: Metrics, limits: GateLimits = DEFAULT_GATE_LIMITS
    ) -> None:
        self._runtime, self._metrics, self._limits = runtime, metrics, limits
        self._pictures = PictureGate(manifest.geometry, limits)
        self._sound = AudioGate(manifest.geometry, limits)
        self._uncertainty = UncertaintyGate(uncertainty_bounds(manifest, limits.doubt))
        rows = runtime.max_batch
        self._vision = PartCache(runtime.vision_features, [None] * rows)
        self._audio = PartCache(runtime.audio_features, [None] * rows)
        self._answers = PartCache(runtime.outputs, [None] * rows)
        rest = [runtime.inputs[name] for name in runtime.fusion_inputs if name in runtime.inputs]
        self._answer_inputs = AnswerInputs(rest, (self._vision, self._audio))

    def judge(self, window: Window) -> RowPlan:
        """What of the window's row must be encoded anew."""
        with self._metrics.stage("gate"):
            inputs, row = self._runtime.inputs, window.row
            uncertain = self._uncertainty.uncertain_modalities(window.camera)
            vision = self._pictures.compare(window, inputs["frames"][row])
            audio = self._sound.compare(window, inputs["audio"][row])
            if self._pictures.holds_encoded(window):
                vision = Comparison.SAME
            elif "video" in uncertain and any(window.video_ok):
                vision = Comparison.DIFFERENT
            if "audio" in uncertain and window.audio_ok > 0:
                audio = Comparison.DIFFERENT
            return RowPlan(window, vision, audio)

    def run(self, plan: RowPlan) -> tuple[Mapping[str, Array], bool]:
        """The runtime's outputs, with the answer in the row, and whether it is the camera's last one bit for bit."""
        stands, ran = self._try(plan) if plan.is_trial else self._renew(plan)
        for part, was_run in (("vision", plan.encodes_vision), ("audio", plan.encodes_audio), ("fusion", ran)):
            counter = self._metrics.encoded if was_run else self._metrics.reused
            counter.labels(plan.window.camera, part).inc()
        return self._runtime.outputs, stands

    def update(self, window: Window) -> None:
        """The answer in the window's row was found to be sound."""
        self._uncertainty.update(window.camera, self._runtime.outputs["logits"][window.row])

    def forget(self, camera: str) -> None:
        """Encode what ``camera`` shows next."""
        for of_camera in (self._pictures, self._sound, self._uncertainty, self._vision, self._audio, self._answers):
            of_camera.forget(camera)
        self._answer_inputs.forget(camera)

    def _renew(self, plan: RowPlan) -> tuple[bool, bool]:
        """What was encoded replaces what was kept. Whether the last answer stands, and whether the fusion ran."""
        self._encode(plan)
        self._keep_encoded(plan)
        stands = self._fuse(plan.window)
        return stands, not stands

    def _try(self, plan: RowPlan) -> tuple[bool, bool]:
        """Encode anew, and keep what was kept before unless the answer moves by it; results as of `_renew`."""
        window = plan.window
        stands = self._fuse(window)
        self._encode(plan)
        encoded = [cache for cache, was in self._encoded(plan) if was]
        if all(cache.is_as_kept(window) for cache in encoded):
            self._confirm(plan)
            return stands, not stands
        if self._moves_little(plan):
            self._confirm(plan)
            return stands, True
        self._keep_encoded(plan)
        self._answers.store(window)
        self._answer_inputs.note(window)
        return False, True

    def _moves_little(self, plan: RowPlan) -> bool:
        """Run the fusion on what was encoded, and compare its answer with the one that is kept."""
        window, outputs = plan.window, self._runtime.outputs
        kept = {name: outputs[name][window.row].copy() for name in ("logits", "embedding")}
        for cache, was_encoded in self._encoded(plan):
            if not was_encoded:
                cache.restore(window)
        self._run_fusion(window)
        return self._is_near(kept, {name: outputs[name][window.row] for name in kept})

    def _encoded(self, plan: RowPlan) -> tuple[tuple[PartCache, bool], ...]:
        return (self._vision, plan.encodes_vision), (self._audio, plan.encodes_audio)

    def _encode(self, plan: RowPlan) -> None:
        """Run the parts whose input is not the same."""
        row = plan.window.row
        if plan.encodes_vision:
            self._vision.overwrite(row)
            with self._metrics.stage("vision"):
                self._runtime.run_vision([row])
        if plan.encodes_audio:
            self._audio.overwrite(row)
            with self._metrics.stage("audio"):
                self._runtime.run_audio([row])

    def _keep_encoded(self, plan: RowPlan) -> None:
        if plan.encodes_vision:
            self._vision.store(plan.window)
            self._pictures.set_reference(plan.window)
        if plan.encodes_audio:
            self._audio.store(plan.window)
            self._sound.set_reference(plan.window)

    def _confirm(self, plan: RowPlan) -> None:
        """Have the row hold what was kept before."""
        if plan.encodes_vision:
            self._pictures.confirm(plan.window)
        if plan.encodes_audio:
            self._sound.confirm(plan.window)
        for cache in (self._vision, self._audio, self._answers):
            cache.restore(plan.window)

    def _fuse(self, window: Window) -> bool:
        """The answer of what is kept; whether it is the last one, so that nothing was run."""
        if self._answer_inputs.are_as_before(window):
            self._answers.restore(window)
            return True
        self._vision.restore(window)
        self._audio.restore(window)
        self._run_fusion(window)
        self._answers.store(window)
        self._answer_inputs.note(window)
        return False

    def _run_fusion(self, window: Window) -> None:
        self._answers.overwrite(window.row)
        with self._metrics.stage("fusion"):
            self._runtime.run_fusion([window.row])

    def _is_near(self, kept: Mapping[str, Array], new: Mapping[str, Array]) -> bool:
        """NaN is near nothing."""
        moved = np.abs(_probability(new["logits"]) - _probability(kept["logits"]))
        turned = float(np.linalg.norm(new["embedding"] - kept["embedding"]))
        return (
            bool((moved <= self._limits.probability).all())
            and turned <= self._limits.embedding
            and not self._uncertainty.find(new["logits"])
        )


def _probability(logits: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits)))


def uncertainty_bounds(manifest: Manifest, share: float) -> dict[str, Array]:
    """By modality, low and high [2,C] as logits: from each label's thresholds that ``share`` of the way to 0 and 1."""
    leave = np.array([label.leave for label in manifest.labels])
    enter = np.array([label.enter for label in manifest.labels])
    with np.errstate(divide="ignore"):
        span = np.stack([_logit(leave * (1 - share)), _logit(enter + (1 - enter) * share)]).astype(np.float32)
    return {
        modality: np.where([modality in label.modalities for label in manifest.labels], span, np.nan)
        for modality in _MODALITIES
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
        self._uncertain[camera] = self.find(logits)

    def find(self, logits: F32) -> frozenset[str]:
        """The modalities of which a label is in doubt by ``logits`` f32[C]."""
        return frozenset(
            modality
            for modality, (low, high) in self._thresholds.items()
            if bool(((logits > low) & (logits < high)).any())
        )

    def forget(self, camera: str) -> None:
        """Start ``camera`` anew."""
        self._uncertain.pop(camera, None)
