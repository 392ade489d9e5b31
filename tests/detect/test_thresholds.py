from __future__ import annotations

import pytest
from detect_parts import MANIFEST, config
from hypothesis import given
from hypothesis import strategies as st

from edge.detect.thresholds import Thresholds, ValueOrigin, validate
from edge.errors import ConfigError, InputError


def values(extra: str = "", label: str = "person") -> tuple[float, str, float, str]:
    e = Thresholds(config(extra), MANIFEST).effective("gate", label)
    return e.enter, e.origins["enter"].value, e.leave, e.origins["leave"].value


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ("", (0.6, "default", 0.4, "default")),
        ("events: {defaults: {enter: 0.9, leave: 0.5}}", (0.9, "config", 0.5, "config")),
        ("events: {defaults: {enter: 0.9}}", (0.9, "config", 0.6, "config")),
        ("events: {defaults: {enter: 0.9, leave: 0.5}, person: {enter: 0.8}}", (0.8, "config", 0.5333, "config")),
        ("events: {defaults: {enter: 0.9, leave: 0.5}, person: {leave: 0.7}}", (0.9, "config", 0.7, "config")),
        ("events: {person: {leave: 0.2}}", (0.6, "default", 0.2, "config")),
        ("events: {defaults: {leave: 0.3}}", (0.6, "default", 0.3, "config")),
        ("events: {defaults: {enter: 0.3}}", (0.6, "default", 0.4, "default")),
        ("events: {defaults: {enter: 0.3, leave: 0.1}}", (0.6, "default", 0.4, "default")),
        ("events: {defaults: {enter: 0.3}, person: {leave: 0.2}}", (0.6, "default", 0.2, "config")),
        ("events: {defaults: {enter: 0.3}, person: {enter: 0.2}}", (0.2, "config", 0.1333, "config")),
    ],
)
def test_precedence_and_origin(extra: str, expected: tuple[float, str, float, str]) -> None:
    assert values(extra) == expected


@given(st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_default_never_lowers_what_the_model_advises(
    person: float, fire: float, default: float, leave: float
) -> None:
    labels = tuple(
        label.model_copy(update={"enter": enter, "leave": enter / 2})
        for label, enter in zip((MANIFEST.labels[0], MANIFEST.labels[2]), (person, fire), strict=True)
    )
    text = f"events: {{defaults: {{enter: {default}, leave: {min(leave, default)}}}}}"
    thresholds = Thresholds(config(text), MANIFEST.model_copy(update={"labels": labels}))
    for label, enter in (("person", person), ("fire", fire)):
        e = thresholds.effective("gate", label)
        assert e.enter == max(enter, default)
        assert e.origins["enter"] is (ValueOrigin.CONFIG if default >= enter else ValueOrigin.DEFAULT)
        if default < enter:
            assert (e.leave, e.origins["leave"]) == (enter / 2, ValueOrigin.DEFAULT)
        assert thresholds.advice(label).enter == enter


def test_a_command_wins_and_can_be_taken_back() -> None:
    thresholds = Thresholds(config("events: {person: {enter: 0.8, leave: 0.5}}"), MANIFEST)
    e = thresholds.set("gate", "person", 0.3)
    assert (e.enter, e.leave) == (0.3, 0.2)
    assert e.origins["enter"] is e.origins["leave"] is ValueOrigin.COMMAND
    assert thresholds.effective("yard", "person").enter == 0.8
    assert thresholds.set("gate", "person", None).enter == 0.8


def test_the_rest_falls_back_too() -> None:
    text = "events: {defaults: {min_s: 4, cooldown_s: 9}, person: {min_s: 0, severity: info, enabled: false}}"
    thresholds = Thresholds(config(text), MANIFEST)
    person, glass = thresholds.effective("gate", "person"), thresholds.effective("gate", "glass_break")
    assert (person.min_s, person.cooldown_s, person.severity, person.enabled) == (0, 9, "info", False)
    assert (glass.min_s, glass.cooldown_s, glass.severity, glass.enabled) == (4, 9, "alert", True)
    assert glass.origins["severity"] is ValueOrigin.DEFAULT


@pytest.mark.parametrize("value", [0.0, -0.1, 1.01, float("nan"), float("inf")])
def test_impossible_values_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="above 0"):
        Thresholds(config(), MANIFEST).set("gate", "person", value)


def test_a_percentage_is_asked_about() -> None:
    with pytest.raises(InputError, match=r"did you mean 0\.6\?"):
        Thresholds(config(), MANIFEST).set("gate", "person", 60)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    thresholds = Thresholds(config(), MANIFEST)
    with pytest.raises(InputError, match="did you mean 'person'"):
        thresholds.set("gate", "persn", 0.5)
    with pytest.raises(InputError, match="did you mean 'gate'"):
        thresholds.set_armed("gat", False)


def test_listing_has_every_camera_and_label() -> None:
    listed = Thresholds(config(), MANIFEST).all_effective()
    assert [(e.camera, e.label) for e in listed] == [
        (camera, label) for camera in ("gate", "yard") for label in ("person", "glass_break", "fire")
    ]


def test_commands_survive_a_reload_unless_their_camera_is_gone() -> None:
    thresholds = Thresholds(config(), MANIFEST)
    thresholds.set("gate", "person", 0.3)
    thresholds.set("yard", "person", 0.3)
    thresholds.set_armed("yard", False)
    kept = config().model_copy(update={"cameras": {"gate": config().cameras["gate"]}})
    thresholds.reconfigure(kept)
    assert thresholds.effective("gate", "person").origins["enter"] is ValueOrigin.COMMAND
    thresholds.reconfigure(config())
    assert thresholds.is_armed("yard")


@pytest.mark.parametrize(
    ("extra", "key", "message"),
    [
        ("events: {persn: {enter: 0.5}}", ("events", "persn"), "did you mean 'person'"),
        ("events: {person: {leave: 0.7}}", ("events", "person", "leave"), "0.6"),
        ("events: {defaults: {enter: 0.7}, person: {leave: 0.75}}", ("events", "person", "leave"), "0.7"),
        ("events: {defaults: {enter: 0.5}, person: {leave: 0.65}}", ("events", "person", "leave"), "0.6"),
        ("events: {defaults: {leave: 0.55}}", ("events", "defaults", "leave"), "fire"),
    ],
)
def test_check_names_what_does_not_fit(extra: str, key: tuple[str, ...], message: str) -> None:
    faults = validate(config(extra), MANIFEST)
    assert [fault[0] for fault in faults] == [key]
    assert message in faults[0][1]


def test_check_names_unknown_sensors() -> None:
    given = config().cameras["gate"].model_copy(update={"sensors": {"temprature": "yard/t", "temperature": "a/t"}})
    faults = validate(config().model_copy(update={"cameras": {"gate": given}}), MANIFEST)
    assert faults[0][0] == ("cameras", "gate", "sensors", "temprature")
    assert "did you mean 'temperature'" in faults[0][1]
    assert len(faults) == 1


def test_check_is_content_with_a_fitting_configuration() -> None:
    assert validate(config("events: {defaults: {enter: 0.7, leave: 0.5}, fire: {enter: 0.8}}"), MANIFEST) == []


def test_quiet_time_teaches_enter_only_where_a_rate_is_asked_for() -> None:
    extra = "events: {defaults: {false_alarms_per_day: 2}, person: {enter: 0.8}, fire: {false_alarms_per_day: 0.5}}"
    thresholds = Thresholds(config(extra), MANIFEST)
    assert thresholds.rates() == {"glass_break": 2, "fire": 0.5}
    thresholds.learn({"person": 0.95, "glass_break": 0.93})
    assert thresholds.effective("gate", "person").enter == 0.8
    taught = thresholds.effective("yard", "glass_break")
    assert (taught.enter, taught.origins["enter"], taught.leave) == (0.93, ValueOrigin.LEARNED, 0.62)
    assert thresholds.effective("gate", "fire").origins["enter"] is ValueOrigin.DEFAULT
    thresholds.learn({"glass_break": 0.93, "fire": 0.01})
    assert thresholds.effective("gate", "fire").enter == 0.25
    assert thresholds.set("gate", "glass_break", 0.5).origins["enter"] is ValueOrigin.COMMAND
    thresholds.reconfigure(config())
    thresholds.learn({"glass_break": 0.93})
    assert thresholds.effective("yard", "glass_break").enter == 0.6


def test_a_rule_says_enter_or_a_rate_and_not_both() -> None:
    with pytest.raises(ConfigError, match="not both"):
        config("events: {person: {enter: 0.8, false_alarms_per_day: 1}}")
