"""Falls, and lying down on purpose."""

from __future__ import annotations

from edge.train.body.poses import (
    ALL_FOURS,
    BEND,
    CROUCH,
    FLOOR_SIT,
    KNEEL,
    SIT,
    SLUMPED,
    Action,
    lying_pose,
    single_track,
)
from edge.train.body.skeleton import STAND, STEP_S, KeyframeAnimation, Rng, jitter_pose, pose


def fall(rng: Rng, steps: int) -> Action:
    """Stands, walks, sits, lies on a bed or bends, falls within 0.4 to 1.1 s or slumps within 2 s, lies (or gets up
    later)."""
    s, end = KeyframeAnimation(steps, rng), steps * STEP_S
    before = float(rng.uniform(0.5, 0.65 * end)) if rng.random() < 0.8 else float(rng.uniform(0.2, 1.5))
    lift = _before_a_fall(s, rng, before)
    start = s.now
    if lift > 0:
        s.move_to(jitter_pose(lying_pose(rng), rng), float(rng.uniform(0.4, 0.9)), power=1.5)
    else:
        _go_down(s, rng)
    impact = s.now
    s.hold(0.4, 0.25, 1.5)
    if rng.random() < 0.25:
        s.hold(float(rng.uniform(1.0, 4.0)), 0.15)
        down = s.now
        s.move_to(jitter_pose(FLOOR_SIT if rng.random() < 0.5 else ALL_FOURS, rng), float(rng.uniform(0.8, 2.0)))
        s.move_to(STAND, float(rng.uniform(0.8, 2.0)))
        s.hold(end, 0.05)
        unsure = ((start, impact), (down, down + 6.0))
        return Action((single_track(s, rng),), falls=((impact, down),), uncertain=unsure)
    s.hold(end, float(rng.choice([0.01, 0.03, 0.15])))
    unsure = ((start, impact), (impact + 6.0, end))
    return Action((single_track(s, rng),), falls=((impact, impact + 6.0),), uncertain=unsure)


def _before_a_fall(s: KeyframeAnimation, rng: Rng, seconds: float) -> float:
    """What somebody does before they fall; how high above the floor they lie, 0 where they do not."""
    kind = rng.random()
    if kind < 0.05:
        s.start_pose(lying_pose(rng), 0.45)
        s.hold(seconds, float(rng.choice([0.02, 0.1])))
        return 0.45
    s.start_pose(jitter_pose(SIT if kind < 0.2 else BEND if kind < 0.25 else STAND, rng, 0.1))
    if kind < 0.6:
        s.hold(seconds, float(rng.uniform(0.02, 0.3)))
    elif kind < 0.9:
        s.walk(seconds, float(rng.uniform(0.3, 1.8)))
    else:
        s.hold(seconds, 0.1)
        s.dashes.append((s.now, s.now + 1.0, float(rng.uniform(0.4, 1.2))))
    return 0.0


def _go_down(s: KeyframeAnimation, rng: Rng) -> None:
    """Down to the floor: straight, buckling, over the knees, backwards over the seat, or slowly."""
    kind, quick = rng.random(), float(rng.uniform(0.4, 1.1))
    if kind < 0.3:
        pitch, roll = rng.normal(0, 0.4, 2).tolist()
        s.move_to(jitter_pose(pose(hips=0.9, knees=1.3, pitch=pitch, roll=roll), rng), 0.5 * quick)
    elif kind < 0.42:
        s.move_to(jitter_pose(KNEEL if rng.random() < 0.6 else ALL_FOURS, rng), float(rng.uniform(0.4, 0.7)), power=1.6)
        s.hold(float(rng.uniform(0.0, 0.4)), 0.1)
    elif kind < 0.52:
        s.move_to(jitter_pose(FLOOR_SIT, rng), float(rng.uniform(0.35, 0.7)), power=1.8)
    elif kind < 0.6:
        s.move_to(jitter_pose(CROUCH, rng), float(rng.uniform(0.5, 1.2)))
    end = jitter_pose(SLUMPED, rng) if rng.random() < 0.08 else lying_pose(rng)
    s.move_to(end, quick, power=float(rng.uniform(1.4, 2.4)), lift=float(rng.choice([0, 0, 0, 0.15])))


def lie_down(rng: Rng, steps: int) -> Action:
    """Gets down to lie on purpose, by way of sitting or kneeling, on the floor, a mat, a sofa or a bed, also briskly;
    may lie at once."""
    s, end = KeyframeAnimation(steps, rng), steps * STEP_S
    bed = float(rng.choice([0.0, 0.0, 0.1, 0.4, 0.55]))
    down, haste = lying_pose(rng), float(rng.choice([1.0, 1.0, 0.7]))
    if rng.random() < 0.35:
        s.start_pose(down, bed)
        s.hold(float(rng.uniform(2.0, end)), float(rng.choice([0.02, 0.1, 0.3])))
    else:
        s.start_pose(jitter_pose(STAND, rng, 0.1))
        s.walk(float(rng.uniform(0.5, 5.0)), float(rng.uniform(0.0, 1.2)))
        way = SIT if bed > 0.3 else [FLOOR_SIT, CROUCH, KNEEL, ALL_FOURS][int(rng.integers(4))]
        s.move_to(jitter_pose(way, rng), haste * float(rng.uniform(0.8, 2.2)), lift=0.0)
        s.hold(float(rng.uniform(0.2, 2.5)), 0.05)
        s.move_to(down, haste * float(rng.uniform(1.2, 3.5)), lift=bed)
        s.hold(float(rng.uniform(1.0, 8.0)), float(rng.choice([0.02, 0.05, 0.2])))
    s.move_to(jitter_pose(FLOOR_SIT, rng), float(rng.uniform(1.0, 2.5)), lift=bed)
    s.move_to(STAND, float(rng.uniform(1.0, 2.5)))
    s.hold(end, 0.05)
    return Action((single_track(s, rng),))
