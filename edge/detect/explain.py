"""Why an event is there, as one plain sentence made from what the model said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edge.detect.hysteresis import Step
from edge.engine.manifest import Label
from edge.types import Box, Contribution, Phase, Scores, seconds

CLEAR_BOX = 0.3  # boxes below this are not worth showing
MOST_BOXES = 8
_SHARE = 0.5  # a modality that adds this share of the strongest one is named too
_NAMES = (("video", "picture"), ("audio", "sound"), ("sensors", "sensors"))
_REASONS = {
    "lost": "nothing was seen or heard any more",
    "disarmed": "the camera was disarmed",
    "disabled": "the event was switched off",
    "shutdown": "the program was stopped",
}


def why(label: Label, step: Step, scores: Scores | None) -> str:
    """``glass_break 0.87 (enter 0.60): mostly sound (+3.1), sounds like Shatter 0.81``."""
    if step.phase is Phase.END:
        return _ending(label.name, step)
    head = f"{label.name} {step.score:.2f} (enter {step.threshold:.2f})"
    if scores is None:
        return head
    if reason := scores.reasons.get(label.name):
        return f"{head}: {reason}"
    contribution = scores.contribution.get(label.name)
    facts = [_modalities(contribution) if contribution else ""]
    if "audio" in label.modalities and scores.audio_ok and scores.tags:
        name, value = max(scores.tags.items(), key=lambda item: item[1])
        facts.append(f"sounds like {name} {value:.2f}")
    if "video" in label.modalities and scores.video_ok:
        facts.append(_sees(clear_boxes(scores.boxes)))
    told = ", ".join(fact for fact in facts if fact)
    return f"{head}: {told}" if told else head


def clear_boxes(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The boxes worth showing with an event, best first."""
    return tuple(sorted((b for b in boxes if b.score >= CLEAR_BOX), key=lambda b: -b.score)[:MOST_BOXES])


def _ending(label: str, step: Step) -> str:
    lasted = (
        f"{label} ended after {seconds((step.end_ns or step.begin_ns) - step.begin_ns):.1f} s, peak {step.peak:.2f}"
    )
    if step.reason == "left":
        return f"{lasted} (left): the score fell to {step.score:.2f}"
    meaning = _REASONS.get(step.reason)
    return f"{lasted} ({step.reason}): {meaning}" if meaning else f"{lasted} ({step.reason})"


def _modalities(contribution: Contribution) -> str:
    parts = [(name, float(getattr(contribution, key))) for key, name in _NAMES]
    strongest = max(value for _, value in parts)
    if strongest <= 0:
        return ""
    named = sorted(((v, n) for n, v in parts if v >= _SHARE * strongest), reverse=True)
    told = " and ".join(f"{name} ({value:+.1f})" for value, name in named)
    return told if len(named) > 1 else f"mostly {told}"


def _sees(boxes: Sequence[Box]) -> str:
    if not boxes:
        return ""
    best: dict[str, float] = {}
    for box in boxes:
        best.setdefault(box.label, box.score)
    counts = Counter(box.label for box in boxes)
    shown = [f"{counts[n]} x {n} {s:.2f}" if counts[n] > 1 else f"{n} {s:.2f}" for n, s in list(best.items())[:3]]
    return f"sees {', '.join(shown)}"
