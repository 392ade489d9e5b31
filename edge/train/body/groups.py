"""What several people do together: ordinary company, fights, a street."""

from __future__ import annotations

from typing import Final

import numpy as np

from edge.train.body.everyday import everyday
from edge.train.body.poses import BEND, CROUCH, FLOOR_SIT, SIT, Action, lying_pose
from edge.train.body.skeleton import STAND, STEP_S, Floats, KeyframeAnimation, Rng, SkeletonTrack, jitter_pose, pose

_REACH: Final = {
    "talk": 0.9, "hug": 0.3, "dance": 0.8, "couple": 0.35, "play": 1.6, "pass": 1.8, "run": 2.0, "work": 1.2,
    "greet": 0.45, "help": 0.4, "sport": 2.2,
}  # fmt: skip
"""How far from their middle people are in each kind of company, metres."""
_PAIRS: Final = ("hug", "couple", "greet", "help")
_PUNCH: Final = (
    pose(arms=1.5, elbows=0.2, spine=0.3, apart=0.3), pose(arms=1.8, elbows=1.6, spine=0.1, apart=0.3),
    pose(arms=2.6, elbows=0.6, spine=0.5, pitch=0.2), pose(arms=1.4, elbows=0.4, pitch=0.35, hips=0.5),
)  # fmt: skip
_HIT: Final = (
    pose(spine=0.9, hips=0.4, arms=1.6, elbows=2.0), pose(pitch=-0.35, arms=0.8), pose(hips=1.2, knees=1.2, spine=0.7),
    pose(spine=0.4, arms=2.4, elbows=1.9),
)  # fmt: skip


def group_activity(rng: Rng, steps: int) -> Action:
    """Two to five people without a quarrel: talk, hug, greet, dance, play, do sports, pass or run by, work side by
    side, help somebody up."""
    n, centre = int(rng.integers(2, 6)), rng.normal(0, 0.5, 2)
    kind = ["talk", "talk", "pass", "pass", *_REACH][int(rng.integers(4 + len(_REACH)))]
    hz, tracks = float(rng.uniform(0.7, 1.8)), []
    for k in range(2 if kind in _PAIRS else n):
        angle = np.pi * k if kind in _PAIRS else 2 * np.pi * k / n + float(rng.normal(0, 0.3))
        place = centre + _REACH[kind] * float(rng.uniform(0.5, 1.2)) * np.array([np.cos(angle), np.sin(angle)])
        s = KeyframeAnimation(steps, rng)
        _company(s, rng, kind, hz, k)
        tracks.append(s.track(place, _facing(place, centre) if kind not in ("pass", "run") else angle, 0.2))
    return Action(tuple(tracks))


def _company(s: KeyframeAnimation, rng: Rng, kind: str, hz: float, k: int) -> None:
    """What one of those of a group does, the k-th."""
    end, arms = s.steps * STEP_S, pose(arms=1.1, elbows=0.7)
    s.start_pose(jitter_pose(arms if kind in ("hug", "couple") else STAND, rng, 0.1))
    if kind in ("dance", "couple"):
        s.hold(end, float(rng.uniform(0.2, 0.5)), hz)
    elif kind in ("play", "sport"):
        s.dashes.append((0, end, float(rng.uniform(0.5, 2.0))))
        s.hold(end, float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.7, 1.8)))
    elif kind in ("pass", "run"):
        s.walk(end, float(rng.uniform(0.5, 1.8) if kind == "pass" else rng.uniform(2.0, 3.5)))
    elif kind == "greet":
        s.hold(float(rng.uniform(0.0, 5.0)), 0.05)
        for _ in range(int(rng.integers(1, 4))):
            s.move_to(jitter_pose(arms, rng), float(rng.uniform(0.3, 0.8)))
            s.hold(float(rng.uniform(0.5, 2.5)), float(rng.uniform(0.03, 0.25)), 1.5)
            s.move_to(jitter_pose(STAND, rng, 0.1), float(rng.uniform(0.4, 0.9)))
            s.hold(float(rng.uniform(0.5, 4.0)), 0.1)
    elif kind == "help":
        one, other = (BEND, CROUCH) if k else (FLOOR_SIT, SIT)
        s.move_to(jitter_pose(one, rng), 0.3)
        s.hold(float(rng.uniform(1.0, 6.0)), float(rng.uniform(0.05, 0.3)))
        s.move_to(jitter_pose(other, rng), float(rng.uniform(0.6, 1.5)))
        s.move_to(STAND, float(rng.uniform(0.6, 1.5)))
        s.hold(end, 0.1)
    else:
        s.hold(end, float(rng.choice([0.03, 0.1, 0.25, 0.45])), float(rng.uniform(0.3, 1.2)))


def _facing(place: Floats, centre: Floats) -> float:
    """The heading of somebody who looks at the centre."""
    return float(np.arctan2(centre[1] - place[1], centre[0] - place[0]) - np.pi / 2)


def fight(rng: Rng, steps: int) -> Action:
    """Two to five people, close: blows, kicks, pushing, grappling, one perhaps on the floor; others may look on."""
    end = steps * STEP_S
    begin = 0.0 if rng.random() < 0.5 else float(rng.uniform(0, 0.5 * end))
    over = end if rng.random() < 0.3 else min(end, begin + float(rng.uniform(2.0, end)))
    centre, tracks, n = rng.normal(0, 0.5, 2), [], int(rng.choice([2, 2, 2, 3, 4, 5]))
    floored, blows = rng.random() < 0.25, rng.random() < 0.5
    fury = float(rng.uniform(0.55, 1.3))
    roam = np.cumsum(rng.normal(0, float(rng.uniform(0.1, 0.7)), (steps, 2)) * STEP_S, 0)
    for k in range(n):
        angle = 2 * np.pi * k / n + float(rng.normal(0, 0.3))
        s = KeyframeAnimation(steps, rng)
        s.start_pose(jitter_pose(STAND, rng, 0.1))
        s.hold(max(begin - 0.4, 0.05), 0.15)
        if floored and k == 0:
            s.move_to(lying_pose(rng), 0.4)
        elif blows:
            _exchange_blows(s, rng, over, fury)
        else:
            s.move_to(_lean(rng), 0.4)
        s.hold(max(over - s.now, 0.1), fury * float(rng.uniform(0.5, 1.1)), float(rng.uniform(1.2, 3.2)))
        s.move_to(jitter_pose(STAND, rng, 0.1), 0.7)
        s.hold(end, 0.1)
        for _ in range(int(rng.integers(0, 6))):
            at = float(rng.uniform(begin, over))
            s.dashes.append((at, at + 0.6, float(rng.uniform(1.0, 3.0))))
        place = centre + float(rng.uniform(0.15, 0.5)) * np.array([np.cos(angle), np.sin(angle)])
        track = s.track(place, _facing(place, centre), float(rng.uniform(0.2, 2.0)))
        track.place = track.place + roam
        tracks.append(_pull_together(track, centre + roam, begin, over))
    tracks += bystanders(rng, steps, int(rng.choice([0, 0, 1, 2, 4])))
    unsure = ((max(0.0, begin - 0.5), begin + 0.5), (over - 0.5, over + 4.0))
    return Action(tuple(tracks), fights=((begin + 0.5, over - 0.5),), uncertain=unsure)


def _lean(rng: Rng) -> Floats:
    """Bent towards the other, arms out."""
    lean = pose(
        spine=float(rng.uniform(0, 0.9)), pitch=float(rng.uniform(-0.1, 0.4)), arms=float(rng.uniform(0.5, 1.5)),
        elbows=float(rng.uniform(0.3, 1.6)), apart=0.25,
    )  # fmt: skip
    return jitter_pose(lean, rng)


def _exchange_blows(s: KeyframeAnimation, rng: Rng, over: float, fury: float) -> None:
    """Strikes, kicks and pushes in turn, and is hit, until it is over."""
    while s.now < over - 0.6:
        target = _PUNCH[int(rng.integers(4))] if rng.random() < 0.65 else _HIT[int(rng.integers(4))]
        target = jitter_pose(target, rng, 0.35)
        if rng.random() < 0.2:
            target[3 + int(rng.integers(2))] = 1.2  # a kick
        s.move_to(target, float(rng.uniform(0.25, 0.5)) / fury**0.5)
        if rng.random() < 0.3:
            s.hold(float(rng.uniform(0.1, 0.8)), 0.3 * fury, 1.5)


def bystanders(rng: Rng, steps: int, count: int) -> list[SkeletonTrack]:
    """Others who go about their day within a few metres."""
    tracks = [everyday(rng, steps).tracks[0] for _ in range(count)]
    for track in tracks:
        track.place = track.place + rng.normal(0, 2.5, 2)
    return tracks


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
