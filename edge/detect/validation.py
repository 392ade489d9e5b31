"""Checks that the configuration fits the model and itself, before anything runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edge.config.load import KeyPath, name_hint
from edge.config.models import Config
from edge.config.rules import RuleConfig
from edge.detect.health import HEALTH_LABELS
from edge.detect.rules import (
    DEFAULTS,
    NAME_PATTERN,
    adjusted_advice,
    custom_labels,
    custom_rules,
    enter_and_leave,
    objects_of,
)
from edge.engine.manifest import CLASSES_BY_LABEL, Label, Manifest, object_classes_of

Faults = Iterator[tuple[KeyPath, str]]
RESERVED_NAMES = frozenset(
    {*HEALTH_LABELS, "anomaly", "armed", "event", "held_back", "score", "snapshot", "state", "health"}
)
"""Names that have another meaning in topics, or may get one."""
SOUND_ONLY_LABELS = frozenset({"explosion", "gunshot"})
"""Labels whose picture alone does not reach what agreement needs, by the model's training."""
_NOT_FOR_ALL = ("when", "sequence", "all_of", "cameras", "zones", "lines", "after_s", "agree")


def validate(config: Config, manifest: Manifest) -> list[tuple[KeyPath, str]]:
    """All faults as (key path, message). ``manifest`` comes without custom events."""
    return [
        *_check_names(config, manifest),
        *_check_evidence(config, manifest),
        *_check_levels(config, manifest),
        *_check_defaults(config, manifest),
        *_check_sensors(config, manifest),
        *_check_blur(config, manifest),
    ]


def _check_blur(config: Config, manifest: Manifest) -> Faults:
    """A class that the model does not know would blur nothing without a warning."""
    for i, name in enumerate(config.evidence.blur if config.evidence is not None else ()):
        if not object_classes_of([name]) & set(manifest.classes):
            known = [*CLASSES_BY_LABEL, *(one.replace(" ", "_") for one in manifest.classes)]
            yield ("evidence", "blur", i), f"the model sees no {name!r}; {name_hint(name, list(dict.fromkeys(known)))}"


def _check_names(config: Config, manifest: Manifest) -> Faults:
    """Every rule belongs to a label, or defines a custom event of labels."""
    names, own = list(manifest.label_names), custom_rules(config)
    for name, rule in config.events.items():
        if name in own:
            yield from _check_own(name, rule, names, own)
        elif name not in {DEFAULTS, *names}:
            hint = f"{name_hint(name, [*names, DEFAULTS])}; an event of your own needs when, sequence or all_of"
            yield ("events", name), f"the model knows no such event; {hint}"


def _check_own(name: str, rule: RuleConfig, names: list[str], own: Mapping[str, RuleConfig]) -> Faults:
    kind = next(key for key in ("when", "sequence", "all_of") if getattr(rule, key) is not None)
    if name in names:
        yield ("events", name, kind), f"{name!r} is a label already; give your event a name of its own"
    elif name in RESERVED_NAMES:
        yield ("events", name), f"{name!r} stands for something else in topics; choose another name"
    elif not NAME_PATTERN.match(name):
        yield ("events", name), "event names are lower-case letters, digits and _, start with a letter, at most 64"
    for part in dict.fromkeys(rule.parts):
        if part in own:
            yield ("events", name, kind), f"{part!r} is an event of your own; name the labels that it is made of"
        elif part not in names:
            yield ("events", name, kind), f"the model knows no event {part!r}; {name_hint(part, names)}"


def _check_evidence(config: Config, manifest: Manifest) -> Faults:
    """Places need objects, and agreement needs two modalities that can agree."""
    labels = {label.name: label for label in manifest.labels}
    for name, rule in config.events.items():
        parts = [labels[part] for part in (rule.parts or (name,)) if part in labels]
        if name == DEFAULTS or not parts:
            continue
        yield from _check_places(name, rule, parts, manifest)
        if rule.agree:
            for label in parts:
                if not {"video", "audio"} <= set(label.modalities):
                    reason = " and ".join(label.modalities)
                    yield ("events", name, "agree"), f"{label.name} goes by {reason} alone: there is nothing to agree"
                elif label.name in SOUND_ONLY_LABELS:
                    reason = "is heard; its picture alone never tells enough to agree"
                    yield ("events", name, "agree"), f"{label.name} {reason}, so it would never begin"
        if rule.is_composed and rule.false_alarms_per_day is not None:
            key: KeyPath = ("events", name, "false_alarms_per_day")
            yield key, "is learned for labels alone; give enter, or ask for it under the label"


def _check_places(name: str, rule: RuleConfig, parts: list[Label], manifest: Manifest) -> Faults:
    without = [label.name for label in parts if not objects_of(label.name, manifest)]
    in_parts = rule.when is None and rule.is_composed  # then one that has a place is enough
    if not rule.has_place or not without or (in_parts and len(without) < len(parts)):
        return
    kind = next(key for key in ("zones", "lines", "after_s") if getattr(rule, key))
    known = ", ".join(label for label in CLASSES_BY_LABEL if objects_of(label, manifest)) or "none"
    yield (
        ("events", name, kind),
        f"{without[0]} has no place in the picture; {kind} goes with labels that are seen as objects: {known}",
    )


def _check_levels(config: Config, manifest: Manifest) -> Faults:
    labels = _advice(config, manifest)
    defaults = config.events.get(DEFAULTS, RuleConfig())
    for name, rule in config.events.items():
        if name == DEFAULTS or name not in labels or rule.leave is None:
            continue
        enter = enter_and_leave(None, rule, None, defaults, labels[name])[0]
        if rule.leave > enter:
            message = (
                f"is above the enter in force ({enter:g}): an event would end as it begins; lower it or give enter"
            )
            yield ("events", name, "leave"), message


def _check_defaults(config: Config, manifest: Manifest) -> Faults:
    defaults = config.events.get(DEFAULTS, RuleConfig())
    for key in _NOT_FOR_ALL:
        if getattr(defaults, key):
            yield ("events", DEFAULTS, key), "goes with one event; give it there"
    if defaults.leave is not None and defaults.enter is None:
        above = [name for name, label in _advice(config, manifest).items() if defaults.leave > label.enter]
        if above:
            yield (
                ("events", DEFAULTS, "leave"),
                f"is above the model's enter for {', '.join(above)}; give enter with it",
            )


def _check_sensors(config: Config, manifest: Manifest) -> Faults:
    known = [channel.name for channel in manifest.geometry.sensors]
    hint = "the model takes no sensors; remove it"
    for camera, spec in config.cameras.items():
        for name in spec.sensors:
            if name not in known:
                message = f"the model knows no such sensor; {name_hint(name, known) if known else hint}"
                yield ("cameras", camera, "sensors", name), message


def _advice(config: Config, manifest: Manifest) -> Mapping[str, Label]:
    """The labels with their advice, adjusted to their rules."""
    every = manifest.with_labels(custom_labels(config, manifest)).labels
    return {label.name: adjusted_advice(config.events.get(label.name, RuleConfig()), label) for label in every}
