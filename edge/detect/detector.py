"""Scores and facts in, events out: composes thresholds, hysteresis, health and the explanation.

All calls on one thread, the engine's. Event ids follow from what happened and when, so a replay gives the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from edge.clock import Clock
from edge.config.models import Config
from edge.detect import explain
from edge.detect.health import SEVERITIES, SEVERITY, CameraHealth, HealthStep
from edge.detect.hysteresis import Hysteresis, Limits, Sample, Step
from edge.detect.thresholds import Effective, Thresholds
from edge.engine.manifest import Label, Manifest
from edge.types import CameraFacts, Event, Kind, Phase, RuleValues, Scores, nanoseconds


@dataclass(frozen=True, slots=True)
class _Rule:
    label: Label
    limits: Limits
    severity: str


class Detector:
    """Events of all cameras, of the scene and of the equipment."""

    def __init__(
        self, config: Config, manifest: Manifest, clock: Clock, *, cameras: Iterable[str] | None = None
    ) -> None:
        """``cameras`` are those of ``config`` unless given. What does not fit the model: `thresholds.check` first."""
        self._config = config
        self._clock = clock
        self._hop_ns = manifest.geometry.hop_ns
        self._labels = {label.name: label for label in manifest.labels}
        self._thresholds = Thresholds(config, manifest, cameras)
        self._rules: dict[str, tuple[_Rule, ...]] = {}
        self._states: dict[tuple[str, str], Hysteresis] = {}
        self._health: dict[str, CameraHealth] = {}
        self._open: dict[tuple[str, str], Event] = {}

    def scores(self, scores: Scores) -> list[Event]:
        """What one window's scores began, changed or ended. Too little coverage is a hole."""
        is_covered = scores.coverage >= self._config.windows.min_coverage
        events: list[Event] = []
        for rule in self._rules_of(scores.camera):
            label = rule.label
            value = scores.values.get(label.name) if is_covered and _was_looked_for(label, scores) else None
            sample = Sample(scores.t_end_ns, scores.media_end_ns, scores.epoch, value)
            steps = self._state(scores.camera, label.name).advance(sample, rule.limits)
            events += [self._event(scores.camera, rule, step, scores) for step in steps]
        return events

    def rule_values(self, scores: Scores) -> RuleValues:
        """What the rules looked at in the camera's newest window, which ``scores`` are of."""
        values = {
            rule.label.name: scores.values.get(rule.label.name) if _was_looked_for(rule.label, scores) else None
            for rule in self._rules_of(scores.camera)
        }
        return RuleValues(scores.camera, scores.t_end_ns, scores.media_end_ns, scores.epoch, values)

    def expire(self, camera: str, now_ns: int) -> list[Event]:
        """End as lost what had no window for too long before ``now_ns``."""
        return [
            self._event(camera, self._rule(camera, label), step, None)
            for (owner, label), state in self._states.items()
            if owner == camera
            for step in state.expire(now_ns)
        ]

    def health(self, facts: CameraFacts) -> list[Event]:
        """What the camera's facts began or ended; also notices events that are lost for want of scores."""
        state = self._health.setdefault(facts.camera, CameraHealth())
        steps = state.advance(facts, self._config.health)
        return [*self.expire(facts.camera, facts.now_ns), *(self._health_event(facts.camera, s) for s in steps)]

    def end_all(self, reason: str, now_ns: int) -> list[Event]:
        """End every open event: those of the scene at their last score, those of the equipment at ``now_ns``."""
        events = self._end(self._states, reason)
        for camera, state in self._health.items():
            events += [self._health_event(camera, step) for step in state.end(reason, now_ns)]
        return events

    def reconfigure(self, config: Config) -> list[Event]:
        """Take over another configuration: open events go on under the new limits; those switched off end."""
        self._config = config
        self._thresholds.replace(config)
        self._rules.clear()
        known = set(self._thresholds.cameras)
        off = {key for key in self._states if key[0] not in known or not self._is_enabled(*key)}
        events = self._end(off, "disabled")
        for key in off:
            del self._states[key]
        for camera in set(self._health) - known:
            steps = self._health.pop(camera).end("disabled", self._clock.mono_ns())
            events += [self._health_event(camera, step) for step in steps]
        return events

    def set_threshold(self, camera: str, label: str, value: float | None) -> Effective:
        """A new enter threshold by command, None to take it back; InputError when it cannot be."""
        effective = self._thresholds.set(camera, label, value)
        self._rules.pop(camera, None)
        return effective

    def rates(self) -> dict[str, float]:
        """The labels whose enter threshold is to follow from so many false alarms a day, and how many."""
        return self._thresholds.rates()

    def learn(self, enter: Mapping[str, float]) -> None:
        """Enter thresholds that quiet time gave for labels of `rates`."""
        self._thresholds.learn(enter)
        self._rules.clear()

    def open_labels(self, camera: str) -> tuple[str, ...]:
        """The labels of the scene's events that are open on ``camera``."""
        return tuple(e.label for (owner, _), e in self._open.items() if owner == camera and e.kind is Kind.EVENT)

    def set_armed(self, camera: str, armed: bool) -> list[Event]:
        """Arm or disarm a camera; disarming ends its open events, not those of its equipment. InputError if unknown."""
        self._thresholds.set_armed(camera, armed)
        self._rules.pop(camera, None)
        return [] if armed else self._end([key for key in self._states if key[0] == camera], "disarmed")

    def is_armed(self, camera: str) -> bool:
        """Whether events of ``camera`` may begin."""
        return self._thresholds.is_armed(camera)

    def thresholds(self) -> list[Effective]:
        """All values in force and where they came from, by camera and label."""
        return self._thresholds.listing()

    @property
    def commands(self) -> Mapping[tuple[str, str], float]:
        """Enter thresholds set by command, to be kept over a restart."""
        return self._thresholds.commands

    @property
    def open_events(self) -> tuple[Event, ...]:
        """The newest phase of every event that has begun and not ended."""
        return tuple(self._open.values())

    def _rules_of(self, camera: str) -> tuple[_Rule, ...]:
        if camera not in self._rules:
            armed = self._thresholds.is_armed(camera) and camera in self._thresholds.cameras
            names = [name for name in self._labels if armed and self._is_enabled(camera, name)]
            self._rules[camera] = tuple(self._rule(camera, name) for name in names)
        return self._rules[camera]

    def _rule(self, camera: str, label: str) -> _Rule:
        e = self._thresholds.effective(camera, label)
        limits = Limits(e.enter, e.leave, nanoseconds(e.min_s), nanoseconds(e.cooldown_s))
        return _Rule(self._labels[label], limits, e.severity)

    def _is_enabled(self, camera: str, label: str) -> bool:
        return self._thresholds.effective(camera, label).enabled

    def _state(self, camera: str, label: str) -> Hysteresis:
        key = (camera, label)
        if key not in self._states:
            self._states[key] = Hysteresis(self._hop_ns)
        return self._states[key]

    def _end(self, keys: Iterable[tuple[str, str]], reason: str) -> list[Event]:
        steps = [(key, step) for key in keys for step in self._states[key].end(reason)]
        return [self._continued(key, step, None) for key, step in steps]

    def _event(self, camera: str, rule: _Rule, step: Step, scores: Scores | None) -> Event:
        key = (camera, rule.label.name)
        if step.phase is not Phase.BEGIN:
            return self._continued(key, step, scores)
        wall_ns = self._wall_ns(step.begin_ns)
        event = Event(
            id=self._id(camera, rule.label.name, wall_ns),
            camera=camera,
            kind=Kind.EVENT,
            label=rule.label.name,
            phase=Phase.BEGIN,
            begin_ns=step.begin_ns,
            end_ns=None,
            media_begin_ns=step.media_begin_ns,
            wall_begin_ns=wall_ns,
            score=step.score,
            peak=step.peak,
            threshold=step.threshold,
            severity=rule.severity,
            why=explain.why(rule.label, step, scores),
        )
        self._open[key] = _with_evidence(event, scores)
        return self._open[key]

    def _continued(self, key: tuple[str, str], step: Step, scores: Scores | None) -> Event:
        """A later phase: what was fixed at the beginning stays."""
        begun = self._open.pop(key)
        event = replace(
            begun,
            phase=step.phase,
            end_ns=step.end_ns,
            score=step.score,
            peak=step.peak,
            why=explain.why(self._labels[key[1]], step, scores),
        )
        if step.phase is Phase.END:
            return event
        self._open[key] = _with_evidence(event, scores)
        return self._open[key]

    def _health_event(self, camera: str, step: HealthStep) -> Event:
        key = (camera, step.label)
        if step.phase is Phase.END:
            return replace(self._open.pop(key), phase=Phase.END, end_ns=step.now_ns, score=0.0, why=_over(step))
        wall_ns = self._wall_ns(step.begin_ns)
        self._open[key] = Event(
            id=self._id(camera, step.label, wall_ns),
            camera=camera,
            kind=Kind.HEALTH,
            label=step.label,
            phase=Phase.BEGIN,
            begin_ns=step.begin_ns,
            end_ns=None,
            media_begin_ns=0,
            wall_begin_ns=wall_ns,
            score=1.0,
            peak=1.0,
            threshold=1.0,
            severity=SEVERITIES.get(step.label, SEVERITY),
            why=f"{step.label}: {step.text}",
        )
        return self._open[key]

    def _wall_ns(self, t_ns: int) -> int:
        return self._clock.wall_ns() - (self._clock.mono_ns() - t_ns)

    def _id(self, camera: str, label: str, wall_begin_ns: int) -> str:
        node = self._config.node
        parts = "\0".join((node.site, node.id, camera, label, str(wall_begin_ns)))
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()


def _was_looked_for(label: Label, scores: Scores) -> bool:
    """Whether anything that can evidence the label was there; without it the score is a prior, not a finding.

    The graph masks what a missing modality contributed to exactly zero, which is how missing sensors show.
    """
    there = {"video": scores.video_ok, "audio": scores.audio_ok}
    contribution = scores.contribution.get(label.name)
    there["sensors"] = contribution is not None and contribution.sensors != 0.0
    return any(there[modality] for modality in label.modalities)


def _with_evidence(event: Event, scores: Scores | None) -> Event:
    if scores is None:
        return event
    return replace(
        event,
        contribution=scores.contribution.get(event.label),
        boxes=explain.clear_boxes(scores.boxes),
        tags=tuple(scores.tags.items()),
    )


def _over(step: HealthStep) -> str:
    lasted_s = (step.now_ns - step.begin_ns) / 1e9
    return f"{step.label} ended after {lasted_s:.0f} s: {step.text}"
