"""Which runtime executes the model here: what was asked for, or the best one that is there.

Opening the model's graphs, each on a given runtime, and joining them to one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edge.engine import runtime_choice
from edge.engine.built import build_dir
from edge.engine.manifest import ModelFolder, Part
from edge.engine.runtime import InferenceGraph, PartsRuntime, Runtime, WholeRuntime
from edge.engine.runtime_choice import REFERENCE, Choice, CpuRuntime
from edge.errors import ModelError, RuntimeUnavailable, install_command

if TYPE_CHECKING:
    from edge.config import models

_log = logging.getLogger(__name__)
_TENSORRT_ONLY = frozenset({"fp16", "int8"})


def open_parts(folder: ModelFolder, choice: Choice, threads: int, max_batch: int) -> Runtime:
    """The model with each part on its runtime; what was opened is closed again when one of them fails."""
    graphs: dict[Part, InferenceGraph] = {}
    try:
        for part in folder.parts:
            graphs[part] = open_graph(folder, part, choice[part], threads)
        return compose_runtime(folder, graphs, max_batch)
    except BaseException:
        for graph in graphs.values():
            graph.close()
        raise


def compose_runtime(folder: ModelFolder, graphs: Mapping[Part, InferenceGraph], max_batch: int) -> Runtime:
    """One runtime of open graphs, which are its own from now on; ModelError where they do not fit."""
    if "whole" in graphs:
        return WholeRuntime(folder, graphs["whole"], max_batch)
    return PartsRuntime(folder, graphs["vision"], graphs["audio"], graphs["fusion"], max_batch)


def open_graph(folder: ModelFolder, part: Part, runtime: CpuRuntime, threads: int) -> InferenceGraph:
    """One graph on a CPU; RuntimeUnavailable or ModelError say what is missing."""
    path = folder.graph_of(part)
    if runtime == "onnx":
        from edge.engine.onnx_graph import OnnxGraph

        return OnnxGraph(path, threads)
    try:
        from edge.engine.openvino_graph import OpenVinoGraph
    except ImportError as error:
        raise RuntimeUnavailable(f"OpenVINO cannot be imported ({error}); {install_command('openvino')}") from error
    return OpenVinoGraph(path, threads, build_dir(folder) / "openvino")


def open_runtime(folder: ModelFolder, settings: models.ModelConfig, max_batch: int) -> Runtime:
    """The runtime for ``settings``; says once which one it is and why.

    ``auto`` takes TensorRT when an engine built for this graph, machine and precision is there; otherwise what
    `edge engine choose` measured to be best on this CPU, and ONNX Runtime where nothing was measured. An explicit
    choice never falls back: RuntimeUnavailable or ModelError say what is missing.
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
    _refuse_reduced(settings)
    saved = runtime_choice.read_choice(folder, settings.threads)
    if saved is None:
        return _open_on_cpu(folder, "onnx", settings, max_batch), f"{no_engine}; {_unmeasured_hint(settings)}"
    table, choice = saved
    reason = f"{no_engine}; {runtime_choice.explain_choice(table, choice)}"
    if set(choice.values()) == {REFERENCE}:
        return _open_on_cpu(folder, "onnx", settings, max_batch), reason
    try:
        return open_parts(folder, choice, settings.threads, max_batch), reason
    except (RuntimeUnavailable, ModelError) as error:
        _log.warning("what was chosen for this box does not open: %s. Measure again: edge engine choose", error)
        return _open_on_cpu(folder, "onnx", settings, max_batch), no_engine


def _open_on_cpu(folder: ModelFolder, name: CpuRuntime, settings: models.ModelConfig, max_batch: int) -> Runtime:
    _refuse_reduced(settings)
    if name == "onnx":
        return _open_onnx(folder, settings, max_batch)
    return open_parts(folder, dict.fromkeys(folder.parts, name), settings.threads, max_batch)


def _refuse_reduced(settings: models.ModelConfig) -> None:
    """RuntimeUnavailable for a precision that no CPU runs."""
    if settings.precision in _TENSORRT_ONLY:
        raise RuntimeUnavailable(
            f"model.precision is {settings.precision}, which TensorRT alone runs; build an engine "
            f"(edge engine build --precision {settings.precision}) and set runtime: tensorrt, or set precision: auto"
        )


def _open_onnx(folder: ModelFolder, settings: models.ModelConfig, max_batch: int) -> Runtime:
    try:
        from edge.engine.onnx_graph import has_cuda_provider, open_whole_graph
    except ImportError as error:
        raise RuntimeUnavailable(f"onnxruntime cannot be imported ({error}); pip install onnxruntime") from error
    if folder.manifest.parts is None or has_cuda_provider():
        return open_whole_graph(folder, settings.threads, max_batch)
    return open_parts(folder, dict.fromkeys(folder.parts, REFERENCE), settings.threads, max_batch)


def _open_tensorrt(folder: ModelFolder, settings: models.ModelConfig, max_batch: int) -> Runtime:
    from edge.engine.trt.runtime import TensorRtRuntime

    return TensorRtRuntime.open(folder, settings.precision, max_batch)


def _unmeasured_hint(settings: models.ModelConfig) -> str:
    """What measuring could change; nothing where ONNX Runtime is all there is."""
    if not runtime_choice.installed_version("openvino"):
        return "nothing else is installed"
    threads = f" --threads {settings.threads}" if settings.threads != 1 else ""
    return f"other runtimes were not measured on this box: edge engine choose{threads}"
