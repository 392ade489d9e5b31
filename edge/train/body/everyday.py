"""What one person does without falling."""

from __future__ import annotations

from edge.train.body.poses import (
    ALL_FOURS,
    BEND,
    CROUCH,
    FLOOR_SIT,
    KNEEL,
    SIT,
    Action,
    single_track,
)
from edge.train.body.skeleton import STAND, STEP_S, KeyframeAnimation, Rng, jitter_pose, pose


def everyday(rng: Rng, steps: int) -> Action:
    """Walks, stands, sits down, bends, crouches, kneels, jumps, one after another, also briskly."""
    s, end = KeyframeAnimation(steps, rng), steps * STEP_S
    s.start_pose(jitter_pose([STAND, STAND, SIT, BEND, CROUCH][int(rng.integers(5))], rng, 0.1))
    while s.now < end:
        kind = rng.random()
        if kind < 0.35:
            s.move_to(jitter_pose(STAND, rng, 0.08), float(rng.uniform(0.5, 1.2)))
            s.walk(float(rng.uniform(1.0, 5.0)), float(rng.uniform(0.3, 2.2)))
        elif kind < 0.9:
            target = [SIT, SIT, BEND, BEND, CROUCH, KNEEL, FLOOR_SIT][int(rng.integers(7))]
            s.move_to(jitter_pose(target, rng), float(rng.uniform(0.45, 1.8)), power=float(rng.choice([0, 0, 1.5])))
            s.hold(float(rng.uniform(0.2, 4.0)), float(rng.uniform(0.02, 0.3)))
            if rng.random() < 0.7:
                s.move_to(jitter_pose(STAND, rng, 0.08), float(rng.uniform(0.4, 1.5)))
        else:
            s.move_to(STAND, 0.5)
            for _ in range(int(rng.integers(1, 8))):
                s.jumps.append((s.now + 0.4, float(rng.uniform(0.15, 0.5))))
                s.hold(float(rng.uniform(0.7, 1.1)), 0.5, 1.2)
    return Action((single_track(s, rng),))


def exercise(rng: Rng, steps: int) -> Action:
    """Squats, push-ups, sit-ups, arm swings: rhythmic."""
    s, end = KeyframeAnimation(steps, rng), steps * STEP_S
    prone = pose(pitch=1.4, arms=1.5)
    pairs = [(STAND, CROUCH), (STAND, BEND), (prone, pose(pitch=1.5, arms=1.5, elbows=1.2)),
             (pose(pitch=-1.57, hips=0.8, knees=1.4), pose(pitch=-0.4, hips=1.8, knees=1.4)),
             (STAND, pose(arms_apart=2.4, apart=0.4)), (KNEEL, ALL_FOURS)]  # fmt: skip
    one, other = pairs[int(rng.integers(len(pairs)))]
    one, other, beat = jitter_pose(one, rng, 0.08), jitter_pose(other, rng, 0.08), float(rng.uniform(0.4, 1.6))
    s.start_pose(one)
    s.hold(float(rng.uniform(0, 3)), 0.05)
    while s.now < end:
        s.move_to(other, beat)
        s.move_to(one, beat)
    return Action((single_track(s, rng),))
