"""The thresholds in force for each camera and label, and the origin of each value. On the engine thread.

By precedence: a runtime command (enter only), ``events.<label>``, the value learned from quiet time for a rate of false
alarms (enter only), ``events.defaults``, the model's advice, built-in. ``events.defaults.enter`` raises the model's
advice and never lowers it, because the advice was chosen for each label and the default was not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from edge.config.load import name_hint
from edge.config.models import Config
from edge.config.rules import RuleConfig
from edge.config.values import percent_hint
from edge.detect.limits import EventLimits, LimitKind
from edge.detect.rules import (
    DEFAULTS,
    ValueOrigin,
    adjusted_advice,
    applies,
    custom_labels,
    custom_rules,
    enter_and_leave,
    first_given,
)
from edge.detect.validation import validate
from edge.engine.manifest import Label, Manifest
from edge.errors import InputError
from edge.types import nanoseconds

__all__ = ["EffectiveThreshold", "Thresholds", "ValueOrigin", "validate"]

ANOMALY = "anomaly"
COOLDOWN_S = 30.0
MERGE_S = 3.0
MOST_PER_HOUR = 12
SEVERITY = "alert"


@dataclass(frozen=True, slots=True)
class EffectiveThreshold:
    """The settings in force for one camera and label; ``origins`` has the origin of each value, by its name.

    ``enabled`` is also False when the rule does not apply to this camera.
    """

    camera: str
    label: str
    enter: float
    leave: float
    min_s: float
    merge_s: float
    cooldown_s: float
    most_per_hour: int
    severity: str
    enabled: bool
    even_disarmed: bool
    origins: Mapping[str, ValueOrigin]

    @property
    def limit(self) -> LimitKind:
        """The kind of the limit: a configured `most_per_hour` is strict; the default for alerts holds back only
        repetitions."""
        if self.origins["most_per_hour"] is not ValueOrigin.DEFAULT:
            return LimitKind.HARD
        return LimitKind.REPETITIONS if self.severity == SEVERITY else LimitKind.SPACED

    @property
    def limits(self) -> EventLimits:
        """The settings as `EventLimits`."""
        times = (nanoseconds(self.min_s), nanoseconds(self.cooldown_s), nanoseconds(self.merge_s))
        return EventLimits(self.enter, self.leave, *times, self.most_per_hour, self.limit)


class Thresholds:
    """Thresholds from the configuration's rules and later commands."""

    def __init__(self, config: Config, manifest: Manifest, cameras: Iterable[str] | None = None) -> None:
        """``cameras`` are those of the configuration unless given; custom events are added to the labels."""
        self._manifest = manifest
        self._labels: Mapping[str, Label] = {}
        self._own: frozenset[str] = frozenset()
        self._config = config
        self._cameras: tuple[str, ...] = ()
        self._fixed_cameras = None if cameras is None else tuple(cameras)
        self._events: Mapping[str, RuleConfig] = {}
        self._anomaly_rate: float | None = None
        self._commands: dict[tuple[str, str], float] = {}
        self._learned: Mapping[str, float] = {}
        self._disarmed: set[str] = set()
        self.reconfigure(config)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The current cameras."""
        return self._cameras

    @property
    def labels(self) -> tuple[Label, ...]:
        """The model's labels and custom events."""
        return tuple(self._labels.values())

    def label(self, name: str) -> Label:
        """The label with this name, which must exist."""
        return self._labels[name]

    def advice(self, label: str) -> Label:
        """The model's advice for ``label``, adjusted to its rule; InputError for an unknown label."""
        known = self._labels[self._known("label", label, list(self._labels))]
        return adjusted_advice(self._events.get(label, RuleConfig()), known)

    def reconfigure(self, config: Config) -> None:
        """Apply a new configuration; commands for cameras that still exist stay in force."""
        self._config = config
        own = custom_labels(config, self._manifest)
        self._labels = {label.name: label for label in self._manifest.with_labels(own).labels}
        self._own = frozenset(custom_rules(config))
        self._cameras = tuple(config.cameras) if self._fixed_cameras is None else self._fixed_cameras
        self._events = config.events
        self._anomaly_rate = config.anomaly.false_alarms_per_day if config.anomaly is not None else None
        self._commands = {key: value for key, value in self._commands.items() if key[0] in self._cameras}
        self._disarmed &= set(self._cameras)

    def effective(self, camera: str, label: str) -> EffectiveThreshold:
        """The values in force; InputError for an unknown camera or label."""
        advice = self.advice(label)
        self._known("camera", camera, list(self._cameras))
        own, defaults = self._events.get(label, RuleConfig()), self._events.get(DEFAULTS, RuleConfig())
        command, taught = self._commands.get((camera, label)), self._learned.get(label)
        enter, enter_from, leave, leave_from = enter_and_leave(command, own, taught, defaults, advice)
        min_s, min_from = first_given(own.min_s, None if own.lines else defaults.min_s, advice.min_s)
        merge_s, merge_from = first_given(own.merge_s, defaults.merge_s, MERGE_S)
        cooldown_s, cooldown_from = first_given(own.cooldown_s, defaults.cooldown_s, COOLDOWN_S)
        most, most_from = first_given(own.most_per_hour, defaults.most_per_hour, MOST_PER_HOUR)
        severity, severity_from = first_given(own.severity, defaults.severity, SEVERITY)
        enabled, enabled_from = first_given(own.enabled, defaults.enabled, True)
        even_disarmed, even_from = first_given(own.even_disarmed, defaults.even_disarmed, False)
        if not applies(own, self._config, camera):
            enabled, enabled_from = False, ValueOrigin.CONFIG
        origins = {
            "enter": enter_from,
            "leave": leave_from,
            "min_s": min_from,
            "merge_s": merge_from,
            "cooldown_s": cooldown_from,
            "most_per_hour": most_from,
            "severity": severity_from,
            "enabled": enabled_from,
            "even_disarmed": even_from,
        }
        return EffectiveThreshold(
            camera, label, enter, leave, min_s, merge_s, cooldown_s, most, severity, enabled, even_disarmed, origins
        )

    def all_effective(self) -> list[EffectiveThreshold]:
        """All values in force, by camera and label."""
        return [self.effective(camera, label) for camera in self._cameras for label in self._labels]

    def set(self, camera: str, label: str, value: float | None) -> EffectiveThreshold:
        """Set an enter threshold by command (None removes it); InputError when it is not valid."""
        self.effective(camera, label)
        if value is None:
            self._commands.pop((camera, label), None)
            return self.effective(camera, label)
        if not (math.isfinite(value) and 0 < value <= 1):
            subject = f"threshold of {camera}/{label}: {value} is not a number above 0 and at most 1"
            raise InputError(f"{subject}{percent_hint(value)}")
        self._commands[camera, label] = float(value)
        return self.effective(camera, label)

    def rates(self) -> dict[str, float]:
        """False alarms per day of the labels whose enter threshold is learned from such a rate."""
        own = {label: self._events.get(label, RuleConfig()) for label in self._labels if label not in self._own}
        general = self._events.get(DEFAULTS, RuleConfig()).false_alarms_per_day
        wanted = {
            label: rule.false_alarms_per_day or (general if rule.enter is None else None) for label, rule in own.items()
        }
        if ANOMALY in wanted and wanted[ANOMALY] is None and own[ANOMALY].enter is None:
            wanted[ANOMALY] = self._anomaly_rate
        return {label: rate for label, rate in wanted.items() if rate is not None}

    def learn(self, enter: Mapping[str, float]) -> None:
        """Set the enter thresholds learned from quiet time for labels of `rates`; others lose theirs.

        A learned threshold is at least half of the model's advice: where no score ever came near, rare noise would
        raise an alarm.
        """
        least = {label: self._labels[label].enter / 2 for label in self.rates()}
        self._learned = {label: max(value, least[label]) for label, value in enter.items() if label in least}

    def is_armed(self, camera: str) -> bool:
        """Whether events of ``camera`` may begin."""
        return camera not in self._disarmed

    def set_armed(self, camera: str, armed: bool) -> None:
        """Arm or disarm; InputError for an unknown camera."""
        self._known("camera", camera, list(self._cameras))
        if armed:
            self._disarmed.discard(camera)
        else:
            self._disarmed.add(camera)

    @staticmethod
    def _known(what: str, name: str, valid: list[str]) -> str:
        if name not in valid:
            raise InputError(f"no {what} {name!r}; {name_hint(name, valid)}")
        return name
