"""The model as the pipeline sees it: windows in, scores out. Owns the runtime and each camera's memory.

All calls on one thread, the engine's. Where the model is in parts and there are cores for it, rows are computed side by
side on threads of its own (docs/adr/0012-rows-side-by-side.md); a camera has one row at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edge.clock import Clock, SystemClock
from edge.engine.contract import Array
from edge.engine.gating.gated_runtime import GatedRuntime
from edge.engine.manifest import Manifest, ModelFolder
from edge.engine.memory_bank import MemoryBank
from edge.engine.output_decoder import OutputDecoder, first_not_finite
from edge.engine.row_pool import RowPool, available_workers
from edge.engine.runtime import PartsRuntime, Runtime, RuntimeInfo
from edge.engine.select import open_runtime
from edge.engine.selftest import NotReproducedError, self_test
from edge.errors import ModelError, RuntimeUnavailable
from edge.metrics import Metrics
from edge.signal_change import DEFAULT_GATE_LIMITS, GateLimits
from edge.types import F32, Batch, Scores, Window, seconds

if TYPE_CHECKING:
    from edge.config import models
    from edge.engine.contract import Array

_log = logging.getLogger(__name__)
ROWS_PER_WORKER = 3
"""One is computed and one waits for each; others are there for rows that need no worker."""
INAUDIBLE = 1e-15  # -300 dBFS; decaying filters reach denormals, which make a CPU call ten times as long


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """The scores of ``windows``, in their order, without those that were refused, and what the runtime took for all."""

    scores: Sequence[Scores] = ()
    infer_ns: int = 0
    windows: Sequence[Window] = ()


@dataclass(frozen=True, slots=True)
class _ComputedRows:
    """The answers of ``windows`` lie in ``outputs``; with ``stands`` they are what the camera's last ones were."""

    windows: Sequence[Window]
    outputs: Mapping[str, Array]
    infer_ns: int
    stands: bool = False


class Model:
    """A model folder, opened and proven on its golden file.

    `begin` and `collect` take rows through the model as they come and go; `score` is both at once.
    """

    def __init__(
        self,
        folder: ModelFolder,
        runtime: Runtime,
        metrics: Metrics,
        limits: GateLimits | None = DEFAULT_GATE_LIMITS,
        clock: Clock | None = None,
        workers: int = 1,
    ) -> None:
        """Take over an open ``runtime``; `open` is the usual way in. ``clock`` (the machine's unless given) times it.

        Of a runtime in parts, those run whose input changed beyond ``limits``; None: all, always. Its rows are computed
        by as many as ``workers`` threads beside the caller's; 1: by the caller's alone.
        """
        self._manifest = folder.manifest
        self._runtime = runtime
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._inputs = runtime.inputs
        memory = folder.manifest.geometry.memory
        self._bank = MemoryBank(memory.tokens, memory.dim)
        self._decoder = OutputDecoder(folder.manifest, folder.tag_names)
        self._parts = runtime if isinstance(runtime, PartsRuntime) else None
        self._gated_runtime: GatedRuntime | None = None
        if limits is not None and self._parts is not None:
            self._gated_runtime = GatedRuntime(self._parts, folder.manifest, metrics, limits)
        self._pool: RowPool[_ComputedRows] = RowPool(workers if self._parts is not None else 1)
        self._rows: dict[str, int] = {}
        self._last: dict[str, Scores] = {}
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
        limits = DEFAULT_GATE_LIMITS if settings.gating == "auto" else None
        workers = min(max_batch, available_workers(settings.threads))
        return cls(folder, runtime, metrics, limits, clock, workers)

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

    @property
    def workers(self) -> int:
        """Rows that are computed side by side."""
        return self._pool.workers

    @property
    def free_rows(self) -> Sequence[int]:
        """Rows of the batch that `begin` takes now: none of them is being computed."""
        taken = self._rows.values()
        most = self.max_batch if self._parts is None else min(self.max_batch, ROWS_PER_WORKER * self._pool.workers)
        return [row for row in range(most) if row not in taken]

    def is_computing(self, camera: str | None = None) -> bool:
        """Whether a row, or that of ``camera``, was begun and not collected."""
        return bool(self._rows) if camera is None else camera in self._rows

    def notify(self, on_done: Callable[[], None]) -> None:
        """Have ``on_done`` called, on any thread, when there may be something to collect."""
        self._pool.on_done = on_done

    def score(self, windows: Sequence[Window]) -> ModelOutput:
        """Run the rows of ``windows`` once, when no others are being computed; the scores are in the order of these.

        A window whose own input holds NaN or infinity is left out and counted as a drop; numbers that are not
        finite although the input was are a ModelError.
        """
        self.begin(windows)
        found: list[Scores] = []
        infer_ns = 0
        while self.is_computing():
            output = self.collect(wait=True)
            found += output.scores
            infer_ns += output.infer_ns
        order = {window.camera: n for n, window in enumerate(windows)}
        return ModelOutput(tuple(sorted(found, key=lambda scores: order[scores.camera])), infer_ns, tuple(windows))

    def begin(self, windows: Sequence[Window]) -> None:
        """Begin to compute the rows of ``windows``. At most one window a camera at a time, each in a free row."""
        if not windows:
            return
        with self._metrics.stage("model"):
            self._reserve(windows)
            for window in windows:
                _zero_inaudible(self.batch.audio[window.row])
                self._bank.read(window, self._inputs["memory"][window.row], self._inputs["memory_ok"][window.row])
            if self._parts is None:
                self._pool.call(partial(self._timed, windows, partial(self._run_whole, windows)))
                return
            for window in windows:
                self._begin_row(window, self._parts)

    def collect(self, *, wait: bool) -> ModelOutput:
        """What is done: a row, or the batch where the model is one graph. Empty when nothing is; with ``wait``, only
        when nothing is being computed."""
        with self._metrics.stage("model"):
            done = self._pool.take(wait=wait)
            if done is None:
                return ModelOutput()
            self._metrics.infer_s.observe(seconds(done.infer_ns))
            for window in done.windows:
                del self._rows[window.camera]
            scores = [scores for window in done.windows if (scores := self._finish(window, done)) is not None]
            return ModelOutput(scores, done.infer_ns, done.windows)

    def reset(self, camera: str) -> None:
        """Forget what ``camera`` showed so far; it must not be computed now."""
        self._bank.forget(camera)
        self._last.pop(camera, None)
        if self._gated_runtime is not None:
            self._gated_runtime.forget(camera)

    def close(self) -> None:
        """Close the runtime; the batch's arrays die with it."""
        self._pool.close()
        self._runtime.close()

    def _reserve(self, windows: Sequence[Window]) -> None:
        rows = {window.camera: window.row for window in windows}
        taken = self._rows.values()
        distinct = len(rows) == len(windows) == len(set(rows.values()))
        if not distinct or any(camera in self._rows or row in taken for camera, row in rows.items()):
            raise ValueError("the model takes one window a camera at a time, each in a row of its own")
        self._rows.update(rows)

    def _begin_row(self, window: Window, parts: PartsRuntime) -> None:
        """On a worker what takes long; what does not, at once, so that it need not wait for what does."""
        if self._gated_runtime is None:
            self._pool.defer(partial(self._timed, [window], partial(self._run_parts, window, parts)))
            return
        plan = self._gated_runtime.judge(window)
        call = partial(self._timed, [window], partial(self._gated_runtime.run, plan))
        if plan.encodes_vision or (plan.encodes_audio and self._pool.has_idle_worker):
            self._pool.defer(call)
        else:
            self._pool.call(call)

    def _timed(self, windows: Sequence[Window], run: Callable[[], tuple[Mapping[str, Array], bool]]) -> _ComputedRows:
        with self._metrics.stage("model"):
            began_ns = self._clock.mono_ns()
            outputs, stands = run()
            return _ComputedRows(windows, outputs, self._clock.mono_ns() - began_ns, stands)

    def _run_whole(self, windows: Sequence[Window]) -> tuple[Mapping[str, Array], bool]:
        return self._runtime.run(max(window.row for window in windows) + 1), False

    def _run_parts(self, window: Window, parts: PartsRuntime) -> tuple[Mapping[str, Array], bool]:
        parts.run_rows([window.row])
        return parts.outputs, False

    def _finish(self, window: Window, done: _ComputedRows) -> Scores | None:
        outputs, last = done.outputs, self._last.get(window.camera)
        if done.stands:
            self._append(window, outputs, stands=True)
            if last is not None and last.content == window.content:
                self._last[window.camera] = self._decoder.repeated(last, window)
                return self._last[window.camera]
        elif not self._is_accepted(window, outputs):
            return None
        else:
            self._append(window, outputs)
        self._last[window.camera] = scores = self._decoder.scores(window, outputs)
        return scores

    def _append(self, window: Window, outputs: Mapping[str, Array], *, stands: bool = False) -> None:
        tokens, ok = self._inputs["memory"][window.row], self._inputs["memory_ok"][window.row]
        self._bank.append(window, tokens, ok, outputs["token"][window.row], stands=stands)

    def _is_accepted(self, window: Window, outputs: Mapping[str, Array]) -> bool:
        """Whether the answer is finite; where it is, what follows from it is noted."""
        bad = first_not_finite(outputs, window.row)
        if bad is not None:
            self._refuse(window, bad)
            self._last.pop(window.camera, None)
            if self._gated_runtime is not None:
                self._gated_runtime.forget(window.camera)
            return False
        if self._gated_runtime is not None:
            self._gated_runtime.update(window)
        return True

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
