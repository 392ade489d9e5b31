"""What the long benchmarks need beside the program itself: the sample at a camera's size, RTSP cameras, another
program that takes part of a core."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.bench.clips import MOVING, STILL, BenchClip, bundled_clip, phased_clips, probe_clip
from edge.bench.daemon import SourceSpec
from edge.bench.processes import free_port, process_usage

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = "sample"
KINDS = {MOVING: "all moves", SAMPLE: "things move now and then", STILL: "nothing moves"}
BURN = """
import sys, time
share = float(sys.argv[1])
while True:
    began = time.perf_counter()
    while time.perf_counter() - began < 0.05 * share:
        pass
    time.sleep(0.05 * (1 - share))
"""


class RtspServerMissingError(Exception):
    """GStreamer's RTSP server is not installed."""


def clip(kind: str, folder: Path) -> BenchClip:
    """A minute or more of a kind, made once: ``sample`` is `samples/yard.mp4` at 720p15 with a camera's noise."""
    path = folder / f"{kind}.mp4"
    if path.exists():
        return probe_clip(path)
    return _sample(path) if kind == SAMPLE else bundled_clip(kind, folder)


def network_camera(port: int) -> SourceSpec:
    """The RTSP server's camera."""
    return {"type": "rtsp", "url": f"rtsp://127.0.0.1:{port}/cam", "transport": "tcp"}


@dataclass(slots=True)
class RtspServers:
    """Servers of one kind of clip, each in another phase of its group of pictures, as cameras that are not in step.

    Each plays one stream to all its clients.
    """

    ports: list[int] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def cameras(self, count: int) -> list[SourceSpec]:
        """So many cameras, the servers in turns."""
        return [network_camera(self.ports[k % len(self.ports)]) for k in range(count)]

    def cpu_s(self) -> float:
        """CPU-seconds of all servers and their feeds so far."""
        return sum(process_usage(process.pid).cpu_s for process in self.processes if process.poll() is None)

    def stop(self) -> None:
        """End them all: their cameras cannot be reached from now on."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.wait(10)


@contextmanager
def rtsp_servers(kind: str, folder: Path, phases: int = 4) -> Iterator[RtspServers]:
    """Servers of ``kind``, one a phase (the sample has one). RtspServerMissingError when GStreamer's is missing."""
    clips = [clip(kind, folder)] if kind == SAMPLE else phased_clips(kind, folder, phases)
    servers = RtspServers()
    with ExitStack() as stack:
        stack.callback(servers.stop)
        for shown in clips:
            port, process = _start_server(shown)
            servers.processes.append(process)
            if port is None:
                raise RtspServerMissingError
            servers.ports.append(port)
        yield servers


@contextmanager
def rtsp_server(shown: BenchClip) -> Iterator[int | None]:
    """An RTSP camera that plays the clip, its port; None where GStreamer's RTSP server is not installed."""
    port, process = _start_server(shown)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def other_program(share: float) -> Iterator[None]:
    """A program that takes ``share`` of a core, in slices of 50 ms; none for 0."""
    command = [sys.executable, "-c", BURN, str(share)]
    process = subprocess.Popen(command) if share else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _start_server(shown: BenchClip) -> tuple[int | None, subprocess.Popen[bytes]]:
    port, transport = free_port(), shown.path.with_suffix(".ts")
    copy = ["ffmpeg", "-v", "error", "-y", "-i", str(shown.path), "-c", "copy", str(transport)]
    if not transport.exists():  # another server may be playing it
        subprocess.run(copy, check=True)
    command = ["/usr/bin/python3", str(ROOT / "tests" / "rtsp_server.py"), str(transport), str(port)]
    with transport.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    ready = process.stdout is not None and process.stdout.readline() == b"ready\n"
    return port if ready else None, process


def _sample(path: Path) -> BenchClip:
    if shutil.which("ffmpeg") is None:
        raise SystemExit("this benchmark needs ffmpeg to make its clip: apt install ffmpeg")
    shown = "scale=1280:720:flags=lanczos,noise=alls=5:allf=t:all_seed=1,fps=15"
    rate = ["-b:v", "2M", "-maxrate", "2M", "-bufsize", "2M"]
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-g", "30", "-bf", "0", *rate, "-pix_fmt", "yuv420p"]
    source = ["ffmpeg", "-v", "error", "-y", "-i", str(ROOT / "samples" / "yard.mp4")]
    subprocess.run([*source, "-vf", shown, *encode, "-c:a", "copy", str(path)], check=True)
    return probe_clip(path)
