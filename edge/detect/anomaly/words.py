"""Why a window is unusual, in words that a person can check against the picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge.detect.anomaly.bank import Bank
from edge.detect.anomaly.normal import Unusual
from edge.detect.anomaly.views import code, speeds_of
from edge.types import F32, Scores

_NEAR = 2.0  # units: what counts as the same place
_FASTER = 1.25


def why(one: Unusual, bank: Bank, scores: Scores) -> str:
    """``faster than anything learned here, lower left: 3.1 x``."""
    said = _SAYS[one.part](one, bank, scores)
    return f"{said} (about one quiet window in {_one_in(one.rarity)})"


def where(place: tuple[float, float]) -> str:
    """A place on the canvas as ``lower left``."""
    across = ("left", "middle", "right")[min(int(place[0] * 3), 2)]
    down = ("upper", "middle", "lower")[min(int(place[1] * 3), 2)]
    if down == across:
        return "in the middle"
    return f"{down} {across}" if down != "middle" else f"middle {across}"


def _movement(one: Unusual, bank: Bank, scores: Scores) -> str:  # noqa: ARG001
    place = where(one.place)
    near = np.abs(bank.points[:, :2] - one.point[:2]).max(1) < _NEAR
    if not near.any():
        return f"movement where nothing was seen to move, {place}"
    speed = float(speeds_of(one.point[None])[0])
    usual = _quantile(speeds_of(bank.points[near]), bank.counts[near])
    if speed > _FASTER * usual:
        return f"faster than anything learned here, {place}: {speed / max(usual, 0.5):.1f} x"
    return f"moves in a way not learned here, {place}"


def _quantile(values: F32, weights: NDArray[np.float64], share: float = 0.99) -> float:
    """The value that ``share`` of the weight lies at or below."""
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(below, share * below[-1]).clip(0, len(values) - 1))])


def _things(one: Unusual, bank: Bank, scores: Scores) -> str:
    kind = one.point[3:]
    label = next((box.label for box in scores.boxes if np.allclose(code(box.label), kind)), "thing")
    seen = bool((np.abs(bank.points[:, 3:] - kind).max(1) < 1).any()) if len(bank) else False
    what = "of a size or at a place not learned here" if seen else "never learned here"
    return f"{label} {what}, {where(one.place)}"


def _picture(one: Unusual, bank: Bank, scores: Scores) -> str:  # noqa: ARG001
    return "the picture as a whole looks like none learned here"


def _sound(one: Unusual, bank: Bank, scores: Scores) -> str:  # noqa: ARG001
    likest = max(scores.tags.items(), key=lambda item: item[1], default=("", 0.0))[0]
    return f"a sound like none learned here{f', most like {likest}' if likest else ''}"


def _fused(one: Unusual, bank: Bank, scores: Scores) -> str:  # noqa: ARG001
    return "picture and sound together are like nothing learned here"


def _one_in(rarity: float) -> str:
    return f"{10 ** min(rarity, 3):,.0f}" if rarity < 3 else "a thousand or more" if rarity < 6 else "a million or more"


_SAYS: dict[str, Callable[[Unusual, Bank, Scores], str]] = {
    "movement": _movement,
    "things": _things,
    "picture": _picture,
    "sound": _sound,
    "fused": _fused,
}
