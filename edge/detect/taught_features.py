"""Features of taught events: a few short vectors of a window, called sources, each of one modality. Pure.

Learning and service use the same function. A source depends on its modality alone, so a missing modality is left out
and never guessed.

* ``sound``: the encoder's embedding and the log-odds of its tags.
* ``kinds``: how clearly each kind of sound is heard (raised voices, blows, engines ...): few numbers, for few examples.
* ``known_heard``: the model's own labels as far as sound speaks for them; used of those that are taught.
* ``picture``: the encoder's embedding and the object classes.
* ``movement``: how much moves, how unevenly, and how many people there are and how close, over the last two seconds.
* ``known_seen``: the model's own labels as far as the picture speaks for them; likewise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.types import F32, Box, Scores

VERSION: Final = 1
"""Raised whenever the meaning of a source changes; stored features are then computed again."""

AUDIO: Final = "audio"
VIDEO: Final = "video"
MODALITY: Final[Mapping[str, str]] = {
    "sound": AUDIO,
    "kinds": AUDIO,
    "known_heard": AUDIO,
    "picture": VIDEO,
    "movement": VIDEO,
    "known_seen": VIDEO,
}

MIN_LOG_ODDS, MAX_LOG_ODDS = -12.0, 4.0  # log-odds of tags are clipped to this range
PERSON: Final = "person"
PERSON_SCORE: Final = 0.25
TOP_MOTION_CELLS: Final = 22  # a twentieth of the cells of the canvas: those that move most
HISTORY_WINDOWS: Final = 4  # windows over which movement is pooled

_AUDIOSET: Final = 527
# Kinds of sound: first and past-the-last index of AudioSet's classes, in the order in which its ontology lists them.
SOUND_GROUPS: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    "speech": ((0, 8),),
    "raised voices": ((8, 15), (22, 27), (38, 40)),
    "laughter": ((16, 22),),
    "singing": ((27, 38),),
    "breath and steps": ((15, 16), (40, 66)),
    "crowd": ((66, 72),),
    "animals": ((72, 137),),
    "music": ((137, 283),),
    "wind and thunder": ((283, 288),),
    "water": ((288, 298), (444, 457)),
    "fire": ((298, 300),),
    "vehicles": ((300, 322), (326, 354)),
    "alarms": ((322, 326), (388, 404)),
    "doors and household": ((354, 388),),
    "machines and tools": ((404, 426),),
    "shots and explosions": ((426, 437),),
    "blows and breaking": ((437, 444), (457, 472)),
    "rubbing and rattling": ((472, 481), (484, 500)),
    "tones": ((481, 484), (501, 506)),
    "noise": ((513, 527),),
}


@dataclass(frozen=True, slots=True)
class TaughtFeatures:
    """A window's sources, f32 vectors; those of a missing modality are None."""

    sound: F32 | None = None
    kinds: F32 | None = None
    known_heard: F32 | None = None
    picture: F32 | None = None
    movement: F32 | None = None
    known_seen: F32 | None = None

    def source(self, name: str) -> F32 | None:
        """One of `MODALITY`'s sources."""
        vector: F32 | None = getattr(self, name)
        return vector


class MotionHistory:
    """One camera's last windows, over which movement is pooled. A new epoch resets it."""

    def __init__(self) -> None:
        self._moved: deque[F32] = deque(maxlen=HISTORY_WINDOWS)
        self._epoch: int | None = None

    def extract(self, scores: Scores) -> TaughtFeatures:
        """The features of the camera's next window; call it in order."""
        if scores.media_end.epoch != self._epoch:
            self._moved.clear()
            self._epoch = scores.media_end.epoch
        features = scores.features
        if features is None:
            return TaughtFeatures()
        found = {}
        if scores.audio_ok:
            tag_logits = log_odds(features.tags)
            found["sound"] = np.concatenate([features.sound, tag_logits])
            found["kinds"] = sound_groups(tag_logits)
            found["known_heard"] = _known(scores, AUDIO)
        if scores.video_ok:
            self._moved.append(np.concatenate([motion_statistics(features.motion), people_statistics(scores.boxes)]))
            past = np.stack(self._moved)
            found["picture"] = np.concatenate([features.picture, log_odds(features.classes)])
            found["movement"] = np.concatenate([past.mean(0), past.max(0)])
            found["known_seen"] = _known(scores, VIDEO)
        return TaughtFeatures(**found)


def extract_all(windows: Sequence[Scores]) -> list[TaughtFeatures]:
    """The features of the windows of one recording, from its first."""
    recent = MotionHistory()
    return [recent.extract(scores) for scores in windows]


def log_odds(probabilities: F32) -> F32:
    """ln(p / (1 - p)), clipped to `MIN_LOG_ODDS`..`MAX_LOG_ODDS`."""
    p = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(np.clip(np.log(p) - np.log1p(-p), MIN_LOG_ODDS, MAX_LOG_ODDS), np.float32)


def sound_groups(tag_logits: F32) -> F32:
    """The highest log-odds of each of `SOUND_GROUPS`; for any other list of tags, the ten highest."""
    if len(tag_logits) != _AUDIOSET:
        return np.asarray(np.sort(tag_logits)[::-1][:10], np.float32)
    return np.array([max(tag_logits[a:b].max() for a, b in spans) for spans in SOUND_GROUPS.values()], np.float32)


def motion_statistics(motion: F32) -> F32:
    """Mean, mean of the largest cells, and spread of each channel of movement [h,w,K] -> [3K].

    On a scale of ln(1 + x), so that a camera close to the scene gives values similar to one far away.
    """
    cells = motion.reshape(-1, motion.shape[-1]).astype(np.float64)
    if not cells.size:
        return np.zeros(0, np.float32)
    size = np.abs(cells)
    most = np.sort(size, 0)[-TOP_MOTION_CELLS:]
    described: F32 = np.log1p(np.concatenate([size.mean(0), most.mean(0), cells.std(0)])).astype(np.float32)
    return described


def people_statistics(boxes: Sequence[Box]) -> F32:
    """How many people, how large the largest and all of them, and how much the closest two overlap (0..1) -> [4]."""
    there = [b for b in boxes if b.label == PERSON and b.score >= PERSON_SCORE]
    if not there:
        return np.zeros(4, np.float32)
    areas = [(b.x2 - b.x1) * (b.y2 - b.y1) for b in there]
    closest = max((_overlap(a, b) for n, a in enumerate(there) for b in there[:n]), default=0.0)
    return np.array([np.log1p(len(there)), np.sqrt(max(areas)), np.sqrt(sum(areas)), closest], np.float32)


def _overlap(a: Box, b: Box) -> float:
    width = min(a.x2, b.x2) - max(a.x1, b.x1)
    height = min(a.y2, b.y2) - max(a.y1, b.y1)
    smaller = min((a.x2 - a.x1) * (a.y2 - a.y1), (b.x2 - b.x1) * (b.y2 - b.y1))
    return width * height / smaller if width > 0 and height > 0 and smaller > 0 else 0.0


def _known(scores: Scores, modality: str) -> F32:
    """The model's own labels as log-odds, without the contribution of the other modality."""
    rest = []
    for name, value in scores.values.items():
        p = min(max(value, 1e-6), 1 - 1e-6)
        added = scores.contribution[name]
        other = added.audio if modality == VIDEO else added.video
        rest.append(np.log(p / (1 - p)) - other)
    return np.asarray(np.clip(rest, MIN_LOG_ODDS, MAX_LOG_ODDS), np.float32)
