"""The labels and objects of the rules in config.yaml, custom events, and where a rule's values come from. Pure.

A custom event is a label like any other to thresholds, topics and discovery (`custom_labels`). A value comes from a
command, from the rule itself, from learning, from the defaults, or from the model's advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TypeVar

from edge.config.models import Config
from edge.config.rules import RuleConfig
from edge.engine.manifest import CLASSES_BY_LABEL, MODALITIES, Label, Manifest

DEFAULTS = "defaults"
DEFAULT_WITHIN_S = 30.0
NAME_PATTERN = re.compile(r"^[a-z][a-z0-9_]{0,63}$")
_T = TypeVar("_T")


def objects_of(label: str, manifest: Manifest) -> frozenset[str]:
    """The object classes of the model that evidence ``label``; empty when it has no place in the picture."""
    return frozenset(CLASSES_BY_LABEL.get(label, ())) & frozenset(manifest.classes)


def custom_rules(config: Config) -> dict[str, RuleConfig]:
    """The rules that define custom events, by name."""
    return {name: rule for name, rule in config.events.items() if name != DEFAULTS and rule.is_composed}


def custom_labels(config: Config, manifest: Manifest) -> tuple[Label, ...]:
    """Custom events as labels, with thresholds that follow from those of their parts.

    A rule for any of several labels takes their highest advice, so that none triggers more easily than alone. A rule
    for several together takes the lowest, because each confirms the others. Rules with unknown parts or invalid names
    are left out; `edge.detect.validation.validate` reports them.
    """
    own = custom_rules(config)
    known = {label.name: label for label in manifest.labels if label.name not in own}
    return tuple(
        _composed(name, rule, [known[part] for part in rule.parts])
        for name, rule in own.items()
        if NAME_PATTERN.match(name) and all(part in known for part in rule.parts)
    )


def adjusted_advice(rule: RuleConfig, label: Label) -> Label:
    """``label`` with advice adjusted to ``rule``: a crossing has no duration, and loitering has waited already."""
    return label.model_copy(update={"min_s": 0.0}) if rule.lines or rule.after_s else label


def applies(rule: RuleConfig, config: Config, camera: str) -> bool:
    """Whether the rule applies to ``camera``: it is among its cameras, and has one of its zones and lines."""
    if rule.cameras is not None and camera not in rule.cameras:
        return False
    return all(
        not wanted or bool(places_on(wanted, config, camera, kind))
        for wanted, kind in ((rule.zones, "zones"), (rule.lines, "lines"))
    )


def places_on(wanted: Iterable[str] | None, config: Config, camera: str, kind: str) -> tuple[str, ...]:
    """The ``wanted`` zones or lines (``kind``) that ``camera`` has."""
    there = getattr(config.cameras[camera], kind) if camera in config.cameras else {}
    return tuple(name for name in wanted or () if name in there)


def _composed(name: str, rule: RuleConfig, parts: Sequence[Label]) -> Label:
    choose = max if rule.when is not None else min
    enter = choose(part.enter for part in parts)
    modalities = {modality for part in parts for modality in part.modalities}
    label = Label(
        name=name,
        modalities=tuple(modality for modality in MODALITIES if modality in modalities),
        enter=enter,
        leave=min(choose(part.leave for part in parts), enter),
        min_s=choose(part.min_s for part in parts),
    )
    return adjusted_advice(rule, label)


class ValueOrigin(str, Enum):
    """Where a value came from; ``default`` is the model's advice or built in."""

    DEFAULT = "default"
    LEARNED = "learned"
    CONFIG = "config"
    COMMAND = "command"


def first_given(own: _T | None, defaults: _T | None, otherwise: _T) -> tuple[_T, ValueOrigin]:
    """The first value that is not None, and its origin."""
    for value in (own, defaults):
        if value is not None:
            return value, ValueOrigin.CONFIG
    return otherwise, ValueOrigin.DEFAULT


def enter_and_leave(
    command: float | None, own: RuleConfig, learned: float | None, defaults: RuleConfig, advice: Label
) -> tuple[float, ValueOrigin, float, ValueOrigin]:
    """enter and leave with their origins. A leave that was set together with, or below, another enter than the one in
    force belongs to that one; 2/3 of enter is used instead. ``defaults.enter`` is a minimum for every label: it raises
    the model's advice and never lowers it.
    """
    levels: tuple[tuple[ValueOrigin, float | None, float | None], ...] = (
        (ValueOrigin.COMMAND, command, None),
        (ValueOrigin.CONFIG, own.enter, own.leave),
        (ValueOrigin.LEARNED, learned, None),
        (ValueOrigin.CONFIG, *_raising(defaults, advice)),
        (ValueOrigin.DEFAULT, advice.enter, advice.leave),
    )
    leave: tuple[float, ValueOrigin] | None = None
    for origin, enter, own_leave in levels:
        if own_leave is not None and leave is None:
            leave = own_leave, origin
        if enter is not None:
            value, leave_from = leave or (round(enter * 2 / 3, 4), origin)
            return enter, origin, min(value, enter), leave_from
    raise AssertionError("a label always advises enter")


def _raising(defaults: RuleConfig, advice: Label) -> tuple[float | None, float | None]:
    """enter and leave of ``defaults``, as far as they apply to a label with this advice."""
    if defaults.enter is not None and defaults.enter < advice.enter:
        return None, None
    return defaults.enter, defaults.leave
