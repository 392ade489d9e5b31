"""The TensorRT library that is there: `tensorrt` (8.6 to 11, JetPack and servers) or `tensorrt_rtx`.

What TensorRT's and CUDA's own messages mean for the person at the machine.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from edge.engine.contract import TensorSpec
from edge.errors import ModelError, RuntimeUnavailable, install_command

_log = logging.getLogger(__name__)
NAMES = ("tensorrt", "tensorrt_rtx")
_OLDEST = (8, 6)
_STRONGLY_TYPED = (10, 12)  # builder flags for types are deprecated from here on, and gone from 11
_DTYPES: dict[str, np.dtype[Any]] = {
    "FLOAT": np.dtype(np.float32),
    "HALF": np.dtype(np.float16),
    "UINT8": np.dtype(np.uint8),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "BOOL": np.dtype(np.bool_),
}


@dataclass(frozen=True)
class TensorRtLibrary:
    """An imported library. ``is_weakly_typed``: the builder chooses types by flags; otherwise the graph says them."""

    module: Any
    name: str
    version: str
    is_weakly_typed: bool
    errors: deque[str] = field(default_factory=lambda: deque(maxlen=16), compare=False, repr=False)
    """What it complained of since its last object was made, newest first."""

    @property
    def has_own_graphs(self) -> bool:
        """Whether it records CUDA graphs itself, whatever the shapes (TensorRT-RTX 1.2 and newer)."""
        return hasattr(self.module, "CudaGraphStrategy")

    @cached_property
    def logger(self) -> Any:
        """The library's own messages, in this program's log and in ``errors``. One for all of its objects."""
        severity = self.module.ILogger
        errors = self.errors
        levels = {
            severity.INTERNAL_ERROR: logging.ERROR,
            severity.ERROR: logging.ERROR,
            severity.WARNING: logging.INFO,
            severity.INFO: logging.DEBUG,
        }
        base: Any = self.module.ILogger

        class _Logger(base):  # type: ignore[misc]
            def __init__(self) -> None:
                base.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                level = levels.get(severity)
                if level is not None:
                    _log.log(level, "%s", message)
                if level == logging.ERROR:
                    errors.appendleft(message)

        return _Logger()

    def make(self, kind: str) -> Any:
        """The library's ``Runtime`` or ``Builder``; RuntimeUnavailable when the driver or the GPU does not suit it."""
        self.errors.clear()
        try:
            return getattr(self.module, kind)(self.logger)
        except (RuntimeError, TypeError) as error:
            raise self.unavailable(f"{self} cannot be used here ({error})") from error

    def unavailable(
        self, what: str, otherwise: str = "its messages are in the log above", *, without_gpu: bool = False
    ) -> RuntimeUnavailable:
        """``what`` went wrong, with what the library's last errors mean for the person at the machine.

        ``without_gpu``: there need not be one, and that the library looks for it in vain explains nothing.
        """
        errors = [error for error in self.errors if not (without_gpu and "Cuda Runtime" in error)]
        return RuntimeUnavailable(f"{what}: {explain_messages(errors) or otherwise}")

    def monitor(self, phase: Callable[[str, int, int], bool]) -> Any | None:
        """A progress monitor that calls ``phase(name, step, steps)``, which says whether to go on; None before 10."""
        base: Any = getattr(self.module, "IProgressMonitor", None)
        if base is None:
            return None

        class _Monitor(base):  # type: ignore[misc]
            def __init__(self) -> None:
                base.__init__(self)
                self._steps: dict[str, int] = {}

            def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:  # noqa: ARG002
                self._steps[phase_name] = num_steps

            def step_complete(self, phase_name: str, step: int) -> bool:
                try:
                    return phase(phase_name, step + 1, self._steps.get(phase_name, 0))
                except KeyboardInterrupt:  # must not pass through the library; it stops the build itself
                    return False

            def phase_finish(self, phase_name: str) -> None:
                self._steps.pop(phase_name, None)

        return _Monitor()

    def tensors(self, engine: Any, *, inputs: bool) -> dict[str, TensorSpec]:
        """The engine's inputs or outputs."""
        mode = self.module.TensorIOMode.INPUT if inputs else self.module.TensorIOMode.OUTPUT
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        return {
            name: TensorSpec(
                name,
                _dtype(engine.get_tensor_dtype(name)),
                tuple(None if size < 0 else int(size) for size in tuple(engine.get_tensor_shape(name))[1:]),
            )
            for name in names
            if engine.get_tensor_mode(name) == mode
        }

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def load_library() -> TensorRtLibrary:
    """The first of the two that can be imported; RuntimeUnavailable says how to get one."""
    reasons = []
    for name in NAMES:
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError, RuntimeError) as error:
            reasons.append(str(error).splitlines()[0] if str(error) else name)
            continue
        return wrap_library(name, module)
    raise RuntimeUnavailable(
        f"TensorRT is not installed ({', '.join(reasons)}); on a Jetson it comes with JetPack (docs/how-to/jetson.md), "
        f"on a PC: {install_command('gpu')}"
    )


def wrap_library(name: str, module: Any) -> TensorRtLibrary:
    """An imported module as `TensorRtLibrary`; RuntimeUnavailable when it is too old."""
    version = str(module.__version__)
    numbers = version_numbers(version)
    if name == "tensorrt" and numbers < _OLDEST:
        raise RuntimeUnavailable(
            f"TensorRT {version} is too old; 8.6 or newer is needed (JetPack 6, docs/how-to/jetson.md)"
        )
    has_flags = hasattr(module.BuilderFlag, "FP16")
    return TensorRtLibrary(module, name, version, has_flags and numbers < _STRONGLY_TYPED)


def version_numbers(version: str) -> tuple[int, ...]:
    """``10.3.0.26`` as numbers, to compare; ``post1`` and the like are left out."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _dtype(kind: Any) -> np.dtype[Any]:
    try:
        return _DTYPES[kind.name]
    except KeyError:
        raise ModelError(
            f"the engine has a tensor of type {kind.name}; export the graph with uint8 and float32"
        ) from None


_MEANINGS: tuple[tuple[str, str], ...] = (  # causes before what follows from them
    (
        r"driver version is insufficient|old_cuda_driver|cuda initialization failure with error: 35",
        (
            "the NVIDIA driver is too old for this TensorRT: update the driver (on a Jetson: JetPack), or install a "
            "TensorRT built for the CUDA version that nvidia-smi shows"
        ),
    ),
    (
        r"no cuda-capable device|cuda_error_no_device|cuda initialization failure with error: 100",
        "no NVIDIA GPU is visible to this user: look at nvidia-smi (on a Jetson: tegrastats)",
    ),
    (
        r"out of memory|outofmemory|insufficient_gpu_memory|insufficient memory|cuda_error_out_of_memory",
        (
            "there is not enough GPU memory: stop what else uses the GPU (the daemon too, while building), or use a "
            "smaller --max-batch"
        ),
    ),
    (r"no space left", "the disk is full: free some space"),
    (
        r"libnvinfer_lean|libnvinfer_dispatch",
        (
            "this installation of TensorRT lacks the lean runtime that --version-compatible needs: install it "
            "(apt install libnvinfer-lean10, or pip install tensorrt-lean), or build without"
        ),
    ),
    (
        r"libnvinfer_builder_resource|unable to load library|cannot open shared object",
        "parts of TensorRT are missing: install it again",
    ),
    (
        r"expecting library version|version tag does not match|version_mismatch|safe version tag",
        "it was built by another version of TensorRT: edge engine build",
    ),
    (
        r"target gpu sm|different models? of devices|unsupported_cc|compute capability .* (?:expected|mismatch)",
        "it was built for another GPU: edge engine build",
    ),
    (
        r"unsupported sm|sm .* is not supported|does not support .* compute capability",
        "this GPU is too old for this version of TensorRT: install an older one, or use runtime: onnx",
    ),
    (r"malformed_engine|magic tag does not match|deserializ", "the file is damaged: edge engine build"),
)


def explain_messages(messages: Iterable[str]) -> str | None:
    """What to do about the most telling of ``messages``; None where none is known."""
    texts = tuple(messages)
    for pattern, advice in _MEANINGS:
        if any(re.search(pattern, message, re.IGNORECASE) for message in texts):
            return advice
    return None
