"""Which runtime executes the model here: what was asked for, or the best one that is there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge.engine.choice import chosen
from edge.engine.choice.chosen import REFERENCE, Choice, ExecutionMode
from edge.engine.cpu.open import open_in_modes
from edge.engine.manifest import ModelFolder
from edge.engine.precision.variants import list_variants
from edge.engine.runtime import Runtime
from edge.errors import ModelError, RuntimeUnavailable

if TYPE_CHECKING:
    from edge.config import models

_log = logging.getLogger(__name__)
_RUNTIME_OF_PRECISION = {"fp16": "tensorrt", "bf16": "openvino"}
_PRECISIONS = {"onnx": {"auto", "fp32", "int8"}, "openvino": {"auto", "fp32", "bf16", "int8"}}


def open_runtime(folder: ModelFolder, settings: models.ModelConfig, max_batch: int) -> Runtime:
    """The runtime for ``settings``; says once which one it is and why.

    ``auto`` takes TensorRT when an engine built for this graph, machine and precision is there; otherwise what
    `edge engine choose` measured to be best on this CPU, and ONNX Runtime in 32 bits where nothing was measured. An
    explicit choice never falls back: RuntimeUnavailable or ModelError say what is missing.
    """
    if settings.runtime == "tensorrt":
        runtime, why = _open_tensorrt(folder, settings, max_batch), "as configured"
    elif settings.runtime == "auto":
        runtime, why = _open_best(folder, settings, max_batch)
    else:
        runtime, why = _open_on_cpu(folder, settings.runtime, settings, max_batch), "as configured"
    _log.info("model %s %s on %s (%s)", folder.manifest.name, folder.manifest.version, runtime.info, why)
    return runtime


def _open_best(folder: ModelFolder, settings: models.ModelConfig, max_batch: int) -> tuple[Runtime, str]:
    try:
        return _open_tensorrt(folder, settings, max_batch), "a matching engine is built"
    except RuntimeUnavailable as error:
        no_engine = str(error).split(";")[0]
    table = chosen.read_measurements(folder, settings.threads)
    choice = None
    if table is not None:
        choice = chosen.choose_modes(table, chosen.graph_parts(folder), settings.precision, chosen.spare_mb())
    if table is None or choice is None or _is_reference(choice):
        reason = (
            chosen.explain_choice(table, choice)
            if table is not None and choice is not None
            else _unmeasured_hint(folder, settings)
        )
        return _open_on_cpu(
            folder, _RUNTIME_OF_PRECISION.get(settings.precision, "onnx"), settings, max_batch
        ), f"{no_engine}; {reason}"
    try:
        runtime = open_in_modes(folder, choice, settings.threads, max_batch)
        return runtime, f"{no_engine}; {chosen.explain_choice(table, choice)}"
    except (RuntimeUnavailable, ModelError) as error:
        if settings.precision not in {"auto", "fp32"}:
            raise
        _log.warning("what was chosen for this box does not open: %s. Measure again: edge engine choose", error)
        return _open_on_cpu(folder, "onnx", settings, max_batch), no_engine


def _open_on_cpu(folder: ModelFolder, name: str, settings: models.ModelConfig, max_batch: int) -> Runtime:
    precision = settings.precision
    if precision not in _PRECISIONS.get(name, ()):
        instead = (
            f"runtime: {_RUNTIME_OF_PRECISION[precision]}" if precision in _RUNTIME_OF_PRECISION else "precision: auto"
        )
        raise RuntimeUnavailable(f"model.precision is {precision}, which {name} does not run here; set {instead}")
    if name == "onnx" and precision != "int8":
        return _open_onnx(folder, settings, max_batch)
    return open_in_modes(folder, _all_in(folder, name, precision), settings.threads, max_batch)


def _all_in(folder: ModelFolder, name: str, precision: str) -> Choice:
    """Every part on one runtime; in INT8 those that were admitted in it, and at least the one that matters most; in
    bfloat16 what encodes, since `fuse` gives what is not a number there and is cheap in any case."""
    parts = chosen.graph_parts(folder)
    if precision == "bf16":
        return {part: ExecutionMode(name, "fp32" if part == "fuse" else precision) for part in parts}
    if precision != "int8":
        return dict.fromkeys(parts, ExecutionMode(name, "fp32"))
    made = {v.part for v in list_variants(folder) if v.precision == precision and v.is_admitted} or {parts[0]}
    return {part: ExecutionMode(name, precision if part in made else "fp32") for part in parts}


def _open_onnx(folder: ModelFolder, settings: models.ModelConfig, max_batch: int) -> Runtime:
    try:
        from edge.engine.cpu.onnx import has_cuda_provider, open_whole_graph
    except ImportError as error:
        raise RuntimeUnavailable(f"onnxruntime cannot be imported ({error}); pip install onnxruntime") from error
    if folder.manifest.parts is None or has_cuda_provider():
        return open_whole_graph(folder, settings.threads, max_batch)
    return open_in_modes(folder, _all_in(folder, "onnx", "fp32"), settings.threads, max_batch)


def _open_tensorrt(folder: ModelFolder, settings: models.ModelConfig, max_batch: int) -> Runtime:
    from edge.engine.trt.tensorrt import TensorRtRuntime

    return TensorRtRuntime.open(folder, settings.precision, max_batch)


def _is_reference(choice: Choice) -> bool:
    return set(choice.values()) == {REFERENCE}


def _unmeasured_hint(folder: ModelFolder, settings: models.ModelConfig) -> str:
    """What measuring could change; nothing where ONNX Runtime is all there is."""
    if not chosen.installed_version("openvino") and not any(v.is_admitted for v in list_variants(folder)):
        return "nothing else is installed"
    threads = f" --threads {settings.threads}" if settings.threads != 1 else ""
    return f"other ways were not measured on this box: edge engine choose{threads}"
