"""Evaluates the rules of one camera, window by window: score, place, time, and agreement of picture and sound.

The value is the label's score while the rule holds, 0 when it does not, and None when there is no evidence either way.
Agreement follows from the model's own ablations: what each modality alone would give. Called on the engine thread, with
the camera's windows in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp
from typing import Literal

from edge.config.models import Config
from edge.config.rules import RuleConfig
from edge.config.schedule import parse_schedules
from edge.detect.composite import AllOfMatcher, CompositeMatcher, EventChain, SequenceMatcher
from edge.detect.rules import DEFAULT_WITHIN_S, DEFAULTS, objects_of, places_on
from edge.detect.schedule import ActiveHours
from edge.detect.tracking import PlaceCondition, TrackedObject, TrackedScene
from edge.engine.manifest import Label, Manifest
from edge.types import Contribution, Scores, nanoseconds

_ANYWHERE = PlaceCondition()
LEAST_AGREEMENT = 0.2
"""The probability that picture alone and sound alone must each reach. In the sample clip the sound alone gives fire at
most 0.06 in ordinary windows, and 0.66 during a fire."""
_SURE = 1e-9
_MOST = 50.0


@dataclass(frozen=True, slots=True)
class RuleResult:
    """The result of one rule in one window.

    ``label`` is the label of the score, ``objects`` are the objects that match, ``before`` are the earlier parts of a
    composite rule, as (label, seconds ago, value). ``gate`` is the condition that made ``score`` 0, or None for lack
    of coverage.
    """

    value: float | None
    label: str
    objects: tuple[TrackedObject, ...] = ()
    before: tuple[tuple[str, float, float], ...] = ()
    gate: Literal["", "place", "time", "agree", "schedule", "coverage"] = ""
    score: float = 0.0


class RuleEvaluator:
    """The rules of one camera with their state."""

    def __init__(self, camera: str, config: Config, manifest: Manifest) -> None:
        """``manifest`` comes without custom events."""
        self._camera = camera
        self._manifest = manifest
        self._labels = {label.name: label for label in manifest.labels}
        self._scene = TrackedScene(manifest)
        self._rules: dict[str, _RuleState] = {}
        self._hours: dict[tuple[object, object], ActiveHours] = {}
        self._config = config
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """Apply new rules, places and hours; tracks of objects stay."""
        before, self._rules, self._config = self._rules, {}, config
        self._scene.set_zones(config.cameras.get(self._camera))
        self._hours.clear()
        for name in dict.fromkeys([*self._labels, *(name for name in config.events if name != DEFAULTS)]):
            rule = config.events.get(name, RuleConfig())
            parts = rule.parts or (name,)
            if all(part in self._labels for part in parts):
                known = before.get(name)
                memory = known.matcher if known is not None and known.rule == rule else _matcher(rule)
                self._rules[name] = _RuleState(
                    rule, tuple(self._part(part, rule) for part in parts), memory, self._on(rule)
                )

    def evaluate(
        self, scores: Scores, names: Sequence[str], wall_ns: int, *, is_covered: bool
    ) -> dict[str, RuleResult] | None:
        """The results of the rules ``names`` in this window, which ended at Unix time ``wall_ns``; None when it is not
        newer than the last. ``is_covered``: it has enough coverage to be scored."""
        t_ns = self._scene.advance(scores, is_covered=is_covered)
        if t_ns is None:
            return None
        results = {}
        for name in names:
            view = self._rules[name]
            result = view.evaluate(scores, t_ns, self._scene) if is_covered else view.uncovered(scores, t_ns)
            if result.value and not view.hours.is_on(wall_ns):
                result = replace(result, value=0.0, gate="schedule", score=result.value)
            results[name] = result
        return results

    def follows(self, names: Sequence[str]) -> bool:
        """Whether one of the rules ``names`` asks for a place and an object came lately that it may apply to."""
        return any(
            part.place is not None and self._scene.has_new(part.label.name)
            for name in names
            for part in self._rules[name].parts
        )

    def _part(self, name: str, rule: RuleConfig) -> _RulePart:
        classes = objects_of(name, self._manifest)
        place = None
        if classes and rule.has_place:
            place = PlaceCondition(
                places_on(rule.zones, self._config, self._camera, "zones"),
                places_on(rule.lines, self._config, self._camera, "lines"),
                rule.direction or "any",
                nanoseconds(rule.after_s or 0.0),
            )
        return _RulePart(self._labels[name], place, bool(rule.agree))

    def _on(self, rule: RuleConfig) -> ActiveHours:
        """Rules with the same hours share them."""
        schedule = rule.schedule or self._config.events.get(DEFAULTS, RuleConfig()).schedule
        key = (schedule, self._config.location)
        if key not in self._hours:
            self._hours[key] = ActiveHours(parse_schedules(schedule), self._config.location)
        return self._hours[key]


@dataclass(frozen=True, slots=True)
class _RulePart:
    """One label of a rule, with its conditions."""

    label: Label
    place: PlaceCondition | None
    agree: bool

    def evaluate(self, scores: Scores, scene: TrackedScene) -> RuleResult:
        name = self.label.name
        value = scores.values.get(name) if is_observable(self.label, scores) else None
        if value is None:
            return RuleResult(None, name)
        if (self.agree and not (scores.video_ok and scores.audio_ok)) or (self.place and not scores.video_ok):
            return RuleResult(None, name, gate="coverage", score=value)
        found = scene.objects(name, self.place or _ANYWHERE)
        if self.place is not None and not found:
            is_there = self.place.after_ns > 0 and bool(scene.objects(name, replace(self.place, after_ns=0)))
            return RuleResult(0.0, name, gate="time" if is_there else "place", score=value)
        added = scores.contribution.get(name)
        if self.agree and (added is None or not agree(value, added)):
            return RuleResult(0.0, name, found, gate="agree", score=value)
        return RuleResult(value, name, found)

    def uncovered(self, scores: Scores) -> RuleResult:
        """The result for a window with too little coverage."""
        value = scores.values.get(self.label.name, 0.0) if is_observable(self.label, scores) else 0.0
        return RuleResult(None, self.label.name, gate="coverage", score=value)


@dataclass(frozen=True, slots=True)
class _RuleState:
    """One rule: its parts, and how they combine."""

    rule: RuleConfig
    parts: tuple[_RulePart, ...]
    matcher: CompositeMatcher | None
    hours: ActiveHours

    def evaluate(self, scores: Scores, t_ns: int, scene: TrackedScene) -> RuleResult:
        if len(self.parts) == 1:
            return self.parts[0].evaluate(scores, scene)
        results = [part.evaluate(scores, scene) for part in self.parts]
        if self.matcher is None:
            there = [result for result in results if result.value is not None]
            return max(there or results, key=lambda look: (look.value or 0.0, look.score))
        times = max(sum(len(found.crossings) for found in look.objects) for look in results)
        chain = self.matcher.advance(t_ns, [look.value for look in results], times)
        return self._composed(chain, t_ns, results)

    def uncovered(self, scores: Scores, t_ns: int) -> RuleResult:
        """The result for a window with too little coverage."""
        if self.matcher is not None:
            self.matcher.advance(t_ns, [None] * len(self.parts))
            return RuleResult(None, self.parts[0].label.name)
        return max((part.uncovered(scores) for part in self.parts), key=lambda result: result.score)

    def _composed(self, chain: EventChain | None, t_ns: int, results: Sequence[RuleResult]) -> RuleResult:
        last = results[-1]
        if chain is None:
            return RuleResult(None, last.label)
        if not chain.links:
            return RuleResult(0.0, last.label, gate=last.gate)
        *earlier, newest = chain.links
        before = tuple((results[link.part].label, (t_ns - link.t_ns) / 1e9, link.value) for link in earlier)
        there = [results[newest.part], *results]
        found = next((look.objects for look in there if look.objects), ())
        return RuleResult(chain.value, results[newest.part].label, found, before)


def is_observable(label: Label, scores: Scores) -> bool:
    """Whether a modality that can evidence the label was present; without one the score is only a prior.

    The graph masks the contribution of a missing modality to exactly zero, by which missing sensors are recognised.
    """
    modalities = label.modalities
    if (scores.video_ok and "video" in modalities) or (scores.audio_ok and "audio" in modalities):
        return True
    contribution = scores.contribution.get(label.name) if "sensors" in modalities else None
    return contribution is not None and contribution.sensors != 0.0


def _matcher(rule: RuleConfig) -> CompositeMatcher | None:
    within_ns = nanoseconds(rule.within_s or DEFAULT_WITHIN_S)
    if rule.sequence is not None:
        return SequenceMatcher(len(rule.sequence), within_ns, repeats=len(set(rule.sequence)) < len(rule.sequence))
    return AllOfMatcher(len(rule.all_of), within_ns) if rule.all_of is not None else None


def modality_probabilities(value: float, added: Contribution) -> tuple[float, float]:
    """The probabilities that picture alone and sound alone would give, 0..1, for a label of probability ``value``.

    A contribution is the log-odds with everything less those without that modality. The modalities are joined by a
    soft-or, so one adds almost nothing when the other is sure; what is left without the other is its own evidence. The
    contribution of sensors is subtracted from both.
    """
    odds = value / max(1.0 - value, _SURE)
    by_sensors = max(1.0 - _less(added.sensors), 0.0)
    picture, sound = (odds * max(_less(other) - by_sensors, 0.0) for other in (added.audio, added.video))
    return picture / (1.0 + picture), sound / (1.0 + sound)


def agree(value: float, added: Contribution) -> bool:
    """Whether picture and sound both support the label."""
    return min(modality_probabilities(value, added)) >= LEAST_AGREEMENT


def _less(log_odds: float) -> float:
    """The share of the odds that is left without ``log_odds``."""
    return exp(min(-log_odds, _MOST))
