"""Encodes pictures and sound for a clip when they cannot be copied.

The project ships no encoder. It tries those of the installed libav and the machine, in this order: H.264 in hardware,
Cisco's OpenH264, then libvpx's VP9; see docs/adr/0005. libx264 is used only when it is configured by name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from edge.evidence.clips.source import ClipAudio, ClipSource
from edge.evidence.privacy import BlurTracks, MaskOverlay, blur
from edge.media_time import MediaTime
from edge.types import F32, NS_PER_S, U8

log = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90_000)
AAC_BLOCK = 1024
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_BITS_PER_PIXEL = 0.07
_VP9 = {
    "deadline": "realtime", "cpu-used": "8", "row-mt": "0", "lag-in-frames": "0", "crf": "34", "b": "0",
    "auto-alt-ref": "0",
}  # fmt: skip
_QUICK = {"preset": "veryfast", "crf": "26"}


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """One of libav's video encoders: its name, pixel format and options."""

    name: str
    pixels: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict)
    most_pixels: int = 3840 * 2160
    """Larger pictures are scaled down."""
    by_rate: bool = True
    """Whether it needs a bit rate; else its options set the quality."""


ENCODERS = (
    EncoderSpec("h264_nvenc"),
    EncoderSpec("h264_qsv", "nv12"),
    EncoderSpec("h264_v4l2m2m"),
    EncoderSpec("h264_amf", "nv12"),
    EncoderSpec("libopenh264", most_pixels=1920 * 1080),
    EncoderSpec("libvpx-vp9", options=_VP9, most_pixels=1280 * 720, by_rate=False),
)


def best_encoder(name: str | None = None) -> EncoderSpec | None:
    """Encoder ``name`` if it works here, else the first of `ENCODERS` that does; None when none works."""
    known = {encoder.name: encoder for encoder in ENCODERS}
    first = [] if name is None else [known.get(name) or _named(name)]
    found = next((encoder for encoder in (*first, *ENCODERS) if _works(encoder)), None)
    if first and found is not first[0]:
        log.warning("evidence.encoder: %s does not work here; using %s", name, found.name if found else "none")
    return found


def _named(name: str) -> EncoderSpec:
    """A configured encoder: x264 and its like get a quality, others a bit rate."""
    return EncoderSpec(name, options=_QUICK, by_rate=False) if name in {"libx264", "libx265"} else EncoderSpec(name)


def _works(encoder: EncoderSpec) -> bool:
    import av

    try:
        context: Any = av.CodecContext.create(encoder.name, "w")
        context.width, context.height, context.pix_fmt = 320, 192, encoder.pixels
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        grey = av.VideoFrame(320, 192, encoder.pixels)
        grey.pts = 0
        return bool(context.encode(grey) + context.encode(None))
    except (av.error.FFmpegError, av.codec.codec.UnknownCodecError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is hidden: ``mask`` becomes black, ``blur`` is blurred. ``time_of`` maps a pts to media time."""

    mask: MaskOverlay
    blur: BlurTracks | None
    time_of: Callable[[int], MediaTime]

    def apply(self, planes: tuple[U8, U8, U8], t_ns: int) -> None:
        """Change luma and both chroma planes of the picture at ``t_ns`` in place."""
        for rect in self.blur.rects(self.time_of(t_ns)) if self.blur is not None else ():
            for plane in planes:
                blur(plane, rect)
        self.mask.apply_planes(*planes)


class VideoEncoder:
    """Encodes the pictures of ``clip_source`` into ``out``; the encoder uses ``threads`` threads."""

    def __init__(self, out: Any, clip_source: ClipSource, encoder: EncoderSpec, step_ns: int, threads: int) -> None:
        self._clip_source = clip_source
        self._encoder = encoder
        self._ticks = max(1, round(step_ns * TIME_BASE.denominator / NS_PER_S))
        rate = Fraction(NS_PER_S, step_ns).limit_denominator(1000)
        self._stream = out.add_stream(encoder.name, rate=rate, options=dict(encoder.options))
        context = self._stream.codec_context
        context.thread_count = threads
        context.time_base = TIME_BASE
        context.gop_size = max(1, round(2 * rate))
        context.pix_fmt = encoder.pixels
        self._context = context
        self.size = (0, 0)

    def packets(self, begin_ns: int, end_ns: int, redaction: Redaction) -> Iterator[Any]:
        """Encoded packets of the pictures in ``begin_ns`` <= t < ``end_ns``, redacted; time 0 is ``begin_ns``."""
        for t_ns, frame in self._clip_source.pictures(begin_ns, end_ns):
            planes = planes_of(frame, self._encoder.most_pixels)
            if self.size == (0, 0):
                self._open(planes[0])
            if planes[0].shape != (self.size[1], self.size[0]):
                continue
            redaction.apply(planes, t_ns)
            made = _frame(planes, self._encoder.pixels)
            made.pts, made.time_base = round((t_ns - begin_ns) * TIME_BASE.denominator / NS_PER_S), TIME_BASE
            yield from self._timed(self._stream.encode(made))
        if self.size != (0, 0):
            yield from self._timed(self._stream.encode(None))

    def _open(self, luma: U8) -> None:
        self.size = (luma.shape[1], luma.shape[0])
        self._context.width, self._context.height = self.size
        if self._encoder.by_rate:
            per_s = TIME_BASE.denominator / self._ticks
            self._context.bit_rate = max(200_000, round(luma.size * per_s * _BITS_PER_PIXEL))

    def _timed(self, packets: list[Any]) -> Iterator[Any]:
        for packet in packets:
            if not packet.duration:
                packet.duration = self._ticks
            yield packet


def planes_of(frame: Any, most_pixels: int) -> tuple[U8, U8, U8]:
    """``av.VideoFrame`` -> a copy as luma u8[H,W] and both chroma planes u8[H/2,W/2], upright, of at most
    ``most_pixels``."""
    width, height = _even(frame.width, frame.height, most_pixels)
    data: U8 = frame.reformat(width, height, "yuv420p", dst_color_range="MPEG").to_ndarray()
    quarter = height * width // 4
    flat = data.reshape(-1)
    luma = flat[: height * width].reshape(height, width)
    blue = flat[height * width : height * width + quarter].reshape(height // 2, width // 2)
    red = flat[height * width + quarter :].reshape(height // 2, width // 2)
    turns = round(int(frame.rotation) / 90) % 4
    if turns:
        return np.rot90(luma, turns).copy(), np.rot90(blue, turns).copy(), np.rot90(red, turns).copy()
    return luma, blue, red


def _even(width: int, height: int, most_pixels: int) -> tuple[int, int]:
    shrink = min(1.0, (most_pixels / (width * height)) ** 0.5)
    return max(2, round(width * shrink) // 2 * 2), max(2, round(height * shrink) // 2 * 2)


def _frame(planes: tuple[U8, U8, U8], pixels: str) -> Any:
    import av

    width = planes[0].shape[1]
    data = np.concatenate([plane.reshape(-1) for plane in planes]).reshape(-1, width)
    frame = av.VideoFrame.from_ndarray(data, format="yuv420p")
    return frame if pixels == "yuv420p" else frame.reformat(format=pixels)


def sound_packets(out: Any, sound: ClipAudio) -> list[Any]:
    """Add an AAC stream to ``out``; its packets, time 0 at the sound's first sample."""
    import av

    samples, rate = _at_rate(sound)
    layout = "mono" if len(samples) == 1 else "stereo"
    stream: Any = out.add_stream("aac", rate=rate, layout=layout)
    stream.bit_rate = 64_000 * len(samples)
    packets: list[Any] = []
    for first in range(0, samples.shape[1], AAC_BLOCK):
        block = np.ascontiguousarray(samples[:, first : first + AAC_BLOCK])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
        packets += stream.encode(frame)
    return packets + list(stream.encode(None))


def _at_rate(sound: ClipAudio) -> tuple[F32, int]:
    if sound.rate_hz in _AAC_RATES:
        return sound.samples, sound.rate_hz
    import soxr

    made = soxr.resample(sound.samples.T, sound.rate_hz, 48_000, quality="HQ")
    return np.ascontiguousarray(made.T, np.float32), 48_000
