"""`edge check`: whether readings of the configured sensors come, and what they say."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

from edge.capture.sensors import read_value
from edge.checks.finding import ERROR, OK, WARNING, CheckFinding
from edge.clock import Clock, SystemClock
from edge.config import Loaded
from edge.config.sources import SensorTopic
from edge.engine.manifest import Manifest
from edge.errors import EdgeError, SourceError

WAIT_S = 5.0
Follow = Callable[[Loaded, Sequence[str], Callable[[str, bytes], None]], AbstractContextManager[None]]


def check_sensors(
    loaded: Loaded, manifest: Manifest, follow: Follow | None = None, clock: Clock | None = None
) -> Iterator[CheckFinding]:
    """The newest reading of each sensor, as far as one comes within a few seconds."""
    wanted = {
        f"cameras.{name}.sensors.{channel}": (channel, spec)
        for name, camera in loaded.config.cameras.items()
        for channel, spec in camera.sensor_topics().items()
    }
    if not wanted or loaded.lacks("mqtt"):
        return
    if loaded.config.mqtt is None:
        yield CheckFinding("sensors", WARNING, "mqtt is off (mqtt: null): no reading can arrive")
        return
    topics = sorted({spec.topic for _, spec in wanted.values()})
    try:
        heard = _listen(loaded, topics, follow or _subscribe(), clock or SystemClock())
    except EdgeError as error:
        if loaded.config.broker is not None:
            yield CheckFinding(
                "sensors", OK, "not looked at: the broker inside the daemon is there while `edge run` is"
            )
        else:
            yield CheckFinding("sensors", WARNING, f"not looked at: {error}")
        return
    units = {channel.name: channel.unit for channel in manifest.geometry.sensors}
    for area, (channel, spec) in wanted.items():
        yield _reading(area, spec, heard.get(spec.topic), units.get(channel, ""))


def _listen(loaded: Loaded, topics: Sequence[str], follow: Follow, clock: Clock) -> Mapping[str, bytes]:
    """The newest payload of each topic, once all came or the time is over."""
    heard: dict[str, bytes] = {}
    complete = threading.Event()

    def on_message(topic: str, payload: bytes) -> None:
        heard[topic] = payload
        if heard.keys() >= set(topics):
            complete.set()

    with follow(loaded, topics, on_message):
        clock.wait(complete, WAIT_S)
    return heard


def _reading(area: str, spec: SensorTopic, payload: bytes | None, unit: str) -> CheckFinding:
    if payload is None:
        said = f"nothing came within {WAIT_S:g} s; is the topic right? What speaks seldom should publish retained"
        return CheckFinding(area, WARNING, f"{spec.topic}: {said}")
    try:
        value = read_value(payload, spec.path)
    except SourceError as error:
        return CheckFinding(area, ERROR, f"{spec.topic}: {error}")
    return CheckFinding(area, OK, f"{spec.topic}: {value:g} {unit}".rstrip())


def _subscribe() -> Follow:
    from edge.publish.mqtt import subscribe

    return subscribe
