"""Which runtime executes the model here: what was asked for, or the best one that is there.

Opening the model's graphs in a given way, and joining them to one runtime.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edge.engine import runtime_choice
from edge.engine.built import build_dir
from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder
from edge.engine.precision.variants import Part, admitted_path, list_variants, source_graph
from edge.engine.runtime import InferenceGraph, PartsRuntime, Runtime
from edge.engine.runtime_choice import REFERENCE, Choice, ExecutionMode
from edge.errors import ModelError, RuntimeUnavailable, install_command

if TYPE_CHECKING:
    from edge.config import models

_log = logging.getLogger(__name__)


def open_in_modes(folder: ModelFolder, choice: Choice, threads: int, max_batch: int) -> Runtime:
    """The model with each part in its way; what was opened is closed again when one of them fails."""
    graphs: dict[Part, InferenceGraph] = {}
    try:
        for part in runtime_choice.graph_parts(folder):
            graphs[part] = open_graph(folder, part, choice[part], threads)
        return compose_runtime(folder, graphs, max_batch)
    except BaseException:
        for graph in graphs.values():
            graph.close()
        raise


def compose_runtime(folder: ModelFolder, graphs: Mapping[Part, InferenceGraph], max_batch: int) -> Runtime:
    """One runtime of open graphs, which are its own from now on; ModelError where they do not fit."""
    if "whole" in graphs:
        from edge.engine.runtime import WholeRuntime

        return WholeRuntime(folder, graphs["whole"], max_batch)
    return PartsRuntime(folder, graphs["vision"], graphs["audio"], graphs["fusion"], max_batch)


def open_graph(
    folder: ModelFolder, part: Part, how: ExecutionMode, threads: int, feed: Mapping[str, Array] | None = None
) -> InferenceGraph:
    """One graph; RuntimeUnavailable or ModelError say what is missing.

    OpenVINO in bfloat16 needs a graph that says what must stay in 32 bits. It is made when it is not there, from
    ``feed``, the golden inputs of the part (computed where not given): that takes some seconds, once.
    """
    path = admitted_path(folder, "int8", part) if how.precision == "int8" else source_graph(folder, part)[0]
    if how.runtime == "onnx":
        from edge.engine.onnx_graph import OnnxGraph

        return OnnxGraph(path, threads, precision=how.precision)
    try:
        from edge.engine.openvino_graph import OpenVinoGraph
    except ImportError as error:
        raise RuntimeUnavailable(f"OpenVINO cannot be imported ({error}); {install_command('openvino')}") from error
    if how.precision == "bf16":
        path = _for_bf16(folder, part, path, threads, feed)
    return OpenVinoGraph(path, threads, how.precision, build_dir(folder) / "openvino")


def has_bf16() -> bool | None:
    """Whether OpenVINO says that this CPU computes in bfloat16; None without OpenVINO."""
    if not runtime_choice.installed_version("openvino"):
        return None
    try:
        from edge.engine import openvino_graph
    except ImportError:
        return None
    return openvino_graph.has_bf16()


def _for_bf16(folder: ModelFolder, part: Part, path: Path, threads: int, feed: Mapping[str, Array] | None) -> Path:
    from edge.engine import openvino_graph
    from edge.engine.cpu import bf16

    if not openvino_graph.has_bf16():
        raise RuntimeUnavailable("this CPU has no bfloat16 instructions; use precision: fp32 or auto")
    digest = source_graph(folder, part)[1]
    target = build_dir(folder) / f"{part}-bf16-{openvino_graph.version()}-{digest[:16]}.xml"
    if not target.is_file():
        _log.info("preparing %s for bfloat16; later starts find it", path.name)
        exact = bf16.prepare(path, target, feed or _golden(folder, part), threads)
        _log.info("%s in bfloat16; in 32 bits: %s", path.name, ", ".join(exact) or "nothing")
    return target


def _golden(folder: ModelFolder, part: Part) -> Mapping[str, Array]:
    from edge.engine.runtime_trial import golden_feeds

    graphs = {p: open_graph(folder, p, runtime_choice.REFERENCE, 1) for p in runtime_choice.graph_parts(folder)}
    try:
        return golden_feeds(folder, graphs)[part]
    finally:
        for graph in graphs.values():
            graph.close()


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
    table = runtime_choice.read_measurements(folder, settings.threads)
    choice = None
    if table is not None:
        choice = runtime_choice.choose_modes(
            table, runtime_choice.graph_parts(folder), settings.precision, runtime_choice.spare_mb()
        )
    if table is None or choice is None or _is_reference(choice):
        reason = (
            runtime_choice.explain_choice(table, choice)
            if table is not None and choice is not None
            else _unmeasured_hint(folder, settings)
        )
        return _open_on_cpu(
            folder, _RUNTIME_OF_PRECISION.get(settings.precision, "onnx"), settings, max_batch
        ), f"{no_engine}; {reason}"
    try:
        runtime = open_in_modes(folder, choice, settings.threads, max_batch)
        return runtime, f"{no_engine}; {runtime_choice.explain_choice(table, choice)}"
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
    bfloat16 what encodes, since `fusion` gives what is not a number there and is cheap in any case."""
    parts = runtime_choice.graph_parts(folder)
    if precision == "bf16":
        return {part: ExecutionMode(name, "fp32" if part == "fusion" else precision) for part in parts}
    if precision != "int8":
        return dict.fromkeys(parts, ExecutionMode(name, "fp32"))
    made = {v.part for v in list_variants(folder) if v.precision == precision and v.is_admitted} or {parts[0]}
    return {part: ExecutionMode(name, precision if part in made else "fp32") for part in parts}


def _open_onnx(folder: ModelFolder, settings: models.ModelConfig, max_batch: int) -> Runtime:
    try:
        from edge.engine.onnx_graph import has_cuda_provider, open_whole_graph
    except ImportError as error:
        raise RuntimeUnavailable(f"onnxruntime cannot be imported ({error}); pip install onnxruntime") from error
    if folder.manifest.parts is None or has_cuda_provider():
        return open_whole_graph(folder, settings.threads, max_batch)
    return open_in_modes(folder, _all_in(folder, "onnx", "fp32"), settings.threads, max_batch)


def _open_tensorrt(folder: ModelFolder, settings: models.ModelConfig, max_batch: int) -> Runtime:
    from edge.engine.trt.runtime import TensorRtRuntime

    return TensorRtRuntime.open(folder, settings.precision, max_batch)


def _is_reference(choice: Choice) -> bool:
    return set(choice.values()) == {REFERENCE}


def _unmeasured_hint(folder: ModelFolder, settings: models.ModelConfig) -> str:
    """What measuring could change; nothing where ONNX Runtime is all there is."""
    if not runtime_choice.installed_version("openvino") and not any(v.is_admitted for v in list_variants(folder)):
        return "nothing else is installed"
    threads = f" --threads {settings.threads}" if settings.threads != 1 else ""
    return f"other ways were not measured on this box: edge engine choose{threads}"
