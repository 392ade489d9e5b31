"""What simulated people do: ordinary actions, falls and fights, each with the times of its events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edge.train.body.everyday import everyday, exercise
from edge.train.body.falls import fall, lie_down
from edge.train.body.groups import bystanders, fight, group_activity, stroll
from edge.train.body.poses import Action
from edge.train.body.skeleton import Rng

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
    extra = bystanders(rng, steps, int(rng.choice([0, 0, 0, 1, 2])))
    return Action((*act.tracks, *extra), act.falls, act.fights, act.uncertain, kind in _ORDINARY_ACTIONS)
