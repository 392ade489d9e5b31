"""The same over RTSP: joined while it runs, broken off, and come back on another clock."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conformance.numbered import recording, transport_stream
from conformance.rig import MANIFEST, Rig
from conformance.test_streams import check_all, check_all_blurred
from rtsp_parts import CameraServer, missing

from edge.capture.base import SourceOptions
from edge.capture.registry import open_source
from edge.clock import SystemClock
from edge.config.sources import RtspSourceConfig
from edge.errors import SourceError
from edge.types import NS_PER_S, Gap

pytestmark = [pytest.mark.rtsp, pytest.mark.timeout(240)]
WANTED = {n for n in range(300) if n % 75 < 25}

if missing():
    pytest.skip(f"needs apt: {missing()}", allow_module_level=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CameraServer]:
    one = CameraServer(transport_stream(0)(recording(tmp_path / "numbers.mp4"), tmp_path))
    one.start()
    yield one
    one.kill()


@pytest.mark.parametrize("blur", [False, True], ids=["plain", "blurred"])
def test_a_camera_that_ran_before_and_breaks_off_shows_what_it_saw(
    server: CameraServer, tmp_path: Path, blur: bool
) -> None:
    """Somebody looked at it before, so that its clock does not start with us; then it restarts."""
    command = ["ffmpeg", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", server.url(), "-f", "null", "-"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as viewer:
        rig = Rig(tmp_path / "evidence", WANTED, {"blur": ["person"]} if blur else {}, live=True)
        try:
            watch(rig, server, 14.0, wait_s=4.0)
            viewer.kill()
            server.kill()
            server.start()
            rig.push(Gap("reconnect", SystemClock().mono_ns()))
            watch(rig, server, 14.0)
            rig.finish()
            assert len({time.epoch for time in rig.model.read}) >= 2
            check_all_blurred(rig) if blur else check_all(rig)
        finally:
            viewer.kill()
            rig.close()


def watch(rig: Rig, server: CameraServer, seconds: float, wait_s: float = 0.0) -> None:
    """Take the camera's items for so long."""
    clock = SystemClock()
    clock.wait(threading.Event(), wait_s)
    config = RtspSourceConfig(type="rtsp", url=server.url(), open_timeout_s=20, read_timeout_s=20)
    fittings = SourceOptions(packet_sink=rig.tape)
    source = open_source("cam", config, MANIFEST.geometry, clock, rig.metrics, Path(), fittings)
    until_ns = clock.mono_ns() + round(seconds * NS_PER_S)
    try:
        for item in source.items():
            rig.buffer.expect(video=source.has_video, audio=source.has_audio)
            rig.push(item)
            if clock.mono_ns() > until_ns:
                break
    except SourceError:
        pass
    source.close()
