"""Which runtime executes the model here: what was asked for, or the best one that is there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge.engine.manifest import ModelFolder
from edge.engine.parts import PartsRuntime
from edge.engine.runtime import Runtime
from edge.errors import RuntimeUnavailable

if TYPE_CHECKING:
    from edge.config import models

_log = logging.getLogger(__name__)


def open_runtime(folder: ModelFolder, settings: models.Model, max_batch: int) -> Runtime:
    """The runtime for ``settings``; says once which one it is and why.

    ``auto`` takes TensorRT when an engine built for this graph, machine and precision is there, ONNX Runtime
    otherwise. An explicit choice never falls back: RuntimeUnavailable or ModelError say what is missing.
    """
    if settings.runtime == "tensorrt":
        runtime, why = _tensorrt(folder, settings, max_batch), "as configured"
    elif settings.runtime == "onnx":
        runtime, why = _onnx(folder, settings, max_batch), "as configured"
    else:
        runtime, why = _best(folder, settings, max_batch)
    _log.info("model %s %s on %s (%s)", folder.manifest.name, folder.manifest.version, runtime.info, why)
    return runtime


def _best(folder: ModelFolder, settings: models.Model, max_batch: int) -> tuple[Runtime, str]:
    try:
        return _tensorrt(folder, settings, max_batch), "a matching engine is built"
    except RuntimeUnavailable as error:
        return _onnx(folder, settings, max_batch), str(error).split(";")[0]


def _onnx(folder: ModelFolder, settings: models.Model, max_batch: int) -> Runtime:
    if settings.precision not in {"auto", "fp32"}:
        raise RuntimeUnavailable(
            f"model.precision is {settings.precision}, but ONNX Runtime runs this graph in fp32; "
            "set precision: auto, or build a TensorRT engine (edge engine build)"
        )
    try:
        from edge.engine.onnx import OnnxGraph, OnnxRuntime, cuda_loads
    except ImportError as error:
        raise RuntimeUnavailable(f"onnxruntime cannot be imported ({error}); pip install onnxruntime") from error
    parts = folder.manifest.parts
    if parts is None or cuda_loads():
        return OnnxRuntime(folder, settings.threads, max_batch)
    see, hear, fuse = (OnnxGraph(folder.path / p.file, settings.threads) for p in (parts.see, parts.hear, parts.fuse))
    return PartsRuntime(folder, see, hear, fuse, max_batch)


def _tensorrt(folder: ModelFolder, settings: models.Model, max_batch: int) -> Runtime:
    from edge.engine.tensorrt import TensorRtRuntime

    return TensorRtRuntime.open(folder, settings.precision, max_batch)
