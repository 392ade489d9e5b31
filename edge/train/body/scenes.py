"""Simulated scenes for the body head: a camera films actions. The real motion net measures the rendered pictures; the
detector's boxes and scores are drawn from its answers to real people in open clips turned by known angles.

Luma only, at half the canvas's size. One scene is `HOPS` hops of two pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.train.body.actions import Action, draw_action
from edge.train.body.skeleton import BONES, STEP_S, Floats, Rng, SkeletonTrack, joint_positions, unit_vectors
from edge.train.labels import HEIGHT, PAD_VALUE, WIDTH

U8 = NDArray[np.uint8]
HOPS: Final = 24
STEPS: Final = 2 * HOPS
BOXES: Final = 32
_H: Final = HEIGHT // 2
_W: Final = WIDTH // 2
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
    shares: tuple[float, ...] = (0.30, 0.14, 0.20, 0.06, 0.14, 0.16, 0.0)


TRAIN_STYLE: Final = SceneStyle()
ROOM_STYLE: Final = SceneStyle(
    (0.9, 2.8), (2.5, 6.5), (70.0, 210.0), (0.5, 3.0), 0.4, (0.42, 0.2, 0.25, 0.05, 0.05, 0.03, 0.0)
)
STREET_STYLE: Final = SceneStyle(
    (2.5, 7.0), (6.0, 20.0), (28.0, 110.0), (1.0, 5.0), 0.6, (0.1, 0.05, 0.1, 0.0, 0.2, 0.3, 0.25)
)
HELD_OUT_STYLE: Final = SceneStyle((1.5, 6.0), (3.0, 16.0), (32.0, 150.0), (1.0, 6.0), 0.8)


@dataclass(frozen=True, slots=True)
class PinholeCamera:
    """A pinhole: where it is, its axes (right, down, ahead) and its focal length in half-size pixels."""

    at: Floats
    axes: Floats
    focal: float

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Points [...,3] in metres -> pixels [...,2] at half size, and metres ahead of the camera [...]."""
        p = (points - self.at) @ self.axes.T
        ahead = np.maximum(p[..., 2], 0.4)
        return p[..., :2] / ahead[..., None] * self.focal + [_W / 2, _H / 2], ahead


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
    projections: list[_Projection]
    occluder: _Occluder
    rng: Rng


def build_scene(seed: int, style: SceneStyle) -> BodyScene:
    """One scene from its seed."""
    rng = np.random.default_rng(seed)
    act, view = draw_action(rng, STEPS, style.shares), draw_camera(rng, style)
    projections, hide = [_project(track, view) for track in act.tracks], _draw_occluder(rng)
    bars = int(rng.choice([0, 0, 0, 27, 27]))
    return BodyScene(act, projections, hide._replace(left=bars, right=_W - bars), rng)


def render_luma(scene: BodyScene, style: SceneStyle) -> U8:
    """The scene's pictures, luma u8 [STEPS,128,224]; once a scene."""
    luma = _render(scene.projections, scene.rng, style, scene.occluder)
    luma[:, :, : scene.occluder.left] = luma[:, :, scene.occluder.right :] = PAD_VALUE
    return luma


def simulate_detections(scene: BodyScene, rng: Rng, style: SceneStyle) -> SimulatedDetections:
    """What the detector may say at the newer picture of each hop, upright and turned; each time something else."""
    return SimulatedDetections(*_simulate(scene.projections, rng, style, scene.occluder))


class _Occluder(NamedTuple):
    """Furniture `x0`..`x1` from `top` down, and where the picture ends left and right, in half-size pixels."""

    x0: int
    x1: int
    top: int
    left: int = 0
    right: int = _W


class _Projection(NamedTuple):
    pixels: Floats  # [T,15,2] half size
    depth: Floats  # [T,15]
    radius: Floats  # [T,bones] half-size pixels
    box: Floats  # [T,4] low x, low y, high x, high y, half size
    angle: Floats  # [T] degrees from upright, to the right is positive
    short: Floats  # [T] image length over that of one upright at this distance


def _project(track: SkeletonTrack, view: PinholeCamera) -> _Projection:
    pixels, ahead = view.project(joint_positions(track))
    width = np.array([r for _, _, r in BONES]) * track.height / 1.7 * track.build
    depth = np.stack([(ahead[:, a] + ahead[:, b]) / 2 for a, b, _ in BONES], 1)
    radius = width * view.focal / depth
    ends = [(pixels[:, j], radius[:, n]) for n, (a, b, _) in enumerate(BONES) for j in (a, b)]
    low = np.min([p - r[:, None] for p, r in ends], 0)
    high = np.max([p + r[:, None] for p, r in ends], 0)
    feet, pelvis, neck = (pixels[:, 13] + pixels[:, 14]) / 2, pixels[:, 0], pixels[:, 1]
    axis = 0.6 * unit_vectors(neck - pelvis) + 0.4 * unit_vectors(pelvis - feet)
    angle = np.degrees(np.arctan2(axis[:, 0], -axis[:, 1]))
    bent = np.linalg.norm(axis, axis=1)
    angle = np.where(bent < 0.8, 0.6, 1.0) * angle
    length = np.linalg.norm(high - low, axis=1) / (track.height * view.focal / ahead[:, 0])
    return _Projection(pixels, ahead, radius, np.concatenate([low, high], 1), angle, np.clip(length, 0, 1))


def _draw_occluder(rng: Rng) -> _Occluder:
    """Furniture before people: left, right and top in half-size pixels; often none."""
    if rng.random() > 0.25:
        return _Occluder(0, 0, _H)
    left = int(rng.integers(-20, _W - 30))
    return _Occluder(left, left + int(rng.integers(30, 120)), int(rng.integers(_H // 2, _H)))


def _render(people: list[_Projection], rng: Rng, style: SceneStyle, hide: _Occluder) -> U8:
    ground = _surface(rng, (_H, _W), float(rng.uniform(40, 190)), float(rng.uniform(5, 35)))
    furniture = _surface(rng, (_H, _W), float(rng.uniform(30, 200)), float(rng.uniform(5, 25)))
    cloth = [_clothes(rng) for _ in people]
    noise = float(rng.uniform(*style.noise))
    flicker = float(rng.choice([0.0, 0.0, 0.5, 2.0]))
    shake = _camera_shake(rng)
    out = np.zeros((STEPS, _H, _W), np.uint8)
    for t in range(STEPS):
        picture = ground.copy()
        for k in sorted(range(len(people)), key=lambda n: -float(people[n].depth[t, 0])):
            _paint(picture, people[k], cloth[k], t)
        x0, x1 = max(hide.x0, 0), min(hide.x1, _W)
        picture[hide.top :, x0:x1] = furniture[hide.top :, x0:x1]
        picture = np.roll(picture, shake[t], (0, 1))
        picture += flicker * float(rng.normal()) + noise * rng.standard_normal((_H, _W)).astype(np.float32) * 0.5
        out[t] = np.clip(picture, 0, 255)
    return out


def _camera_shake(rng: Rng) -> list[tuple[int, int]]:
    """Where the camera has drifted at each step, in half-size pixels: mostly nowhere."""
    size = float(rng.choice([0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.5]))
    drift = np.zeros((STEPS, 2))
    for t in range(1, STEPS):
        drift[t] = 0.9 * drift[t - 1] + size * rng.standard_normal(2)
    return [(int(y), int(x)) for y, x in np.round(drift)]


def _surface(rng: Rng, shape: tuple[int, int], mean: float, contrast: float) -> NDArray[np.float32]:
    """Grey with structure of several sizes and a few straight edges."""
    import cv2

    h, w = shape
    out = np.full(shape, mean, np.float32)
    for size in (4, 12, 40):
        coarse = rng.standard_normal((max(2, h // size), max(2, w // size))).astype(np.float32)
        out += contrast * float(rng.uniform(0.2, 1.0)) * cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR)
    for _ in range(int(rng.integers(0, 8))):
        x, y = int(rng.integers(0, w)), int(rng.integers(0, h))
        out[y : y + int(rng.integers(5, h)), x : x + int(rng.integers(5, w))] += float(rng.normal(0, contrast))
    return out


def _clothes(rng: Rng) -> list[NDArray[np.float32]]:
    """A texture [24,8] along and across each bone."""
    top, legs, skin = float(rng.uniform(20, 230)), float(rng.uniform(15, 180)), float(rng.uniform(60, 220))
    base = [top, skin, top, legs, top, skin if rng.random() < 0.5 else top, top, 0.0, legs, legs, legs, legs, skin]
    base[7] = base[5]
    rough = float(rng.uniform(2, 22))
    return [(b + rough * rng.standard_normal((24, 8)) * rng.uniform(0.4, 1)).astype(np.float32) for b in base]


def _paint(picture: NDArray[np.float32], person: _Projection, cloth: list[NDArray[np.float32]], t: int) -> None:
    depth = [float(person.depth[t, a] + person.depth[t, b]) for a, b, _ in BONES]
    for n in sorted(range(len(BONES)), key=lambda n: -depth[n]):
        a, b = person.pixels[t, BONES[n][0]], person.pixels[t, BONES[n][1]]
        r = float(person.radius[t, n])
        x0, y0 = np.maximum(np.floor(np.minimum(a, b) - r).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(np.maximum(a, b) + r).astype(int) + 1, [_W, _H])
        if x1 <= x0 or y1 <= y0:
            continue
        dx, dy = np.arange(x0, x1)[None] - a[0], np.arange(y0, y1)[:, None] - a[1]
        ex, ey = b - a
        long = max(float(ex * ex + ey * ey), 1e-3)
        u = np.clip((dx * ex + dy * ey) / long, 0, 1)
        across = (dx * ey - dy * ex) / np.sqrt(long)
        near = (dx - u * ex) ** 2 + (dy - u * ey) ** 2 < r * r
        place = np.clip(((across / max(r, 0.5) + 1) * 4).astype(int), 0, 7)
        texture = cloth[n][(u * 23).astype(int), place]
        part = picture[y0:y1, x0:x1]
        part[near] = texture[near]


def _simulate(
    people: list[_Projection], rng: Rng, style: SceneStyle, hide: _Occluder
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
            tall = float(np.exp(rng.uniform(np.log(25), np.log(140))))
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


def _visible(box: Floats, hide: _Occluder) -> Floats:
    """Boxes [T,4] within the picture and above the furniture."""
    out = np.clip(box, [hide.left, 0, hide.left, 0], [hide.right, _H, hide.right, _H])
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


def _is_visible(person: _Projection, hide: _Occluder, now: NDArray[np.bool_]) -> bool:
    """Whether more than half of somebody is within view, and more than a few pixels of them, while it happens."""
    if not now.any():
        return False
    box, whole = _visible(person.box[1::2][now], hide), person.box[1::2][now]
    area = (box[:, 2:] - box[:, :2]).prod(1)
    share = area / np.maximum((whole[:, 2:] - whole[:, :2]).prod(1), 1)
    return bool(np.median(share) > 0.5 and np.median(area) > 150)
