"""ONNX graph -> TensorRT engine: minutes of work, with progress. `edge engine build` does it, the daemon never."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.engine import built, contract
from edge.engine.built import BuiltEngine, EngineKey
from edge.engine.cuda import Cuda
from edge.engine.library import Library, load_library
from edge.engine.manifest import ModelFolder
from edge.engine.selftest import NotReproduced, self_test
from edge.engine.tensorrt import TensorRtRuntime, key_for
from edge.errors import ModelError, RuntimeUnavailable

_log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], bool]
"""``progress(phase, step, steps)`` is told of each step; False stops the build. Absent before TensorRT 10."""

_WORKSPACE_BYTES = 1 << 30


def build(folder: ModelFolder, precision: str, max_batch: int, progress: Progress) -> BuiltEngine:
    """Build for this machine's GPU and admit the engine if it reproduces the golden file.

    ``auto`` tries 16 bits first where the library can, and 32 when those differ too much. RuntimeUnavailable when
    TensorRT, CUDA or a GPU is missing or the build fails; ModelError when the graph has operators that TensorRT does
    not know, or the engine's answers differ too much (it is deleted then).
    """
    folder.verify()
    library = load_library()
    chosen = library.precision(precision)
    try:
        return _build_one(folder, library, chosen, max_batch, progress)
    except NotReproduced as error:
        if precision != "auto" or chosen == "fp32":
            raise
        _log.warning("%s; building fp32 instead", error)
        return _build_one(folder, library, "fp32", max_batch, progress)


def build_ahead(folder: ModelFolder, target: str, max_batch: int, progress: Progress) -> BuiltEngine:
    """Build on a machine without that GPU, for compute capability ``target`` (``sm_86``), with tensorrt_rtx.

    It is not admitted: `admit` it on the machine it is for.
    """
    folder.verify()
    library = load_library()
    if not hasattr(library.module, "ComputeCapability"):
        raise RuntimeUnavailable(f"{library.name} builds for the GPU it runs on only; ahead needs tensorrt_rtx")
    key = EngineKey(folder.manifest.sha256, library.name, library.version, target, library.precision("auto"))
    content = _compile(folder, library, key, max_batch, progress, target=target)
    engine = BuiltEngine(built.path_for(folder, key, max_batch), key, max_batch, is_admitted=False)
    built.save(engine, content)
    return engine


def admit(folder: ModelFolder, engine: BuiltEngine) -> BuiltEngine:
    """Prove an engine that was built elsewhere on this machine's GPU; ModelError when it differs too much."""
    library, cuda = load_library(), Cuda()
    try:
        _demand_same(engine, key_for(folder, library, cuda, engine.key.precision))
        runtime = TensorRtRuntime(folder, library, cuda, engine, engine.max_batch)
    except BaseException:
        cuda.close()
        raise
    try:
        self_test(folder, runtime)
    finally:
        runtime.close()
    return _admit(engine)


def _build_one(folder: ModelFolder, library: Library, chosen: str, max_batch: int, progress: Progress) -> BuiltEngine:
    cuda = Cuda()
    try:
        key = key_for(folder, library, cuda, chosen)
        content = _compile(folder, library, key, max_batch, progress, target=None)
        engine = BuiltEngine(built.path_for(folder, key, max_batch), key, max_batch, is_admitted=False)
        built.save(engine, content)
        runtime = TensorRtRuntime(folder, library, cuda, engine, max_batch)
    except BaseException:
        cuda.close()
        raise
    try:
        self_test(folder, runtime)
    except NotReproduced:
        built.remove(engine)
        raise
    finally:
        runtime.close()
    return _admit(engine)


def _demand_same(engine: BuiltEngine, here: EngineKey) -> None:
    if engine.key != here:
        raise RuntimeUnavailable(
            f"{engine.path.name} is for {engine.key.library} {engine.key.version} on {engine.key.device}, here is "
            f"{here.library} {here.version} on {here.device}; build it here: edge engine build"
        )


def _admit(engine: BuiltEngine) -> BuiltEngine:
    admitted = replace(engine, is_admitted=True)
    built.save(admitted, engine.path.read_bytes())
    return admitted


def _compile(
    folder: ModelFolder, library: Library, key: EngineKey, max_batch: int, progress: Progress, target: str | None
) -> bytes:
    trt = library.module
    builder = trt.Builder(library.logger())
    network = builder.create_network(_network_flags(library))
    _parse(folder.graph, library, network)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE_BYTES)
    if key.precision == "fp16":
        config.set_flag(trt.BuilderFlag.FP16)
    elif hasattr(trt.BuilderFlag, "TF32"):  # on by default, and ten bits of mantissa are not fp32
        config.clear_flag(trt.BuilderFlag.TF32)
    if target is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capability(library, target), 0)
    config.add_optimization_profile(_profile(folder, builder, max_batch))
    cache_file = built.folder_of(folder) / f"{key.library}-{key.version}.timing"
    cache = _timing_cache(config, cache_file) if target is None else None  # timings are taken on the GPU itself
    monitor = library.monitor(progress)
    if monitor is not None:
        config.progress_monitor = monitor
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise RuntimeUnavailable(f"{library.name} {library.version} built no engine; its messages are in the log above")
    if cache is not None:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        cache_file.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(serialized)


def _network_flags(library: Library) -> int:
    """Explicit batch for 8.x; strongly typed where precision comes from the graph."""
    flags = library.module.NetworkDefinitionCreationFlag
    wanted = ["EXPLICIT_BATCH"] if library.has_fp16_flag else ["STRONGLY_TYPED"]
    return sum(1 << int(getattr(flags, name)) for name in wanted if hasattr(flags, name))


def _parse(graph: Path, library: Library, network: Any) -> None:
    parser = library.module.OnnxParser(network, library.logger())
    if not parser.parse_from_file(str(graph)):
        faults = "; ".join(str(parser.get_error(i)).strip() for i in range(parser.num_errors))
        raise ModelError(f"{graph}: {library.name} {library.version} cannot take this graph: {faults}")


def _profile(folder: ModelFolder, builder: Any, max_batch: int) -> Any:
    """Batches of 1 to ``max_batch`` rows, tuned for the largest."""
    profile = builder.create_optimization_profile()
    for tensor in contract.inputs_of(folder):
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


def _capability(library: Library, target: str) -> Any:
    name = target.upper().replace("_", "")
    known = library.module.ComputeCapability
    if not hasattr(known, name):
        there = sorted(n.lower().replace("sm", "sm_") for n in dir(known) if n.startswith("SM"))
        raise ModelError(f"{library.name} {library.version} knows no {target}; it knows {', '.join(there)}")
    return getattr(known, name)
