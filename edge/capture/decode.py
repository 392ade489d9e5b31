"""Reads an opened container as items, for recordings and network cameras, and chooses the device that decodes.

Runs on the capture thread. Errors of the demuxer pass through; the module that opened it explains them. Pictures are
decoded by the CPU, or by the video unit of a graphics card through libav, and return to main memory as NV12. H.264 and
H.265 are exact: every conforming decoder gives the same pictures. An explicit choice of a device never falls back;
`auto` does, and logs it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from edge.capture.base import DEFAULT_OPTIONS, SourceOptions
from edge.capture.normaliser import ArrivalPacer, MediaNormaliser
from edge.capture.packet_sink import ContainerPacketFeed
from edge.clock import Clock
from edge.config.sources import DecodedSourceConfig
from edge.engine.manifest import Geometry
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.types import NS_PER_S, MediaItem, Stream

_log = logging.getLogger(__name__)
_MAX_FAILED_PACKETS = 60  # packets in a row that a device could not decode
_BATCHED_PACKETS = 2  # packets of sound are decoded this many packet lengths before their chunk is due
_AUTO = ("cuda", "vaapi")
_ADVICE = {
    "cuda": "it needs NVIDIA's driver (`nvidia-smi` shows the card); on a Jetson use a source of `type: gstreamer`",
    "vaapi": "it needs a device such as /dev/dri/renderD128 that this user may open, and its driver (`vainfo`)",
}


class ContainerDecoder:
    """Turns packets into items. One for the life of a source: loops of a recording go on in the same epoch.

    Sound is decoded about once a hop, all packets since the last time together: alternating between the picture's and
    the sound's decoder costs three times as much, because each evicts the other from the CPU's caches. Packets are
    decoded when their chunk is due, so nothing waits for them, and before a break of the picture's clock, so the order
    stays the same.
    """

    def __init__(
        self, name: str, geometry: Geometry, clock: Clock, metrics: Metrics, options: SourceOptions = DEFAULT_OPTIONS
    ) -> None:
        self._name = name
        self._clock = clock
        self._stage = metrics.stage
        self._normaliser = MediaNormaliser(name, geometry, clock, metrics, options)
        self._feed = (
            ContainerPacketFeed(options.packet_sink, options.keep_sound) if options.packet_sink is not None else None
        )
        self._shift_ns = 0
        self._threads = options.threads
        self._on_device = False
        self._failed = 0
        self._deferred: list[Any] = []
        self._due_ns = 0
        self._next_ns = 0

    @property
    def decoded(self) -> int:
        """Pictures and blocks of sound so far."""
        return self._normaliser.decoded

    @property
    def end_ns(self) -> int | None:
        """The end of the media read so far, over both streams."""
        return self._normaliser.end_ns

    def items(
        self, container: Any, cancel: threading.Event, pace: ArrivalPacer | None = None, shift_ns: int = 0
    ) -> Iterator[MediaItem]:
        """Read to the end, or until ``cancel``; all pts are shifted by ``shift_ns``.

        An item arrives when its packet was read, or when ``pace`` returns. HardwareDecoderError when a device decodes
        nothing.
        """
        video, audio = streams_of(container)
        chosen = [s for s in (video, audio) if s is not None]
        self._normaliser.pace, self._shift_ns = pace, shift_ns
        self._deferred.clear()
        self._on_device, self._failed = is_accelerated(container), 0
        if video is not None:
            _set_decode_threads(video, self._threads)
            self._normaliser.step_ns = _nominal_step_ns(video)
        if self._feed is not None:
            self._feed.open(chosen)
        for packet in container.demux(*chosen):
            if cancel.is_set():
                return
            started_ns = self._clock.mono_ns()
            if pace is None:
                self._normaliser.arrival_ns = started_ns
            if self._feed is not None:
                self._feed.push(packet, self._normaliser.arrival_ns, shift_ns)
            if packet.stream is video:
                yield from self._pictures(packet, started_ns)
            else:
                yield from self._sound(packet)
        yield from self._decode_deferred()
        yield from self._normaliser.flush()

    def _pictures(self, packet: Any, started_ns: int) -> Iterator[MediaItem]:
        frames = self.decode_packet(packet)
        if self._on_device and self._failed >= _MAX_FAILED_PACKETS:
            raise no_picture_error(self._name)
        for frame in frames:
            self._failed = 0
            if frame.is_corrupt:
                self._normaliser.drop("decode")
                continue
            pts_ns = self._pts_of(frame, Stream.VIDEO)
            if self._deferred and not self._normaliser.is_continuous(Stream.VIDEO, pts_ns, self._normaliser.step_ns):
                yield from self._decode_deferred()
            yield from self._normaliser.add_picture(frame, pts_ns, started_ns)
            started_ns = self._clock.mono_ns()

    def _sound(self, packet: Any) -> Iterator[MediaItem]:
        if self._can_defer(packet):
            self._deferred.append(packet)
            return
        yield from self._decode_deferred()
        for frame in self.decode_packet(packet):
            yield from self._normaliser.add_sound(frame, self._pts_of(frame, Stream.AUDIO))

    def _can_defer(self, packet: Any) -> bool:
        """Whether this packet continues the last one and its chunk is not due yet; notes its arrival if so."""
        if packet.pts is None or not packet.duration:
            return False
        base = packet.time_base
        pts_ns, length_ns = (t * NS_PER_S * base.numerator // base.denominator for t in (packet.pts, packet.duration))
        pts_ns += self._shift_ns
        goes_on = 2 * abs(pts_ns - self._next_ns) <= length_ns
        self._next_ns = pts_ns + length_ns
        if not self._deferred:
            due_ns = self._normaliser.sound_due_ns(pts_ns)
            if due_ns is None or not self._normaliser.is_continuous(Stream.AUDIO, pts_ns, length_ns):
                return False
            self._due_ns = due_ns
        if not goes_on or pts_ns + _BATCHED_PACKETS * length_ns >= self._due_ns:
            return False
        self._normaliser.note_arrival(pts_ns)
        return True

    def _decode_deferred(self) -> Iterator[MediaItem]:
        packets, self._deferred = self._deferred, []
        for packet in packets:
            for frame in self.decode_packet(packet):
                yield from self._normaliser.add_sound(frame, self._pts_of(frame, Stream.AUDIO), has_arrived=True)

    def decode_packet(self, packet: Any) -> list[Any]:
        import av

        try:
            with self._stage("decode"):
                return list(packet.decode())
        except av.error.EOFError:
            return []
        except av.error.FFmpegError:
            self._normaliser.drop("decode")
            self._failed += 1
            return []

    def _pts_of(self, frame: Any, stream: Stream) -> int:
        if frame.pts is None:
            return self._normaliser.expected_ns(stream)
        return _ns(frame.pts, frame.time_base) + self._shift_ns


def streams_of(container: Any) -> tuple[Any | None, Any | None]:
    """The first picture stream that is not cover art, and the first sound stream."""
    import av

    cover = av.stream.Disposition.attached_pic
    video = next((s for s in container.streams.video if not s.disposition & cover), None)
    audio = next(iter(container.streams.audio), None)
    return video, audio


def _set_decode_threads(video: Any, threads: int) -> None:
    """Make libav decode whole pictures in parallel on this many threads; on the caller's thread alone for one."""
    video.thread_type = "FRAME" if threads > 1 else "NONE"
    if threads > 1:
        video.codec_context.thread_count = threads


def _nominal_step_ns(stream: Any) -> int:
    rate = stream.average_rate or stream.guessed_rate
    return round(NS_PER_S / rate) if rate else NS_PER_S // 25


def _ns(ticks: int, time_base: Any) -> int:
    numerator: int = ticks * NS_PER_S * time_base.numerator
    return numerator // int(time_base.denominator)


class HardwareDecoderError(SourceError):
    """The configured device cannot decode; the text says why and what to do."""


def open_container(opener: Callable[[Any], Any], config: DecodedSourceConfig, name: str) -> Any:
    """The container that ``opener(hwaccel or None)`` opens, set to decode as ``config`` says.

    HardwareDecoderError when the configured device is not available; errors of ``opener(None)`` pass through.
    """
    container = _open_with_fallback(opener, config, name)
    if config.fast_decode:
        for stream in _pictures(container):
            stream.codec_context.options = {"skip_loop_filter": "nokey"}
    return container


def is_accelerated(container: Any) -> bool:
    """Whether a device decodes the container's pictures."""
    return any(stream.codec_context.is_hwaccel for stream in _pictures(container))


def no_picture_error(name: str) -> HardwareDecoderError:
    """The error for a device that opened but decodes no picture."""
    return HardwareDecoderError(
        f"camera {name}: the device that was to decode it gives no picture; the stream's profile or size may be beyond "
        "it: take `decoder: cpu`, or another stream of the camera"
    )


def _open_with_fallback(opener: Callable[[Any], Any], config: DecodedSourceConfig, name: str) -> Any:
    if config.decoder == "cpu":
        return opener(None)
    if config.decoder != "auto":
        return _open_on_device(opener, config.decoder, config.decoder_device, name)
    for kind in _AUTO:
        try:
            container = _open_on_device(opener, kind, None, name)
        except HardwareDecoderError as error:
            _log.debug("%s", error)
            continue
        _log.info("%s: pictures are decoded by %s", name, kind)
        return container
    _log.info("%s: pictures are decoded by the processor: neither %s works here", name, " nor ".join(_AUTO))
    return opener(None)


def _open_on_device(opener: Callable[[Any], Any], kind: str, device: str | None, name: str) -> Any:
    """Open with a device; errors of the source itself pass through."""
    from av.codec.hwaccel import HWAccel, hwdevices_available

    built = [str(found) for found in hwdevices_available()]
    if kind not in built:
        raise HardwareDecoderError(
            f"camera {name}: decoder {kind}: this PyAV was built without it (it has {', '.join(built) or 'none'}); "
            "PyAV built against the system's FFmpeg may have it: pip install --no-binary av av"
        )
    accel = open_device(lambda: HWAccel(kind, device=device, allow_software_fallback=False), kind, name)
    container = opener(accel)
    if not is_accelerated(container):
        codec = next((stream.codec_context.name for stream in _pictures(container)), None)
        container.close()
        raise HardwareDecoderError(
            f"camera {name}: decoder {kind}: it cannot decode {codec or 'a stream without picture'}"
        )
    return container


def open_device(make: Callable[[], Any], kind: str, name: str) -> Any:
    """Open the device alone first, so that its errors are not taken for the source's."""
    import av

    try:
        accel = make()
        accel.create(av.Codec("h264", "r"))
    except (av.error.FFmpegError, NotImplementedError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HardwareDecoderError(
            f"camera {name}: decoder {kind}: the device cannot be opened ({reason}); {_ADVICE[kind]}"
        ) from None
    return accel


def _pictures(container: Any) -> Any:
    return [stream for stream in container.streams.video if stream.codec_context is not None]
