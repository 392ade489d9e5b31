"""Network cameras that worker processes read: a worker that dies takes no alert along, and none outlives the daemon."""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon_parts import Daemon, events_in, wait_for
from rtsp_parts import PASSWORD, CameraServer, missing
from test_cameras import SAMPLE

from edge.bench.processes import free_port

pytestmark = pytest.mark.rtsp


@pytest.fixture
def camera() -> Iterator[CameraServer]:
    if missing():
        pytest.skip(f"needs apt: {missing()}")
    server = CameraServer(SAMPLE)
    server.start()
    yield server
    server.kill()


def children(pid: int) -> list[int]:
    """The capture workers among the processes that ``pid`` started."""
    started = [
        child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [int(one) for one in started if b"edge.capture.worker" in Path(f"/proc/{one}/cmdline").read_bytes()]


def is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def started(tmp_path: Path, camera: CameraServer, port: int) -> Daemon:
    source = f"{{source: {{type: rtsp, url: '{camera.url()}', open_timeout_s: 3, read_timeout_s: 2}}}}"
    config = tmp_path / "config.yaml"
    config.write_text(
        f"node: {{id: n1, site: test, data_dir: '{tmp_path}/data', capture_workers: 1}}\n"
        f"cameras: {{east: {source}, west: {source}}}\n"
        f"jsonl: {{path: '{tmp_path}/data/events.jsonl'}}\nmqtt: null\n"
        f"evidence: {{before_s: 3, after_s: 2, keep_free_gb: 0}}\nmetrics: {{listen: '127.0.0.1:{port}'}}\n",
        encoding="utf-8",
    )
    return Daemon(config)


def counted(port: int, name: str) -> dict[str, float]:
    page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
    return {found[1]: float(found[2]) for found in re.finditer(rf'^{name}{{\w+="(\w+)"}} (\S+)$', page, re.MULTILINE)}


def test_a_worker_that_crashes_is_started_again_and_clips_go_on(tmp_path: Path, camera: CameraServer) -> None:
    port = free_port()
    daemon = started(tmp_path, camera, port)
    try:
        daemon.wait_ready()

        def windows() -> float:
            return min(counted(port, "edge_windows_total").get(name, 0) for name in ("east", "west"))

        wait_for(lambda: windows() > 4, "both cameras are scored")
        assert min(counted(port, "edge_frames_total").values()) > 4
        (worker,) = children(daemon.process.pid)
        os.kill(worker, signal.SIGSEGV)
        wait_for(
            lambda: daemon.text().count("ended (SIGSEGV); it is started again") == 2,
            "both cameras tell why they are lost",
        )
        scored = windows()
        wait_for(lambda: windows() > scored + 4, "both cameras are scored again")
        assert children(daemon.process.pid) not in ([], [worker])
        folder = tmp_path / "data" / "evidence"
        wait_for(lambda: next(folder.glob("*/*/*/clip.mp4"), None), "a clip of what the worker read", 120)
    finally:
        assert daemon.stop() == 0
    assert daemon.text().count("delivers again") == 2
    assert PASSWORD not in daemon.text()
    assert not any(event["label"] == "internal" for event in events_in(tmp_path / "data" / "events.jsonl"))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_daemon(tmp_path: Path, camera: CameraServer, how: signal.Signals) -> None:
    port = free_port()
    daemon = started(tmp_path, camera, port)
    daemon.wait_ready()
    (worker,) = wait_for(lambda: children(daemon.process.pid), "the worker runs")
    wait_for(lambda: counted(port, "edge_windows_total"), "a camera is scored")
    daemon.stop(how)
    wait_for(lambda: not is_running(worker), "the worker ends with it", 10)
