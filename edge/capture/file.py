"""Recordings: videos with or without sound, sound files, still pictures."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from edge.capture.base import DEFAULT_OPTIONS, SourceOptions
from edge.capture.decode import ContainerDecoder, streams_of
from edge.capture.decoder_device import open_container, scaling_decoder
from edge.capture.picture import FrameScaler
from edge.clock import Clock
from edge.config.sources import FileSourceConfig
from edge.engine.manifest import Geometry
from edge.errors import MediaError
from edge.metrics import Metrics
from edge.types import NS_PER_S, Frame, LumaSample, MediaItem, seconds

_log = logging.getLogger(__name__)
_STILL_S = 3.0  # longer than any label must last to become an event


class RecordingSource:
    """Plays a file at its own pace (``pace: live``) or as fast as it is read; it never reads ahead."""

    def __init__(
        self,
        name: str,
        config: FileSourceConfig,
        path: Path,
        geometry: Geometry,
        clock: Clock,
        metrics: Metrics,
        options: SourceOptions = DEFAULT_OPTIONS,
    ) -> None:
        self.name = name
        self.live = False
        self.has_video = False
        self.has_audio = False
        self._config = config
        self._path = path
        self._geometry = geometry
        self._clock = clock
        self._metrics = metrics
        self._options = options
        self._closed = threading.Event()

    def items(self) -> Generator[MediaItem, None, None]:
        """All items to the end, or forever with ``loop``; MediaError says what is wrong with the file."""
        import av

        self._closed.clear()
        pace = _Pacer(self._clock, self._config.pace == "live", self._closed)
        scaling = partial(scaling_decoder, config=self._config, geometry=self._geometry.video)
        decoder = ContainerDecoder(self.name, self._geometry, self._clock, self._metrics, self._options, scaling)
        shift_ns = 0
        while not self._closed.is_set():
            with self._open() as container:
                if _is_still(container):
                    yield from self._still(container, pace)
                    return
                before = decoder.decoded
                try:
                    yield from decoder.items(container, self._closed, pace.wait_for, shift_ns)
                except av.error.FFmpegError as error:
                    if decoder.decoded == before:
                        raise self._unreadable(_reason(error)) from error
                    self._metrics.drops.labels(self.name, "truncated").inc()
                    _log.warning("%s: %s ends early: %s", self.name, self._path, _reason(error))
                if decoder.decoded == before and not self._closed.is_set():
                    raise self._unreadable("nothing in it could be decoded")
                if not self._config.loop:
                    return
                shift_ns = (decoder.end_ns or 0) - (container.start_time or 0) * 1000

    def close(self) -> None:
        """Ask `items` to end soon."""
        self._closed.set()

    def _open(self) -> Any:
        import av

        if not self._path.is_file():
            raise MediaError(f"{self._path}: there is no such file; check the path of camera {self.name!r}")
        try:
            container = open_container(self._av_open, self._config, self.name)
        except (av.error.FFmpegError, OSError) as error:
            raise self._unreadable(_reason(error)) from error
        video, audio = streams_of(container)
        if video is None and audio is None:
            container.close()
            raise self._unreadable("it has neither picture nor sound")
        self.has_video, self.has_audio = video is not None, audio is not None
        return container

    def _av_open(self, hwaccel: Any) -> Any:
        import av

        return av.open(str(self._path), metadata_errors="replace", hwaccel=hwaccel)

    def _still(self, container: Any, pace: _Pacer) -> Iterator[MediaItem]:
        """The picture at the model's rate for three seconds, or forever with ``loop``."""
        import av

        scaler = FrameScaler(self._geometry.video, self._options.masks)
        try:
            frame = next(container.decode(video=0))
        except (av.error.FFmpegError, StopIteration) as error:
            raise self._unreadable("the picture cannot be decoded") from error
        image, luma = scaler.scale(frame), scaler.mean_luma(frame)
        step_ns, k = self._geometry.frame_ns, 0
        while not self._closed.is_set() and (self._config.loop or k * step_ns <= round(_STILL_S * NS_PER_S)):
            arrival_ns = pace.wait_for(k * step_ns)
            self._metrics.frames.labels(self.name).inc()
            yield Frame(k * step_ns, arrival_ns, image, scaler.content)
            yield LumaSample(k * step_ns, arrival_ns, luma)
            k += 1

    def _unreadable(self, reason: str) -> MediaError:
        return MediaError(
            f"{self._path}: cannot be played: {reason}; is the file complete and a video, sound or picture file?"
        )


class _Pacer:
    """Sets when media of a file arrives: at its own time (``live``), or at once with the arrival that it would have."""

    _BACK_NS = 3 * NS_PER_S  # how far one stream may lie behind the other in a file
    _AHEAD_NS = 2 * NS_PER_S

    def __init__(self, clock: Clock, live: bool, cancel: threading.Event) -> None:
        self._clock = clock
        self._live = live
        self._cancel = cancel
        self._start_ns: int | None = None
        self._media_ns = 0
        self._played_ns = 0

    def wait_for(self, media_ns: int) -> int:
        """Wait until ``media_ns`` is due, but not over a break of the media clock; its arrival."""
        if self._start_ns is None:
            self._start_ns, self._media_ns = self._clock.mono_ns(), media_ns
        step_ns = media_ns - self._media_ns
        if step_ns > self._AHEAD_NS or step_ns < -self._BACK_NS:
            self._media_ns, step_ns = media_ns, 0
        due_ns = self._start_ns + self._played_ns + step_ns
        if step_ns > 0:
            self._media_ns = media_ns
            self._played_ns += step_ns
        if not self._live:
            return due_ns
        wait_ns = due_ns - self._clock.mono_ns()
        if wait_ns > 0:
            self._clock.wait(self._cancel, seconds(wait_ns))
        return self._clock.mono_ns()


def _is_still(container: Any) -> bool:
    name: str = container.format.name
    return name == "image2" or name.endswith("_pipe")


def _reason(error: Exception) -> str:
    """The error text of libav, without the file name that it adds."""
    return str(getattr(error, "strerror", None) or type(error).__name__)
