"""Parses sensor readings from MQTT messages. Has no connection of its own; the node passes messages in."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

from edge.config.sources import SensorTopic
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.types import SensorReading

_log = logging.getLogger(__name__)
_WORDS = {"on": 1.0, "open": 1.0, "true": 1.0, "off": 0.0, "closed": 0.0, "false": 0.0}


class SensorParser:
    """Maps topics to the channels of cameras.

    A payload is a number, one of on/off/open/closed/true/false, or JSON with such a value at the configured path.
    """

    def __init__(self, cameras: Mapping[str, Mapping[str, SensorTopic]], metrics: Metrics) -> None:
        """``cameras``: the channels of each camera."""
        self._metrics = metrics
        self._by_topic: dict[str, list[tuple[str, str, str]]] = {}
        self._bad: set[str] = set()
        for camera, channels in cameras.items():
            for name, spec in channels.items():
                self._by_topic.setdefault(spec.topic, []).append((camera, name, spec.path))

    @property
    def topics(self) -> list[str]:
        """What to subscribe to."""
        return sorted(self._by_topic)

    def parse(self, topic: str, payload: bytes, arrival_ns: int) -> list[tuple[str, SensorReading]]:
        """The readings in a message, by camera; values that cannot be read are left out, counted, and logged once for
        each topic."""
        channels = self._by_topic.get(topic, [])
        readings = [
            (camera, self._read(topic, payload, arrival_ns, name, path, camera)) for camera, name, path in channels
        ]
        return [(camera, reading) for camera, reading in readings if reading is not None]

    def _read(
        self, topic: str, payload: bytes, arrival_ns: int, name: str, path: str, camera: str
    ) -> SensorReading | None:
        try:
            return SensorReading(name, arrival_ns, read_value(payload, path))
        except SourceError as error:
            self._metrics.drops.labels(camera, "sensor").inc()
            level = logging.DEBUG if topic in self._bad else logging.WARNING
            _log.log(level, "%s: sensor %s: %s", topic, name, error)
            self._bad.add(topic)
            return None


def read_value(payload: bytes, path: str = "") -> float:
    """The finite number in ``payload`` at ``path`` (``a.b.0``); SourceError says what was found instead."""
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise SourceError("the payload is not text; send a number or JSON") from None
    if not path:
        value = _number(text)
        if value is not None:
            return value
    try:
        value_at_path: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise SourceError(f"{_shortened(text)} is neither a number nor JSON") from None
    for step in path.split(".") if path else []:
        value_at_path = _step(value_at_path, step, path)
    value = _number(value_at_path)
    if value is None:
        where = f" at {path}" if path else "; give the sensor a `path` into it"
        raise SourceError(f"{_shortened(text)} holds no finite number{where}")
    return value


def _step(value: Any, step: str, path: str) -> Any:
    if isinstance(value, dict) and step in value:
        return value[step]
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    raise SourceError(f"there is no {step!r} on the way to {path}")


def _number(value: Any) -> float | None:
    if isinstance(value, str) and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if not isinstance(value, bool | int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")
