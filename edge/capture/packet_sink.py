"""Passes the encoded packets of a source to the sink that keeps them for clips. Runs on the capture thread."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from edge.types import NS_PER_S, U8, AudioChunk, Gap, MediaItem, Packet, Stream

_log = logging.getLogger(__name__)
_FORMATS = ("mov", "mp4")  # together they hold all codecs of cameras, and a header alone can be read


class PacketSink(Protocol):
    """Keeps packets. Called on the capture thread."""

    def begin(self, template: bytes) -> None:
        """Begin a connection: ``template`` is a small file in memory that has its streams and no packets."""
        ...

    def push(self, packet: Packet) -> None:
        """Add the next packet, in the container's order."""
        ...


class PcmPacketFeed:
    """A microphone's sound as packets of 16-bit PCM at ``rate_hz``."""

    def __init__(self, sink: PacketSink, rate_hz: int) -> None:
        self._sink = sink
        self._rate_hz = rate_hz
        self._is_open = False

    def push(self, item: MediaItem) -> None:
        """Pass on a block of sound; a break begins a new connection."""
        if isinstance(item, Gap):
            self._is_open = False
        if not isinstance(item, AudioChunk):
            return
        if not self._is_open:
            self._is_open = True
            self._sink.begin(_codec_template("pcm_s16le", rate=self._rate_hz))
        data = np.round(np.clip(item.samples, -1, 1) * 32767).astype("<i2").tobytes()
        duration_ns = len(item.samples) * NS_PER_S // self._rate_hz
        self._sink.push(Packet(Stream.AUDIO, item.pts_ns, item.pts_ns, duration_ns, item.arrival_ns, True, data))


class JpegPacketFeed:
    """Pictures of a camera that encodes nothing itself, as JPEGs, at most ``fps`` a second."""

    QUALITY = 85

    def __init__(self, sink: PacketSink, fps: float = 10.0) -> None:
        self._sink = sink
        self._step_ns = round(NS_PER_S / fps)
        self._size: tuple[int, int] | None = None
        self._due_ns = 0

    def push(self, picture: U8, pts_ns: int, arrival_ns: int) -> None:
        """Pass on ``picture`` u8[H,W,3] BGR, if one is due; masks must have been applied."""
        import cv2

        height, width = picture.shape[:2]
        if self._size != (width, height):
            self._size, self._due_ns = (width, height), pts_ns
            self._sink.begin(_codec_template("mjpeg", rate=25, width=width, height=height))
        if pts_ns < self._due_ns:
            return
        self._due_ns = max(self._due_ns + self._step_ns, pts_ns)
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self.QUALITY])
        if done:
            self._sink.push(Packet(Stream.VIDEO, pts_ns, pts_ns, self._step_ns, arrival_ns, True, data.tobytes()))


class ContainerPacketFeed:
    """Passes a container's packets to ``sink``."""

    def __init__(self, sink: PacketSink, keep_sound: bool = True) -> None:
        self._sink = sink
        self._keep_sound = keep_sound
        self._kept: dict[int, Stream] = {}

    def open(self, streams: Sequence[Any]) -> None:
        """Begin with the container's chosen streams; those that a clip cannot hold are left out, with a warning."""
        video = [s for s in streams if s.type == "video"]
        audio = [s for s in streams if s.type == "audio" and self._keep_sound]
        self._kept = {}
        for chosen in ([*video, *audio], video, audio):
            template = stream_template(chosen) if chosen else None
            if template is not None:
                self._kept = {s.index: Stream(s.type) for s in chosen}
                self._sink.begin(template)
                break
        for stream in [*video, *audio]:
            if stream.index not in self._kept:
                _log.warning("clips will have no %s: %s cannot be copied", stream.type, stream.codec_context.name)

    def push(self, packet: Any, arrival_ns: int, shift_ns: int) -> None:
        """Pass on a packet of the container, shifted by ``shift_ns``; packets without time or of other streams are
        dropped."""
        stream = self._kept.get(packet.stream_index)
        if stream is None or packet.size == 0 or packet.time_base is None:
            return
        pts = packet.pts if packet.pts is not None else packet.dts
        dts = packet.dts if packet.dts is not None else packet.pts
        if pts is None or dts is None or packet.is_corrupt:
            return
        base = packet.time_base
        pts_ns, dts_ns = (t * NS_PER_S * base.numerator // base.denominator + shift_ns for t in (pts, dts))
        duration_ns = (packet.duration or 0) * NS_PER_S * base.numerator // base.denominator
        is_key = bool(packet.is_keyframe) or stream is Stream.AUDIO
        self._sink.push(Packet(stream, pts_ns, dts_ns, duration_ns, arrival_ns, is_key, bytes(packet)))


def _codec_template(codec: str, *, rate: int, width: int = 0, height: int = 0) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov", options={"movflags": "empty_moov"}) as out:
        stream: Any = out.add_stream(codec, rate=rate)
        if width:
            stream.width, stream.height, stream.pix_fmt = width, height, "yuvj420p"
        else:
            stream.layout = "mono"
        out.start_encoding()
    return buffer.getvalue()


def stream_template(streams: Sequence[Any]) -> bytes | None:
    """A file in memory whose streams are copies of ``streams``, without packets; None when no format holds them."""
    import av

    for name in _FORMATS:
        buffer = io.BytesIO()
        try:
            with av.open(buffer, "w", format=name, options={"movflags": "empty_moov"}) as out:
                for stream in streams:
                    out.add_stream_from_template(stream, opaque=True)  # needs no encoder
                out.start_encoding()
        except (av.error.FFmpegError, ValueError):
            continue
        return buffer.getvalue()
    return None
