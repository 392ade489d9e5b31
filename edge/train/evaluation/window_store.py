"""Stores every window of a recording on disk, so that derived values can be computed without replaying it.

A deriver (prompts, taught events) gets the same values in the same order as in a replay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import MediaError
from edge.files import atomic_path
from edge.media_time import MediaTime
from edge.replay import ReplaySummary
from edge.replay.replayer import ReplayListener
from edge.types import Box, Contribution, Features, Scores, seconds

_NUMBERS: Final = ("seq", "t_end_ns")
_MEDIA: Final = ("epoch", "pts_ns", "position_ns")
_FEATURES: Final = tuple(field.name for field in fields(Features))


def save_scores(path: Path, scores: Sequence[Scores]) -> None:
    """Write the windows of one recording, whole or not at all; windows without features raise ValueError."""
    names = list(scores[0].values) if scores else []
    features = [s.features for s in scores if s.features is not None]
    if len(features) != len(scores):
        raise ValueError(f"{path}: windows without features cannot be stored")
    arrays: dict[str, NDArray[Any]] = {
        "numbers": np.array([[getattr(s, name) for name in _NUMBERS] for s in scores], np.int64),
        "media": np.array([[getattr(s.media_end, name) for name in _MEDIA] for s in scores], np.int64),
        "flags": np.array([[s.coverage, s.video_ok, s.audio_ok] for s in scores], np.float64),
        "values": np.array([[s.values[n] for n in names] for s in scores], np.float64),
        "added": np.array([[[c.video, c.audio, c.sensors] for c in s.contribution.values()] for s in scores]),
        "embedding": np.array([s.embedding for s in scores], np.float32),
        "content": np.array([s.content for s in scores], np.float64),
    }
    if all(s.evidence is not None for s in scores):
        arrays["evidence"] = np.array([s.evidence for s in scores], np.float32)
    arrays |= {name: np.array([getattr(f, name) for f in features], np.float32) for name in _FEATURES}
    facts = {
        "camera": scores[0].camera if scores else "",
        "model": scores[0].model if scores else "",
        "labels": names,
        "boxes": [[asdict(box) for box in s.boxes] for s in scores],
        "tags": [dict(s.tags) for s in scores],
        "reasons": [dict(s.reasons) for s in scores],
    }
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez(file, facts=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]


def load_scores(path: Path) -> list[Scores]:
    """What `save_scores` wrote; MediaError when nothing is stored there."""
    try:
        with np.load(path) as held:
            arrays = {name: held[name] for name in held.files}
    except FileNotFoundError as error:
        raise MediaError(f"{path}: no windows are stored of this recording; replay it first") from error
    facts: Mapping[str, Any] = json.loads(str(arrays["facts"]))
    return [_scores(arrays, facts, k) for k in range(len(arrays["numbers"]))]


class StoredReplay:
    """Stands in for `edge.replay.Replay`: replays the stored windows of a recording, and no events."""

    def __init__(self, place: Mapping[Path, Path]) -> None:
        """``place``: where the windows of each recording are stored."""
        self._place = dict(place)

    def run(self, path: Path, listener: ReplayListener) -> ReplaySummary:
        """Give every window to ``listener`` in order; MediaError for a recording that is not stored."""
        if path not in self._place:
            raise MediaError(f"{path}: no windows are stored of this recording")
        scores = load_scores(self._place[path])
        for one in scores:
            listener.on_scores(one)
        return ReplaySummary(len(scores), 0, seconds(scores[-1].media_end.position_ns) if scores else 0.0)


def _scores(arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any], k: int) -> Scores:
    coverage, video_ok, audio_ok = arrays["flags"][k].tolist()
    names = facts["labels"]
    return Scores(
        camera=facts["camera"],
        **dict(zip(_NUMBERS, arrays["numbers"][k].tolist(), strict=True)),
        media_end=MediaTime(*arrays["media"][k].tolist()),
        values=dict(zip(names, arrays["values"][k].tolist(), strict=True)),
        contribution={n: Contribution(*part) for n, part in zip(names, arrays["added"][k].tolist(), strict=True)},
        embedding=arrays["embedding"][k],
        boxes=tuple(Box(**box) for box in facts["boxes"][k]),
        tags=facts["tags"][k],
        coverage=coverage,
        video_ok=bool(video_ok),
        audio_ok=bool(audio_ok),
        model=facts["model"],
        features=Features(**{name: arrays[name][k] for name in _FEATURES}),
        reasons=facts["reasons"][k],
        evidence=arrays["evidence"][k] if "evidence" in arrays else None,
        content=tuple(arrays["content"][k].tolist()),
    )
