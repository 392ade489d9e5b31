"""`edge check`: whether readings of the configured sensors come, and what they say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from edge.capture.sensors import read_value
from edge.checks.finding import ERROR, OK, WARNING, CheckFinding
from edge.clock import Clock, SystemClock
from edge.config import LoadedConfig
from edge.config.sources import SensorTopic
from edge.engine.manifest import Manifest
from edge.errors import EdgeError, SourceError

WAIT_S = 5.0
Subscribe = Callable[[LoadedConfig, Sequence[str], Callable[[str, bytes], None]], AbstractContextManager[None]]


def check_sensors(
    loaded: LoadedConfig, manifest: Manifest, subscribe: Subscribe | None = None, clock: Clock | None = None
) -> Iterator[CheckFinding]:
    """The newest reading of each sensor, as far as one comes within a few seconds."""
    sensors = {
        f"cameras.{name}.sensors.{channel}": (channel, spec)
        for name, camera in loaded.config.cameras.items()
        for channel, spec in camera.sensor_topics().items()
    }
    if not sensors or loaded.has_unset("mqtt"):
        return
    if loaded.config.mqtt is None:
        yield CheckFinding("sensors", WARNING, "mqtt is off (mqtt: null): no reading can arrive")
        return
    topics = sorted({spec.topic for _, spec in sensors.values()})
    try:
        payloads = _newest_payloads(loaded, topics, subscribe or _mqtt_subscribe(), clock or SystemClock())
    except EdgeError as error:
        if loaded.config.broker is not None:
            yield CheckFinding(
                "sensors", OK, "not looked at: the broker inside the daemon is there while `edge run` is"
            )
        else:
            yield CheckFinding("sensors", WARNING, f"not looked at: {error}")
        return
    units = {channel.name: channel.unit for channel in manifest.geometry.sensors}
    for area, (channel, spec) in sensors.items():
        yield _reading(area, spec, payloads.get(spec.topic), units.get(channel, ""))


def _newest_payloads(
    loaded: LoadedConfig, topics: Sequence[str], subscribe: Subscribe, clock: Clock
) -> Mapping[str, bytes]:
    """The newest payload of each topic, once all came or the time is over."""
    payloads: dict[str, bytes] = {}
    complete = threading.Event()

    def on_message(topic: str, payload: bytes) -> None:
        payloads[topic] = payload
        if payloads.keys() >= set(topics):
            complete.set()

    with subscribe(loaded, topics, on_message):
        clock.wait(complete, WAIT_S)
    return payloads


def _reading(area: str, spec: SensorTopic, payload: bytes | None, unit: str) -> CheckFinding:
    if payload is None:
        message = f"nothing came within {WAIT_S:g} s; is the topic right? What speaks seldom should publish retained"
        return CheckFinding(area, WARNING, f"{spec.topic}: {message}")
    try:
        value = read_value(payload, spec.path)
    except SourceError as error:
        return CheckFinding(area, ERROR, f"{spec.topic}: {error}")
    return CheckFinding(area, OK, f"{spec.topic}: {value:g} {unit}".rstrip())


def _mqtt_subscribe() -> Subscribe:
    from edge.publish.mqtt import subscribe

    return subscribe
