"""Simulated people: a skeleton of 15 joints with joint angles, and tracks of their movements.

A generator that the caller passes in draws everything; times are multiples of `STEP_S`, the model's picture interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Rng = np.random.Generator

STEP_S: Final = 0.25
BONES: Final = (
    (0, 1, 0.15), (1, 2, 0.075), (3, 4, 0.06), (9, 10, 0.085), (3, 5, 0.05), (5, 7, 0.04), (4, 6, 0.05), (6, 8, 0.04),
    (9, 11, 0.085), (11, 13, 0.06), (10, 12, 0.085), (12, 14, 0.06), (2, 2, 0.115),
)  # fmt: skip
"""Capsules between two joints with a radius in metres, for a person of 1.7 m."""

# angles: 0 pitch (forward), 1 roll, 2 spine, 3-4 hips, 5-6 hips apart, 7-8 knees, 9-10 shoulders, 11-12 shoulders
# apart, 13-14 elbows
ANGLES: Final = 15
STAND: Final = np.array([0, 0, 0.03, 0, 0, 0.06, 0.06, 0.03, 0.03, 0.05, 0.05, 0.12, 0.12, 0.2, 0.2])
_LEG: Final = 0.5  # of the height


def pose(**angles: float) -> Floats:
    """STAND with some angles (radians) set: pitch, roll, spine, hips, apart, knees, arms, arms_apart, elbows."""
    where = {"pitch": [0], "roll": [1], "spine": [2], "hips": [3, 4], "apart": [5, 6], "knees": [7, 8],
             "arms": [9, 10], "arms_apart": [11, 12], "elbows": [13, 14]}  # fmt: skip
    out: Floats = STAND.copy()
    for name, value in angles.items():
        out[where[name]] = value
    return out


def jitter_pose(base: Floats, rng: Rng, by: float = 0.15) -> Floats:
    """The pose as another person takes it; whole-body turns stay."""
    noise = rng.normal(0, by, ANGLES)
    noise[:2] *= 0.4
    out: Floats = base + noise
    return out


@dataclass(slots=True)
class SkeletonTrack:
    """One person over T steps: angles [T,15], place [T,2] m, heading [T], lift [T] m off the floor."""

    angles: Floats
    place: Floats
    heading: Floats
    lift: Floats
    height: float
    build: float


def joint_positions(track: SkeletonTrack) -> Floats:
    """World positions [T,15,3] in metres, x and y on the floor, z up; the lowest joint rests at `lift`."""
    a, t = track.angles, len(track.angles)
    pitch, roll, spine = a[:, 0], a[:, 1], a[:, 2]
    p = np.zeros((t, 15, 3))

    def swing(angle: Floats, apart: Floats | float, side: float) -> Floats:
        flat = np.cos(apart)
        return np.stack([side * np.sin(apart) * np.ones(t), np.sin(angle) * flat, -np.cos(angle) * flat], 1)

    up = np.stack([np.zeros(t), np.sin(spine), np.cos(spine)], 1)
    p[:, 1], p[:, 2] = 0.3 * up, 0.3 * up + 0.1 * np.stack([np.zeros(t), np.sin(1.2 * spine), np.cos(1.2 * spine)], 1)
    for n, side in ((0, -1.0), (1, 1.0)):
        p[:, 3 + n] = 0.28 * up + [side * 0.115, 0, 0]
        p[:, 5 + n] = p[:, 3 + n] + 0.17 * swing(spine + a[:, 9 + n], a[:, 11 + n], side)
        p[:, 7 + n] = p[:, 5 + n] + 0.16 * swing(spine + a[:, 9 + n] + a[:, 13 + n], 0.5 * a[:, 11 + n], side)
        p[:, 9 + n] = [side * 0.06, 0, 0]
        p[:, 11 + n] = p[:, 9 + n] + 0.245 * swing(a[:, 3 + n], a[:, 5 + n], side)
        p[:, 13 + n] = p[:, 11 + n] + 0.245 * swing(a[:, 3 + n] - a[:, 7 + n], a[:, 5 + n], side)
    turned = _about_x(_about_y(p * track.height, roll), pitch)
    tilt = np.stack([np.sin(roll) * np.cos(pitch), np.sin(pitch)], 1) * _LEG * track.height
    turned[..., :2] += tilt[:, None]
    c, s = np.cos(track.heading), np.sin(track.heading)
    x = turned[..., 0] * c[:, None] - turned[..., 1] * s[:, None]
    y = turned[..., 0] * s[:, None] + turned[..., 1] * c[:, None]
    z = turned[..., 2] - turned[..., 2].min(1, keepdims=True) + 0.05 + track.lift[:, None]
    return np.stack([x + track.place[:, :1], y + track.place[:, 1:], z], 2)


def _about_x(p: Floats, angle: Floats) -> Floats:
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([p[..., 0], p[..., 1] * c + p[..., 2] * s, p[..., 2] * c - p[..., 1] * s], 2)


def _about_y(p: Floats, angle: Floats) -> Floats:
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return np.stack([p[..., 0] * c + p[..., 2] * s, p[..., 1], p[..., 2] * c - p[..., 0] * s], 2)


class KeyframeAnimation:
    """Writes a track: poses one after another, with walking and restlessness laid over them."""

    def __init__(self, steps: int, rng: Rng) -> None:
        self.rng, self.steps = rng, steps
        self.keys: list[tuple[float, Floats, float, float]] = []  # time, pose, easing power, floor height
        self.now = 0.0
        self.walks: list[tuple[float, float, float]] = []  # from, to, m/s
        self.stirs: list[tuple[float, float, float, float]] = []  # from, to, amplitude, Hz
        self.jumps: list[tuple[float, float]] = []
        self.dashes: list[tuple[float, float, float]] = []  # from, to, m/s in any direction

    def start_pose(self, target: Floats, lift: float = 0.0) -> None:
        """Start in this pose."""
        self.keys.append((self.now, target, 1.0, lift))

    def hold(self, seconds: float, stir: float = 0.05, hz: float = 0.6) -> None:
        """Stay, with arms and legs moving by about `stir` radians."""
        self.stirs.append((self.now, self.now + seconds, stir, hz))
        self.now += seconds
        self.keys.append((self.now, self.keys[-1][1], 1.0, self.keys[-1][3]))

    def move_to(self, target: Floats, seconds: float, power: float = 0.0, lift: float = 0.0) -> None:
        """Move into a pose: evenly (power 0), or ever faster (2: as things fall)."""
        self.now += seconds
        self.keys.append((self.now, target, power, lift))

    def walk(self, seconds: float, speed: float) -> None:
        """Walk ahead."""
        self.walks.append((self.now, self.now + seconds, speed))
        self.hold(seconds, 0.03)

    def track(self, place: Floats, heading: float, turn_hz: float = 0.0) -> SkeletonTrack:
        """The finished track of a person of drawn size, starting at `place` [2] looking towards `heading`."""
        rng, t = self.rng, np.arange(self.steps) * STEP_S
        angles, lift = _interpolate(self.keys, t)
        head = heading + np.cumsum(rng.normal(0, turn_hz * STEP_S + 1e-6, self.steps))
        for start, end, amount, hz in self.stirs:
            on = ((t >= start) & (t <= end)).astype(float)
            angles[:, 2:] += amount * on[:, None] * _fidget(t, hz, rng)
        spot = np.repeat(place[None].astype(float), self.steps, 0)
        for start, end, speed in self.walks:
            on = ((t >= start) & (t < end)).astype(float)
            phase = 2 * np.pi * (rng.random() + t * (0.55 + 0.3 * speed))
            size = min(0.65, 0.4 * speed)
            angles[:, 3] += on * size * np.sin(phase)
            angles[:, 4] -= on * size * np.sin(phase)
            angles[:, 7] += on * size * (1 + np.cos(phase))
            angles[:, 8] += on * size * (1 - np.cos(phase))
            angles[:, 9] -= on * 0.8 * size * np.sin(phase)
            angles[:, 10] += on * 0.8 * size * np.sin(phase)
            ahead = np.stack([-np.sin(head), np.cos(head)], 1)
            spot += np.cumsum(ahead * on[:, None] * speed * STEP_S, 0)
        for start, end, speed in self.dashes:
            on = ((t >= start) & (t < end)).astype(float)
            spot += np.cumsum(rng.normal(0, speed, (self.steps, 2)) * STEP_S * on[:, None], 0)
        for at, high in self.jumps:
            lift = lift + np.clip(high * (1 - ((t - at) / 0.35) ** 2), 0, None)
        height, build = float(np.clip(rng.normal(1.68, 0.12), 1.1, 1.95)), float(rng.uniform(0.8, 1.35))
        return SkeletonTrack(angles, spot, head, lift, height, build)


def _interpolate(keys: list[tuple[float, Floats, float, float]], t: Floats) -> tuple[Floats, Floats]:
    times = np.array([k[0] for k in keys])
    poses, lifts = np.stack([k[1] for k in keys]), np.array([k[3] for k in keys])
    after = np.clip(np.searchsorted(times, t, side="right"), 1, len(keys) - 1)
    before = np.maximum(after - 1, 0)
    u = np.clip((t - times[before]) / np.maximum(times[after] - times[before], 1e-6), 0, 1)
    power = np.array([k[2] for k in keys])[after]
    u = np.where(power > 0, u ** np.maximum(power, 1), u * u * (3 - 2 * u))
    angles = poses[before] + (poses[after] - poses[before]) * u[:, None]
    return angles, lifts[before] + (lifts[after] - lifts[before]) * u


def _fidget(t: Floats, hz: float, rng: Rng) -> Floats:
    """[T,13] smooth unit movement of the joints, arms more than legs."""
    out = np.zeros((len(t), ANGLES - 2))
    for _ in range(2):
        rate = hz * rng.uniform(0.5, 1.6, ANGLES - 2)
        out += np.sin(2 * np.pi * (t[:, None] * rate + rng.random(ANGLES - 2))) * rng.uniform(0.3, 1.0, ANGLES - 2)
    scaled: Floats = out * np.array([0.4, 0.5, 0.5, 0.2, 0.2, 0.6, 0.6, 1, 1, 0.6, 0.6, 1, 1])
    return scaled


def unit_vectors(v: Floats) -> Floats:
    """Rows [n,d] scaled to length 1."""
    out: Floats = v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-6)
    return out
