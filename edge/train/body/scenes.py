"""Simulated scenes for the body head: a camera films actions. The real motion net measures the rendered pictures; the
detector's boxes and scores are drawn from its answers to real people in open clips turned by known angles.

Luma only, at half the canvas's size. One scene is `HOPS` hops of two pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.train.body.actions import draw_action
from edge.train.body.poses import Action
from edge.train.body.projection import (
    HALF_HEIGHT,
    HALF_WIDTH,
    HOPS,
    STEPS,
    Occluder,
    PinholeCamera,
    Projection,
    project_track,
)
from edge.train.body.rendering import U8, render_people
from edge.train.body.skeleton import STEP_S, Floats, Rng
from edge.train.labels import HEIGHT, PAD_VALUE, WIDTH

BOXES: Final = 32
# measured: log-odds of the person score of 98 real people (open surveillance clips, upright score over 0.6) in pictures
# turned by these angles, and how much they differ
_ANGLES: Final = (0.0, 20.0, 40.0, 60.0, 75.0, 90.0, 110.0, 135.0, 180.0)
_MEAN_LOGIT: Final = (1.7, 1.3, -0.4, -2.3, -3.6, -3.7, -3.7, -2.5, -1.9)
_LOGIT_SPREAD: Final = (0.4, 0.7, 1.5, 1.6, 1.6, 1.6, 1.6, 1.6, 1.5)


class SimulatedDetections(NamedTuple):
    """Boxes [HOPS,BOXES,4] (centre, size on the canvas) and scores [HOPS,BOXES] of people, upright and turned."""

    up: Floats
    up_score: Floats
    down: Floats
    down_score: Floats


@dataclass(frozen=True, slots=True)
class SceneStyle:
    """How scenes look: held-out scenes are of another style. Ranges of camera height (m), distance (m), person's height
    in pixels, noise (grey levels), the detector's weakness on such pictures (log-odds); shares of `ACTIONS`."""

    camera: tuple[float, float] = (0.8, 4.5)
    distance: tuple[float, float] = (2.5, 12.0)
    tall: tuple[float, float] = (40.0, 190.0)
    noise: tuple[float, float] = (0.5, 4.0)
    weak: float = 0.5
    shares: tuple[float, ...] = (0.28, 0.14, 0.18, 0.05, 0.17, 0.18, 0.0)


TRAIN_STYLE: Final = SceneStyle()
ROOM_STYLE: Final = SceneStyle(
    (0.9, 2.8), (2.5, 6.5), (70.0, 210.0), (0.5, 3.0), 0.4, (0.36, 0.2, 0.2, 0.05, 0.09, 0.1, 0.0)
)
STREET_STYLE: Final = SceneStyle(
    (2.5, 7.0), (6.0, 20.0), (28.0, 110.0), (1.0, 5.0), 0.6, (0.1, 0.05, 0.1, 0.0, 0.22, 0.3, 0.23)
)
HELD_OUT_STYLE: Final = SceneStyle((1.5, 6.0), (3.0, 16.0), (32.0, 150.0), (1.0, 6.0), 0.8)


def draw_camera(rng: Rng, style: SceneStyle) -> PinholeCamera:
    """A camera somewhere around, that looks roughly at the middle of the scene."""
    far = float(rng.uniform(*style.distance))
    high = float(min(rng.uniform(*style.camera), 1.3 * far))
    around = float(rng.uniform(0, 2 * np.pi))
    at = np.array([far * np.cos(around), far * np.sin(around), high])
    aim = np.array([0, 0, 0.8]) + rng.normal(0, [0.12 * far, 0.12 * far, 0.05 * far])
    ahead = (aim - at) / np.linalg.norm(aim - at)
    right = np.cross(ahead, [0, 0, 1])
    right /= np.linalg.norm(right)
    tall = float(np.exp(rng.uniform(*np.log(style.tall))))
    return PinholeCamera(
        at, np.stack([right, np.cross(ahead, right), ahead]), tall / 2 * float(np.linalg.norm(at)) / 1.7
    )


class BodyScene(NamedTuple):
    """What happens before the camera, and whatever else the scene's generator will draw."""

    act: Action
    projections: list[Projection]
    occluder: Occluder
    rng: Rng


def build_scene(seed: int, style: SceneStyle) -> BodyScene:
    """One scene from its seed."""
    rng = np.random.default_rng(seed)
    act, view = draw_action(rng, STEPS, style.shares), draw_camera(rng, style)
    projections, hide = [project_track(track, view) for track in act.tracks], _draw_occluder(rng)
    bars = int(rng.choice([0, 0, 0, 27, 27]))
    return BodyScene(act, projections, hide._replace(left=bars, right=HALF_WIDTH - bars), rng)


def render_luma(scene: BodyScene, style: SceneStyle) -> U8:
    """The scene's pictures, luma u8 [STEPS,128,224]; once a scene."""
    luma = render_people(scene.projections, scene.rng, style.noise, scene.occluder)
    luma[:, :, : scene.occluder.left] = luma[:, :, scene.occluder.right :] = PAD_VALUE
    return luma


def simulate_detections(scene: BodyScene, rng: Rng, style: SceneStyle) -> SimulatedDetections:
    """What the detector may say at the newer picture of each hop, upright and turned; each time something else."""
    return SimulatedDetections(*_simulate(scene.projections, rng, style, scene.occluder))


def _draw_occluder(rng: Rng) -> Occluder:
    """Furniture before people: left, right and top in half-size pixels; often none."""
    if rng.random() > 0.25:
        return Occluder(0, 0, HALF_HEIGHT)
    left = int(rng.integers(-20, HALF_WIDTH - 30))
    return Occluder(left, left + int(rng.integers(30, 120)), int(rng.integers(HALF_HEIGHT // 2, HALF_HEIGHT)))


def _simulate(
    people: list[Projection], rng: Rng, style: SceneStyle, hide: Occluder
) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
    """Detections at the newer picture of each hop, upright and turned: of people, of furniture and pictures
    of people, and of others who sit still."""
    up, down = np.zeros((HOPS, BOXES, 4)), np.zeros((HOPS, BOXES, 4))
    up_score, down_score = np.full((HOPS, BOXES), -9.0), np.full((HOPS, BOXES), -9.0)
    weak = abs(float(rng.normal(0, style.weak)))
    for k, person in enumerate(people[: BOXES - 8]):
        box = _visible(person.box[1::2], hide)
        covered = _covered([_visible(p.box[1::2], hide) for p in people], [p.depth[1::2, 0] for p in people], k)
        angle, short = person.angle[1::2], person.short[1::2]
        side = (box[:, 2:] - box[:, :2]) * 2
        size = side.max(1)
        full = person.box[1::2, 2:] - person.box[1::2, :2]
        hidden = 1 - side.prod(1) / np.maximum(4 * full.prod(1), 1)
        minus = weak + 2.5 * hidden + 2.5 * covered + 6.0 * np.clip(0.6 - short, 0, 1) + (size < 8) * 9.0
        tiny = np.clip((32 - size) / 12, 0, 3)
        up_score[:, k] = _logit_at_angle(angle, rng) - minus - tiny
        left, right = _logit_at_angle(angle + 90, rng), _logit_at_angle(angle - 90, rng)
        down_score[:, k] = np.maximum(left, right) - minus - np.clip((44 - size) / 16, 0, 3)
        jitter = np.where(np.abs(angle) < 50, 0.04, 0.12)
        up[:, k] = _as_box(box, rng, jitter)
        down[:, k] = _as_box(box, rng, np.where(np.abs(angle) > 40, 0.05, 0.15))
    bystanders = rng.random() < 0.4
    for n in range(int(rng.choice([0, 1, 2, 4]))):
        for boxes, scores, wide, base in (
            (up, up_score, 0.6, 0.8 if bystanders else -3.0),
            (down, down_score, 2.0, -2.4),
        ):
            tall = float(np.exp(rng.uniform(np.log(25), np.log(180))))
            spot = [rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), tall * wide**0.5, tall / wide**0.5]
            boxes[:, BOXES - 1 - n] = np.array(spot) * (1 + 0.02 * rng.standard_normal((HOPS, 4)))
            scores[:, BOXES - 1 - n] = min(rng.normal(base, 1.3), 2.2) + _correlated_noise(rng, 0.5)
    return up, 1 / (1 + np.exp(-up_score)), down, 1 / (1 + np.exp(-down_score))


def _logit_at_angle(angle: Floats, rng: Rng) -> Floats:
    """Log-odds of the person score at these angles (degrees) over the hops, for one person."""
    off = np.abs((angle + 180) % 360 - 180)
    lasting = float(rng.normal()) * 0.7
    spread = np.interp(off, _ANGLES, _LOGIT_SPREAD)
    out: Floats = np.interp(off, _ANGLES, _MEAN_LOGIT) + spread * (lasting + 0.6 * _correlated_noise(rng, 1.0))
    return np.minimum(out, 2.4)


def _correlated_noise(rng: Rng, size: float) -> Floats:
    """Noise [HOPS] that half remembers itself."""
    noise = rng.standard_normal(HOPS) * size
    for t in range(1, HOPS):
        noise[t] = 0.5 * noise[t - 1] + 0.87 * noise[t]
    return noise


def _visible(box: Floats, hide: Occluder) -> Floats:
    """Boxes [T,4] within the picture and above the furniture."""
    out = np.clip(box, [hide.left, 0, hide.left, 0], [hide.right, HALF_HEIGHT, hide.right, HALF_HEIGHT])
    inside = (out[:, 0] > hide.x0 - 5) & (out[:, 2] < hide.x1 + 5)
    out[:, 3] = np.where(inside, np.minimum(out[:, 3], hide.top), out[:, 3])
    out[:, 1] = np.minimum(out[:, 1], out[:, 3])
    return out


def _covered(boxes: list[Floats], ahead: list[Floats], k: int) -> Floats:
    """The largest share of person k's box that somebody nearer covers, [T]."""
    most = np.zeros(len(boxes[k]))
    own = np.maximum((boxes[k][:, 2:] - boxes[k][:, :2]).prod(1), 1)
    for n, other in enumerate(boxes):
        side = np.minimum(boxes[k][:, 2:], other[:, 2:]) - np.maximum(boxes[k][:, :2], other[:, :2])
        share = np.clip(side, 0, None).prod(1) / own * (ahead[n] < ahead[k])
        most = np.maximum(most, share if n != k else 0)
    return most


def _as_box(corners: Floats, rng: Rng, jitter: Floats) -> Floats:
    """Corners at half size -> centre and size on the canvas, as inexact as the detector."""
    side = (corners[:, 2:] - corners[:, :2]) * 2
    centre = corners[:, :2] + corners[:, 2:]
    noise = rng.standard_normal((len(corners), 4)) * jitter[:, None]
    return np.concatenate([centre + noise[:, :2] * side, side * np.exp(noise[:, 2:])], 1)


def ground_truth(scene: BodyScene) -> Floats:
    """[HOPS,2] (fall, fight) at the hops' ends: 1, 0, or -1 where unsure, as where those it is about are hidden."""
    act, end = scene.act, (np.arange(HOPS) + 1) * 2 * STEP_S - STEP_S
    out = np.zeros((HOPS, 2))
    if act.fights:
        out[:, 0] = -1
    for column, spans, who in ((0, act.falls, 1), (1, act.fights, 2)):
        unsure = [(low, high) for low, high in act.uncertain if spans]
        for low, high in unsure:
            out[(end >= low - 0.25) & (end <= high + 0.5), column] = -1
        for low, high in spans:
            now = (end >= low - 0.1) & (end <= high)
            seen = all(_is_visible(person, scene.occluder, now) for person in scene.projections[:who])
            out[now, column] = 1 if seen else -1
    return out


def _is_visible(person: Projection, hide: Occluder, now: NDArray[np.bool_]) -> bool:
    """Whether more than half of somebody is within view, and more than a few pixels of them, while it happens."""
    if not now.any():
        return False
    box, whole = _visible(person.box[1::2][now], hide), person.box[1::2][now]
    area = (box[:, 2:] - box[:, :2]).prod(1)
    share = area / np.maximum((whole[:, 2:] - whole[:, :2]).prod(1), 1)
    return bool(np.median(share) > 0.5 and np.median(area) > 150)
