"""Sensor topics reach the cameras that name them, and nothing hostile gets further than a counter."""

from __future__ import annotations

import numpy as np
import pytest

from edge.capture.worker.source import WorkerDemand
from edge.clock import VirtualClock
from edge.config import parse
from edge.engine.manifest import find_folder, load_folder
from edge.metrics import Metrics
from edge.node.inputs import NodeInputs
from edge.publish.commands import IncomingMessage
from edge.status import SourceState
from edge.types import NS_PER_S

TEXT = """
cameras:
  yard:
    source: {type: file, path: a.mp4}
    sensors: {temperature: yard/temp, light: {topic: yard/env, path: lux.0, stale_s: 60}}
  hall: {source: {type: file, path: b.mp4}, sensors: {temperature: yard/temp}}
  cellar: {microphone: mic}
microphones: {mic: {type: device}}
"""


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def inputs(clock: VirtualClock) -> NodeInputs:
    geometry = load_folder(find_folder("fused")).manifest.geometry
    return NodeInputs(parse(TEXT), geometry, clock, Metrics())


def known(inputs: NodeInputs, camera: str, t_ns: int) -> dict[str, float]:
    """The z-scores that the model would see of a camera's sensors."""
    channels = [channel.name for channel in load_folder(find_folder("fused")).manifest.geometry.sensors]
    values, ok = np.zeros(len(channels), np.float32), np.zeros(len(channels), np.float32)
    there = inputs.buffers[camera].media.fill_sensors(t_ns, values, ok)
    return {name: float(v) for name, v, is_there in zip(channels, values, there, strict=True) if is_there}


def test_a_topic_reaches_every_camera_that_names_it(inputs: NodeInputs, clock: VirtualClock) -> None:
    assert inputs.sensor_topics == ["yard/env", "yard/temp"]
    inputs.on_sensor(IncomingMessage("yard/temp", b"30"))
    inputs.on_sensor(IncomingMessage("yard/env", b'{"lux": [500, 1]}'))
    now_ns = clock.mono_ns()
    assert known(inputs, "yard", now_ns) == {"temperature": 1.0, "light": 1.0}
    assert known(inputs, "hall", now_ns) == {"temperature": 1.0}
    assert set(known(inputs, "yard", now_ns + 61 * NS_PER_S)) == {"temperature"}


def test_a_copied_address_is_said_at_start(caplog: pytest.LogCaptureFixture) -> None:
    camera = "{source: {type: rtsp, url: 'rtsp://u:geheim@192.0.2.5/1'}}"
    geometry = load_folder(find_folder("fused")).manifest.geometry
    NodeInputs(parse(f"cameras:\n  a: {camera}\n  b: {camera}\n"), geometry, VirtualClock(), Metrics())
    assert "config.yaml:3: cameras.b.source.url: is the stream of cameras.a.source; is it" in caplog.text
    assert "geheim" not in caplog.text


@pytest.mark.parametrize(
    ("cameras", "node", "said"),
    [
        (56, "", ""),
        (57, "", "network cameras: 57, read by capture workers: 2"),
        (57, "node: {capture_workers: 0}", ""),
        (1, "node: {capture_workers: 4}", "network cameras: 1, read by capture workers: 1"),
    ],
)
def test_many_network_cameras_are_read_by_workers(
    cameras: int, node: str, said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that records its main stream needs no worker more; a file is never read by one."""
    caplog.set_level("INFO")
    monkeypatch.setattr("edge.node.inputs.core_count", lambda: 2)
    lines = [f"  cam{k}: {{source: {{type: rtsp, url: 'rtsp://192.0.2.5/{k}'}}}}" for k in range(cameras)]
    lines[0] = lines[0][:-1] + ", record: {type: rtsp, url: 'rtsp://192.0.2.5/main'}}"
    text = "\n".join([node, "cameras:", *lines, "  clip: {source: {type: file, path: a.mp4}}"])
    geometry = load_folder(find_folder("fused")).manifest.geometry
    inputs = NodeInputs(parse(text), geometry, VirtualClock(), Metrics())
    assert [line for line in caplog.messages if "worker" in line] == ([said] if said else [])
    assert isinstance(inputs.buffers["cam0"].demand, WorkerDemand) == bool(said)
    assert not isinstance(inputs.buffers["clip"].demand, WorkerDemand)
    assert inputs.workers_ns() == 0
    inputs.close()
    inputs.close_workers()


@pytest.mark.parametrize("payload", [b"", b"nan", b"1e999", b"\xff\xfe", b"[" * 5000, b'{"lux": {}}', b"9" * 100_000])
def test_what_is_no_number_changes_nothing(inputs: NodeInputs, clock: VirtualClock, payload: bytes) -> None:
    inputs.on_sensor(IncomingMessage("yard/temp", payload))
    inputs.on_sensor(IncomingMessage("yard/env", payload))
    inputs.on_sensor(IncomingMessage("elsewhere", b"1"))
    assert known(inputs, "yard", clock.mono_ns()) == {}


def test_states_and_who_is_live(inputs: NodeInputs) -> None:
    assert inputs.live == {"yard": False, "hall": False, "cellar": True}
    assert inputs.state("cellar") == inputs.state("yard") == (SourceState.CONNECTING, "")
    assert inputs.summary() == "3 connecting"
    assert not inputs.all_ended()
