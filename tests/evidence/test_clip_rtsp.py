"""A clip of a real network camera: what RTSP delivers, from the tape to the file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from capture.media import flash_and_bang, write
from clip_parts import loud_at, ns, played
from rtsp_parts import CameraServer, missing

from edge.capture.registry import SourceOptions, open_source
from edge.clock import SystemClock
from edge.config.sources import RtspSourceConfig
from edge.engine.manifest import AudioGeometry, Geometry, MemoryGeometry, VideoGeometry
from edge.evidence.clips.clip import ClipRequest, ClipWriter
from edge.evidence.clips.packet_ring import PacketRing
from edge.media_time import MediaTime
from edge.metrics import Metrics
from edge.types import EpochStart, Frame, Stream

pytestmark = [pytest.mark.rtsp, pytest.mark.timeout(120)]
GEOMETRY = Geometry(
    hop_s=0.5,
    video=VideoGeometry(fps=4, frames=2, width=160, height=96),
    audio=AudioGeometry(rate_hz=16000, window_s=2.0),
    memory=MemoryGeometry(tokens=1, dim=1),
)

if missing():
    pytest.skip(f"needs apt: {missing()}", allow_module_level=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CameraServer]:
    draw, bang = flash_and_bang(160, 96, [1.1, 3.2, 5.3, 7.4], 0.0)
    path = write(tmp_path / "clip.ts", 8.6, size=(160, 96), fps=25, picture=draw, sound=bang)
    one = CameraServer(path)
    one.start()
    yield one
    one.kill()


@pytest.mark.parametrize("masks", [(), (((0.9, 0.9), (1, 0.9), (1, 1)),)], ids=["copied", "masked"])
def test_a_network_cameras_clip_is_exact_and_in_step(server: CameraServer, tmp_path: Path, masks: object) -> None:
    tape = PacketRing(60, 1 << 26)
    config = RtspSourceConfig(type="rtsp", url=server.url(), open_timeout_s=20, read_timeout_s=20)
    source = open_source("cam", config, GEOMETRY, SystemClock(), Metrics(), Path(), SourceOptions(packet_sink=tape))
    first: Frame | None = None
    stop = threading.Timer(60, source.close)
    stop.start()
    for item in source.items():
        if isinstance(item, Frame):
            first = first or item
            if item.pts_ns - first.pts_ns > ns(6):
                break
    stop.cancel()
    source.close()
    assert first is not None
    tape.start_epoch(EpochStart(0, Stream.VIDEO, first.pts_ns))
    begin = MediaTime(0, first.pts_ns + ns(1))
    end = begin + ns(4)
    cut = tape.extract(begin + -ns(1), end + ns(1), first.arrival_ns)
    assert cut is not None
    clip = ClipWriter().write(cut, tmp_path, ClipRequest(begin, end, masks=masks))  # type: ignore[arg-type]
    assert clip is not None
    shown = played(clip.path)
    assert 0 <= begin.since(clip.begin) <= ns(0.05)
    assert shown.duration_s == pytest.approx(clip.end.since(clip.begin) / 1e9, abs=0.002)
    assert shown.duration_s == pytest.approx(4.0, abs=0.085)
    assert len(shown.images) == pytest.approx(shown.duration_s * 25, abs=1)
    lit = np.array([image.mean() > 150 for image in shown.images])
    flash = next(i for i in range(1, len(lit)) if lit[i] and not lit[i - 1])
    since = int((shown.times[flash] - 0.3) * shown.rate)
    shown.sound = shown.sound[max(0, since) :]
    bang_s = loud_at(shown) + max(0, since) / shown.rate
    assert abs(bang_s - shown.times[flash]) <= 0.04
