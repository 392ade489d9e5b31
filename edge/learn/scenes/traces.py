"""Made sensor readings of a scene: what its events do to them, and what else does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.learn.labels import SENSORS

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Rng = np.random.Generator
# in the order of SENSORS: temperature, humidity, light, co2, smoke, motion, door, vibration
_BASE: Final = np.array([20, 50, 200, 600, 0.2, 0, 0, 0.1])
_WOBBLE: Final = np.array([6, 12, 150, 150, 0.15, 0, 0, 0.05])
_FIRE: Final = ([6, -15, 100, 100, 1, 0, 0, 0], [45, -3, 900, 1500, 8, 0, 0, 0])
_SMOKE: Final = ([1, -4, 0, 0, 1.5, 0, 0, 0], [14, 2, 0, 400, 7, 0, 0, 0])
_RISE_S: Final = 6.0


@dataclass(frozen=True, slots=True)
class PlacedEvent:
    """One event on the scene's clock, and which modalities show it."""

    label: str
    begin_s: float
    end_s: float
    seen: bool
    heard: bool
    sensed: bool


@dataclass(frozen=True, slots=True)
class AmbientChanges:
    """What happens besides events, None where it does not: the light is switched on at night (`switch_s`; it is dark
    before, somebody moves, perhaps a door opened), somebody cooks or showers (`steam_s`: humidity and a few degrees), a
    full room breathes (`crowd_s`: CO2 climbs), something bumps into the sensor (`bump_s`)."""

    switch_s: float | None
    steam_s: float | None
    crowd_s: float | None
    bump_s: float | None


def draw_ambient_changes(rng: Rng, length_s: float) -> AmbientChanges:
    """Each of them in a part of the scenes, at any time but the first second and the last two."""

    def at(chance: float) -> float | None:
        when, there = float(rng.uniform(1, length_s - 2)), rng.random() < chance
        return when if there else None

    return AmbientChanges(at(0.25), at(0.15), at(0.15), at(0.2))


def sensor_readings(rng: Rng, t: F64, placed: tuple[PlacedEvent, ...], ordinary: AmbientChanges) -> tuple[F32, F32]:
    """z-scores [len(t),8] at the times `t` (s), and which of the eight sensors this place has [8]."""
    values = _BASE + _WOBBLE * rng.standard_normal(8) + 0.05 * _WOBBLE * rng.standard_normal((len(t), 8))
    values[:, 0] += rng.uniform(-0.05, 0.05) * t
    values[:, 5] = np.cumsum(rng.random(len(t)) < 0.1) % 2
    values[:, 6] = (np.cumsum(rng.random(len(t)) < 0.04) + int(rng.random() < 0.3)) % 2
    values[:, 7] += (rng.random(len(t)) < 0.03) * rng.uniform(0.1, 0.8, len(t))
    if rng.random() < 0.15:
        values[:, 4] += rng.uniform(0.1, 0.7)
    _add_ambient_changes(values, rng, t, ordinary)
    for event in placed:
        if event.sensed:
            _add_event(values, rng, t, event)
    values = np.maximum(values, [-40, 0, 0, 300, 0, 0, 0, 0])
    z = (values - [s.mean for s in SENSORS]) / [s.std for s in SENSORS]
    ok = (rng.random(8) < 0.75) * (rng.random() < 0.7)
    return z.astype(np.float32), ok.astype(np.float32)


def _add_ambient_changes(values: F64, rng: Rng, t: F64, ordinary: AmbientChanges) -> None:
    """Add what `ordinary` does, in place."""
    if ordinary.switch_s is not None:
        on = t >= ordinary.switch_s
        values[:, 2] = np.where(on, rng.uniform(80, 600), rng.uniform(0, 5))
        values[:, 5] = np.where(t >= ordinary.switch_s - 0.5, 1, values[:, 5])
        if rng.random() < 0.5:
            values[:, 6] = t >= ordinary.switch_s - rng.uniform(0.2, 2)
    if ordinary.steam_s is not None:
        on = np.clip((t - ordinary.steam_s) / 10, 0, 1)
        values[:, 1] += on * rng.uniform(5, 35)
        values[:, 0] += on * rng.uniform(0, 3)
    if ordinary.crowd_s is not None:
        values[:, 3] += np.clip((t - ordinary.crowd_s) / 10, 0, 1) * rng.uniform(100, 900)
        values[:, 5] = 1
    if ordinary.bump_s is not None:
        values[:, 7] += ((t >= ordinary.bump_s) & (t < ordinary.bump_s + 1)) * rng.uniform(0.3, 6.0)


def _add_event(values: F64, rng: Rng, t: F64, event: PlacedEvent) -> None:
    """Add what an event does to the sensors, in place. Fire and smoke take some seconds to reach them."""
    on = (np.clip((t - event.begin_s) / _RISE_S, 0, 1) * (t < event.end_s + 3))[:, None]
    if event.label == "fire":
        values += on * rng.uniform(*_FIRE)
    elif event.label == "smoke":
        values += on * rng.uniform(*_SMOKE) * np.array([rng.random() < 0.6, 1, 1, 1, 1, 1, 1, 1])
    elif event.label == "alarm":
        values[:, 4] += on[:, 0] * rng.uniform(1.5, 7)
    else:
        hit = (t >= event.begin_s) & (t < event.begin_s + 1.0)
        values[:, 7] += hit * (rng.uniform(0.3, 1.2) if event.label == "door_knock" else rng.uniform(1.0, 5.0))
        if event.label == "door_knock" and rng.random() < 0.4:
            values[:, 6] = np.where(t >= event.begin_s + rng.uniform(1, 4), 1, values[:, 6])
