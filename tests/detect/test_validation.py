"""Rules as labels, and rules that do not fit the model or themselves."""

from __future__ import annotations

from typing import Any

import pytest
from detect_parts import MANIFEST, PLACES, rules

from edge.config import parse
from edge.detect.rules import custom_labels
from edge.detect.thresholds import validate
from edge.engine.manifest import find_folder, load_folder
from edge.errors import ConfigError


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{when: person}", (("video",), 0.6, 0.4, 1.0)),
        ("{when: person, lines: [door]}", (("video",), 0.6, 0.4, 0.0)),
        ("{when: person, after_s: 3}", (("video",), 0.6, 0.4, 0.0)),
        ("{when: [person, fire]}", (("video", "audio", "sensors"), 0.6, 0.4, 2.0)),
        ("{all_of: [person, fire]}", (("video", "audio", "sensors"), 0.5, 0.3, 1.0)),
        ("{sequence: [glass_break, person]}", (("video", "audio", "sensors"), 0.6, 0.4, 0.0)),
    ],
)
def test_advice_follows_from_the_parts(rule: str, expected: tuple[Any, ...]) -> None:
    (label,) = custom_labels(rules(f"events: {{mine: {rule}}}"), MANIFEST)
    assert (label.modalities, label.enter, label.leave, label.min_s) == expected


@pytest.mark.parametrize(
    ("events", "key", "said"),
    [
        ("{glass_break: {zones: [yard]}}", "glass_break.zones", "glass_break has no place in the picture"),
        ("{fire: {after_s: 3}}", "fire.after_s", "seen as objects: person"),
        ("{a: {when: [person, fire], lines: [door]}}", "a.lines", "fire has no place"),
        ("{a: {all_of: [glass_break, fire], zones: [yard]}}", "a.zones", "glass_break has no place"),
        ("{a: {when: persn}}", "a.when", "did you mean 'person'"),
        ("{a: {when: person}, b: {when: [fire, a]}}", "b.when", "'a' is an event of your own"),
        ("{person: {when: fire}}", "person.when", "'person' is a label already"),
        ("{no_signal: {when: fire}}", "no_signal", "stands for something else"),
        ("{armed: {when: fire}}", "armed", "stands for something else"),
        ("{Break-In: {when: fire}}", "Break-In", "lower-case letters"),
        ("{person: {agree: true}}", "person.agree", "person goes by video alone"),
        ("{glass_break: {agree: true}}", "glass_break.agree", "audio and sensors alone"),
        ("{a: {when: fire, false_alarms_per_day: 1}}", "a.false_alarms_per_day", "learned for labels alone"),
        ("{a: {when: fire, leave: 0.9}}", "a.leave", "above the enter in force (0.5)"),
        ("{defaults: {zones: [yard]}}", "defaults.zones", "goes with one event"),
        ("{intrusion: {zones: [yard]}}", "intrusion", "needs when, sequence or all_of"),
    ],
)
def test_what_does_not_fit_is_told(events: str, key: str, said: str) -> None:
    faults = validate(parse(PLACES + f"events: {events}").config, MANIFEST)
    assert [".".join(map(str, fault[0])) for fault in faults] == [f"events.{key}"]
    assert said in faults[0][1]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{when: fire, sequence: [fire, person]}", "give one of"),
        ("{when: fire, within_s: 3}", "within_s goes with"),
        ("{when: fire, direction: to_left}", "direction goes with lines"),
        ("{when: person, lines: [door], min_s: 2}", "min_s goes without lines"),
        ("{sequence: [person, person]}", "each crossing counts"),
        ("{all_of: [person, person]}", "names a label twice"),
        ("{when: person, zones: [garden]}", "none of its cameras has 'garden'"),
    ],
)
def test_what_contradicts_itself_is_told(rule: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(PLACES + f"events: {{mine: {rule}}}")


def test_a_zone_for_the_part_that_has_a_place_is_enough() -> None:
    assert rules("events: {a: {sequence: [glass_break, person], zones: [yard]}}")


def test_what_is_hardly_seen_cannot_agree() -> None:
    faults = validate(
        parse(PLACES + "events: {gunshot: {agree: true}}").config, load_folder(find_folder("fused")).manifest
    )
    assert "would never begin" in faults[0][1]
    assert len(faults) == 1


def test_the_shipped_models_objects_are_known() -> None:
    manifest = load_folder(find_folder("fused")).manifest
    made = parse(PLACES + "events: {vehicle: {zones: [yard]}, animal: {lines: [door]}, person: {after_s: 3}}").config
    assert validate(made, manifest) == []


def test_what_is_to_be_blurred_must_be_something_that_the_model_sees() -> None:
    shipped = load_folder(find_folder("fused")).manifest
    faults = validate(parse(PLACES + "evidence: {blur: [person, vehicle, cell_phone, persn]}").config, shipped)
    assert [(fault[0], "did you mean 'person'" in fault[1]) for fault in faults] == [(("evidence", "blur", 3), True)]
