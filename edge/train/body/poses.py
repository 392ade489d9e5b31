"""Poses, and what an action of simulated people consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.train.body.skeleton import Floats, KeyframeAnimation, Rng, SkeletonTrack, jitter_pose, pose

SIT: Final = pose(hips=1.5, knees=1.5, arms=0.5, elbows=0.8)
FLOOR_SIT: Final = pose(hips=1.5, knees=0.3, spine=0.2, arms=0.3)
CROUCH: Final = pose(hips=1.9, knees=2.3, spine=0.6, pitch=0.25, arms=0.6)
KNEEL: Final = pose(hips=0.1, knees=1.6)
BEND: Final = pose(hips=1.2, spine=0.25, pitch=1.15, knees=0.35, arms=0.3)
ALL_FOURS: Final = pose(pitch=1.35, hips=1.4, knees=1.5, arms=1.4)
SLUMPED: Final = pose(pitch=-0.75, hips=0.9, knees=0.5, arms=0.2, spine=0.5)


@dataclass(frozen=True, slots=True)
class Action:
    """Tracks, and spans in seconds: `falls` from impact to the end of lying; `fights`; `uncertain` is not judged.
    `is_ordinary` ones are what most footage shows."""

    tracks: tuple[SkeletonTrack, ...]
    falls: tuple[tuple[float, float], ...] = ()
    fights: tuple[tuple[float, float], ...] = ()
    uncertain: tuple[tuple[float, float], ...] = ()
    is_ordinary: bool = False


def lying_pose(rng: Rng) -> Floats:
    """A lying pose: on the back, the front or a side, limbs anyhow."""
    kind, s = rng.random(), rng.choice([-1.0, 1.0])
    turn = {"pitch": s * 1.57} if kind < 0.6 else {"roll": s * 1.57, "hips": 0.5, "knees": 0.7}
    return jitter_pose(pose(arms=float(rng.uniform(0, 1.2)), arms_apart=float(rng.uniform(0.1, 1.0)), **turn), rng, 0.2)


def random_place(rng: Rng) -> Floats:
    return rng.normal(0, 0.9, 2)


def single_track(s: KeyframeAnimation, rng: Rng) -> SkeletonTrack:
    return s.track(random_place(rng), float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0, 0.5)))
