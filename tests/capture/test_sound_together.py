"""Packets of sound that wait for each other: decoded together, but never later than their chunk is due."""

from __future__ import annotations

import threading
from pathlib import Path

import av
import media
import pytest
from test_file import GEOMETRY

from edge.capture.decode import ContainerDecoder
from edge.clock import VirtualClock
from edge.metrics import Metrics
from edge.types import NS_PER_S, AudioChunk, MediaItem


class Eager(ContainerDecoder):
    """Decodes each packet as it comes: what the lazy one must equal."""

    def _can_wait(self, packet: object) -> bool:
        return False


def told(path: Path, kind: type[ContainerDecoder]) -> list[tuple[object, ...]]:
    """All items of a recording, in order, in a form that can be compared."""
    decoder = kind("cam", GEOMETRY, VirtualClock(), Metrics())
    with av.open(str(path)) as container:
        return [plain(item) for item in decoder.items(container, threading.Event(), lambda pts_ns: pts_ns)]


def plain(item: MediaItem) -> tuple[object, ...]:
    """An item without arrays."""
    fields = [getattr(item, name) for name in item.__slots__]
    return (type(item).__name__, *(f.tobytes() if hasattr(f, "tobytes") else f for f in fields))


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv", "a.wav"])
def test_the_same_items_in_the_same_order(tmp_path: Path, name: str) -> None:
    size = None if name == "a.wav" else (320, 180)
    path = media.write(tmp_path / name, 5.0, size=size, audio_codec="pcm_s16le" if size is None else "aac")
    assert told(path, ContainerDecoder) == told(path, Eager)


@pytest.mark.parametrize(("video", "audio"), [(20.0, 20.0), (20.0, 0.0), (0.0, 20.0), (0.0, 0.3)])
def test_breaks_come_where_they_would(tmp_path: Path, video: float, audio: float) -> None:
    times = [k / 15 + (video if k >= 33 else 0.0) for k in range(70)]
    path = media.write(tmp_path / "a.mkv", 4.6, times=times, audio_jump=(2.2, audio))
    assert told(path, ContainerDecoder) == told(path, Eager)


def test_most_packets_are_decoded_together(tmp_path: Path) -> None:
    calls: list[str] = []

    class Watched(ContainerDecoder):
        def decode_packet(self, packet: object) -> list[object]:
            calls.append(packet.stream.type)  # type: ignore[attr-defined]
            return super().decode_packet(packet)

    told(media.write(tmp_path / "a.mp4", 6.0), Watched)
    sound = "".join(kind[0] for kind in calls)
    assert max(len(run) for run in sound.split("v")) >= 18, "a hop has 23 packets"


def test_a_chunk_ends_where_its_window_does_not_wait(tmp_path: Path) -> None:
    """Each chunk but the first and last reaches past the end of a window, and by less than two packets."""
    decoder = ContainerDecoder("cam", GEOMETRY, VirtualClock(), Metrics())
    with av.open(str(media.write(tmp_path / "a.mp4", 5.0, rate=32000))) as container:
        chunks = [i for i in decoder.items(container, threading.Event()) if isinstance(i, AudioChunk)]
    for chunk in chunks[1:-1]:
        past_ns = (chunk.pts_ns + len(chunk.samples) * NS_PER_S // 32000) % (NS_PER_S // 2)
        assert past_ns < 2 * 1024 * NS_PER_S // 32000
