"""Scores the label `anomaly`: every window of a camera against its normal model, with a reason in words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.anomaly.density import FeatureBank
from edge.detect.anomaly.features import label_code, speeds_of
from edge.detect.anomaly.model import NormalModel, PartAnomaly, total, value_of
from edge.engine.manifest import Label
from edge.errors import InputError
from edge.profile import ProfilePart
from edge.types import F32, Contribution, DerivedScore, Scores

ANOMALY: Final = "anomaly"
ANY_CAMERA: Final = "*"
"""Name of the normal model for cameras without one of their own, such as replayed recordings."""
LABEL: Final = Label(name=ANOMALY, modalities=("video", "audio", "sensors"), enter=0.5, leave=0.35, min_s=1.0)
_SCHEMA: Final = 1
_WORTH_WORDS: Final = 0.2  # value from which a reason is given
_LEAST: Final = 0.1  # least rarity for the logit: below it the estimate is too uncertain
_NEAR = 2.0  # units within which places count as the same
_FASTER = 1.25


class AnomalyScorer:
    """Scores how unusual each window is; learns nothing. One normal model for each camera, or one for any."""

    def __init__(self, normals: Mapping[str, NormalModel]) -> None:
        self._normals = dict(normals)

    @property
    def labels(self) -> tuple[Label, ...]:
        """`anomaly`."""
        return (LABEL,)

    @classmethod
    def from_part(cls, part: ProfilePart) -> AnomalyScorer:
        """The scorer for a profile's part `normal`; InputError when it cannot be read."""
        return cls(load_normals(part))

    def derive(self, scores: Scores) -> Mapping[str, DerivedScore]:
        """The score of the window; empty while its camera has no normal model."""
        normal = self._normals.get(scores.camera) or self._normals.get(ANY_CAMERA)
        if normal is None or not normal.is_known:
            return {}
        views = normal.features(scores)
        return anomaly_finding(normal, normal.assess(views, normal.distances(views)), scores)

    def forget(self, camera: str) -> None:
        """Does nothing: there is no state between windows."""


def anomaly_finding(normal: NormalModel, found: Sequence[PartAnomaly], scores: Scores) -> Mapping[str, DerivedScore]:
    """The label's value, the contribution of each modality to its log-odds, and the reason of the rarest part."""
    if not found:
        return {}
    rarity = total(found)
    whole = _logit(rarity)
    video = whole - _logit(total(one for one in found if one.modality == "audio"))
    audio = whole - _logit(total(one for one in found if one.modality == "video"))
    contribution = Contribution(max(video, 0.0), max(audio, 0.0), 0.0)
    value = value_of(rarity)
    reason = anomaly_reason(found[0], normal.bank(found[0].part), scores) if value >= _WORTH_WORDS else ""
    return {ANOMALY: DerivedScore(value, contribution, reason)}


def to_profile_part(normals: Mapping[str, NormalModel], ready: Collection[str]) -> ProfilePart:
    """The profile's part `normal`; ``ready`` are the cameras that have learned enough to be scored."""
    arrays = {f"{camera}/{key}": array for camera, n in normals.items() for key, array in n.arrays().items()}
    cameras = {camera: {**n.facts(), "ready": camera in ready} for camera, n in normals.items()}
    return ProfilePart(arrays, {"schema": _SCHEMA, "cameras": cameras})


def ready_cameras(part: ProfilePart) -> set[str]:
    """The cameras that have learned enough to be scored."""
    return {camera for camera, facts in part.facts["cameras"].items() if facts["ready"]}


def load_normals(part: ProfilePart) -> dict[str, NormalModel]:
    """The normal models of a profile's part, by camera; InputError when it cannot be read."""
    try:
        if part.facts["schema"] != _SCHEMA:
            raise ValueError(f"schema {part.facts['schema']}, not {_SCHEMA}")  # noqa: TRY301
        out = {}
        for camera, facts in part.facts["cameras"].items():
            own = {k[len(camera) + 1 :]: v for k, v in part.arrays.items() if k.startswith(f"{camera}/")}
            out[camera] = NormalModel.restored(own, facts)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"the part `normal` of the profile cannot be read ({error}); learn it again") from error
    return out


def _logit(rarity: float) -> float:
    value = value_of(max(rarity, _LEAST))
    return float(np.log(value / (1 - value)))


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
