"""What the sensors of a camera say, for the model and for people."""

from __future__ import annotations

from sim import SMALL

from edge.buffer.camera import CameraBuffer
from edge.buffer.media_store import SensorCache
from edge.clock import VirtualClock
from edge.config.models import HealthConfig, WindowsConfig
from edge.engine.manifest import SensorChannel
from edge.metrics import Metrics
from edge.status import SensorStatus
from edge.types import NS_PER_S, SensorReading

CHANNELS = [SensorChannel(name=name, unit=unit, mean=0, std=1) for name, unit in (("heat", "K"), ("gas", "ppm"))]


def test_facts_tell_value_unit_and_age_of_what_is_configured() -> None:
    board = SensorCache(CHANNELS, {"heat": 60.0})
    assert board.statuses(0) == (SensorStatus("heat", "K", None, None, is_stale=True),)
    board.push(SensorReading("heat", 5 * NS_PER_S, 290.0))
    board.push(SensorReading("gas", 5 * NS_PER_S, 3.0))
    board.push(SensorReading("heat", 10 * NS_PER_S, 291.5))
    assert board.statuses(12 * NS_PER_S) == (SensorStatus("heat", "K", 291.5, 2.0, is_stale=False),)
    assert board.statuses(71 * NS_PER_S) == (SensorStatus("heat", "K", 291.5, 61.0, is_stale=True),)
    assert SensorCache(CHANNELS, {}).statuses(0) == ()


def test_a_cameras_facts_have_its_sensors() -> None:
    given = (SMALL, VirtualClock(), WindowsConfig(), HealthConfig(), Metrics())
    buffer = CameraBuffer("gate", *given, sensors={"light": 60.0})
    buffer.push_sensor(SensorReading("light", 5 * NS_PER_S, 120.0))
    assert buffer.status(7 * NS_PER_S).sensors == (SensorStatus("light", "lx", 120.0, 2.0, is_stale=False),)
    assert CameraBuffer("hall", *given).status(0).sensors == ()
