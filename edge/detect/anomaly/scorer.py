"""The label `anomaly`: every window of a camera against what was learned to be normal there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np

from edge.detect.anomaly.normal import NormalModel, PartAnomaly, total, value_of
from edge.detect.anomaly.words import anomaly_reason
from edge.engine.manifest import Label
from edge.errors import InputError
from edge.profile import ProfilePart
from edge.types import Contribution, DerivedScore, Scores

ANOMALY: Final = "anomaly"
ANY_CAMERA: Final = "*"
"""The normal of cameras that have none of their own, such as recordings replayed against a profile."""
LABEL: Final = Label(name=ANOMALY, modalities=("video", "audio", "sensors"), enter=0.5, leave=0.35, min_s=1.0)
_SCHEMA: Final = 1
_WORTH_WORDS: Final = 0.2  # a value below which nobody asks why
_LEAST: Final = 0.1  # rarity below which a logit would say more than is known


class AnomalyScorer:
    """Says of each window how unusual it is; learns nothing. One normal a camera, or one for any."""

    def __init__(self, normals: Mapping[str, NormalModel]) -> None:
        self._normals = dict(normals)

    @property
    def labels(self) -> tuple[Label, ...]:
        """`anomaly`."""
        return (LABEL,)

    @classmethod
    def from_part(cls, part: ProfilePart) -> AnomalyScorer:
        """What a profile's part `normal` holds; InputError when it cannot be read."""
        return cls(load_normals(part))

    def derive(self, scores: Scores) -> Mapping[str, DerivedScore]:
        """How unusual the window is; nothing as long as nothing was learned of its camera."""
        normal = self._normals.get(scores.camera) or self._normals.get(ANY_CAMERA)
        if normal is None or not normal.is_known:
            return {}
        views = normal.features(scores)
        return anomaly_finding(normal, normal.assess(views, normal.distances(views)), scores)

    def forget(self, camera: str) -> None:
        """Nothing is kept between windows."""


def anomaly_finding(normal: NormalModel, found: Sequence[PartAnomaly], scores: Scores) -> Mapping[str, DerivedScore]:
    """The label's value, what each modality added to its log-odds, and the words of the rarest part."""
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
    """A profile's part `normal`; ``ready`` are the cameras of which enough was learned to judge them."""
    arrays = {f"{camera}/{key}": array for camera, n in normals.items() for key, array in n.arrays().items()}
    cameras = {camera: {**n.facts(), "ready": camera in ready} for camera, n in normals.items()}
    return ProfilePart(arrays, {"schema": _SCHEMA, "cameras": cameras})


def ready_cameras(part: ProfilePart) -> set[str]:
    """The cameras of which enough was learned."""
    return {camera for camera, facts in part.facts["cameras"].items() if facts["ready"]}


def load_normals(part: ProfilePart) -> dict[str, NormalModel]:
    """The normals that a profile's part holds, by camera; InputError when it cannot be read."""
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
