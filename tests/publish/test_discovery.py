"""Home Assistant's device description: the fields its documentation names, and nothing twice."""

from __future__ import annotations

import json

from publish_parts import LINKS, TOPICS, site

from edge.publish.commands import CommandOrigin, IncomingMessage, MarkEvent, TakeSnapshot, parse
from edge.publish.discovery import birth_topic, config_topic, device_message, platforms, removal_message
from edge.publish.topics import Topics

# platform -> keys that platform needs, and those it knows (abbreviations of Home Assistant's MQTT integration)
NEEDED = {
    "binary_sensor": {"stat_t"}, "event": {"stat_t", "evt_typ"}, "number": {"cmd_t", "stat_t", "min", "max", "step"},
    "switch": {"cmd_t", "stat_t"}, "sensor": {"stat_t"}, "image": {"img_t"}, "button": {"cmd_t", "pl_prs"},
}  # fmt: skip
KNOWN = {"p", "name", "stat_t", "cmd_t", "val_tpl", "dev_cla", "ent_cat", "ic", "en", "uniq_id", "default_entity_id",
         "evt_typ", "min", "max", "step", "mode", "stat_cla", "sug_dsp_prc", "ops", "unit_of_meas", "img_t",
         "cont_type", "pl_prs", "json_attr_t", "json_attr_tpl"}  # fmt: skip


def described() -> dict[str, object]:
    message = device_message(site(links=LINKS), "homeassistant")
    assert (message.retain, message.qos) == (True, 1)
    assert message.topic == "homeassistant/device/edge_site_node/config"
    found: dict[str, object] = json.loads(message.payload)
    return found


def test_the_device_and_its_origin() -> None:
    payload = described()
    assert payload["dev"]["ids"] == ["edge_site_node"]  # type: ignore[index]
    assert payload["o"]["name"] == "edge"  # type: ignore[index]
    (availability,) = payload["avty"]  # type: ignore[misc]
    assert availability["t"] == TOPICS.status


def test_every_component_is_complete_and_unique() -> None:
    components: dict[str, dict[str, object]] = described()["cmps"]  # type: ignore[assignment]
    assert len({c["uniq_id"] for c in components.values()}) == len(components)
    assert len({c["default_entity_id"] for c in components.values()}) == len(components)
    for component in components.values():
        assert NEEDED[str(component["p"])] <= component.keys() <= KNOWN
        assert str(component["default_entity_id"]).startswith(f"{component['p']}.edge_site_node_")


def test_what_there_is_for_a_camera() -> None:
    components: dict[str, dict[str, object]] = described()["cmps"]  # type: ignore[assignment]
    assert set(components) == {
        "gate_fire", "gate_fire_threshold", "gate_fire_score", "gate_smoke", "gate_smoke_threshold",
        "gate_smoke_score", "gate_no_signal", "gate_event", "gate_last_event", "gate_armed", "gate_state",
        "gate_snapshot", "gate_take_snapshot", "gate_last_was_right", "gate_last_was_false", "gate_held_back",
        "uptime", "disk_free", "outbox", "runtime", "model", "digest",
    }  # fmt: skip
    assert components["gate_smoke"]["dev_cla"] == "smoke"
    assert components["gate_no_signal"]["ent_cat"] == "diagnostic"
    assert components["gate_fire_threshold"]["cmd_t"] == "edge/site/node/gate/fire/threshold/set"
    assert "smoke_begin" in components["gate_event"]["evt_typ"]  # type: ignore[operator]
    held = components["gate_held_back"]
    assert (held["stat_t"], held["json_attr_t"]) == ("edge/site/node/gate/held_back",) * 2
    assert held["val_tpl"] == "{{ value_json.this_hour }}"


def test_topics() -> None:
    assert birth_topic("ha") == "ha/status"
    assert config_topic(Topics("my-site", "n_1"), "ha") == "ha/device/edge_my-site_n_1/config"
    removal = removal_message("ha/device/x/config")
    assert (removal.payload, removal.retain) == (b"", True)


def test_entities_that_are_no_more_are_taken_out() -> None:
    before = platforms(site(cameras={"gate": ["fire"], "attic": ["fire"]}, thresholds=["fire"]))
    message = device_message(site(), "ha", before)
    components = json.loads(message.payload)["cmps"]
    assert components["attic_fire_threshold"] == {"p": "number"}
    assert components["attic_event"] == {"p": "event"}
    assert len(components["gate_fire"]) > 1


def test_buttons_send_commands_that_are_understood() -> None:
    components: dict[str, dict[str, object]] = described()["cmps"]  # type: ignore[assignment]
    found = {
        name: parse(site(), IncomingMessage(str(c["cmd_t"]), str(c["pl_prs"]).encode()))
        for name, c in components.items()
        if c["p"] == "button"
    }
    origin = CommandOrigin(TOPICS.command)
    assert found == {
        "gate_take_snapshot": TakeSnapshot("gate", origin),
        "gate_last_was_right": MarkEvent(None, "gate", None, "true", "", origin),
        "gate_last_was_false": MarkEvent(None, "gate", None, "false", "", origin),
    }


def test_where_nothing_is_kept_there_is_nothing_to_show_or_to_mark() -> None:
    message = device_message(site(), "ha")
    platforms_there = {c["p"] for c in json.loads(message.payload)["cmps"].values()}
    assert not platforms_there & {"image", "button"}
