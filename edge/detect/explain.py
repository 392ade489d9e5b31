"""Explains an event in one sentence, from the model's outputs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from edge.config.rules import RuleConfig
from edge.config.schedule import ALWAYS, describe_schedule
from edge.detect.hysteresis import EventStep
from edge.detect.rule_evaluator import RuleResult, modality_probabilities
from edge.engine.manifest import SHOWN_CLASSES, Label
from edge.status import HoldReason
from edge.types import Box, Contribution, Phase, Scores, seconds

CLEAR_BOX = 0.3  # boxes below this are not shown
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


def begin_sentence(
    name: str, label: Label, rule: RuleConfig, step: EventStep, scores: Scores | None, result: RuleResult | None
) -> str:
    """``glass_break 0.87 (enter 0.60): mostly sound (+3.1), sounds like Shatter 0.81``.

    ``label`` is the label of the score, ``result`` the result of the rule.
    """
    if step.phase is Phase.END:
        return end_sentence(name, rule, step, result)
    head = f"{name} {step.score:.2f} (enter {step.threshold:.2f})"
    facts = []
    if result is not None:
        facts += [_where(label.name, rule, result), *(_before(*part) for part in result.before)]
    if scores is not None:
        facts += _evidence(label, rule, scores)
    if rule.schedule is not None and rule.schedule != ALWAYS:
        facts.append(f"within {describe_schedule(rule.schedule)}")
    if step.held:
        facts.append(f"{_more(step.held)} held back since the last one ({_limits(step.held_by)})")
    details = ", ".join(fact for fact in facts if fact)
    return f"{head}: {details}" if details else head


def end_sentence(name: str, rule: RuleConfig, step: EventStep, result: RuleResult | None) -> str:
    """The sentence of an event's last phase."""
    lasted = f"{name} ended after {seconds((step.end_ns or step.begin_ns) - step.begin_ns):.1f} s, peak {step.peak:.2f}"
    if step.reason != "left":
        meaning = _REASONS.get(step.reason)
        return f"{lasted} ({step.reason}): {meaning}" if meaning else f"{lasted} ({step.reason})"
    but = result.gate if result is not None else ""
    if but == "schedule":
        return f"{lasted} (schedule): its hours, {describe_schedule(rule.schedule or ())}, are over"
    if but == "agree":
        return f"{lasted} (left): picture and sound do not agree any more"
    if but in {"place", "time"} and result is not None:
        where = rule.lines or rule.zones
        verb = "crosses" if rule.lines else "is in"
        there = f"{verb} {' or '.join(where)}" if where else "is there"
        return f"{lasted} (left): no {result.label} {there} any more"
    return f"{lasted} (left): the score fell to {step.score:.2f}"


def _more(count: int) -> str:
    return "1 more was" if count == 1 else f"{count} more were"


def _limits(held_by: Sequence[tuple[HoldReason, int]]) -> str:
    """The config keys that held events back, with the count of each when there are several."""
    if len(held_by) == 1:
        return _KEYS[held_by[0][0]]
    return ", ".join(f"{count} by {_KEYS[reason]}" for reason, count in held_by)


def shown_boxes(rule: RuleConfig, scores: Scores, result: RuleResult | None) -> tuple[Box, ...]:
    """The boxes to show: first the objects of a rule about places, then the clear ones, best first."""
    about = [found.box for found in result.objects] if result is not None and rule.has_place else []
    return tuple([*about, *(box for box in clear_boxes(scores.boxes) if box not in about)][:MOST_BOXES])


def clear_boxes(boxes: Sequence[Box]) -> tuple[Box, ...]:
    """The boxes to show with an event, best first."""
    clear = [box for box in boxes if box.score >= CLEAR_BOX and box.label in SHOWN_CLASSES]
    return tuple(sorted(clear, key=lambda box: -box.score)[:MOST_BOXES])


def _where(label: str, rule: RuleConfig, result: RuleResult) -> str:
    """``person in yard for 3 s``; empty when the rule is not about places."""
    if not rule.has_place or not result.objects:
        return ""
    first = result.objects[0]
    subject = label if len(result.objects) == 1 else f"{len(result.objects)} x {label}"
    if first.crossings:
        crossed = first.crossings[0]
        subject += f" crossed {crossed.line} {crossed.direction.replace('_', ' the ')}"
    if first.zone:
        subject += f" in {first.zone}"
    return f"{subject} for {_s(seconds(first.dwell_ns))}" if rule.after_s or first.zone else subject


def _before(part: str, ago_s: float, value: float) -> str:
    return f"{part} {value:.2f} {_s(ago_s)} before" if ago_s > 0 else f"with {part} {value:.2f}"


def _evidence(label: Label, rule: RuleConfig, scores: Scores) -> list[str]:
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
        facts.append(_visible_objects(clear_boxes(scores.boxes)))
    return facts


def _s(value: float) -> str:
    """Seconds with at most one digit after the point."""
    return f"{round(value, 1):g} s"


def _agreed(label: str, scores: Scores, contribution: Contribution) -> str:
    picture, sound = modality_probabilities(scores.values.get(label, 0.0), contribution)
    return f"picture alone {picture:.2f} and sound alone {sound:.2f} agree"


def _modalities(contribution: Contribution) -> str:
    parts = [(name, float(getattr(contribution, key))) for key, name in _NAMES]
    strongest = max(value for _, value in parts)
    if strongest <= 0:
        return ""
    named = sorted(((v, n) for n, v in parts if v >= _SHARE * strongest), reverse=True)
    named_parts = " and ".join(f"{name} ({value:+.1f})" for value, name in named)
    return named_parts if len(named) > 1 else f"mostly {named_parts}"


def _visible_objects(boxes: Sequence[Box]) -> str:
    if not boxes:
        return ""
    best: dict[str, float] = {}
    for box in boxes:
        best.setdefault(box.label, box.score)
    counts = Counter(box.label for box in boxes)
    shown = [f"{counts[n]} x {n} {s:.2f}" if counts[n] > 1 else f"{n} {s:.2f}" for n, s in list(best.items())[:3]]
    return f"sees {', '.join(shown)}"
