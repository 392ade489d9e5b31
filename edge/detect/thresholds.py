"""Which thresholds hold for each camera and label, and where each value came from.

Highest first: a runtime command (enter only), ``events.<label>``, what quiet time taught where false alarms a day are
asked for (enter only), ``events.defaults``, the model's advice, built-in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from edge.config.load import KeyPath, nearest
from edge.config.models import Config
from edge.config.rules import Rule
from edge.engine.manifest import Label, Manifest
from edge.errors import InputError

DEFAULTS = "defaults"
ANOMALY = "anomaly"
COOLDOWN_S = 30.0
SEVERITY = "alert"
_T = TypeVar("_T")


class Origin(str, Enum):
    """Where a value came from; ``default`` is the model's advice or built in."""

    DEFAULT = "default"
    LEARNED = "learned"
    CONFIG = "config"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds for one camera and label; ``origins`` has one entry a value, by its name."""

    camera: str
    label: str
    enter: float
    leave: float
    min_s: float
    cooldown_s: float
    severity: str
    enabled: bool
    origins: Mapping[str, Origin]


class Thresholds:
    """The configuration's rules and the commands given since."""

    def __init__(self, config: Config, manifest: Manifest, cameras: Iterable[str] | None = None) -> None:
        """``cameras`` are those of the configuration unless given."""
        self._labels = {label.name: label for label in manifest.labels}
        self._cameras: tuple[str, ...] = ()
        self._fixed_cameras = None if cameras is None else tuple(cameras)
        self._events: Mapping[str, Rule] = {}
        self._anomaly_rate: float | None = None
        self._commands: dict[tuple[str, str], float] = {}
        self._learned: Mapping[str, float] = {}
        self._disarmed: set[str] = set()
        self.replace(config)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras known now."""
        return self._cameras

    @property
    def commands(self) -> Mapping[tuple[str, str], float]:
        """Enter thresholds set by command, by (camera, label)."""
        return dict(self._commands)

    def replace(self, config: Config) -> None:
        """Take over another configuration; commands for cameras that are still there stay in force."""
        self._cameras = tuple(config.cameras) if self._fixed_cameras is None else self._fixed_cameras
        self._events = config.events
        self._anomaly_rate = config.anomaly.false_alarms_per_day if config.anomaly is not None else None
        self._commands = {key: value for key, value in self._commands.items() if key[0] in self._cameras}
        self._disarmed &= set(self._cameras)

    def effective(self, camera: str, label: str) -> Effective:
        """The values in force; InputError for a camera or label that is not known."""
        advice = self._labels[self._known("label", label, list(self._labels))]
        self._known("camera", camera, list(self._cameras))
        own, defaults = self._events.get(label, Rule()), self._events.get(DEFAULTS, Rule())
        command, taught = self._commands.get((camera, label)), self._learned.get(label)
        enter, enter_from, leave, leave_from = _pair(command, own, taught, defaults, advice)
        min_s, min_from = _first(own.min_s, defaults.min_s, advice.min_s)
        cooldown_s, cooldown_from = _first(own.cooldown_s, defaults.cooldown_s, COOLDOWN_S)
        severity, severity_from = _first(own.severity, defaults.severity, SEVERITY)
        enabled, enabled_from = _first(own.enabled, defaults.enabled, True)
        origins = {
            "enter": enter_from,
            "leave": leave_from,
            "min_s": min_from,
            "cooldown_s": cooldown_from,
            "severity": severity_from,
            "enabled": enabled_from,
        }
        return Effective(camera, label, enter, leave, min_s, cooldown_s, severity, enabled, origins)

    def listing(self) -> list[Effective]:
        """Everything in force, by camera and label."""
        return [self.effective(camera, label) for camera in self._cameras for label in self._labels]

    def set(self, camera: str, label: str, value: float | None) -> Effective:
        """A new enter threshold by command (None takes the command back); InputError when it cannot be."""
        self.effective(camera, label)
        if value is None:
            self._commands.pop((camera, label), None)
            return self.effective(camera, label)
        if not (math.isfinite(value) and 0 < value <= 1):
            raise InputError(f"threshold of {camera}/{label}: {value} is not a number above 0 and at most 1")
        self._commands[camera, label] = float(value)
        return self.effective(camera, label)

    def rates(self) -> dict[str, float]:
        """The labels whose enter threshold is to follow from so many false alarms a day, and how many."""
        own = {label: self._events.get(label, Rule()) for label in self._labels}
        general = self._events.get(DEFAULTS, Rule()).false_alarms_per_day
        wanted = {
            label: rule.false_alarms_per_day or (general if rule.enter is None else None) for label, rule in own.items()
        }
        if ANOMALY in wanted and wanted[ANOMALY] is None and own[ANOMALY].enter is None:
            wanted[ANOMALY] = self._anomaly_rate
        return {label: rate for label, rate in wanted.items() if rate is not None}

    def learn(self, enter: Mapping[str, float]) -> None:
        """Enter thresholds that quiet time gave for labels of `rates`; others are as if none had been learned.

        None goes below half of the model's advice: where nothing was ever near, rare noise would be an alarm.
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
            raise InputError(f"no {what} {name!r}; {nearest(name, valid)}")
        return name


def check(config: Config, manifest: Manifest) -> list[tuple[KeyPath, str]]:
    """What in the configuration does not fit the model, as (key path, message)."""
    labels = {label.name: label for label in manifest.labels}
    faults: list[tuple[KeyPath, str]] = []
    for name, rule in config.events.items():
        if name == DEFAULTS:
            continue
        if name not in labels:
            faults.append((("events", name), f"the model knows no such event; {nearest(name, [*labels, DEFAULTS])}"))
            continue
        enter = _pair(None, rule, None, config.events.get(DEFAULTS, Rule()), labels[name])[0]
        if rule.leave is not None and rule.leave > enter:
            faults.append(
                (
                    ("events", name, "leave"),
                    f"is above the enter in force ({enter:g}): an event would end as it begins; lower it or give enter",
                )
            )
    return faults + _check_defaults(config, labels.values()) + _check_sensors(config, manifest)


def _check_defaults(config: Config, labels: Iterable[Label]) -> list[tuple[KeyPath, str]]:
    defaults = config.events.get(DEFAULTS, Rule())
    if defaults.leave is None or defaults.enter is not None:
        return []
    above = [label.name for label in labels if defaults.leave > label.enter]
    if not above:
        return []
    message = f"is above the model's enter for {', '.join(above)}; give enter with it"
    return [(("events", DEFAULTS, "leave"), message)]


def _check_sensors(config: Config, manifest: Manifest) -> list[tuple[KeyPath, str]]:
    known = [channel.name for channel in manifest.geometry.sensors]
    hint = "the model takes no sensors; remove it"
    return [
        (
            ("cameras", camera, "sensors", name),
            f"the model knows no such sensor; {nearest(name, known) if known else hint}",
        )
        for camera, spec in config.cameras.items()
        for name in spec.sensors
        if name not in known
    ]


def _first(own: _T | None, defaults: _T | None, otherwise: _T) -> tuple[_T, Origin]:
    for value in (own, defaults):
        if value is not None:
            return value, Origin.CONFIG
    return otherwise, Origin.DEFAULT


def _pair(
    command: float | None, own: Rule, taught: float | None, defaults: Rule, advice: Label
) -> tuple[float, Origin, float, Origin]:
    """enter and leave. A leave below the level that sets enter was meant for another enter: 2/3 of enter then."""
    levels: tuple[tuple[Origin, float | None, float | None], ...] = (
        (Origin.COMMAND, command, None),
        (Origin.CONFIG, own.enter, own.leave),
        (Origin.LEARNED, taught, None),
        (Origin.CONFIG, defaults.enter, defaults.leave),
        (Origin.DEFAULT, advice.enter, advice.leave),
    )
    leave: tuple[float, Origin] | None = None
    for origin, enter, own_leave in levels:
        if own_leave is not None and leave is None:
            leave = own_leave, origin
        if enter is not None:
            value, leave_from = leave or (round(enter * 2 / 3, 4), origin)
            return enter, origin, min(value, enter), leave_from
    raise AssertionError("a label always advises enter")
