"""What capture costs beside bare decoding, and what a camera takes of memory.

    python tests/capture/cost.py CLIP.mp4 [--seconds 20] [--rounds 4]

CPU time of one thread, in ms a second of the clip. Bare decoding is PyAV without threads; kinds take turns. Because a
shared box changes its speed by the minute, each round's figure is also given as a ratio to the time that its own
H.264 decoder took in it, and the medians of those are what can be compared.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import av

from edge.buffer.camera import CameraBuffer
from edge.capture.decode import ContainerDecoder
from edge.capture.registry import open_source
from edge.clock import SystemClock
from edge.config.models import HealthConfig, WindowsConfig
from edge.config.sources import FileSourceConfig
from edge.engine.manifest import find_folder, load_folder
from edge.metrics import Metrics
from edge.types import NS_PER_S, MediaItem

GEOMETRY = load_folder(find_folder("fused")).manifest.geometry
_DECODE = ContainerDecoder.decode_packet
spent = {"video": 0, "audio": 0}


def timed(decoder: ContainerDecoder, packet: Any) -> list[Any]:
    """`Decoder._decode`, noting what decoding itself takes."""
    began_ns = time.thread_time_ns()
    frames = _DECODE(decoder, packet)
    spent[packet.stream.type] += time.thread_time_ns() - began_ns
    return frames


def items_of(clip: Path, fast_decode: bool = False) -> Generator[MediaItem, None, None]:
    """The clip as a camera that nothing paces."""
    config = FileSourceConfig(type="file", path=clip, pace="fast", fast_decode=fast_decode)
    return open_source("cam", config, GEOMETRY, SystemClock(), Metrics(), Path()).items()


def new_buffer() -> CameraBuffer:
    """A live camera's buffer."""
    return CameraBuffer(
        "cam", GEOMETRY, SystemClock(), WindowsConfig(), HealthConfig(), Metrics(), live=True, wake=lambda: None
    )


def bare(clip: Path, seconds: float) -> None:
    """Decode both streams and do nothing else."""
    with av.open(str(clip)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        video.thread_type = "NONE"
        for packet in container.demux(video, audio):
            if packet.dts is not None and float(packet.dts * packet.time_base) > seconds:
                return
            began_ns = time.thread_time_ns()
            packet.decode()
            spent[packet.stream.type] += time.thread_time_ns() - began_ns


def read(clip: Path, seconds: float, buffer: CameraBuffer | None = None, fast_decode: bool = False) -> None:
    """Read items, and push them."""
    for item in items_of(clip, fast_decode):
        if buffer is not None:
            buffer.push(item)
        if getattr(item, "pts_ns", 0) > seconds * NS_PER_S:
            return


def cost(run: Callable[[], None], seconds: float) -> tuple[float, float, float, float]:
    """Total, video and audio decoding in ms a second, and the total over video decoding."""
    spent.update(video=0, audio=0)
    began_ns = time.thread_time_ns()
    run()
    total_ns = time.thread_time_ns() - began_ns
    unit = 1e6 * seconds
    return total_ns / unit, spent["video"] / unit, spent["audio"] / unit, total_ns / max(1, spent["video"])


def rss_mb() -> float:
    """Of this process, in MB."""
    text = Path("/proc/self/smaps_rollup").read_text(encoding="ascii")
    return int(text.split("Rss:")[1].split()[0]) * 1024 / 1e6


def memory(clip: Path, with_buffer: bool, cameras: int = 5) -> float:
    """MB a camera beyond the first, each on a thread of its own, all of them open."""
    stop, sizes = threading.Event(), []

    def hold(ready: threading.Event) -> None:
        buffer, items = new_buffer() if with_buffer else None, items_of(clip)
        for item in items:
            if buffer is not None:
                buffer.push(item)
            if getattr(item, "pts_ns", 0) > 8 * NS_PER_S:
                break
        ready.set()
        stop.wait()
        items.close()

    for _ in range(cameras):
        ready = threading.Event()
        threading.Thread(target=hold, args=(ready,)).start()
        ready.wait()
        sizes.append(rss_mb())
    stop.set()
    return (sizes[-1] - sizes[0]) / (cameras - 1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    clip, seconds = args.clip, args.seconds
    for with_buffer in (False, True):
        with ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn")
        ) as fresh:  # what was freed would be used again
            grown_mb = fresh.submit(memory, clip, with_buffer).result()
        print(f"memory, {'with its buffer' if with_buffer else 'capture alone'}: {grown_mb:.1f} MB a camera more")
    kinds: dict[str, Callable[[], None]] = {
        "bare decoding": lambda: bare(clip, seconds),
        "capture": lambda: read(clip, seconds),
        "capture and buffer": lambda: read(clip, seconds, new_buffer()),
        "capture, fast_decode": lambda: read(clip, seconds, fast_decode=True),
    }
    with mock.patch.object(ContainerDecoder, "_decode", timed):
        rounds = [{kind: cost(run, seconds) for kind, run in kinds.items()} for _ in range(args.rounds)]
    for kind in kinds:
        total, video, audio, ratio = (statistics.median(r[kind][i] for r in rounds) for i in range(4))
        parts = f"H.264 {video:6.1f}, AAC {audio:5.2f}, rest {total - video - audio:5.2f}"
        print(f"{kind:22s} {total:6.1f} ms; {parts}; x {ratio:.3f} of H.264")


if __name__ == "__main__":
    main()
