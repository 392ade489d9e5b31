"""The source of a clip: a range of packets, opened for muxing, with decoded pictures and sound.

Times are on the pts axis of the packets. Writes nothing; runs on the evidence thread.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from edge.errors import MediaError
from edge.evidence.clips.packet_ring import PacketRange
from edge.types import F32, NS_PER_MS, NS_PER_S, Packet, Stream

NS_TIME_BASE = Fraction(1, NS_PER_S)
_TOLERANCE_NS = 20 * NS_PER_MS  # containers round to 1 ms or more: within this the count of samples is used
_LENGTHS = {
    "h264": (4, 5),
    "hevc": (21, 22),
}  # where avcC and hvcC say how long the lengths are, and how much is needed


@dataclass(frozen=True, slots=True)
class ClipAudio:
    """Decoded sound f32[channels,n] in -1..1 (one channel or two), whose first sample lies at ``begin_ns``."""

    samples: F32
    rate_hz: int
    begin_ns: int

    def sample_at(self, t_ns: int) -> int:
        """The sample at ``t_ns``, inside 0..n."""
        at = round((t_ns - self.begin_ns) * self.rate_hz / NS_PER_S)
        return min(max(at, 0), int(self.samples.shape[1]))


class ClipSource:
    """An opened `PacketRange`; close it. ``video`` and ``audio`` are the template's streams, None without packets."""

    def __init__(self, cut: PacketRange) -> None:
        """MediaError when the template is damaged."""
        import av

        self.cut = cut
        try:
            self._template = av.open(io.BytesIO(cut.template))
        except av.error.FFmpegError as error:
            raise MediaError(f"what the camera says of its streams cannot be read: {error}") from error
        there = {packet.stream for packet in cut.packets}
        self.video: Any = next(iter(self._template.streams.video), None) if Stream.VIDEO in there else None
        self.audio: Any = next(iter(self._template.streams.audio), None) if Stream.AUDIO in there else None
        self._lengths = _needs_lengths(self.video, self.packets_of(Stream.VIDEO))

    def close(self) -> None:
        """Close the template."""
        self._template.close()

    @property
    def video_codec(self) -> str:
        """Codec name of libav; empty without picture."""
        return str(self.video.codec_context.name) if self.video is not None else ""

    @property
    def audio_codec(self) -> str:
        """Codec name of libav; empty without sound."""
        return str(self.audio.codec_context.name) if self.audio is not None else ""

    def packets_of(self, stream: Stream) -> list[Packet]:
        """The packets of one stream, in decoding order."""
        return [packet for packet in self.cut.packets if packet.stream is stream]

    def picture_times(self) -> list[int]:
        """When each picture is shown, in order."""
        return sorted(packet.pts_ns for packet in self.packets_of(Stream.VIDEO))

    def packet(self, packet: Packet) -> Any:
        """The packet as ``av.Packet`` with times in ns, in the format of the template's parameters."""
        import av

        is_picture = packet.stream is Stream.VIDEO
        made = av.Packet(with_length_prefix(packet.data) if is_picture and self._lengths else packet.data)
        made.time_base = NS_TIME_BASE
        made.pts, made.dts, made.duration = packet.pts_ns, packet.dts_ns, packet.duration_ns
        made.is_keyframe = packet.is_key
        return made

    def pictures(self, begin_ns: int, end_ns: int) -> Iterator[tuple[int, Any]]:
        """Decoded pictures shown in ``begin_ns`` <= t < ``end_ns``, as (t, ``av.VideoFrame``), by time."""
        if self.video is None:
            return
        context = self.video.codec_context
        context.thread_type = "NONE"
        for packet in [*self.packets_of(Stream.VIDEO), None]:
            for frame in self._decoded(context, packet):
                if frame.pts is not None and begin_ns <= frame.pts < end_ns and not frame.is_corrupt:
                    yield int(frame.pts), frame

    def sound(self, begin_ns: int, end_ns: int) -> ClipAudio | None:
        """The sound from ``begin_ns`` to ``end_ns``, gaps filled with silence; None when nothing could be decoded."""
        if self.audio is None:
            return None
        made: F32 | None = None
        rate, following = 0, None
        for packet in [*self.packets_of(Stream.AUDIO), None]:
            for frame in self._decoded(self.audio.codec_context, packet):
                block = _floats(frame)
                if made is None:
                    rate = int(frame.sample_rate)
                    made = np.zeros((len(block), round((end_ns - begin_ns) * rate / NS_PER_S)), np.float32)
                if frame.sample_rate != rate or len(block) != len(made):
                    continue
                at = round((frame.pts - begin_ns) * rate / NS_PER_S) if frame.pts is not None else following or 0
                if following is not None and abs(at - following) * NS_PER_S <= _TOLERANCE_NS * rate:
                    at = following
                following = at + block.shape[1]
                _copy_block(made, block, at)
        return ClipAudio(made, rate, begin_ns) if made is not None else None

    def _decoded(self, context: Any, packet: Packet | None) -> list[Any]:
        """The decoded frames of a packet; none for a damaged one."""
        import av

        try:
            return list(context.decode(self.packet(packet) if packet is not None else None))
        except av.error.FFmpegError:
            return []


def with_length_prefix(data: bytes) -> bytes:
    """H.264 or H.265 with start codes, as cameras send it -> each unit after its length in four bytes, as in MP4."""
    units = []
    at = data.find(b"\0\0\1")
    while at >= 0:
        following = data.find(b"\0\0\1", at + 3)
        unit = (data[at + 3 : following] if following >= 0 else data[at + 3 :]).rstrip(b"\0")
        if unit:
            units.append(len(unit).to_bytes(4, "big") + unit)
        at = following
    return b"".join(units)


def _needs_lengths(stream: Any, packets: list[Packet]) -> bool:
    """Whether packets have start codes although the stream's parameters state lengths."""
    place = _LENGTHS.get(stream.codec_context.name) if stream is not None else None
    if place is None or not packets:
        return False
    extra = bytes(stream.codec_context.extradata or b"")
    if len(extra) <= place[0] or extra[0] != 1:
        return False
    size = (extra[place[0]] & 3) + 1
    data = packets[0].data
    return data.startswith((b"\0\0\1", b"\0\0\0\1")) and not _has_lengths(data, size)


def _has_lengths(data: bytes, size: int) -> bool:
    at = 0
    while at + size <= len(data):
        at += size + int.from_bytes(data[at : at + size], "big")
    return at == len(data)


def _floats(frame: Any) -> F32:
    """``av.AudioFrame`` -> f32[1 or 2, n]; more channels than two become their mean."""
    channels = len(frame.layout.channels)
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, channels).T
    kind = data.dtype
    samples = data.astype(np.float32)
    if kind == np.uint8:
        samples = (samples - 128) / np.float32(128)
    elif kind.kind == "i":
        samples /= np.float32(2.0 ** (8 * kind.itemsize - 1))
    return np.asarray(samples if channels <= 2 else samples.mean(axis=0, keepdims=True), np.float32)


def _copy_block(made: F32, block: F32, at: int) -> None:
    first, last = max(0, at), min(made.shape[1], at + block.shape[1])
    if last > first:
        made[:, first:last] = block[:, first - at : last - at]
