"""The profile's part ``events`` as learning writes and reads it: the head, what it learned from, its figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.detect.taught_features import AUDIO, VERSION, VIDEO
from edge.detect.taught_head import TaughtHead, load_head, save_head
from edge.engine.manifest import Manifest
from edge.errors import InputError
from edge.learn.events.clips import LabelledClip
from edge.learn.events.examples import Example
from edge.learn.events.head import CrossValidatedHead, clip_evidence
from edge.learn.events.measure import ClipMetrics
from edge.learn.events.weigh import clip_probabilities
from edge.profile import ProfilePart, ProfileVersion

_LEAVE: Final = 0.6  # of enter
_MIN_S_LIMIT: Final = 1.0
F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PreviousEvents:
    """What the profile taught before. ``head`` is None where another model or release learned it; then its figures
    mean nothing here (``measured`` is empty) and only its ``examples``, each with its digest, are learned anew."""

    number: int
    examples: Sequence[tuple[Example, str]]
    measured: Mapping[str, ClipMetrics]
    head: TaughtHead | None
    held_out: Mapping[str, Sequence[float | None]]

    def values(self, clips: Sequence[LabelledClip], label: str) -> F64:
        """The label's value of each clip [N]: held out for clips that it was learned from, else what it says now."""
        if self.head is None:
            return np.full(len(clips), np.nan)
        k = self.head.labels.index(label)
        return np.array([self._value(clip, k) for clip in clips], np.float64)

    def _value(self, clip: LabelledClip, k: int) -> float:
        known = self.held_out.get(clip.key)
        if known is not None:
            value = known[k]
            return np.nan if value is None else value
        assert self.head is not None
        evidence = clip_evidence(clip, self.head.sources, len(self.head.labels))
        return float(clip_probabilities(evidence, self.head.reliability, "both")[k])


def load_previous(version: ProfileVersion | None, manifest: Manifest) -> PreviousEvents | None:
    """The current version's events; None where it has none. InputError when the part is damaged."""
    part = version.part("events") if version is not None else None
    if version is None or part is None:
        return None
    try:
        examples = [_example_from(given) for given in part.facts["examples"]]
        if version.graph_sha256 != manifest.sha256 or part.facts.get("features") != VERSION:
            return PreviousEvents(version.number, examples, {}, None, {})
        measured = {label: ClipMetrics(**m) for label, m in part.facts["measured"].items()}
        return PreviousEvents(version.number, examples, measured, load_head(part, VERSION), part.facts["held_out"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{version.path}: the part `events` is damaged ({error}); go back (`edge learn rollback`) or use a new one"
        ) from error


def to_profile_part(
    examples: Sequence[tuple[Example, str]],
    clips: Sequence[LabelledClip],
    trained: CrossValidatedHead,
    measured: Mapping[str, ClipMetrics],
    hop_s: float,
) -> ProfilePart:
    """What was learned, as the part to be written."""
    held_out = {
        clip.key: [None if np.isnan(v) else round(float(v), 6) for v in row]
        for clip, row in zip(clips, trained.fused, strict=True)
    }
    modalities = [m for m, case in (("video", VIDEO), ("audio", AUDIO)) if case in trained.head.reliability.weight]
    advice = {
        label: {"modalities": modalities, "enter": m.enter, "leave": round(_LEAVE * m.enter, 3), "min_s": min_s}
        for (label, m), min_s in zip(measured.items(), _minimum_durations(trained, clips, measured, hop_s), strict=True)
    }
    facts: dict[str, Any] = {
        "features": VERSION,
        "advice": advice,
        "measured": {label: asdict(m) for label, m in measured.items()},
        "examples": [_example_facts(example, digest) for example, digest in examples],
        "held_out": held_out,
    }
    return save_head(trained.head, facts)


def _minimum_durations(
    trained: CrossValidatedHead, clips: Sequence[LabelledClip], measured: Mapping[str, ClipMetrics], hop_s: float
) -> list[float]:
    """For each label half of how long it usually stays above ``enter`` in its clips, at most a second: short events
    begin at once, long ones are waited for."""
    result = []
    for k, (label, m) in enumerate(measured.items()):
        durations = [
            hop_s * float((trained.windows[n][:, k] >= m.enter).sum())
            for n, clip in enumerate(clips)
            if clip.label == label and len(trained.windows[n])
        ]
        usual = float(np.median([s for s in durations if s > 0] or [0.0])) / 2
        result.append(min(_MIN_S_LIMIT, hop_s * int(usual / hop_s) if usual > hop_s else 0.0))
    return result


def _example_facts(example: Example, digest: str) -> dict[str, Any]:
    return {
        "path": str(example.path.absolute()),
        "label": example.label,
        "group": example.group,
        "start_s": example.start_s,
        "end_s": example.end_s,
        "digest": digest,
    }


def _example_from(facts: Mapping[str, Any]) -> tuple[Example, str]:
    example = Example(Path(facts["path"]), facts["label"], facts["group"], facts["start_s"], facts["end_s"])
    return example, facts["digest"]
