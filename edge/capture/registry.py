"""From configuration to sources: ``type`` is the name of the file in this folder that is loaded."""

from __future__ import annotations

from pathlib import Path

from edge.capture.base import BARE, Fittings, Source
from edge.clock import Clock
from edge.config.sources import CameraSource, DeviceMicrophone, FileSource, GstreamerSource, RtspSource, V4l2Source
from edge.engine.manifest import Geometry
from edge.metrics import Metrics


def open_source(
    name: str,
    config: CameraSource,
    geometry: Geometry,
    clock: Clock,
    metrics: Metrics,
    base_dir: Path,
    fittings: Fittings = BARE,
) -> Source:
    """The source of camera ``name``; nothing is opened before its first item. Relative paths start at ``base_dir``."""
    match config:
        case FileSource():
            from edge.capture.file import RecordingSource

            return RecordingSource(name, config, base_dir / config.path, geometry, clock, metrics, fittings)
        case RtspSource():
            from edge.capture.rtsp import NetworkCamera

            return NetworkCamera(name, config, geometry, clock, metrics, fittings)
        case V4l2Source():
            from edge.capture.v4l2 import LocalCamera

            return LocalCamera(name, config, geometry, clock, metrics, fittings)
        case GstreamerSource():
            from edge.capture.gstreamer import PipelineCamera

            return PipelineCamera(name, config, geometry, clock, metrics, fittings)


def open_main_stream(
    name: str, config: RtspSource, geometry: Geometry, clock: Clock, metrics: Metrics, fittings: Fittings
) -> Source:
    """The main stream of camera ``name``, whose packets go to its tap; nothing of it is decoded."""
    from edge.capture.rtsp import MainStream

    return MainStream(f"{name}:main", config, geometry, clock, metrics, fittings)


def open_microphone(name: str, config: DeviceMicrophone, geometry: Geometry, clock: Clock, metrics: Metrics) -> Source:
    """The microphone ``name``; nothing is opened before its first item."""
    from edge.capture.microphone import Microphone

    return Microphone(name, config, geometry, clock, metrics)
