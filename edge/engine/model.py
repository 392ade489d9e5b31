"""The model as the pipeline sees it: windows in, scores out. Owns the runtime and each camera's memory.

All calls on one thread, the engine's.

One row of the graph's outputs as `Scores`: probabilities, contributions, boxes in the camera's picture, tags.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.clock import Clock, SystemClock
from edge.engine.contract import Array
from edge.engine.gating.gated_runtime import GatedRuntime
from edge.engine.manifest import Manifest, ModelFolder
from edge.engine.memory_bank import MemoryBank
from edge.engine.runtime import PartsRuntime, Runtime, RuntimeInfo
from edge.engine.select import open_runtime
from edge.engine.selftest import NotReproducedError, self_test
from edge.errors import ModelError, RuntimeUnavailable
from edge.metrics import Metrics
from edge.signal_change import DEFAULT_GATE_LIMITS, GateLimits
from edge.types import F32, Batch, Box, Contribution, Features, Rect, Scores, Window, seconds

if TYPE_CHECKING:
    from edge.config import models
    from edge.engine.contract import Array

_log = logging.getLogger(__name__)
INAUDIBLE = 1e-15  # -300 dBFS; decaying filters reach denormals, which make a CPU call ten times as long


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """The scores of a call's windows, in their order, and how long the runtime took for all of them."""

    scores: Sequence[Scores] = ()
    infer_ns: int = 0


class Model:
    """A model folder, opened and proven on its golden file."""

    def __init__(
        self,
        folder: ModelFolder,
        runtime: Runtime,
        metrics: Metrics,
        limits: GateLimits | None = DEFAULT_GATE_LIMITS,
        clock: Clock | None = None,
    ) -> None:
        """Take over an open ``runtime``; `open` is the usual way in. ``clock`` (the machine's unless given) times it.

        Of a runtime in parts, those run whose input changed beyond ``limits``; None: all, always.
        """
        self._manifest = folder.manifest
        self._runtime = runtime
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._inputs = runtime.inputs
        memory = folder.manifest.geometry.memory
        self._bank = MemoryBank(memory.tokens, memory.dim)
        self._decoder = OutputDecoder(folder.manifest, folder.tag_names)
        self._gated_runtime: GatedRuntime | None = None
        if limits is not None and isinstance(runtime, PartsRuntime):
            self._gated_runtime = GatedRuntime(runtime, folder.manifest, metrics, limits)
        self.batch = Batch(
            *(self._inputs[name] for name in ("frames", "video_ok", "audio", "audio_ok", "sensors", "sensor_ok"))
        )

    @classmethod
    def open(
        cls,
        folder: ModelFolder,
        settings: models.ModelConfig,
        max_batch: int,
        metrics: Metrics,
        clock: Clock | None = None,
    ) -> Model:
        """Verify the digests, open the runtime that ``settings`` ask for, and run the self-test.

        With ``runtime: auto`` what fails the self-test gives way to ONNX Runtime in 32 bits, with a warning.
        ModelError when the folder is damaged or does not reproduce its golden file; RuntimeUnavailable when the
        runtime that was asked for cannot be used here.
        """
        folder.verify()
        runtime = _open_proven(folder, settings, max_batch)
        info = runtime.info
        metrics.runtime.info(
            {
                "model": f"{folder.manifest.name} {folder.manifest.version}",
                "runtime": info.name,
                "version": info.version,
                "device": info.device,
                "precision": info.precision,
            }
        )
        return cls(folder, runtime, metrics, DEFAULT_GATE_LIMITS if settings.gating == "auto" else None, clock)

    @property
    def info(self) -> RuntimeInfo:
        """What runs the model."""
        return self._runtime.info

    @property
    def name(self) -> str:
        """Name and version, as in ``fused 0.1.0``."""
        return f"{self._manifest.name} {self._manifest.version}"

    @property
    def manifest(self) -> Manifest:
        """Labels and geometry."""
        return self._manifest

    @property
    def max_batch(self) -> int:
        """Rows of the batch."""
        return self._runtime.max_batch

    @property
    def preferred_rows(self) -> int:
        """Rows that the runtime takes best at a time: more gain nothing, and the first would wait for the last."""
        if isinstance(self._runtime, PartsRuntime):
            return self._runtime.chunk
        return 1 if self.info.device == "cpu" else self.max_batch

    def score(self, windows: Sequence[Window]) -> ModelOutput:
        """Run the rows of ``windows`` once. At most one window a camera, each row once.

        A window whose own input holds NaN or infinity is left out and counted as a drop; numbers that are not
        finite although the input was are a ModelError.
        """
        if not windows:
            return ModelOutput()
        with self._metrics.stage("model"):
            return self._score(windows)

    def _score(self, windows: Sequence[Window]) -> ModelOutput:
        _check_distinct(windows)
        for window in windows:
            _zero_inaudible(self.batch.audio[window.row])
            self._bank.read(window, self._inputs["memory"][window.row], self._inputs["memory_ok"][window.row])
        began_ns = self._clock.mono_ns()
        outputs = self._run(windows)
        infer_ns = self._clock.mono_ns() - began_ns
        self._metrics.infer_s.observe(seconds(infer_ns))
        scores = [scores for window in windows if (scores := self._finish(window, outputs)) is not None]
        return ModelOutput(scores, infer_ns)

    def reset(self, camera: str) -> None:
        """Forget what ``camera`` showed so far."""
        self._bank.forget(camera)
        if self._gated_runtime is not None:
            self._gated_runtime.forget(camera)

    def close(self) -> None:
        """Close the runtime; the batch's arrays die with it."""
        self._runtime.close()

    def _run(self, windows: Sequence[Window]) -> Mapping[str, Array]:
        if self._gated_runtime is not None:
            return self._gated_runtime.run(windows)
        return self._runtime.run(max(window.row for window in windows) + 1)

    def _finish(self, window: Window, outputs: Mapping[str, Array]) -> Scores | None:
        bad = first_not_finite(outputs, window.row)
        if bad is not None:
            self._refuse(window, bad)
            if self._gated_runtime is not None:
                self._gated_runtime.forget(window.camera)
            return None
        if self._gated_runtime is not None:
            self._gated_runtime.update(window, outputs)
        tokens, ok = self._inputs["memory"][window.row], self._inputs["memory_ok"][window.row]
        self._bank.append(window, tokens, ok, outputs["token"][window.row])
        return self._decoder.scores(window, outputs)

    def _refuse(self, window: Window, output: str) -> None:
        """Tell broken media (counted) from a broken model (ModelError)."""
        for name, buffer in self._inputs.items():
            if buffer.dtype.kind == "f" and not np.isfinite(buffer[window.row]).all():
                self._metrics.drops.labels(window.camera, f"engine_{name}_not_finite").inc()
                return
        raise ModelError(
            f"{self.info}: output {output} is not finite for camera {window.camera!r} although its input was; "
            "use precision fp32 or another runtime, or restore the model folder"
        )


def _open_proven(folder: ModelFolder, settings: models.ModelConfig, max_batch: int) -> Runtime:
    runtime = open_runtime(folder, settings, max_batch)
    try:
        self_test(folder, runtime)
    except (NotReproducedError, RuntimeUnavailable) as error:
        runtime.close()
        if settings.runtime != "auto" or (runtime.info.name, runtime.info.precision) == ("onnx", "fp32"):
            raise
        _log.warning("%s. Running on ONNX Runtime until then", error)
        return _open_proven(folder, settings.model_copy(update={"runtime": "onnx", "precision": "auto"}), max_batch)
    except BaseException:
        runtime.close()
        raise
    return runtime


def _zero_inaudible(samples: F32) -> None:
    """Exact zeros for what nobody could hear. ONNX Runtime's own switch would alter the whole thread's arithmetic."""
    np.copyto(samples, 0, where=np.abs(samples) < INAUDIBLE)


def _check_distinct(windows: Sequence[Window]) -> None:
    cameras = {window.camera for window in windows}
    rows = {window.row for window in windows}
    if len(cameras) != len(windows) or len(rows) != len(windows):
        raise ValueError("a batch takes one window a camera, each in a row of its own")


TOP_TAGS = 5
MIN_TAG = 0.1
MIN_AUDIO_SHARE = 0.05  # share of the sound window from which the graph listens to it at all
_FEATURES = ("tags", "sound", "classes", "picture_tags", "picture", "motion", "aligned")
_CHECKED = ("logits", "contribution", "embedding", "token", "boxes", *_FEATURES)


class OutputDecoder:
    """Knows the names behind the graph's numbers."""

    def __init__(self, manifest: Manifest, tag_names: tuple[str, ...]) -> None:
        self._labels = manifest.label_names
        self._classes = manifest.classes
        self._tags = tag_names
        self._model = f"{manifest.name} {manifest.version}"

    def scores(self, window: Window, outputs: Mapping[str, Array]) -> Scores:
        """The window's row of ``outputs``; nothing in the result refers to the runtime's buffers."""
        row = window.row
        values = probabilities(outputs["logits"][row]).tolist()
        parts = outputs["contribution"][row].tolist()
        return Scores(
            camera=window.camera,
            seq=window.seq,
            t_end_ns=window.t_end_ns,
            media_end=window.media_end,
            values=dict(zip(self._labels, values, strict=True)),
            contribution={name: Contribution(*part) for name, part in zip(self._labels, parts, strict=True)},
            embedding=np.array(outputs["embedding"][row], np.float32),
            boxes=boxes_of(outputs["boxes"][row], self._classes, window.content),
            tags=top_tags(outputs["tags"][row], self._tags),
            coverage=window.coverage,
            video_ok=any(window.video_ok),
            audio_ok=window.audio_ok > MIN_AUDIO_SHARE,
            model=self._model,
            evidence=np.array(outputs["evidence"][row], np.float32),
            content=window.content,
            picture=window.picture,
            features=Features(**{name: np.array(outputs[name][row], np.float32) for name in _FEATURES}),
        )


def probabilities(logits: F32) -> Array:
    """The logistic function of calibrated logits, f64, stable at both ends."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, np.float64))))


def boxes_of(rows: F32, classes: tuple[str, ...], content: Rect) -> tuple[Box, ...]:
    """Rows f32[K,6] on the letterboxed canvas -> boxes in 0..1 of the camera's own picture at ``content``, best first.

    Clipped to the picture; unused rows (score 0) and boxes that lie outside are left out. ModelError for a class
    that the manifest does not name.
    """
    left, top, right, bottom = content
    width, height = right - left, bottom - top
    if width <= 0 or height <= 0:
        return ()
    used = rows[rows[:, 4] > 0].astype(np.float64)
    used = used[np.argsort(-used[:, 4], kind="stable")]
    used[:, (0, 2)] = np.clip((used[:, (0, 2)] - left) / width, 0, 1)
    used[:, (1, 3)] = np.clip((used[:, (1, 3)] - top) / height, 0, 1)
    used = used[(used[:, 2] > used[:, 0]) & (used[:, 3] > used[:, 1])]
    return tuple(
        Box(_class_name(round(kind), classes), min(score, 1.0), x1, y1, x2, y2)
        for x1, y1, x2, y2, score, kind in used.tolist()
    )


def top_tags(values: F32, names: tuple[str, ...]) -> dict[str, float]:
    """The at most five most probable audio tags above 0.1, best first; none when the model names no tags."""
    if not names:
        return {}
    order = np.argsort(-values, kind="stable")[:TOP_TAGS]
    return {names[i]: float(values[i]) for i in order.tolist() if values[i] > MIN_TAG}


def first_not_finite(outputs: Mapping[str, Array], row: int) -> str | None:
    """The first output that holds NaN or infinity in ``row``."""
    return next((name for name in _CHECKED if not np.isfinite(outputs[name][row]).all()), None)


def _class_name(index: int, classes: tuple[str, ...]) -> str:
    if not 0 <= index < len(classes):
        raise ModelError(
            f"the graph answered with object class {index}, model.yaml names {len(classes)} classes; "
            "export the graph and model.yaml together"
        )
    return classes[index]
