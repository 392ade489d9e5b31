"""From configuration to sources: ``type`` is the name of the module in this folder."""

from __future__ import annotations

from pathlib import Path

from edge.capture.base import DEFAULT_OPTIONS, MediaSource, SourceOptions
from edge.clock import Clock
from edge.config.sources import (
    CameraSourceConfig,
    FileSourceConfig,
    GstreamerSourceConfig,
    MicrophoneConfig,
    RtspSourceConfig,
    V4l2SourceConfig,
)
from edge.engine.manifest import Geometry
from edge.metrics import Metrics


def open_source(
    name: str,
    config: CameraSourceConfig,
    geometry: Geometry,
    clock: Clock,
    metrics: Metrics,
    base_dir: Path,
    options: SourceOptions = DEFAULT_OPTIONS,
) -> MediaSource:
    """The source of camera ``name``; nothing is opened before its first item. Relative paths start at ``base_dir``."""
    match config:
        case FileSourceConfig():
            from edge.capture.file import RecordingSource

            return RecordingSource(name, config, base_dir / config.path, geometry, clock, metrics, options)
        case RtspSourceConfig():
            from edge.capture.rtsp import RtspCamera

            return RtspCamera(name, config, geometry, clock, metrics, options)
        case V4l2SourceConfig():
            from edge.capture.v4l2 import V4l2Camera

            return V4l2Camera(name, config, geometry, clock, metrics, options)
        case GstreamerSourceConfig():
            from edge.capture.gstreamer import GstreamerCamera

            return GstreamerCamera(name, config, geometry, clock, metrics, options)


def open_main_stream(
    name: str, config: RtspSourceConfig, geometry: Geometry, clock: Clock, metrics: Metrics, options: SourceOptions
) -> MediaSource:
    """The main stream of camera ``name``, whose packets go to the packet sink; it is not decoded."""
    from edge.capture.rtsp import RtspMainStream

    return RtspMainStream(f"{name}:main", config, geometry, clock, metrics, options)


def open_microphone(
    name: str, config: MicrophoneConfig, geometry: Geometry, clock: Clock, metrics: Metrics
) -> MediaSource:
    """The microphone ``name``; nothing is opened before its first item."""
    from edge.capture.microphone import MicrophoneSource

    return MicrophoneSource(name, config, geometry, clock, metrics)
