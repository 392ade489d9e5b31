"""The whole daemon on network cameras: the same events as replay, and a camera that dies, freezes and returns."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from broker_parts import need
from daemon_parts import SAMPLE, Daemon, config_text, events_in, wait_for
from rtsp_parts import PASSWORD, CameraServer, missing

from edge.bench.processes import free_port
from edge.cli import main

pytestmark = pytest.mark.rtsp

SHOWN_S = 30


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[CameraServer]:
    if missing():
        pytest.skip(f"needs apt: {missing()}")
    clip = tmp_path / "clip.ts"
    command = [
        need("ffmpeg"),
        "-loglevel",
        "error",
        "-i",
        SAMPLE,
        "-t",
        str(SHOWN_S),
        "-c",
        "copy",
        "-f",
        "mpegts",
        clip,
    ]
    subprocess.run(list(map(str, command)), check=True)
    server = CameraServer(clip)
    server.start()
    yield server
    server.kill()


def rtsp(camera: CameraServer) -> str:
    return f"{{type: rtsp, url: '{camera.url()}', open_timeout_s: 3, read_timeout_s: 2}}"


def begins(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in events if event["phase"] == "begin" and event["kind"] == "event"]


def seconds_of(event: dict[str, Any]) -> float:
    hours, minutes, seconds = event["begin"][11:-1].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_live_run_gives_the_events_that_replay_gives(tmp_path: Path, camera: CameraServer, workers: int) -> None:
    """Over a network pictures may be lost at the start, so times may differ by two windows and scores a little."""
    config = tmp_path / "config.yaml"
    text = config_text(tmp_path / "data", source=rtsp(camera))
    config.write_text(text.replace("node: {", f"node: {{capture_workers: {workers}, "), encoding="utf-8")
    replayed = tmp_path / "replayed.jsonl"
    assert main(["replay", str(tmp_path / "clip.ts"), "--events", str(replayed)]) == 0
    expected = begins(events_in(replayed))
    assert len(expected) >= 2
    daemon = Daemon(config)
    told = tmp_path / "data" / "events.jsonl"
    try:
        wait_for(lambda: len(begins(events_in(told))) >= len(expected), "as many events as replay gives", 90)
    finally:
        assert daemon.stop() == 0
    lived = begins(events_in(told))[: len(expected)]
    assert [event["label"] for event in lived] == [event["label"] for event in expected]
    for one, other in zip(lived, expected, strict=True):
        after_first = seconds_of(one) - seconds_of(lived[0]), seconds_of(other) - seconds_of(expected[0])
        assert after_first[0] == pytest.approx(after_first[1], abs=1.0)
        assert one["score"] == pytest.approx(other["score"], abs=0.25)
    assert PASSWORD not in daemon.text()


def test_a_camera_that_dies_or_freezes_is_an_event_and_leaves_the_others_alone(
    tmp_path: Path, camera: CameraServer
) -> None:
    port = free_port()
    config = tmp_path / "config.yaml"
    steady = f"{{type: file, path: '{SAMPLE}', pace: live, loop: true}}"
    text = config_text(tmp_path / "data", source=rtsp(camera))
    text = text.replace("cameras: {", f"cameras: {{steady: {{source: {steady}}}, ")
    config.write_text(f"{text}health: {{no_signal_s: 2}}\nmetrics: {{listen: '127.0.0.1:{port}'}}\n", encoding="utf-8")
    daemon = Daemon(config)
    told = tmp_path / "data" / "events.jsonl"

    def windows(name: str) -> float:
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode()
        found = re.search(rf'edge_windows_total{{camera="{name}"}} (\S+)', page)
        return float(found[1]) if found else 0.0

    def no_signal(phase: str) -> int:
        return sum(e["label"] == "no_signal" and e["camera"] == "yard" and e["phase"] == phase for e in events_in(told))

    try:
        daemon.wait_ready()
        wait_for(lambda: windows("yard") > 4, "the camera is scored")
        for fail, restore in (
            (camera.kill, camera.start),
            (lambda: camera.signal(signal.SIGSTOP), lambda: camera.signal(signal.SIGCONT)),
        ):
            wait_for(lambda: no_signal("begin") == no_signal("end"), "nothing is wrong")
            times, others = no_signal("begin"), windows("steady")
            fail()
            wait_for(lambda n=times: no_signal("begin") == n + 1, "no_signal begins")
            wait_for(lambda n=others: windows("steady") > n + 4, "the other camera goes on")
            assert no_signal("end") == times
            wait_for(lambda n=times: daemon.text().count("WARNING capture:yard") > n, "the connection is given up")
            restore()
            scored = windows("yard")
            wait_for(lambda n=times: no_signal("end") == n + 1, "no_signal ends", 90)
            wait_for(lambda n=scored: windows("yard") > n + 4, "the camera is scored again")
    finally:
        assert daemon.stop() == 0
    text = daemon.text()
    assert text.count("delivers again") == 2
    assert PASSWORD not in text + json.dumps(events_in(told))
    assert not any(e["camera"] == "steady" and e["kind"] == "health" for e in events_in(told))


def test_clips_come_from_the_main_stream_and_its_loss_stops_nothing(tmp_path: Path, camera: CameraServer) -> None:
    large = tmp_path / "large.ts"
    scaled = ["-vf", "scale=1280:720", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "copy"]
    command = [need("ffmpeg"), "-loglevel", "error", "-i", camera.clip, *scaled, large]
    subprocess.run(list(map(str, command)), check=True)
    main_stream = CameraServer(large)
    main_stream.start()
    config = tmp_path / "config.yaml"
    record = f"record: {{type: rtsp, url: '{main_stream.url()}', open_timeout_s: 3, read_timeout_s: 2}}"
    evidence = "mqtt: null\nevidence: {before_s: 3, after_s: 2, keep_free_gb: 0}\n"
    text = config_text(tmp_path / "data", source=f"{rtsp(camera)}, {record}", more=evidence)
    config.write_text(text, encoding="utf-8")
    daemon = Daemon(config)
    folder = tmp_path / "data" / "evidence"
    try:
        clip = wait_for(lambda: next(folder.glob("*/yard/*/clip.mp4"), None), "a clip", 120)
        main_stream.kill()
        wait_for(lambda: "yard:main" in daemon.text(), "the loss of the main stream is told")
        before = len(events_in(tmp_path / "data" / "events.jsonl"))
        wait_for(lambda: len(events_in(tmp_path / "data" / "events.jsonl")) > before, "events go on", 120)
    finally:
        assert daemon.stop() == 0
        main_stream.kill()
    with av.open(str(clip)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (1280, 720)
        assert len(container.streams.audio) == 1
        assert (container.duration or 0) / 1e6 > 4.0
    assert PASSWORD not in daemon.text()
