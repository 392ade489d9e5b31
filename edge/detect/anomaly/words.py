"""Why a window is unusual, in words that a person can check against the picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge.detect.anomaly.bank import FeatureBank
from edge.detect.anomaly.normal import PartAnomaly
from edge.detect.anomaly.views import label_code, speeds_of
from edge.types import F32, Scores

_NEAR = 2.0  # units: what counts as the same place
_FASTER = 1.25


def anomaly_reason(one: PartAnomaly, bank: FeatureBank, scores: Scores) -> str:
    """``faster than anything learned here, lower left: 3.1 x``."""
    text = _SAYS[one.part](one, bank, scores)
    return f"{text} (about one quiet window in {_one_in(one.rarity)})"


def place_name(place: tuple[float, float]) -> str:
    """A place on the canvas as ``lower left``."""
    across = ("left", "middle", "right")[min(int(place[0] * 3), 2)]
    down = ("upper", "middle", "lower")[min(int(place[1] * 3), 2)]
    if down == across:
        return "in the middle"
    return f"{down} {across}" if down != "middle" else f"middle {across}"


def _movement(one: PartAnomaly, bank: FeatureBank, scores: Scores) -> str:  # noqa: ARG001
    place = place_name(one.place)
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


def _things(one: PartAnomaly, bank: FeatureBank, scores: Scores) -> str:
    kind = one.point[3:]
    label = next((box.label for box in scores.boxes if np.allclose(label_code(box.label), kind)), "thing")
    is_known = bool((np.abs(bank.points[:, 3:] - kind).max(1) < 1).any()) if len(bank) else False
    what = "of a size or at a place not learned here" if is_known else "never learned here"
    return f"{label} {what}, {place_name(one.place)}"


def _picture(one: PartAnomaly, bank: FeatureBank, scores: Scores) -> str:  # noqa: ARG001
    return "the picture as a whole looks like none learned here"


def _sound(one: PartAnomaly, bank: FeatureBank, scores: Scores) -> str:  # noqa: ARG001
    likest = max(scores.tags.items(), key=lambda item: item[1], default=("", 0.0))[0]
    return f"a sound like none learned here{f', most like {likest}' if likest else ''}"


def _fused(one: PartAnomaly, bank: FeatureBank, scores: Scores) -> str:  # noqa: ARG001
    return "picture and sound together are like nothing learned here"


def _one_in(rarity: float) -> str:
    return f"{10 ** min(rarity, 3):,.0f}" if rarity < 3 else "a thousand or more" if rarity < 6 else "a million or more"


_SAYS: dict[str, Callable[[PartAnomaly, FeatureBank, Scores], str]] = {
    "movement": _movement,
    "things": _things,
    "picture": _picture,
    "sound": _sound,
    "fused": _fused,
}
