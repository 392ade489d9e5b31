"""Why an event is there, as one plain sentence made from what the model said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edge.config.rules import Rule
from edge.config.schedule import ALWAYS, told
from edge.detect.agreement import alone
from edge.detect.hysteresis import Step
from edge.detect.looking import Look
from edge.engine.manifest import SHOWN_CLASSES, Label
from edge.holds import HoldReason
from edge.types import Box, Contribution, Phase, Scores, seconds

CLEAR_BOX = 0.3  # boxes below this are not worth showing
MOST_BOXES = 8
_SHARE = 0.5  # a modality that adds this share of the strongest one is named too
_NAMES = (("video", "picture"), ("audio", "sound"), ("sensors", "sensors"))
_KEYS = {HoldReason.RATE_LIMITED: "most_per_hour", HoldReason.COOLDOWN: "cooldown_s"}
_REASONS = {
    "lost": "nothing was seen or heard any more",
    "disarmed": "the camera was disarmed",
    "disabled": "the event was switched off",
    "shutdown": "the program was stopped",
}


def why(name: str, label: Label, rule: Rule, step: Step, scores: Scores | None, look: Look | None) -> str:
    """``glass_break 0.87 (enter 0.60): mostly sound (+3.1), sounds like Shatter 0.81``.

    ``label`` is the one whose score it is, ``look`` what the rule saw.
    """
    if step.phase is Phase.END:
        return ending(name, rule, step, look)
    head = f"{name} {step.score:.2f} (enter {step.threshold:.2f})"
    facts = []
    if look is not None:
        facts += [_where(label.name, rule, look), *(_before(*part) for part in look.before)]
    if scores is not None:
        facts += _evidence(label, rule, scores)
    if rule.schedule is not None and rule.schedule != ALWAYS:
        facts.append(f"within {told(rule.schedule)}")
    if step.held:
        facts.append(f"{_more(step.held)} held back since the last one ({_limits(step.held_by)})")
    given = ", ".join(fact for fact in facts if fact)
    return f"{head}: {given}" if given else head


def ending(name: str, rule: Rule, step: Step, look: Look | None) -> str:
    """The sentence of an event's last phase."""
    lasted = f"{name} ended after {seconds((step.end_ns or step.begin_ns) - step.begin_ns):.1f} s, peak {step.peak:.2f}"
    if step.reason != "left":
        meaning = _REASONS.get(step.reason)
        return f"{lasted} ({step.reason}): {meaning}" if meaning else f"{lasted} ({step.reason})"
    but = look.but if look is not None else ""
    if but == "schedule":
        return f"{lasted} (schedule): its hours, {told(rule.schedule or ())}, are over"
    if but == "agree":
        return f"{lasted} (left): picture and sound do not agree any more"
    if but in {"place", "time"} and look is not None:
        where = rule.lines or rule.zones
        verb = "crosses" if rule.lines else "is in"
        there = f"{verb} {' or '.join(where)}" if where else "is there"
        return f"{lasted} (left): no {look.label} {there} any more"
    return f"{lasted} (left): the score fell to {step.score:.2f}"


def _more(count: int) -> str:
    return "1 more was" if count == 1 else f"{count} more were"


def _limits(held_by: Sequence[tuple[HoldReason, int]]) -> str:
    """The keys that held something back, with how much each where there are two."""
    if len(held_by) == 1:
        return _KEYS[held_by[0][0]]
    return ", ".join(f"{count} by {_KEYS[reason]}" for reason, count in held_by)


def boxes(rule: Rule, scores: Scores, look: Look | None) -> tuple[Box, ...]:
    """The boxes worth showing: those that a rule about places is about first, then the clear ones, best first."""
    about = [found.box for found in look.found] if look is not None and rule.has_place else []
    return tuple([*about, *(box for box in clear_boxes(scores.boxes) if box not in about)][:MOST_BOXES])


def clear_boxes(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The boxes worth showing with an event, best first."""
    clear = [box for box in boxes if box.score >= CLEAR_BOX and box.label in SHOWN_CLASSES]
    return tuple(sorted(clear, key=lambda box: -box.score)[:MOST_BOXES])


def _where(label: str, rule: Rule, look: Look) -> str:
    """``person in yard for 3 s``; nothing where the rule is not about places."""
    if not rule.has_place or not look.found:
        return ""
    first = look.found[0]
    told_of = label if len(look.found) == 1 else f"{len(look.found)} x {label}"
    if first.crossings:
        crossed = first.crossings[0]
        told_of += f" crossed {crossed.line} {crossed.direction.replace('_', ' the ')}"
    if first.zone:
        told_of += f" in {first.zone}"
    return f"{told_of} for {_s(seconds(first.stood_ns))}" if rule.after_s or first.zone else told_of


def _before(part: str, ago_s: float, value: float) -> str:
    return f"{part} {value:.2f} {_s(ago_s)} before" if ago_s > 0 else f"with {part} {value:.2f}"


def _evidence(label: Label, rule: Rule, scores: Scores) -> list[str]:
    if reason := scores.reasons.get(label.name):
        return [reason]
    contribution = scores.contribution.get(label.name)
    facts = []
    if contribution is not None:
        facts.append(_agreed(label.name, scores, contribution) if rule.agree else _modalities(contribution))
    if "audio" in label.modalities and scores.audio_ok and scores.tags:
        name, value = max(scores.tags.items(), key=lambda item: item[1])
        facts.append(f"sounds like {name} {value:.2f}")
    if "video" in label.modalities and scores.video_ok:
        facts.append(_sees(clear_boxes(scores.boxes)))
    return facts


def _s(value: float) -> str:
    """Seconds with at most one digit after the point."""
    return f"{round(value, 1):g} s"


def _agreed(label: str, scores: Scores, contribution: Contribution) -> str:
    picture, sound = alone(scores.values.get(label, 0.0), contribution)
    return f"picture alone {picture:.2f} and sound alone {sound:.2f} agree"


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
