"""ONNX graph -> TensorRT engine: minutes of work, with progress. `edge engine build` does it, the daemon never."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.engine import built, contract
from edge.engine.built import BuiltEngine, EngineKey
from edge.engine.manifest import ModelFolder, sha256_of
from edge.engine.selftest import NotReproducedError, self_test
from edge.engine.trt.cuda import CudaContext
from edge.engine.trt.library import TensorRtLibrary, load_library
from edge.engine.trt.runtime import TensorRtRuntime, engine_key, graph_path
from edge.errors import ModelError, RuntimeUnavailable, SinkError
from edge.files import atomic_write

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], bool]
"""``progress(phase, step, steps)`` is told of each step; False stops the build. Absent before TensorRT 10."""

_WORKSPACE_BYTES = 1 << 30


def build_engine(
    folder: ModelFolder, precision: str, max_batch: int, progress: Progress, *, is_version_compatible: bool = False
) -> BuiltEngine:
    """Build for this machine's GPU and admit the engine if its answers are right.

    ``auto`` tries 16 bits first, and 32 when those differ too much or their graph has not been made. A
    ``is_version_compatible`` engine is larger, may be slower, and is taken by newer versions of TensorRT too.
    RuntimeUnavailable when TensorRT, CUDA or a GPU is missing or the build fails; ModelError when the graph has
    operators that TensorRT does not know, or the engine's answers differ too much (it is deleted then).
    """
    folder.verify()
    library = load_library()
    _require_lean_runtime(library, is_version_compatible)
    if precision != "auto":
        return _build_one(folder, library, precision, max_batch, progress, is_version_compatible)
    try:
        return _build_one(folder, library, "fp16", max_batch, progress, is_version_compatible)
    except ModelError as error:  # not reproduced, or no graph of that precision
        _log.warning("%s; building fp32 instead", error)
        return _build_one(folder, library, "fp32", max_batch, progress, is_version_compatible)


def build_ahead(
    folder: ModelFolder, target: str, max_batch: int, progress: Progress, *, precision: str = "fp32"
) -> BuiltEngine:
    """Build on a machine without that GPU, for compute capability ``target``, or several (``sm_86,sm_89``), with
    tensorrt_rtx. It is not admitted: `admit_engine` it on the machine it is for."""
    folder.verify()
    library = load_library()
    if not hasattr(library.module, "ComputeCapability"):
        raise RuntimeUnavailable(f"{library.name} builds for the GPU it runs on only; ahead needs tensorrt_rtx")
    wanted = "fp32" if precision == "auto" else precision
    graph, targets = graph_path(folder, library, wanted), [one.strip().lower() for one in target.split(",")]
    key = EngineKey(sha256_of(graph), library.name, library.version, ",".join(targets), wanted)
    content = _compile(folder, graph, library, key, max_batch, progress, targets=targets)
    engine = BuiltEngine(built.engine_path(folder, key, max_batch), key, max_batch, is_admitted=False)
    built.save_engine(engine, content)
    return engine


def admit_engine(folder: ModelFolder, engine: BuiltEngine) -> BuiltEngine:
    """Prove an engine that was built elsewhere on this machine's GPU; ModelError when it differs too much."""
    library, cuda = load_library(), CudaContext()
    try:
        precision = engine.key.precision
        _require_same(engine, engine_key(library, cuda, precision, graph_path(folder, library, precision)))
        runtime = TensorRtRuntime(folder, library, cuda, engine, engine.max_batch)
    except BaseException:
        cuda.close()
        raise
    try:
        self_test(folder, runtime)
    finally:
        runtime.close()
    return _admit(engine)


def _build_one(
    folder: ModelFolder, library: TensorRtLibrary, chosen: str, max_batch: int, progress: Progress, is_compatible: bool
) -> BuiltEngine:
    graph = graph_path(folder, library, chosen)
    cuda = CudaContext()
    try:
        key = engine_key(library, cuda, chosen, graph)
        content = _compile(folder, graph, library, key, max_batch, progress, is_compatible=is_compatible)
        path = built.engine_path(folder, key, max_batch, is_version_compatible=is_compatible)
        engine = BuiltEngine(path, key, max_batch, is_admitted=False, is_version_compatible=is_compatible)
        built.save_engine(engine, content)
        runtime = TensorRtRuntime(folder, library, cuda, engine, max_batch)
    except BaseException:
        cuda.close()
        raise
    try:
        self_test(folder, runtime)
    except NotReproducedError:
        built.remove_engine(engine)
        raise
    finally:
        runtime.close()
    return _admit(engine)


def _require_same(engine: BuiltEngine, here: EngineKey) -> None:
    if engine.key.graph != here.graph:
        raise ModelError(f"{engine.path.name} was built from another graph; build it again: edge engine build")
    if not engine.fits(here):
        raise RuntimeUnavailable(
            f"{engine.path.name} is for {engine.key.library} {engine.key.version} on {engine.key.device}, here is "
            f"{here.library} {here.version} on {here.device}; build it here: edge engine build"
        )


def _require_lean_runtime(library: TensorRtLibrary, is_version_compatible: bool) -> None:
    if is_version_compatible and library.name == "tensorrt_rtx":
        raise RuntimeUnavailable(
            "tensorrt_rtx has no lean runtime to put into an engine; build without --version-compatible, "
            "or with TensorRT"
        )


def _admit(engine: BuiltEngine) -> BuiltEngine:
    admitted = replace(engine, is_admitted=True)
    built.save_engine(admitted, built.read_engine(engine))
    return admitted


def _compile(
    folder: ModelFolder,
    graph: Path,
    library: TensorRtLibrary,
    key: EngineKey,
    max_batch: int,
    progress: Progress,
    *,
    targets: Sequence[str] = (),
    is_compatible: bool = False,
) -> bytes:
    builder = library.make("Builder")
    network = builder.create_network(_network_flags(library))
    _parse(graph, library, network)
    config = _config(library, builder, key.precision, targets, is_compatible=is_compatible)
    config.add_optimization_profile(_profile(folder, builder, max_batch))
    cache_file = built.build_dir(folder) / f"{key.library}-{key.version}.timing"
    cache = _timing_cache(config, cache_file) if not targets else None  # timings are taken on the GPU itself
    monitor = library.monitor(progress)
    if monitor is not None:
        config.progress_monitor = monitor
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise library.unavailable(f"{library} built no engine", without_gpu=bool(targets))
    if cache is not None:
        _save_timings(cache_file, bytes(config.get_timing_cache().serialize()))
    return bytes(serialized)


def _config(
    library: TensorRtLibrary, builder: Any, precision: str, targets: Sequence[str], *, is_compatible: bool
) -> Any:
    trt = library.module
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    config.max_aux_streams = 0  # all of a call is on the one stream
    if library.is_weakly_typed and precision != "fp32":
        config.set_flag(trt.BuilderFlag.FP16)
        if precision == "int8":  # where the graph is quantised; the rest in 16 bits
            config.set_flag(trt.BuilderFlag.INT8)
    if precision == "fp32" and hasattr(trt.BuilderFlag, "TF32"):  # on by default, and ten bits of mantissa are not fp32
        config.clear_flag(trt.BuilderFlag.TF32)
    if is_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if targets:
        config.num_compute_capabilities = len(targets)
    for i, target in enumerate(targets):
        config.set_compute_capability(_compute_capability(library, target), i)
    return config


def _network_flags(library: TensorRtLibrary) -> int:
    """Explicit batch for 8.x; strongly typed where precision comes from the graph."""
    flags = library.module.NetworkDefinitionCreationFlag
    wanted = ["EXPLICIT_BATCH"] if library.is_weakly_typed else ["STRONGLY_TYPED"]
    return sum(1 << int(getattr(flags, name)) for name in wanted if hasattr(flags, name))


def _parse(graph: Path, library: TensorRtLibrary, network: Any) -> None:
    parser = library.module.OnnxParser(network, library.logger)
    if not parser.parse_from_file(str(graph)):
        faults = "; ".join(" ".join(str(parser.get_error(i)).split()) for i in range(parser.num_errors))
        raise ModelError(f"{graph}: {library} cannot take this graph: {faults}")


def _profile(folder: ModelFolder, builder: Any, max_batch: int) -> Any:
    """Batches of 1 to ``max_batch`` rows, tuned for the largest."""
    profile = builder.create_optimization_profile()
    for tensor in contract.input_specs(folder):
        smallest, largest = (1, *tensor.tail), (max_batch, *tensor.tail)
        profile.set_shape(tensor.name, smallest, largest, largest)
    return profile


def _timing_cache(config: Any, path: Path) -> Any | None:
    """The timings of earlier builds, so that the next one is short; None when this version takes none."""
    try:
        cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
        accepted = cache is not None and config.set_timing_cache(cache, ignore_mismatch=False)
    except (OSError, RuntimeError, AttributeError):
        return None
    return cache if accepted else None


def _save_timings(path: Path, timings: bytes) -> None:
    """Write the timings; without them the next build is only slower."""
    try:
        atomic_write(path, timings)
    except SinkError as error:
        _log.warning("timings are not kept: %s", error)


def _compute_capability(library: TensorRtLibrary, target: str) -> Any:
    name = target.upper().replace("_", "")
    known = library.module.ComputeCapability
    if not hasattr(known, name):
        there = sorted(n.lower().replace("sm", "sm_") for n in dir(known) if n.startswith("SM"))
        raise ModelError(f"{library.name} {library.version} knows no {target}; it knows {', '.join(there)}")
    return getattr(known, name)
