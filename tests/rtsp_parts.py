"""A real RTSP camera on loopback that can be killed, frozen and started again, for every suite that needs one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from edge.bench.processes import free_port

SERVER = Path(__file__).with_name("rtsp_server.py")
PYTHON = "/usr/bin/python3"
USER, PASSWORD = "viewer", "s3cret"


def missing() -> str:
    """The apt packages that are not there; empty when all are."""
    if shutil.which("ffmpeg") is None:
        return "ffmpeg"
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    found = Path(PYTHON).exists() and subprocess.run([PYTHON, "-c", probe], capture_output=True, check=False)
    return "" if found and found.returncode == 0 else "python3-gi and gir1.2-gst-rtsp-server-1.0"


class CameraServer:
    """One server process, in a process group of its own, on one port for its whole life."""

    def __init__(self, clip: Path) -> None:
        self.clip = clip
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, login: str = f"{USER}:{PASSWORD}", path: str = "cam") -> str:
        return f"rtsp://{login}@127.0.0.1:{self.port}/{path}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [PYTHON, str(SERVER), str(self.clip), str(self.port), f"{USER}:{PASSWORD}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "GStreamer's RTSP server did not start"

    def signal(self, number: int) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.communicate(timeout=20)
            self._process = None
