"""Network cameras: picture and sound through one RTSP connection and one demuxer."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

from edge.capture.base import DEFAULT_OPTIONS, SourceOptions
from edge.capture.decode import ContainerDecoder, streams_of
from edge.capture.decoder_device import open_container, scaling_decoder
from edge.capture.packet_sink import ContainerPacketFeed
from edge.clock import Clock
from edge.config.sources import RtspSourceConfig
from edge.engine.manifest import Geometry
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.types import LumaSample, MediaItem

_OPTIONS = {
    "fflags": "nobuffer",
    "max_delay": "300000",  # us that a missing UDP packet is waited for
    "fpsprobesize": "4",  # pictures to tell the rate from; as it is by default, opening takes 20 of them
}
_ADVICE = {
    "ConnectionRefusedError": "nothing listens there; check the port and that RTSP is switched on in the camera",
    "HTTPUnauthorizedError": "the camera refuses the login; check user and password",
    "HTTPForbiddenError": "the camera refuses this user; check its rights",
    "HTTPNotFoundError": "the camera knows no such stream; check the path at the end of the url",
    "ExitError": "nothing came in time; check the network and that the camera runs",
    "TimeoutError": "no answer; check the address and the network",
    "InvalidDataError": "what came is no RTSP stream; check port and path",
}
_OTHERWISE = "check address, login and that the camera runs"


class RtspCamera:
    """An RTSP camera. libav's error texts contain the URL with its password, so they are never passed on."""

    def __init__(
        self,
        name: str,
        config: RtspSourceConfig,
        geometry: Geometry,
        clock: Clock,
        metrics: Metrics,
        options: SourceOptions = DEFAULT_OPTIONS,
    ) -> None:
        self.name = name
        self.live = True
        self.has_video = False
        self.has_audio = False
        self._config = config
        self._geometry = geometry
        self._clock = clock
        self._metrics = metrics
        self._options = options
        self._closed = threading.Event()

    def items(self) -> Generator[MediaItem, None, None]:
        """Connect and read until closed; SourceError when there is no connection, or it ends."""
        import av

        self._closed.clear()
        with self._open() as container:
            try:
                yield from self._read(container)
            except (av.error.FFmpegError, OSError) as error:
                raise self._source_error("the stream broke", error) from None
        if not self._closed.is_set():
            raise SourceError(f"{self._config.redacted_url}: the camera ended the stream; it may be restarting")

    def close(self) -> None:
        """Make `items` end; at the latest after the read timeout."""
        self._closed.set()
        if self._options.demand is not None:
            self._options.demand.wake.set()

    def _read(self, container: Any) -> Iterator[MediaItem]:
        scaling = partial(scaling_decoder, config=self._config, geometry=self._geometry.video)
        decoder = ContainerDecoder(self.name, self._geometry, self._clock, self._metrics, self._options, scaling)
        yield from decoder.items(container, self._closed)

    def _open(self) -> Any:
        import av

        try:
            container = self._connect()
        except (av.error.FFmpegError, OSError) as error:
            raise self._source_error("cannot be opened", error) from None
        video, audio = streams_of(container)
        if video is None and audio is None:
            container.close()
            raise SourceError(f"{self._config.redacted_url}: the stream has neither picture nor sound; check the path")
        self.has_video, self.has_audio = video is not None, audio is not None
        return container

    def _connect(self) -> Any:
        return open_container(self._av_open, self._config, self.name)

    def _av_open(self, hwaccel: Any) -> Any:
        import av

        timeout_us = str(round(self._config.read_timeout_s * 1e6))
        return av.open(
            self._config.url.get_secret_value(),
            options={"rtsp_transport": self._config.transport, "timeout": timeout_us, **_OPTIONS},
            timeout=(self._config.open_timeout_s, None),  # PyAV's own for reading takes the lock several times a packet
            metadata_errors="replace",
            hwaccel=hwaccel,
        )

    def _source_error(self, what: str, error: Exception) -> SourceError:
        kind = type(error).__name__
        reason = getattr(error, "strerror", None) or kind
        return SourceError(f"{self._config.redacted_url}: {what} ({reason}); {_ADVICE.get(kind, _OTHERWISE)}")


class RtspMainStream(RtspCamera):
    """A camera's main stream, kept for clips and not decoded: yields one item for each packet, so that the supervisor
    knows that it is alive."""

    def _connect(self) -> Any:
        return self._av_open(None)

    def _read(self, container: Any) -> Iterator[MediaItem]:
        assert self._options.packet_sink is not None
        feed = ContainerPacketFeed(self._options.packet_sink, self._options.keep_sound)
        chosen = [s for s in streams_of(container) if s is not None]
        feed.open(chosen)
        for packet in container.demux(*chosen):
            if self._closed.is_set():
                return
            arrival_ns = self._clock.mono_ns()
            feed.push(packet, arrival_ns, 0)
            yield LumaSample(arrival_ns, arrival_ns, 0.0)
