"""Which cameras of a configuration are one and the same stream: a copied line whose address was not changed."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from urllib.parse import urlsplit

from edge.config.models import Config
from edge.config.sources import CameraSourceConfig, GstreamerSourceConfig, RtspSourceConfig, V4l2SourceConfig
from edge.config.values import VARIABLE
from edge.config.yaml_reader import KeyPath

RTSP_PORTS = {"rtsp": 554, "rtsps": 322}


def duplicate_streams(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """Where a stream stands for the second time, and what to do about it. Recordings may be played twice."""
    first_uses: dict[Hashable, tuple[str, str]] = {}
    for name, camera in config.cameras.items():
        for kind, source in (("source", camera.source), ("record", camera.record)):
            stream = None if source is None else _stream(source)
            if source is None or stream is None:
                continue
            first, its_kind = first_uses.setdefault(stream[1], (name, kind))
            if (first, its_kind) == (name, kind):
                continue
            key = ("cameras", name, kind, stream[0])
            if first == name:
                yield key, "is the stream of source: leave record out, or give the address of the main stream"
            else:
                yield key, f"is the stream of cameras.{first}.{its_kind}; is it this camera's address?"


def _stream(source: CameraSourceConfig) -> tuple[str, Hashable] | None:
    """The key that says which stream it is, and the stream; None where twice is no mistake, or it is not known."""
    match source:
        case RtspSourceConfig():
            url = source.url.get_secret_value()
            if VARIABLE.search(url):
                return None
            parts = urlsplit(url)
            port = parts.port or RTSP_PORTS[parts.scheme]
            return "url", (parts.scheme, parts.hostname, port, parts.path.rstrip("/"), parts.query)
        case V4l2SourceConfig(device=device) if device is not None:
            text = str(device)
            return "device", f"/dev/video{text}" if text.isdecimal() else text
        case V4l2SourceConfig(pipeline=pipeline):
            return "pipeline", pipeline
        case GstreamerSourceConfig():
            return "pipeline", source.pipeline.get_secret_value()
    return None
