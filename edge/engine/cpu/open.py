"""Opening the model's graphs in a given way, and joining them to one runtime."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from edge.engine.built import build_dir
from edge.engine.choice import chosen
from edge.engine.choice.chosen import Choice, ExecutionMode
from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder
from edge.engine.parts import InferenceGraph, PartsRuntime
from edge.engine.precision.variants import Part, admitted_path, source_graph
from edge.engine.runtime import Runtime
from edge.errors import RuntimeUnavailable
from edge.extras import install_command

_log = logging.getLogger(__name__)


def open_in_modes(folder: ModelFolder, choice: Choice, threads: int, max_batch: int) -> Runtime:
    """The model with each part in its way; what was opened is closed again when one of them fails."""
    graphs: dict[Part, InferenceGraph] = {}
    try:
        for part in chosen.graph_parts(folder):
            graphs[part] = open_graph(folder, part, choice[part], threads)
        return compose_runtime(folder, graphs, max_batch)
    except BaseException:
        for graph in graphs.values():
            graph.close()
        raise


def compose_runtime(folder: ModelFolder, graphs: Mapping[Part, InferenceGraph], max_batch: int) -> Runtime:
    """One runtime of open graphs, which are its own from now on; ModelError where they do not fit."""
    if "whole" in graphs:
        from edge.engine.cpu.whole import WholeRuntime

        return WholeRuntime(folder, graphs["whole"], max_batch)
    return PartsRuntime(folder, graphs["see"], graphs["hear"], graphs["fuse"], max_batch)


def open_graph(
    folder: ModelFolder, part: Part, how: ExecutionMode, threads: int, feed: Mapping[str, Array] | None = None
) -> InferenceGraph:
    """One graph; RuntimeUnavailable or ModelError say what is missing.

    OpenVINO in bfloat16 needs a graph that says what must stay in 32 bits. It is made when it is not there, from
    ``feed``, the golden inputs of the part (computed where not given): that takes some seconds, once.
    """
    path = admitted_path(folder, "int8", part) if how.precision == "int8" else source_graph(folder, part)[0]
    if how.runtime == "onnx":
        from edge.engine.cpu.onnx import OnnxGraph

        return OnnxGraph(path, threads, precision=how.precision)
    try:
        from edge.engine.cpu.openvino import OpenVinoGraph
    except ImportError as error:
        raise RuntimeUnavailable(f"OpenVINO cannot be imported ({error}); {install_command('openvino')}") from error
    if how.precision == "bf16":
        path = _for_bf16(folder, part, path, threads, feed)
    return OpenVinoGraph(path, threads, how.precision, build_dir(folder) / "openvino")


def has_bf16() -> bool | None:
    """Whether OpenVINO says that this CPU computes in bfloat16; None without OpenVINO."""
    if not chosen.installed_version("openvino"):
        return None
    try:
        from edge.engine.cpu import openvino
    except ImportError:
        return None
    return openvino.has_bf16()


def _for_bf16(folder: ModelFolder, part: Part, path: Path, threads: int, feed: Mapping[str, Array] | None) -> Path:
    from edge.engine.cpu import bf16, openvino

    if not openvino.has_bf16():
        raise RuntimeUnavailable("this CPU has no bfloat16 instructions; use precision: fp32 or auto")
    digest = source_graph(folder, part)[1]
    target = build_dir(folder) / f"{part}-bf16-{openvino.version()}-{digest[:16]}.xml"
    if not target.is_file():
        _log.info("preparing %s for bfloat16; later starts find it", path.name)
        exact = bf16.prepare(path, target, feed or _golden(folder, part), threads)
        _log.info("%s in bfloat16; in 32 bits: %s", path.name, ", ".join(exact) or "nothing")
    return target


def _golden(folder: ModelFolder, part: Part) -> Mapping[str, Array]:
    from edge.engine.choice.trial import golden_feeds

    graphs = {p: open_graph(folder, p, chosen.REFERENCE, 1) for p in chosen.graph_parts(folder)}
    try:
        return golden_feeds(folder, graphs)[part]
    finally:
        for graph in graphs.values():
            graph.close()
