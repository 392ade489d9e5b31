"""The detector: scores and camera status in, events out. Composes rules, thresholds, hysteresis, health, explanation.

All calls are on the engine thread. Decisions depend only on the scores, the configuration and the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge.clock import Clock
from edge.config.models import Config
from edge.config.rules import RuleConfig
from edge.demand import WakeReason
from edge.detect import explain
from edge.detect.attention import PictureNeed
from edge.detect.health import CameraHealthMonitor
from edge.detect.hysteresis import EventStep, Hysteresis
from edge.detect.limits import EventLimits, EventSubject, GatedScore, HoldTracker, ScoreSample
from edge.detect.open_events import EventDetails, Key, OpenEvents
from edge.detect.rule_evaluator import RuleEvaluator, RuleResult
from edge.detect.rules import DEFAULTS
from edge.detect.thresholds import EffectiveThreshold, Thresholds
from edge.engine.manifest import Label, Manifest
from edge.status import CameraStatus, HeldBack, HoldReason
from edge.types import Event, Phase, RuleValues, Scores

_GATES = {
    "place": HoldReason.OUTSIDE_ZONE,
    "time": HoldReason.WAITING,
    "agree": HoldReason.NOT_AGREED,
    "schedule": HoldReason.OUTSIDE_SCHEDULE,
    "coverage": HoldReason.LOW_COVERAGE,
}


@dataclass(frozen=True, slots=True)
class _LabelRule:
    """A label and its settings on one camera."""

    name: str
    limits: EventLimits
    severity: str
    even_disarmed: bool


class Detector:
    """Events of all cameras, of the scene and of the equipment."""

    def __init__(
        self, config: Config, manifest: Manifest, clock: Clock, *, cameras: Iterable[str] | None = None
    ) -> None:
        """``cameras`` are those of ``config`` unless given. ``manifest`` comes without custom events, which are added
        here. Call `validation.validate` first, to check that the configuration fits the model."""
        self._config = config
        self._manifest = manifest
        self._clock = clock
        self._thresholds = Thresholds(config, manifest, cameras)
        self._open_events = OpenEvents(config.node, clock)
        self._rules: dict[str, tuple[_LabelRule, ...]] = {}
        self._evaluators: dict[str, RuleEvaluator] = {}
        self._newest: dict[str, RuleValues] = {}
        self._states: dict[Key, Hysteresis] = {}
        self._health: dict[str, CameraHealthMonitor] = {}
        self._hop_ns: dict[str, int] = {}
        self._need = PictureNeed(manifest.labels)

    @property
    def labels(self) -> tuple[Label, ...]:
        """The model's labels, derived labels, and custom events."""
        return self._thresholds.labels

    def scores(self, scores: Scores) -> list[Event]:
        """The events that one window began, updated or ended. Too little coverage counts as a gap; a window that is
        not newer than the camera's last is ignored."""
        camera, rules = scores.camera, self._rules_of(scores.camera)
        if not rules:
            return []
        is_covered = scores.coverage >= self._config.windows.min_coverage
        names = [rule.name for rule in rules]
        results = self._evaluator(camera).evaluate(
            scores, names, self._open_events.wall_ns(scores.t_end_ns), is_covered=is_covered
        )
        if results is None:
            return []
        is_armed = self._thresholds.is_armed(camera)
        active = [rule for rule in rules if is_armed or rule.even_disarmed]
        values = {rule.name: results[rule.name].value for rule in active}
        for rule in rules if not is_armed else ():
            if not rule.even_disarmed:
                self._note_disarmed(rule, scores, results[rule.name])
        self._newest[camera] = RuleValues(camera, scores.t_end_ns, scores.media_end, values)
        return [event for rule in active for event in self._advance(rule, scores, results[rule.name])]

    def rule_values(self, scores: Scores) -> RuleValues:
        """The values that the rules compared with thresholds in the newest window, that of ``scores``.

        Rules that are off or disarmed are left out. A window that was not evaluated has no values.
        """
        newest = self._newest.get(scores.camera)
        if newest is not None and newest.media_end == scores.media_end:
            return newest
        return RuleValues(scores.camera, scores.t_end_ns, scores.media_end, {})

    def wanted(self, scores: Scores) -> WakeReason | None:
        """Why the camera needs all its pictures decoded after this window; None when it does not."""
        camera = scores.camera
        follows = self._evaluator(camera).follows([rule.name for rule in self._rules_of(camera)])
        return self._need.reason(scores, self.open_labels(camera), follows=follows)

    def held_back(self) -> tuple[HeldBack, ...]:
        """What is held back now and was in the last hour, by camera and label."""
        now_ns = self._clock.mono_ns()
        held = (self._held(key, state.holding, now_ns) for key, state in self._states.items())
        return tuple(one for one in held if one is not None)

    def held_ever(self) -> Mapping[tuple[str, str, HoldReason], int]:
        """How many holds ended without an event since the start, by camera, label and reason."""
        return {
            (*key, reason): count for key, state in self._states.items() for reason, count in state.holding.ever.items()
        }

    def expire(self, camera: str, now_ns: int) -> list[Event]:
        """End events as lost that had no window for too long before ``now_ns``."""
        return [
            self._end_event(key, step)
            for key, state in self._states.items()
            if key[0] == camera
            for step in state.expire(now_ns)
        ]

    def health(self, facts: CameraStatus) -> list[Event]:
        """The health events that a camera's status began or ended; also ends events that are lost for lack of
        scores."""
        state = self._health.setdefault(facts.camera, CameraHealthMonitor())
        steps = state.advance(facts, self._config.health)
        return [*self.expire(facts.camera, facts.now_ns), *(self._open_events.health(facts.camera, s) for s in steps)]

    def end_all(self, reason: str, now_ns: int) -> list[Event]:
        """End every open event: scene events at their last sample above ``leave``, health events at ``now_ns``."""
        events = self._end(self._states, reason)
        for camera, state in self._health.items():
            events += [self._open_events.health(camera, step) for step in state.end(reason, now_ns)]
        return events

    def reconfigure(self, config: Config) -> list[Event]:
        """Apply a new configuration, with its zones, lines, rules and location. Open events go on under the new
        limits; those that are switched off end."""
        self._config = config
        self._thresholds.reconfigure(config)
        self._rules.clear()
        known, labels = set(self._thresholds.cameras), {label.name for label in self._thresholds.labels}
        gone = {key for key in self._states if key[0] not in known or key[1] not in labels}
        off = [key for key in self._states if key in gone or not self._is_in_force(*key)]
        events = self._end(off, "disabled")
        for key in gone:
            del self._states[key]
        for camera in set(self._evaluators) - known:
            del self._evaluators[camera]
        for lookout in self._evaluators.values():
            lookout.reconfigure(config)
        for camera in set(self._health) - known:
            steps = self._health.pop(camera).end("disabled", self._clock.mono_ns())
            events += [self._open_events.health(camera, step) for step in steps]
        return events

    def set_threshold(self, camera: str, label: str, value: float | None) -> EffectiveThreshold:
        """Set an enter threshold by command, None to remove it; InputError when it is not valid."""
        effective = self._thresholds.set(camera, label, value)
        self._rules.pop(camera, None)
        return effective

    def rates(self) -> dict[str, float]:
        """False alarms per day of the labels whose enter threshold is learned from such a rate."""
        return self._thresholds.rates()

    def learn(self, enter: Mapping[str, float]) -> None:
        """Set the enter thresholds learned from quiet time for labels of `rates`."""
        self._thresholds.learn(enter)
        self._rules.clear()

    def set_stride(self, camera: str, stride: int) -> None:
        """Expect windows of ``camera`` every ``stride`` hops of the model from now on; that distance is no gap."""
        self._hop_ns[camera] = stride * self._manifest.geometry.hop_ns
        for (owner, _), state in self._states.items():
            if owner == camera:
                state.hop_ns = self._hop_ns[camera]

    def open_labels(self, camera: str) -> tuple[str, ...]:
        """The labels of the scene's events that are open on ``camera``."""
        return self._open_events.open_labels(camera)

    def set_armed(self, camera: str, armed: bool) -> list[Event]:
        """Arm or disarm a camera. Disarming ends its open events, except health events and those of rules with
        ``even_disarmed``. InputError if unknown."""
        self._thresholds.set_armed(camera, armed)
        return self._end([key for key in self._states if key[0] == camera and not self._is_in_force(*key)], "disarmed")

    def is_armed(self, camera: str) -> bool:
        """Whether events of ``camera`` may begin."""
        return self._thresholds.is_armed(camera)

    def thresholds(self) -> list[EffectiveThreshold]:
        """All values in force and their origins, by camera and label."""
        return self._thresholds.all_effective()

    def _rules_of(self, camera: str) -> tuple[_LabelRule, ...]:
        """The rules that are not switched off on ``camera``, armed or not."""
        if camera not in self._rules:
            is_known = camera in self._thresholds.cameras
            found = [self._thresholds.effective(camera, label.name) for label in self.labels if is_known]
            self._rules[camera] = tuple(_limited(e) for e in found if e.enabled)
        return self._rules[camera]

    def _is_in_force(self, camera: str, label: str) -> bool:
        e = self._thresholds.effective(camera, label)
        return e.enabled and (e.even_disarmed or self._thresholds.is_armed(camera))

    def _evaluator(self, camera: str) -> RuleEvaluator:
        if camera not in self._evaluators:
            self._evaluators[camera] = RuleEvaluator(camera, self._config, self._manifest)
        return self._evaluators[camera]

    def _rule(self, name: str) -> RuleConfig:
        """The event's rule with its effective schedule."""
        rule, general = self._config.events.get(name, RuleConfig()), self._config.events.get(DEFAULTS, RuleConfig())
        return rule if rule.schedule is not None else rule.model_copy(update={"schedule": general.schedule})

    def _state(self, key: Key) -> Hysteresis:
        if key not in self._states:
            self._states[key] = Hysteresis(self._hop_ns.get(key[0], self._manifest.geometry.hop_ns))
        return self._states[key]

    def _held(self, key: Key, holding: HoldTracker, now_ns: int) -> HeldBack | None:
        hold, counts = holding.now, holding.this_hour(now_ns)
        if hold is None:
            return HeldBack(*key, holding.enter, counts) if counts else None
        return HeldBack(*key, holding.enter, counts, hold.reason, self._open_events.wall_ns(hold.since_ns), hold.score)

    def _note_disarmed(self, rule: _LabelRule, scores: Scores, result: RuleResult) -> None:
        if result.value is not None:
            gated = GatedScore(HoldReason.DISARMED, result.value)
            sample = ScoreSample(scores.t_end_ns, scores.media_end, None, gated)
            self._state((scores.camera, rule.name)).advance(sample, rule.limits)

    def _advance(self, rule: _LabelRule, scores: Scores, result: RuleResult) -> list[Event]:
        key = (scores.camera, rule.name)
        state = self._state(key)
        zones = (
            dict.fromkeys(zone for found in result.objects for zone in found.zones)
            if result.value and result.objects
            else {}
        )
        if zones:
            self._open_events.add_zones(key, zones)
        gated = GatedScore(_GATES[result.gate], result.score) if result.gate else None
        subject = EventSubject(
            tuple((found.track, found.box) for found in result.objects) if result.value else (), tuple(zones)
        )
        sample = ScoreSample(scores.t_end_ns, scores.media_end, result.value, gated, subject)
        steps = state.advance(sample, rule.limits)
        return [self._event(key, rule.severity, step, scores, result, zones) for step in steps]

    def _event(
        self, key: Key, severity: str, step: EventStep, scores: Scores, result: RuleResult, zones: Iterable[str]
    ) -> Event:
        rule, label = self._rule(key[1]), self._thresholds.label(result.label)
        why = explain.begin_sentence(key[1], label, rule, step, scores, result)
        contribution = scores.contribution.get(result.label)
        shown = EventDetails(contribution, explain.shown_boxes(rule, scores, result), tuple(scores.tags.items()))
        if step.phase is Phase.BEGIN:
            return self._open_events.begin(key, step, severity, why, shown, zones)
        return self._open_events.update(key, step, why, shown)

    def _end(self, keys: Iterable[Key], reason: str) -> list[Event]:
        return [self._end_event(key, step) for key in keys for step in self._states[key].end(reason)]

    def _end_event(self, key: Key, step: EventStep) -> Event:
        return self._open_events.update(key, step, explain.end_sentence(key[1], self._rule(key[1]), step, None), None)


def _limited(e: EffectiveThreshold) -> _LabelRule:
    return _LabelRule(e.label, e.limits, e.severity, e.even_disarmed)
