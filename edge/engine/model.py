"""The model as the pipeline sees it: windows in, scores out. Owns the runtime and each camera's memory.

All calls on one thread, the engine's.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge.engine.decode import OutputDecoder, first_not_finite
from edge.engine.gating.features import GatedRuntime
from edge.engine.gating.limits import DEFAULT_GATE_LIMITS, GateLimits
from edge.engine.manifest import Manifest, ModelFolder
from edge.engine.memory import MemoryBank
from edge.engine.parts import PartsRuntime
from edge.engine.runtime import Runtime, RuntimeInfo
from edge.engine.select import open_runtime
from edge.engine.selftest import NotReproducedError, self_test
from edge.errors import ModelError, RuntimeUnavailable
from edge.metrics import Metrics
from edge.types import F32, Batch, Scores, Window

if TYPE_CHECKING:
    from edge.config import models
    from edge.engine.contract import Array


_log = logging.getLogger(__name__)
INAUDIBLE = 1e-15  # -300 dBFS; decaying filters reach denormals, which make a CPU call ten times as long


class Model:
    """A model folder, opened and proven on its golden file."""

    def __init__(
        self, folder: ModelFolder, runtime: Runtime, metrics: Metrics, limits: GateLimits | None = DEFAULT_GATE_LIMITS
    ) -> None:
        """Take over an open ``runtime``; `open` is the usual way in.

        Of a runtime in parts, those run whose input changed beyond ``limits``; None: all, always.
        """
        self._manifest = folder.manifest
        self._runtime = runtime
        self._metrics = metrics
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
    def open(cls, folder: ModelFolder, settings: models.ModelConfig, max_batch: int, metrics: Metrics) -> Model:
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
        return cls(folder, runtime, metrics, DEFAULT_GATE_LIMITS if settings.gating == "auto" else None)

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

    def score(self, windows: Sequence[Window]) -> list[Scores]:
        """Run the rows of ``windows`` once; scores in the same order. At most one window a camera, each row once.

        A window whose own input holds NaN or infinity is left out and counted as a drop; numbers that are not
        finite although the input was are a ModelError.
        """
        if not windows:
            return []
        _check_distinct(windows)
        for window in windows:
            _zero_inaudible(self.batch.audio[window.row])
            self._bank.read(window, self._inputs["memory"][window.row], self._inputs["memory_ok"][window.row])
        with self._metrics.infer_s.time():
            outputs = self._run(windows)
        return [scores for window in windows if (scores := self._finish(window, outputs)) is not None]

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
