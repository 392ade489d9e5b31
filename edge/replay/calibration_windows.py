"""Windows of recordings as rows of the model's inputs, with the fp32 outputs, for calibration and comparison."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edge.buffer.camera import CameraBuffer
from edge.capture.registry import open_source
from edge.clock import VirtualClock
from edge.config import parse
from edge.config.sources import FileSourceConfig
from edge.engine import contract
from edge.engine.contract import Array
from edge.engine.manifest import ModelFolder
from edge.engine.memory_bank import MemoryBank
from edge.engine.trt.make_variants import Progress, ReferenceGraph
from edge.engine.trt.quantise import CalibrationRow, CalibrationSet, split_recordings
from edge.errors import InputError, MediaError
from edge.metrics import Metrics
from edge.replay.replayer import camera_name
from edge.types import Batch, Window

_log = logging.getLogger(__name__)
_CONFIG = "cameras: {recording: {source: {type: file, path: recording}}}\nmqtt: null"


def record_windows(folder: ModelFolder, files: Sequence[Path], most: int, progress: Progress) -> CalibrationSet:
    """The most diverse windows of ``files``; files that cannot be read are logged and left out.

    InputError when no file gives a window; KeyboardInterrupt when ``progress`` returns False.
    """
    graph = ReferenceGraph(folder)
    try:
        found = split_recordings(_recordings(folder, graph, files, progress), most)
    finally:
        graph.close()
    if not found.calibrate or not found.compare:
        raise InputError(
            "the recordings give no window to calibrate with and to compare on; give longer ones (5 s or more each)"
        )
    return found


def _recordings(
    folder: ModelFolder, graph: ReferenceGraph, files: Sequence[Path], progress: Progress
) -> Iterator[Iterator[CalibrationRow]]:
    for done, path in enumerate((*files, None)):
        if not progress("reading recordings", done, len(files)):
            raise KeyboardInterrupt
        if path is not None:
            yield _readable_rows(recording_rows(folder, graph, path), path)


def _readable_rows(found: Iterator[CalibrationRow], path: Path) -> Iterator[CalibrationRow]:
    try:
        yield from found
    except MediaError as error:
        _log.warning("%s: left out: %s", path, error)


def recording_rows(folder: ModelFolder, graph: ReferenceGraph, path: Path) -> Iterator[CalibrationRow]:
    """Every window of one recording in order, the memory as the fp32 graph left it; MediaError if unreadable."""
    config = parse(_CONFIG).config
    geometry, metrics, clock = folder.manifest.geometry, Metrics(), VirtualClock(0)
    name = camera_name(path)
    inputs = contract.allocate_buffers(contract.input_specs(folder), 1)
    batch = Batch(*(inputs[key] for key in ("frames", "video_ok", "audio", "audio_ok", "sensors", "sensor_ok")))
    bank = MemoryBank(geometry.memory.tokens, geometry.memory.dim)
    file = FileSourceConfig(type="file", path=path.absolute(), pace="fast")
    source = open_source(name, file, geometry, clock, metrics, Path())
    buffer = CameraBuffer(name, geometry, clock, config.windows, config.health, metrics)

    def due() -> Iterator[CalibrationRow]:
        while (window := buffer.take(batch, 0, clock.mono_ns(), newest=False)) is not None:
            bank.read(window, inputs["memory"][0], inputs["memory_ok"][0])
            yield _row(graph, bank, window, inputs)

    try:
        for item in source.items():
            buffer.expect(video=source.has_video, audio=source.has_audio)
            clock.advance_to(item.arrival_ns)
            buffer.push(item)
            yield from due()
    finally:
        source.close()
    buffer.finish()
    yield from due()


def _row(graph: ReferenceGraph, bank: MemoryBank, window: Window, inputs: dict[str, Array]) -> CalibrationRow:
    kept = {key: array.copy() for key, array in inputs.items()}
    answer = graph.run(kept)
    bank.append(window, kept["memory"][0], kept["memory_ok"][0], answer["token"][0])
    return CalibrationRow(kept, np.asarray(answer["logits"][0]).copy())
