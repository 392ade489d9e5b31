"""Feature points of each part of the normal model: points in a small space with meaningful distances. Pure.

Movement is taken from the cells of `Features.motion`, whose first eight channels are those of
`edge.train.nets.motion.MOTION_CHANNELS`. Places are on the model's canvas, 0..1 right and down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.types import F32, Box, Scores

Mask: TypeAlias = NDArray[np.bool_]

DX, DY, GAIN, FIT, FAR_DX, FAR_DY, FAR_GAIN, FAR_FIT = range(8)

_GAIN: Final = (1.0, 3.0)  # grey levels: from noise to movement of full weight
_FIT: Final = (0.2, 0.3)
_LEARNED: Final = 0.3  # confidence from which a point is learned
_FAR: Final = 20.0  # pixels from which the coarse search is used where it explains more
_SLOW: Final = 3.0  # pixels: slower differences count alike, faster ones in proportion
_SPEEDS: Final = 6.4  # makes 1 pixel at walking pace one unit
_ACROSS, _DOWN = 6.0, 9.0  # units across and down the picture: down counts more because of perspective
_CLEAR: Final = 0.4  # box score from which an object is used
_SURE: Final = (0.3, 0.7)  # between these scores its weight goes from 0 to 1
_SIZES: Final = 3.0  # units for an object e times as high
_APART: Final = 2.0  # half the units by which the codes of two classes differ in each number
_CODE: Final = 16


@dataclass(frozen=True, slots=True)
class FeaturePoints:
    """Points f32[n,d] of one part, the place of each f32[n,2], and its confidence f32[n] in 0..1.

    No points: the window has none of this kind.
    """

    points: F32
    places: F32
    confidence: F32

    @property
    def learned(self) -> F32:
        """The points with enough confidence to be learned."""
        return self.points[self.confidence >= _LEARNED]


@dataclass(frozen=True, slots=True)
class AnomalyPart:
    """A part of the normal model: numbers in a point, points to keep, and the grain within which points are merged.

    ``support``: this many neighbouring points must be unusual together, because a single cell is noise. ``doubt`` is
    subtracted from the part's rarity: embeddings of the whole picture drift with light and weather and count a hundred
    times less than movement, boxes and sounds ten times less.
    """

    name: str
    modality: str
    size: int
    capacity: int
    grain: float
    support: int
    doubt: float
    extract: Callable[[Scores], FeaturePoints | None]


def anomaly_parts(scores: Scores) -> tuple[AnomalyPart, ...]:
    """The parts that a model's outputs support, with sizes from one window."""
    features = scores.features
    sizes = (0, 0) if features is None else (features.picture.size, features.sound.size)
    return (
        AnomalyPart("movement", "video", 4, 4096, 0.15, 2, 0.0, movement),
        AnomalyPart("things", "video", 3 + _CODE, 1024, 0.25, 1, 1.0, things),
        AnomalyPart("picture", "video", sizes[0], 256, 0.05, 1, 2.0, picture),
        AnomalyPart("sound", "audio", sizes[1], 256, 0.05, 1, 1.0, sound),
        AnomalyPart("fused", "both", scores.embedding.size, 256, 0.05, 1, 2.0, fused),
    )


def extract_features(scores: Scores, parts: tuple[AnomalyPart, ...]) -> Mapping[str, FeaturePoints]:
    """The points of each part in a window, without parts whose modality is missing."""
    return {kind.name: view for kind in parts if (view := kind.extract(scores)) is not None}


def movement(scores: Scores) -> FeaturePoints | None:
    """Cells that move: place, and velocity with its length compressed."""
    motion = scores.features.motion if scores.features is not None else np.zeros((0, 0, 0), np.float32)
    if not scores.video_ok or motion.shape[2] <= FAR_FIT:
        return None
    far = _is_far(motion)
    gain, fit = (np.where(far, motion[..., k], motion[..., j]) for k, j in ((FAR_GAIN, GAIN), (FAR_FIT, FIT)))
    sure = _between(gain, _GAIN) * _between(fit, _FIT)
    rows, columns = np.nonzero(sure > 0)
    velocity = np.where(far[..., None], motion[..., FAR_DX : FAR_DY + 1], motion[..., DX : DY + 1])[rows, columns]
    speed = np.hypot(velocity[:, 0], velocity[:, 1])[:, None] + 1e-6
    places = np.stack([(columns + 0.5) / motion.shape[1], (rows + 0.5) / motion.shape[0]], 1).astype(np.float32)
    compressed = velocity / speed * (_SPEEDS * np.log1p(speed / _SLOW))
    points = np.concatenate([places * (_ACROSS, _DOWN), compressed], 1).astype(np.float32)
    return FeaturePoints(points, places, sure[rows, columns])


def speeds_of(points: F32) -> F32:
    """Pixels between two pictures, for points of `movement` [n,4]."""
    return np.asarray(_SLOW * np.expm1(np.hypot(points[:, 2], points[:, 3]) / _SPEEDS), np.float32)


def _is_far(motion: F32) -> Mask:
    """Cells [h,w] in which the coarse search is used: they are too fast for the fine one."""
    fast = np.hypot(motion[..., FAR_DX], motion[..., FAR_DY]) > _FAR
    return np.asarray(fast & (motion[..., FAR_FIT] > motion[..., FIT] + 0.1))


def _between(values: F32, ends: tuple[float, float]) -> F32:
    """0 at the first end, 1 from the second."""
    return np.asarray(np.clip((values - ends[0]) / (ends[1] - ends[0]), 0, 1), np.float32)


def things(scores: Scores) -> FeaturePoints | None:
    """Clear boxes: the middle, the foot, the height, and a code of the class."""
    if not scores.video_ok:
        return None
    clear = [box for box in scores.boxes if box.score >= _CLEAR]
    points = np.array([_thing(box) for box in clear], np.float32).reshape(-1, 3 + _CODE)
    places = np.array([((b.x1 + b.x2) / 2, (b.y1 + b.y2) / 2) for b in clear], np.float32).reshape(-1, 2)
    return FeaturePoints(points, places, _between(np.array([b.score for b in clear], np.float32), _SURE))


def _thing(box: Box) -> list[float]:
    height = _SIZES * float(np.log(max(box.y2 - box.y1, 0.01)))
    return [(box.x1 + box.x2) / 2 * _ACROSS, box.y2 * _DOWN, height, *label_code(box.label)]


@lru_cache(maxsize=256)
def label_code(label: str) -> tuple[float, ...]:
    """The code of a class, the same in every process and far from every other code."""
    bits = int.from_bytes(hashlib.blake2b(label.encode(), digest_size=_CODE // 8).digest(), "big")
    return tuple(_APART if bits >> k & 1 else -_APART for k in range(_CODE))


def picture(scores: Scores) -> FeaturePoints | None:
    """The whole picture's embedding, of length 1."""
    return _whole(scores.features.picture) if scores.features is not None and scores.video_ok else None


def sound(scores: Scores) -> FeaturePoints | None:
    """The sound's embedding, of length 1."""
    return _whole(scores.features.sound) if scores.features is not None and scores.audio_ok else None


def fused(scores: Scores) -> FeaturePoints | None:
    """The fused embedding, of length 1."""
    return _whole(scores.embedding)


def _whole(vector: F32) -> FeaturePoints | None:
    length = float(np.linalg.norm(vector))
    if length == 0:
        return None
    return FeaturePoints(
        (vector / length)[None].astype(np.float32), np.full((1, 2), 0.5, np.float32), np.ones(1, np.float32)
    )
