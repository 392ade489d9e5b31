"""What simulated people do: ordinary actions, falls and fights, each with the times of its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.train.body.skeleton import STAND, STEP_S, Floats, KeyframeAnimation, Rng, SkeletonTrack, jitter_pose, pose

SIT: Final = pose(hips=1.5, knees=1.5, arms=0.5, elbows=0.8)
FLOOR_SIT: Final = pose(hips=1.5, knees=0.3, spine=0.2, arms=0.3)
CROUCH: Final = pose(hips=1.9, knees=2.3, spine=0.6, pitch=0.25, arms=0.6)
KNEEL: Final = pose(hips=0.1, knees=1.6)
BEND: Final = pose(hips=1.2, spine=0.25, pitch=1.15, knees=0.35, arms=0.3)
ALL_FOURS: Final = pose(pitch=1.35, hips=1.4, knees=1.5, arms=1.4)


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


def _random_place(rng: Rng) -> Floats:
    return rng.normal(0, 0.9, 2)


def _single_track(s: KeyframeAnimation, rng: Rng) -> SkeletonTrack:
    return s.track(_random_place(rng), float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0, 0.5)))


def fall(rng: Rng, steps: int) -> Action:
    """Stands, walks, sits or bends, falls within 0.4 to 1.1 s, lies (or gets up later)."""
    s, end = KeyframeAnimation(steps, rng), steps * STEP_S
    before = float(rng.uniform(0.5, 0.65 * end)) if rng.random() < 0.8 else float(rng.uniform(0.2, 1.5))
    kind = rng.random()
    s.start_pose(jitter_pose(SIT if kind < 0.18 else BEND if kind < 0.23 else STAND, rng, 0.1))
    if kind < 0.65:
        s.hold(before, float(rng.uniform(0.02, 0.3)))
    else:
        s.walk(before, float(rng.uniform(0.3, 1.5)))
    start, quick = s.now, float(rng.uniform(0.4, 1.1))
    if rng.random() < 0.35:
        pitch, roll = rng.normal(0, 0.4, 2).tolist()
        s.move_to(jitter_pose(pose(hips=0.9, knees=1.3, pitch=pitch, roll=roll), rng), 0.5 * quick)
    s.move_to(lying_pose(rng), quick, power=float(rng.uniform(1.4, 2.4)), lift=float(rng.choice([0, 0, 0, 0.15])))
    impact = s.now
    s.hold(0.4, 0.25, 1.5)
    if rng.random() < 0.25:
        s.hold(float(rng.uniform(1.0, 4.0)), 0.15)
        down = s.now
        s.move_to(jitter_pose(FLOOR_SIT if rng.random() < 0.5 else ALL_FOURS, rng), float(rng.uniform(0.8, 2.0)))
        s.move_to(STAND, float(rng.uniform(0.8, 2.0)))
        s.hold(end, 0.05)
        return Action(
            (_single_track(s, rng),), falls=((impact, down),), uncertain=((start, impact), (down, down + 6.0))
        )
    s.hold(end, float(rng.choice([0.01, 0.03, 0.15])))
    return Action(
        (_single_track(s, rng),), falls=((impact, impact + 6.0),), uncertain=((start, impact), (impact + 6.0, end))
    )


def lie_down(rng: Rng, steps: int) -> Action:
    """Gets down to lie on purpose, by way of sitting or kneeling, on the floor, a mat or a bed; may lie at once."""
    s, end = KeyframeAnimation(steps, rng), steps * STEP_S
    bed = float(rng.choice([0.0, 0.0, 0.1, 0.45]))
    down = lying_pose(rng)
    if rng.random() < 0.35:
        s.start_pose(down, bed)
        s.hold(float(rng.uniform(2.0, end)), float(rng.choice([0.02, 0.1, 0.3])))
    else:
        s.start_pose(jitter_pose(STAND, rng, 0.1))
        s.walk(float(rng.uniform(0.5, 5.0)), float(rng.uniform(0.0, 1.2)))
        way = SIT if bed > 0.3 else [FLOOR_SIT, CROUCH, KNEEL, ALL_FOURS][int(rng.integers(4))]
        s.move_to(jitter_pose(way, rng), float(rng.uniform(0.8, 2.2)), lift=0.0)
        s.hold(float(rng.uniform(0.2, 2.5)), 0.05)
        s.move_to(down, float(rng.uniform(1.2, 3.5)), lift=bed)
        s.hold(float(rng.uniform(1.0, 8.0)), 0.05)
    s.move_to(jitter_pose(FLOOR_SIT, rng), float(rng.uniform(1.0, 2.5)), lift=bed)
    s.move_to(STAND, float(rng.uniform(1.0, 2.5)))
    s.hold(end, 0.05)
    return Action((_single_track(s, rng),))


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
    return Action((_single_track(s, rng),))


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
    return Action((_single_track(s, rng),))


def group_activity(rng: Rng, steps: int) -> Action:
    """Two to five people without a quarrel: talking, hugging, dancing, playing, passing by, working side by side."""
    end, n = steps * STEP_S, int(rng.integers(2, 6))
    kind = ["talk", "talk", "hug", "dance", "play", "pass", "pass", "work"][int(rng.integers(8))]
    reach = {"talk": 0.9, "hug": 0.3, "dance": 0.8, "play": 1.6, "pass": 1.8, "work": 1.2}[kind]
    centre, tracks = rng.normal(0, 0.5, 2), []
    hz = float(rng.uniform(0.7, 1.8))
    for k in range(2 if kind == "hug" else n):
        angle = 2 * np.pi * k / n + float(rng.normal(0, 0.3)) if kind != "hug" else np.pi * k
        place = centre + reach * float(rng.uniform(0.5, 1.2)) * np.array([np.cos(angle), np.sin(angle)])
        s = KeyframeAnimation(steps, rng)
        s.start_pose(jitter_pose(pose(arms=1.1, elbows=0.7) if kind == "hug" else STAND, rng, 0.1))
        if kind == "dance":
            s.hold(end, float(rng.uniform(0.2, 0.5)), hz)
        elif kind == "play":
            s.dashes.append((0, end, float(rng.uniform(0.5, 2.0))))
            s.hold(end, float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.7, 1.8)))
        elif kind == "pass":
            s.walk(end, float(rng.uniform(0.5, 1.8)))
        else:
            s.hold(end, float(rng.choice([0.03, 0.1, 0.25, 0.45])), float(rng.uniform(0.3, 1.2)))
        facing = float(np.arctan2(centre[1] - place[1], centre[0] - place[0]) - np.pi / 2)
        tracks.append(s.track(place, facing if kind != "pass" else float(rng.uniform(0, 6.3)), 0.2))
    return Action(tuple(tracks))


def fight(rng: Rng, steps: int) -> Action:
    """Two to four people, close: blows, kicks, pushing, grappling, one perhaps on the floor; others may look on."""
    end = steps * STEP_S
    begin = 0.0 if rng.random() < 0.4 else float(rng.uniform(0, 0.5 * end))
    over = min(end, begin + float(rng.uniform(2.0, end)))
    centre, tracks, n = rng.normal(0, 0.5, 2), [], int(rng.choice([2, 2, 2, 3, 4]))
    floored = rng.random() < 0.25
    fury = float(rng.uniform(0.55, 1.3))
    roam = np.cumsum(rng.normal(0, float(rng.uniform(0.1, 0.7)), (steps, 2)) * STEP_S, 0)
    for k in range(n):
        angle = 2 * np.pi * k / n + float(rng.normal(0, 0.3))
        s = KeyframeAnimation(steps, rng)
        s.start_pose(jitter_pose(STAND, rng, 0.1))
        s.hold(max(begin - 0.4, 0.05), 0.15)
        lean = pose(
            spine=float(rng.uniform(0, 0.9)), pitch=float(rng.uniform(-0.1, 0.4)), arms=float(rng.uniform(0.5, 1.5)),
            elbows=float(rng.uniform(0.3, 1.6)), apart=0.25,
        )  # fmt: skip
        s.move_to(lying_pose(rng) if floored and k == 0 else jitter_pose(lean, rng), 0.4)
        s.hold(max(over - s.now, 0.1), fury * float(rng.uniform(0.5, 1.1)), float(rng.uniform(1.2, 3.2)))
        s.move_to(jitter_pose(STAND, rng, 0.1), 0.7)
        s.hold(end, 0.1)
        for _ in range(int(rng.integers(0, 6))):
            at = float(rng.uniform(begin, over))
            s.dashes.append((at, at + 0.6, float(rng.uniform(1.0, 3.0))))
        place = centre + float(rng.uniform(0.15, 0.5)) * np.array([np.cos(angle), np.sin(angle)])
        facing = float(np.arctan2(centre[1] - place[1], centre[0] - place[0]) - np.pi / 2)
        track = s.track(place, facing, float(rng.uniform(0.2, 2.0)))
        track.place = track.place + roam
        tracks.append(_pull_together(track, centre + roam, begin, over))
    for _ in range(int(rng.choice([0, 0, 1, 2, 4]))):
        tracks.append(everyday(rng, steps).tracks[0])
        tracks[-1].place = tracks[-1].place + rng.normal(0, 2.5, 2)
    unsure = ((max(0.0, begin - 0.5), begin + 0.5), (over - 0.5, over + 4.0))
    return Action(tuple(tracks), fights=((begin + 0.5, over - 0.5),), uncertain=unsure)


def _pull_together(track: SkeletonTrack, centre: Floats, begin: float, over: float) -> SkeletonTrack:
    """Pulled back to within arm's reach of the centre while it lasts."""
    t = np.arange(len(track.place)) * STEP_S
    away = track.place - centre
    far = np.linalg.norm(away, axis=1, keepdims=True)
    near = centre + away / np.maximum(far, 1e-6) * np.minimum(far, 0.7)
    track.place = np.where(((t >= begin) & (t <= over))[:, None], near, track.place)
    return track


def stroll(rng: Rng, steps: int) -> Action:
    """Three to nine people walk about a street or a hall, alone or side by side; some stand."""
    end, tracks = steps * STEP_S, []
    for _ in range(int(rng.integers(3, 10))):
        place, heading = rng.normal(0, 3.0, 2), float(rng.uniform(0, 2 * np.pi))
        speed = float(rng.uniform(0.6, 2.2)) if rng.random() < 0.85 else 0.0
        for n in range(1 + int(rng.random() < 0.3)):
            s = KeyframeAnimation(steps, rng)
            s.start_pose(jitter_pose(STAND, rng, 0.08))
            s.walk(end, speed)
            beside = 0.6 * n * np.array([np.cos(heading), np.sin(heading)])
            back = 0.3 * end * speed * np.array([np.sin(heading), -np.cos(heading)])
            tracks.append(s.track(place + beside + back, heading, 0.02))
    return Action(tuple(tracks))


ACTIONS: Final[tuple[Callable[[Rng, int], Action], ...]] = (
    fall,
    lie_down,
    everyday,
    exercise,
    group_activity,
    fight,
    stroll,
)

_ORDINARY_ACTIONS: Final = (everyday, group_activity, stroll)


def draw_action(rng: Rng, steps: int, shares: tuple[float, ...]) -> Action:
    """One act, each of `ACTIONS` with its share, with passers-by now and then."""
    kind = ACTIONS[int(rng.choice(len(ACTIONS), p=shares))]
    act = kind(rng, steps)
    extra = []
    for _ in range(int(rng.choice([0, 0, 0, 1, 2]))):
        other = everyday(rng, steps).tracks[0]
        other.place = other.place + rng.normal(0, 2.5, 2)
        extra.append(other)
    return Action((*act.tracks, *extra), act.falls, act.fights, act.uncertain, kind in _ORDINARY_ACTIONS)
