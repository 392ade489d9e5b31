"""The newest readings of a camera's sensors, as the model wants them. Not thread-safe; the owner holds its lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from edge.engine.manifest import SensorChannel
from edge.facts import SensorStatus
from edge.types import F32, SensorReading, nanoseconds, seconds

_KEPT = 16


class SensorCache:
    """Readings by channel; ``stale_s`` says which channels there are and how old their readings may be."""

    def __init__(self, channels: Sequence[SensorChannel], stale_s: Mapping[str, float]) -> None:
        self._channels = tuple(channels)
        self._stale_ns = {name: nanoseconds(s) for name, s in stale_s.items()}
        self._readings: dict[str, deque[SensorReading]] = {c.name: deque(maxlen=_KEPT) for c in channels}

    def push(self, reading: SensorReading) -> None:
        """Keep a reading; names that are no channel are ignored."""
        if reading.name in self._readings:
            self._readings[reading.name].append(reading)

    def fill(self, t_ns: int, values: F32, ok: F32) -> tuple[bool, ...]:
        """Write (value - mean) / std of each channel's newest reading at ``t_ns`` and 1, or 0 and 0."""
        present: list[bool] = []
        for i, channel in enumerate(self._channels):
            reading = self._newest(channel.name, t_ns)
            values[i] = 0.0 if reading is None else (reading.value - channel.mean) / channel.std
            ok[i] = 0.0 if reading is None else 1.0
            present.append(reading is not None)
        return tuple(present)

    def statuses(self, now_ns: int) -> tuple[SensorStatus, ...]:
        """The newest reading of each configured channel at ``now_ns``, however old."""
        return tuple(self._status(channel, now_ns) for channel in self._channels if channel.name in self._stale_ns)

    def _status(self, channel: SensorChannel, now_ns: int) -> SensorStatus:
        readings = self._readings[channel.name]
        if not readings:
            return SensorStatus(channel.name, channel.unit, None, None, is_stale=True)
        age_ns = max(0, now_ns - readings[-1].arrival_ns)
        is_stale = age_ns > self._stale_ns[channel.name]
        return SensorStatus(channel.name, channel.unit, readings[-1].value, seconds(age_ns), is_stale)

    def _newest(self, name: str, t_ns: int) -> SensorReading | None:
        stale_ns = self._stale_ns.get(name, 0)
        for reading in reversed(self._readings[name]):
            if reading.arrival_ns <= t_ns:
                return reading if t_ns - reading.arrival_ns <= stale_ns else None
        return None
