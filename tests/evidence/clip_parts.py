"""What the tests of clips share: numbered pictures, tapes of recordings, and clips read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import numpy as np
from capture.media import write

from edge.capture.packet_sink import ContainerPacketFeed
from edge.evidence.clips.packet_ring import PacketRange, PacketRing
from edge.media_time import MediaTime
from edge.types import NS_PER_S, EpochStart, Packet

YARD = Path(__file__).parents[2] / "samples" / "yard.mp4"
STRIPE = 24


def ns(s: float) -> int:
    return round(s * NS_PER_S)


def media(s: float) -> MediaTime:
    """The moment on the clock of a recording that starts at 0."""
    return MediaTime(0, ns(s), ns(s))


def numbered(width: int, height: int, fps: float, ground: tuple[int, int, int] = (90, 90, 90)) -> Any:
    """Pictures whose top row tells their number in ten black or white blocks."""

    def picture(t: float) -> np.ndarray:
        image = np.full((height, width, 3), ground, np.uint8)
        number = round(t * fps)
        for bit in range(10):
            left = bit * width // 10
            image[:STRIPE, left : left + width // 10] = 235 if number >> bit & 1 else 16
        return image

    return picture


def number_of(image: np.ndarray) -> int:
    width = image.shape[1]
    row = image[STRIPE // 2, [round((bit + 0.5) * width / 10) for bit in range(10)]].mean(axis=-1)
    return sum(1 << bit for bit in range(10) if row[bit] > 128)


def numbers(path: Path, seconds: float = 8.0, fps: int = 15, **more: Any) -> Path:
    """A recording of numbered pictures, a key picture every 30."""
    size = more.pop("size", (320, 192))
    picture = numbered(*size, fps, more.pop("ground", (90, 90, 90)))
    return write(path, seconds, size=size, fps=fps, picture=picture, **more)


class Kept:
    """A tap that keeps all, as a tape without limits."""

    def __init__(self) -> None:
        self.template = b""
        self.packets: list[Packet] = []

    def begin(self, template: bytes) -> None:
        self.template = template

    def push(self, packet: Packet) -> None:
        self.packets.append(replace(packet, arrival_ns=max(0, packet.pts_ns)))


def kept(path: Path) -> Kept:
    tap = Kept()
    feed = ContainerPacketFeed(tap)
    with av.open(str(path)) as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        feed.open(streams)
        for packet in container.demux(*streams):
            feed.push(packet, 0, 0)
    return tap


def tape_of(path: Path, keep_s: float = 600.0) -> PacketRing:
    tap = kept(path)
    tape = PacketRing(keep_s, 1 << 30)
    tape.begin(tap.template)
    for packet in tap.packets:
        tape.push(packet)
        if packet is tap.packets[0]:
            tape.start_epoch(EpochStart(0, packet.stream, packet.pts_ns))
    return tape


def cut_of(path: Path, begin_s: float, end_s: float) -> PacketRange:
    cut = tape_of(path).extract(media(begin_s - 1), media(end_s + 1), ns(begin_s - 1))
    assert cut is not None
    return cut


@dataclass
class Played:
    """What a player shows of a clip: edit lists heeded."""

    duration_s: float
    times: list[float]
    images: list[np.ndarray]
    sound: np.ndarray
    rate: int
    kinds: tuple[str, ...]


def played(path: Path, *, images: bool = True) -> Played:
    with av.open(str(path)) as clip:
        duration = (clip.duration or 0) / 1e6
        kinds = tuple(stream.type for stream in clip.streams)
        frames = list(clip.decode(video=0)) if "video" in kinds else []
        pictures = [frame.to_ndarray(format="rgb24") for frame in frames] if images else []
        times = [float(frame.time) for frame in frames]
    sound, rate = np.zeros((0,), np.float32), 0
    if "audio" in kinds:
        sound, rate = _sound(path, duration)
    return Played(duration, times, pictures, sound, rate, kinds)


def _sound(path: Path, duration: float) -> tuple[np.ndarray, int]:
    """The first channel, placed by its own times."""
    with av.open(str(path)) as clip:
        rate = clip.streams.audio[0].rate
        made = np.zeros(round(duration * rate) + 4096, np.float32)
        for frame in clip.decode(audio=0):
            at = round(float(frame.time) * rate)
            block = frame.to_ndarray()[0]
            first = max(0, -at)
            made[at + first : at + len(block)] = block[first : first + max(0, len(made) - at)]
    return made[: round(duration * rate)], rate


def bright_at(clip: Played) -> float:
    """When the picture flashes."""
    return next(t for t, image in zip(clip.times, clip.images, strict=True) if image.mean() > 150)


def loud_at(clip: Played, above: float = 0.25) -> float:
    """When the sound bangs."""
    return float(np.flatnonzero(np.abs(clip.sound) > above)[0]) / clip.rate


def share_of(image: np.ndarray, colour: Sequence[int], within: int = 40) -> float:
    """How much of a picture u8[H,W,3] is of a colour."""
    return float((np.abs(image.astype(int) - np.array(colour)).max(axis=-1) <= within).mean())
