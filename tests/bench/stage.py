"""What every benchmark round needs around the program measured: clips, a broker, an RTSP camera, a configuration."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Program, free_port

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EDGE = Path(sys.executable).with_name("edge")
SAMPLE = ROOT / "samples" / "yard.mp4"
CLIPS = {
    "720p15": "scale=1280:720:flags=lanczos,noise=alls=5:allf=t:all_seed=1,fps=15",
    "360p15": "scale=640:360,noise=alls=5:allf=t:all_seed=1,fps=15",
}
BITRATES = {"720p15": "2M", "360p15": "600k"}


@dataclass(frozen=True, slots=True)
class Stage:
    """A scratch folder with the clip as a recording and as a transport stream, and the broker's port."""

    folder: Path
    kind: str
    clip: Path
    transport: Path
    broker: int

    def daemon(self, sources: Sequence[dict[str, Any]], events: Mapping[str, Any] | None = None) -> Daemon:
        """A daemon with these sources as cameras, not yet started."""
        return Daemon(self, sources, dict(events or {}))


class Daemon:
    """`edge run` on a configuration of its own."""

    def __init__(self, stage: Stage, sources: Sequence[dict[str, Any]], events: dict[str, Any]) -> None:
        self.port = free_port()
        self._folder = stage.folder / "daemon"
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        config = {
            "node": {"id": "bench", "site": "bench", "data_dir": "var"},
            "model": {"threads": 1},
            "cameras": {f"cam{index}": {"source": source} for index, source in enumerate(sources)},
            "events": events,
            "mqtt": {"url": f"mqtt://127.0.0.1:{stage.broker}"},
            "metrics": {"listen": f"127.0.0.1:{self.port}"},
        }
        (self._folder / "config.yaml").write_text(json.dumps(config, indent=1))  # JSON is YAML
        self.program = Program([str(EDGE), "run", "-c", "config.yaml"], self._folder)


def recording(stage: Stage, *, pace: str = "live", loop: bool = True) -> dict[str, Any]:
    """The clip as a camera."""
    return {"type": "file", "path": str(stage.clip), "pace": pace, "loop": loop}


def network_camera(port: int) -> dict[str, Any]:
    """The RTSP server's camera."""
    return {"type": "rtsp", "url": f"rtsp://127.0.0.1:{port}/cam", "transport": "tcp"}


def floor(stage: Stage, sources: Sequence[str], *more: str) -> Program:
    """The floor program on these sources, one a camera."""
    folder = stage.folder / "floor"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    given = [part for source in sources for part in ("--source", source)]
    return Program([sys.executable, str(HERE / "floor.py"), "--cameras", str(len(sources)), *given, *more], folder)


@contextmanager
def broker(folder: Path) -> Iterator[int]:
    """A mosquitto on loopback, its port."""
    if shutil.which("mosquitto") is None:
        raise SystemExit("the benchmarks need mosquitto: apt install mosquitto")
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    with (folder / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen(["mosquitto", "-c", str(config)], stdout=log, stderr=log)
        time.sleep(0.5)
        try:
            yield port
        finally:
            process.terminate()
            process.wait(10)


@contextmanager
def rtsp_server(stage: Stage) -> Iterator[int | None]:
    """An RTSP camera that plays the clip, its port; None where GStreamer's RTSP server is not installed."""
    port = free_port()
    command = ["/usr/bin/python3", str(HERE.parent / "rtsp_server.py"), str(stage.transport), str(port)]
    with (stage.folder / "rtsp.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        ready = process.stdout is not None and process.stdout.readline() == b"ready\n"
        try:
            yield port if ready else None
        finally:
            process.terminate()
            process.wait(10)


def make_clip(kind: str, folder: Path) -> tuple[Path, Path]:
    """The bundled sample at another size and rate, with a camera's noise: as a recording and as a transport stream."""
    if shutil.which("ffmpeg") is None:
        raise SystemExit("the benchmarks need ffmpeg to make their clip: apt install ffmpeg")
    clip, transport, rate = folder / f"{kind}.mp4", folder / f"{kind}.ts", BITRATES[kind]
    quiet = ["ffmpeg", "-v", "error", "-y", "-i"]
    encode = ["-c:v", "libx264", "-preset", "veryfast", "-g", "30", "-bf", "0", "-b:v", rate, "-maxrate", rate]
    size = ["-bufsize", rate, "-pix_fmt", "yuv420p", "-c:a", "copy"]
    subprocess.run([*quiet, str(SAMPLE), "-vf", CLIPS[kind], *encode, *size, str(clip)], check=True)
    subprocess.run([*quiet, str(clip), "-c", "copy", str(transport)], check=True)
    return clip, transport
