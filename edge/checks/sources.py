"""`edge check`: whether cameras and microphones deliver, and whether two of them are the same."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from edge.capture.base import MediaSource
from edge.capture.registry import open_microphone, open_source
from edge.checks.finding import ERROR, OK, WARNING, CheckFinding
from edge.clock import SystemClock
from edge.config import LoadedConfig
from edge.config.streams import duplicate_streams
from edge.engine.manifest import Manifest
from edge.errors import EdgeError
from edge.metrics import Metrics
from edge.types import AudioChunk, Frame

ITEMS_AT_MOST = 2000  # looked at before a source that yields no picture or sound is called empty


def check_sources(loaded: LoadedConfig, manifest: Manifest) -> Iterator[CheckFinding]:
    """Open each camera and microphone, and say what came."""
    for key, message in duplicate_streams(loaded.config):
        yield CheckFinding(f"cameras.{key[1]}", WARNING, loaded.fault(key, message))
    geometry, clock, metrics = manifest.geometry, SystemClock(), Metrics()
    for name, camera in loaded.config.cameras.items():
        if camera.source is not None and not loaded.has_unset("cameras", name, "source"):
            source = open_source(name, camera.source, geometry, clock, metrics, loaded.path.parent)
            yield _probe(f"cameras.{name}", source, wants_audio=camera.microphone == "stream")
        if camera.record is not None and not loaded.has_unset("cameras", name, "record"):
            source = open_source(name, camera.record, geometry, clock, metrics, loaded.path.parent)
            yield _probe(f"cameras.{name}.record", source, wants_audio=camera.microphone == "stream")
    for name, microphone in loaded.config.microphones.items():
        source = open_microphone(name, microphone, geometry, clock, metrics)
        yield _probe(f"microphones.{name}", source, wants_audio=True)


def _probe(area: str, source: MediaSource, *, wants_audio: bool) -> CheckFinding:
    """Read until picture and sound came, as far as the source has them."""
    pictures = chunks = 0
    try:
        for item in islice(source.items(), ITEMS_AT_MOST):
            pictures += isinstance(item, Frame)
            chunks += isinstance(item, AudioChunk)
            if (pictures or not source.has_video) and (chunks or not (source.has_audio and wants_audio)):
                break
    except EdgeError as error:
        return CheckFinding(area, ERROR, str(error))
    finally:
        source.close()
    delivered = [what for what, count in (("picture", pictures), ("sound", chunks)) if count]
    if not delivered:
        return CheckFinding(area, ERROR, "opened, but neither picture nor sound came; is it the right stream?")
    missing = " (no sound: set microphone: none, or name one)" if wants_audio and not chunks else ""
    arrive = "arrive" if len(delivered) > 1 else "arrives"
    return CheckFinding(area, WARNING if missing else OK, f"{' and '.join(delivered)} {arrive}{missing}")
