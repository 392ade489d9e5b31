"""A pinhole camera, and where it sees the people of a simulated scene. Pixels are those of half the canvas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from edge.train.body.skeleton import BONES, Floats, SkeletonTrack, joint_positions, unit_vectors
from edge.train.labels import HEIGHT, WIDTH

HOPS: Final = 24
STEPS: Final = 2 * HOPS
HALF_HEIGHT: Final = HEIGHT // 2
HALF_WIDTH: Final = WIDTH // 2


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
        return p[..., :2] / ahead[..., None] * self.focal + [HALF_WIDTH / 2, HALF_HEIGHT / 2], ahead


class Occluder(NamedTuple):
    """Furniture `x0`..`x1` from `top` down, and where the picture ends left and right, in half-size pixels."""

    x0: int
    x1: int
    top: int
    left: int = 0
    right: int = HALF_WIDTH


class Projection(NamedTuple):
    """Somebody as the camera sees them over T steps."""

    pixels: Floats  # [T,15,2] half size
    depth: Floats  # [T,15]
    radius: Floats  # [T,bones] half-size pixels
    box: Floats  # [T,4] low x, low y, high x, high y, half size
    angle: Floats  # [T] degrees from upright, to the right is positive
    short: Floats  # [T] image length over that of one upright at this distance


def project_track(track: SkeletonTrack, view: PinholeCamera) -> Projection:
    """A track before a camera."""
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
    return Projection(pixels, ahead, radius, np.concatenate([low, high], 1), angle, np.clip(length, 0, 1))
