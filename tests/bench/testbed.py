"""What the long benchmarks need beside the program itself: the sample at a camera's size, and an RTSP camera."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.bench.clips import MOVING, STILL, BenchClip, bundled_clip, probe_clip
from edge.bench.daemon import SourceSpec
from edge.bench.processes import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = "sample"
KINDS = {MOVING: "all moves", SAMPLE: "things move now and then", STILL: "nothing moves"}


def clip(kind: str, folder: Path) -> BenchClip:
    """A minute or more of a kind, made once: ``sample`` is `samples/yard.mp4` at 720p15 with a camera's noise."""
    path = folder / f"{kind}.mp4"
    if path.exists():
        return probe_clip(path)
    return _sample(path) if kind == SAMPLE else bundled_clip(kind, folder)


def network_camera(port: int) -> SourceSpec:
    """The RTSP server's camera."""
    return {"type": "rtsp", "url": f"rtsp://127.0.0.1:{port}/cam", "transport": "tcp"}


@contextmanager
def rtsp_server(shown: BenchClip) -> Iterator[int | None]:
    """An RTSP camera that plays the clip, its port; None where GStreamer's RTSP server is not installed."""
    port, transport = free_port(), shown.path.with_suffix(".ts")
    copy = ["ffmpeg", "-v", "error", "-y", "-i", str(shown.path), "-c", "copy", str(transport)]
    subprocess.run(copy, check=True)
    command = ["/usr/bin/python3", str(ROOT / "tests" / "rtsp_server.py"), str(transport), str(port)]
    with transport.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        ready = process.stdout is not None and process.stdout.readline() == b"ready\n"
        try:
            yield port if ready else None
        finally:
            process.terminate()
            process.wait(10)


def _sample(path: Path) -> BenchClip:
    if shutil.which("ffmpeg") is None:
        raise SystemExit("this benchmark needs ffmpeg to make its clip: apt install ffmpeg")
    shown = "scale=1280:720:flags=lanczos,noise=alls=5:allf=t:all_seed=1,fps=15"
    rate = ["-b:v", "2M", "-maxrate", "2M", "-bufsize", "2M"]
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-g", "30", "-bf", "0", *rate, "-pix_fmt", "yuv420p"]
    source = ["ffmpeg", "-v", "error", "-y", "-i", str(ROOT / "samples" / "yard.mp4")]
    subprocess.run([*source, "-vf", shown, *encode, "-c:a", "copy", str(path)], check=True)
    return probe_clip(path)
