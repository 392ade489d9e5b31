"""Composes labelled audio-visual scenes: places, events in picture, sound and sensors, and hard negatives.

A scene is 32 hops of 0.5 s from one camera, fixed by its seed. Each modality has its own labels, so that a hidden
modality is never trained on what it cannot show. Sensor readings follow the scene's events and ambient changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.train.labels import DENSE_CHANNELS, GRID, HEIGHT, HOP_S, LABEL_NAMES, LABELS, RATE_HZ, SENSORS, WIDTH
from edge.train.scenes.backgrounds import Backgrounds, filmed_fire
from edge.train.scenes.pictures import (
    U8,
    CameraModel,
    Layer,
    blend,
    cell_coverage,
    darken,
    draw_camera_model,
    draw_lookalike,
    expose,
    fireball,
    flames,
    muzzle,
    smoke,
)
from edge.train.scenes.soundbank import SoundBank, background_bed, simulate_microphone

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


HOPS: Final = 32
LEAD_S: Final = 2.0
LENGTH_S: Final = LEAD_S + HOPS * HOP_S
_LABELS: Final = tuple(x.name for x in LABELS if not x.classes and x.body is None)
_LABEL_CHANCE: Final = np.array([3, 2.5, 1.5, 1.5, 1, 1, 1.3, 1, 1, 1, 1]) / 15.8
_SEEN_CHANCE: Final = {"fire": 0.75, "smoke": 0.9, "explosion": 0.6, "gunshot": 0.3}
_HEARD_CHANCE: Final = {"fire": 0.5, "smoke": 0.0}
_SENSED_CHANCE: Final = {
    "fire": 0.5,
    "smoke": 0.5,
    "explosion": 0.5,
    "glass_break": 0.4,
    "alarm": 0.2,
    "door_knock": 0.4,
}


@dataclass(frozen=True, slots=True)
class ComposedScene:
    """`audio` [n] at 32 kHz (hop h ends at 2 + h/2 s), `sensors` [H,8] z-scores, `sensor_ok` [8],
    `evident` [H,3,C] 1 = that modality shows it now, 0.5 = fading (do not judge), `layers` for the pictures."""

    audio: F32
    sensors: F32
    sensor_ok: F32
    evident: F32
    events: tuple[PlacedEvent, ...]
    ambient: AmbientChanges
    seed: int


@dataclass(frozen=True, slots=True)
class RenderedPictures:
    """`frames` u8 [H,2,256,448,3] and `cell_coverage` [H,4,8,14], how much of each cell each dense event covers."""

    frames: U8
    cells: F32


def compose_scene(seed: int, bank: SoundBank) -> ComposedScene:
    """Sound, sensors and targets of a scene."""
    rng = np.random.default_rng(seed)
    placed, wave = _draw_events(rng, bank), np.zeros(int(LENGTH_S * RATE_HZ) + 1, np.float32)
    ends = [_mix_event_sound(wave, event, rng, bank) for event in placed]
    for _ in range(int(rng.integers(0, 3))):
        sound = bank.draw_other(rng)
        _mix(wave, sound * 10 ** rng.uniform(-1.3, 0), float(rng.uniform(0, LENGTH_S - 1)))
    wave = wave + background_bed(bank, rng, np.ceil(len(wave) / RATE_HZ))[: len(wave)] * 10 ** rng.uniform(-3.2, -1.2)
    ordinary = draw_ambient_changes(np.random.default_rng(seed + 13), LENGTH_S)
    sensors, sensor_ok = sensor_readings(
        rng, LEAD_S + np.arange(HOPS, dtype=np.float64) * HOP_S, tuple(placed), ordinary
    )
    return ComposedScene(
        simulate_microphone(wave, rng),
        sensors,
        sensor_ok,
        _evidence_targets(placed, ends),
        tuple(placed),
        ordinary,
        seed,
    )


def compose_sensors(seed: int, bank: SoundBank) -> tuple[F32, F32, F32]:
    """Readings [H,8], which are there [H,8] and what they show [H,C] in a scene of that seed, without its sound."""
    rng = np.random.default_rng(seed)
    placed = tuple(_draw_events(rng, bank))
    ordinary = draw_ambient_changes(np.random.default_rng(seed + 13), LENGTH_S)
    values, ok = sensor_readings(rng, LEAD_S + np.arange(HOPS, dtype=np.float64) * HOP_S, placed, ordinary)
    evident = _evidence_targets(list(placed), [event.begin_s for event in placed])
    return values, np.broadcast_to(ok, values.shape).astype(np.float32), evident[:, 2]


def is_event_visible(seed: int, bank: SoundBank, label: str) -> bool:
    """Whether this event is visible in the scene of that seed, without composing it."""
    return any(event.seen and event.label == label for event in _draw_events(np.random.default_rng(seed), bank))


def render_pictures(scene: ComposedScene, backgrounds: Backgrounds, hops: range = range(HOPS)) -> RenderedPictures:
    """The scene's pictures for these hops."""
    rng = np.random.default_rng(scene.seed + 77)
    camera = draw_camera_model(rng)
    places = backgrounds.draw_pictures(rng, 2 * HOPS)
    layers: list[tuple[float, float, int | None, Layer]] = []
    for event in scene.events:
        if event.seen:
            layers += _layers(event, backgrounds, rng)
    for _ in range(int(rng.choice([0, 0, 1, 1, 2]))):
        begin = float(rng.uniform(-4, LENGTH_S - 2))
        layers.append((begin, begin + float(rng.uniform(3, 20)), None, draw_lookalike(rng)))
    frames = np.empty((len(hops), 2, HEIGHT, WIDTH, 3), np.uint8)
    cover = np.zeros((len(hops), DENSE_CHANNELS, *GRID), np.float32)
    for n, hop in enumerate(hops):
        for k in range(2):
            t = LEAD_S + hop * HOP_S - 0.25 * (1 - k)
            picture = darken(places[2 * hop + k], _ambient_light(camera, scene.ambient, t))
            for begin, end, channel, layer in layers:
                if begin <= t < end:
                    colour, alpha = layer(t - begin)
                    picture = blend(picture, colour, alpha)
                    if channel is not None and k == 1:
                        cover[n, channel] = np.maximum(cover[n, channel], cell_coverage(alpha))
            frames[n, k] = expose(picture, camera, rng)
    return RenderedPictures(frames, cover)


def _ambient_light(camera: CameraModel, ordinary: AmbientChanges, t: float) -> CameraModel:
    """The scene's light at that second: dark until somebody switches the lamp on."""
    if ordinary.switch_s is None or t >= ordinary.switch_s + 0.2:
        return camera
    return replace(camera, gain=camera.gain * (0.2 if t < ordinary.switch_s else 0.6))


def _draw_events(rng: Rng, bank: SoundBank) -> list[PlacedEvent]:
    placed = []
    for _ in range(int(rng.choice([0, 1, 1, 2], p=[0.35, 0.25, 0.2, 0.2]))):
        label = str(rng.choice(_LABELS, p=_LABEL_CHANCE))
        begin = float(rng.uniform(0.5, LENGTH_S - 4))
        length = float(rng.uniform(4, 14)) if label in ("fire", "smoke", "alarm") else 2.5
        seen = rng.random() < _SEEN_CHANCE.get(label, 0.0)
        heard = rng.random() < _HEARD_CHANCE.get(label, 0.95) and label in bank.events
        sensed = rng.random() < _SENSED_CHANCE.get(label, 0.0)
        if not (seen or heard or sensed):
            seen, heard = label in _SEEN_CHANCE, label in bank.events
        placed.append(PlacedEvent(label, begin, begin + length, bool(seen), bool(heard), bool(sensed)))
    return placed


def _mix_event_sound(wave: F32, event: PlacedEvent, rng: Rng, bank: SoundBank) -> float:
    """Mix the event's sound in; the second at which it ends."""
    if not event.heard:
        return event.begin_s
    sound = bank.draw_event(event.label, rng)
    if event.label in ("fire", "alarm"):
        sound = np.resize(sound, int((event.end_s - event.begin_s) * RATE_HZ))
    _mix(wave, sound * 10 ** rng.uniform(-1.0, 0), event.begin_s)
    loud = np.flatnonzero(np.abs(sound) > 0.1)
    return event.begin_s + (float(loud[-1]) if len(loud) else 0.0) / RATE_HZ


def _mix(wave: F32, sound: F32, at_s: float) -> None:
    at = int(at_s * RATE_HZ)
    part = sound[: max(0, len(wave) - at)]
    wave[at : at + len(part)] += part


def _layers(event: PlacedEvent, backgrounds: Backgrounds, rng: Rng) -> list[tuple[float, float, int | None, Layer]]:
    if event.label == "fire":
        real = bool(backgrounds.fires) and rng.random() < 0.5
        fire = filmed_fire(backgrounds, rng) if real else flames(rng)
        plume = [(event.begin_s, event.end_s, None, smoke(rng))] if rng.random() < 0.15 else []
        return [*plume, (event.begin_s, event.end_s, 0, fire)]
    if event.label == "smoke":
        return [(event.begin_s, event.end_s, 1, smoke(rng))]
    if event.label == "explosion":
        return [(event.begin_s, event.begin_s + 2.5, 2, fireball(rng))]
    return [(event.begin_s, event.begin_s + 0.4, 3, muzzle(rng))]


def _evidence_targets(placed: list[PlacedEvent], sound_ends: list[float]) -> F32:
    evident = np.zeros((HOPS, 3, len(LABEL_NAMES)), np.float32)
    t = LEAD_S + np.arange(HOPS) * HOP_S
    for event, sound_end in zip(placed, sound_ends, strict=True):
        c = LABEL_NAMES.index(event.label)
        brief, slow = event.label in ("explosion", "gunshot"), event.label in ("fire", "smoke", "alarm")
        seen_end = event.begin_s + (1.5 if event.label == "explosion" else 0.35 if brief else 99)
        marks = (
            (event.seen, t >= event.begin_s, t < min(event.end_s, seen_end), t < min(event.end_s, seen_end) + 1.5),
            (event.heard, t >= event.begin_s + 0.25, t - 1.0 < sound_end, t - 2.0 < sound_end),
            (event.sensed, t >= event.begin_s + (3.0 if slow else 0),
             t < (event.end_s if slow else event.begin_s + 1), t < event.end_s + 4),
        )  # fmt: skip
        for m, (there, after, before, fading) in enumerate(marks):
            if there and LABELS[c].modalities.count(("video", "audio", "sensors")[m]):
                now = np.where(after & before, 1.0, np.where((t >= event.begin_s) & fading, 0.5, 0.0))
                evident[:, m, c] = np.maximum(evident[:, m, c], now)
    fire, smoke_label = evident[:, 2, LABEL_NAMES.index("fire")], LABEL_NAMES.index("smoke")
    for m in (0, 2):
        evident[:, m, smoke_label] = np.maximum(evident[:, m, smoke_label], 0.5 * (fire > 0))
    return evident  # what a fire does to a smoke sensor is smoke too, as likely as not: nothing to be judged on
