"""Home Assistant's MQTT discovery: one retained message describes the node as a device with all its entities.

Also publishes the states of all labels. What was published is noted in the outbox, so that a later run or a live
change removes entities and states that no longer exist. Pure but for reading those notes. Field names:
https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery (device discovery, abbreviated keys).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from edge.publish.outbox import Outbox
from edge.publish.payloads import from_saved, json_message
from edge.publish.topics import OFFLINE, ONLINE, NodeDescription, Topics, state_message
from edge.types import Message

Entity = dict[str, Any]
_DEVICE_CLASSES = {
    "smoke": "smoke", "fire": "safety", "explosion": "safety", "gunshot": "safety", "glass_break": "safety",
    "scream": "safety", "fight": "safety", "fall": "safety", "crowd_panic": "safety", "alarm": "safety",
    "person": "occupancy", "vehicle": "occupancy", "animal": "occupancy", "anomaly": "problem",
}  # fmt: skip
_EVENT_TEMPLATE = (
    "{{ {'event_type': value_json.label ~ '_' ~ value_json.phase, 'id': value_json.id, 'score': value_json.score, "
    "'why': value_json.why, 'begin': value_json.begin, 'severity': value_json.severity, 'label': value_json.label, "
    "'camera': value_json.camera, 'zones': value_json.zones, 'evidence': value_json.evidence} | tojson }}"
)
_LAST_ATTRIBUTES = (
    "{{ {'id': value_json.id, 'label': value_json.label, 'phase': value_json.phase, 'severity': value_json.severity, "
    "'begin': value_json.begin, 'end': value_json.end, 'score': value_json.score, 'peak': value_json.peak, "
    "'threshold': value_json.threshold, 'why': value_json.why, 'caption': value_json.caption, "
    "'zones': value_json.zones, 'tags': value_json.tags, 'evidence': value_json.evidence} | tojson }}"
)
_LONGEST_STATE = 255  # characters; Home Assistant rejects a longer state
_DISCOVERY, _STATES = "home_assistant", "states"


def birth_topic(prefix: str) -> str:
    """The topic on which Home Assistant publishes ``online`` when it starts."""
    return f"{prefix}/status"


def config_topic(topics: Topics, prefix: str) -> str:
    """The topic of the description."""
    return f"{prefix}/device/{_identity(topics)}/config"


def device_message(site: NodeDescription, prefix: str, before: Mapping[str, str] | None = None) -> Message:
    """The description of ``site``. Entities that only ``before`` (see `platforms`) has are removed."""
    topics, components = site.topics, _components(site)
    gone = {name: {"p": platform} for name, platform in (before or {}).items() if name not in components}
    page = {"cu": site.links.base} if site.links.base else {}
    payload = {
        "dev": {
            "ids": [_identity(topics)], "name": f"Edge {topics.node}", "mf": "edge",
            "mdl": "Audio-visual edge monitor", "sw": site.version, "sa": topics.site, **page,
        },
        "o": {"name": "edge", "sw": site.version},
        "cmps": components | gone,
        "avty": [
            {
                "t": topics.status,
                "pl_avail": ONLINE.decode(),
                "pl_not_avail": OFFLINE.decode(),
                "val_tpl": "{{ 'online' if value == 'online' else 'offline' }}",  # stopped is offline too
            }
        ],
        "qos": 1,
    }  # fmt: skip
    return json_message(config_topic(topics, prefix), payload, retain=True)


def platforms(site: NodeDescription) -> dict[str, str]:
    """The described entities by name, each with its platform; keep it for the next description."""
    return {name: component["p"] for name, component in _components(site).items()}


def removal_message(topic: str) -> Message:
    """Removes the device that was described on ``topic`` from Home Assistant."""
    return Message(topic, b"", 1, retain=True)


def _components(site: NodeDescription) -> dict[str, dict[str, Any]]:
    identity = _identity(site.topics)
    components: dict[str, dict[str, Any]] = {}
    for camera in site.cameras:
        components |= camera_entities(site, camera)
    components |= node_entities(site.topics)
    for name, component in components.items():
        component["uniq_id"] = f"{identity}_{name}"
        component["default_entity_id"] = f"{component['p']}.{identity}_{name}".lower().replace("-", "_")
    return components


def _identity(topics: Topics) -> str:
    """The node's id in Home Assistant: only letters, digits, - and _."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", f"edge_{topics.site}_{topics.node}")


def camera_entities(site: NodeDescription, camera: str) -> dict[str, Entity]:
    """The entities of one camera."""
    topics, labels = site.topics, site.cameras[camera]
    entities: dict[str, Entity] = {}
    for label in labels:
        entities[f"{camera}_{label}"] = _binary_sensor(topics, camera, label, label not in site.thresholds)
        if label in site.thresholds:
            entities[f"{camera}_{label}_threshold"] = _number(topics, camera, label)
            entities[f"{camera}_{label}_score"] = _score(topics, camera, label)
    entities[f"{camera}_event"] = _event(topics, camera, labels)
    entities[f"{camera}_last_event"] = _last_event(topics, camera)
    entities[f"{camera}_armed"] = _switch(topics, camera)
    entities[f"{camera}_state"] = _camera_state(topics, camera)
    entities[f"{camera}_held_back"] = _held_back(topics, camera)
    if "snapshot" in site.links.kept.get(camera, ()):
        entities[f"{camera}_snapshot"] = _image(topics, camera)
        entities[f"{camera}_take_snapshot"] = _button(
            topics, f"{_title(camera)} new picture", "mdi:camera", command="snapshot", camera=camera
        )
    if camera in site.links.kept:
        for verdict, words, icon in (("true", "right", "mdi:check-bold"), ("false", "false", "mdi:bell-off")):
            entities[f"{camera}_last_was_{words}"] = _button(
                topics, f"{_title(camera)} last alert was {words}", icon, command="mark", camera=camera, verdict=verdict
            )
    return entities


def node_entities(topics: Topics) -> dict[str, Entity]:
    """The entities of the node itself."""
    return {
        "uptime": _of_health(topics, "Uptime", "uptime_s", dev_cla="duration", unit_of_meas="s", en=False),
        "disk_free": _of_health(
            topics, "Free disk space", "disk_free_bytes", dev_cla="data_size", unit_of_meas="B", sug_dsp_prc=0
        ),
        "outbox": _of_health(topics, "Messages that wait", "outbox_messages", ic="mdi:tray-full"),
        "runtime": _of_health(topics, "Runtime", "runtime", ic="mdi:chip"),
        "model": _of_health(topics, "Model", "model", ic="mdi:brain"),
        "digest": _digest(topics),
    }


def _title(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()


def _binary_sensor(topics: Topics, camera: str, label: str, diagnostic: bool) -> Entity:
    entity: Entity = {
        "p": "binary_sensor",
        "name": f"{_title(camera)} {_title(label).lower()}",
        "stat_t": topics.state(camera, label),
    }
    if diagnostic:
        return entity | {"dev_cla": "problem", "ent_cat": "diagnostic"}
    return entity | {"dev_cla": _DEVICE_CLASSES.get(label, "sound")}


def _number(topics: Topics, camera: str, label: str) -> Entity:
    topic = topics.threshold(camera, label)
    return {
        "p": "number", "name": f"{_title(camera)} {_title(label).lower()} threshold", "cmd_t": f"{topic}/set",
        "stat_t": f"{topic}/state", "min": 0.01, "max": 1, "step": 0.01, "mode": "box", "ent_cat": "config",
        "ic": "mdi:tune-variant",
    }  # fmt: skip


def _score(topics: Topics, camera: str, label: str) -> Entity:
    return {
        "p": "sensor", "name": f"{_title(camera)} {_title(label).lower()} score", "stat_t": topics.score(camera),
        "val_tpl": f"{{{{ value_json.scores['{label}'] }}}}", "stat_cla": "measurement", "ent_cat": "diagnostic",
        "en": False, "sug_dsp_prc": 2, "ic": "mdi:chart-line",
    }  # fmt: skip


def _event(topics: Topics, camera: str, labels: Collection[str]) -> Entity:
    return {
        "p": "event", "name": f"{_title(camera)} event", "stat_t": topics.event(camera), "val_tpl": _EVENT_TEMPLATE,
        "evt_typ": [f"{label}_{phase}" for label in labels for phase in ("begin", "update", "end")],
        "ic": "mdi:alert-decagram",
    }  # fmt: skip


def _last_event(topics: Topics, camera: str) -> Entity:
    topic = topics.last_event(camera)
    return {
        "p": "sensor", "name": f"{_title(camera)} last alert", "stat_t": topic, "json_attr_t": topic,
        "val_tpl": f"{{{{ (value_json.caption or value_json.why)[:{_LONGEST_STATE}] }}}}",
        "json_attr_tpl": _LAST_ATTRIBUTES, "ic": "mdi:text-box-outline",
    }  # fmt: skip


def _image(topics: Topics, camera: str) -> Entity:
    return {
        "p": "image", "name": f"{_title(camera)} snapshot", "img_t": topics.snapshot(camera), "cont_type": "image/jpeg",
        "ic": "mdi:image",
    }  # fmt: skip


def _button(topics: Topics, name: str, icon: str, **command: str) -> Entity:
    return {"p": "button", "name": name, "cmd_t": topics.command, "pl_prs": json.dumps(command), "ic": icon}


def _switch(topics: Topics, camera: str) -> Entity:
    topic = topics.armed(camera)
    return {
        "p": "switch", "name": f"{_title(camera)} armed", "cmd_t": f"{topic}/set", "stat_t": f"{topic}/state",
        "ic": "mdi:shield",
    }  # fmt: skip


def _camera_state(topics: Topics, camera: str) -> Entity:
    return {
        "p": "sensor", "name": f"{_title(camera)} state", "stat_t": topics.health,
        "val_tpl": f"{{{{ value_json.cameras['{camera}'].state }}}}", "dev_cla": "enum",
        "ops": ["connecting", "up", "lost", "ended"], "ent_cat": "diagnostic",
    }  # fmt: skip


def _held_back(topics: Topics, camera: str) -> Entity:
    topic = topics.held_back(camera)
    return {
        "p": "sensor", "name": f"{_title(camera)} held back this hour", "stat_t": topic, "json_attr_t": topic,
        "val_tpl": "{{ value_json.this_hour }}", "unit_of_meas": "alerts", "ent_cat": "diagnostic",
        "ic": "mdi:bell-sleep",
    }  # fmt: skip


def _of_health(topics: Topics, name: str, key: str, **more: object) -> Entity:
    return {
        "p": "sensor", "name": name, "stat_t": topics.health, "val_tpl": f"{{{{ value_json.info.{key} }}}}",
        "ent_cat": "diagnostic", **more,
    }  # fmt: skip


def _digest(topics: Topics) -> Entity:
    return {
        "p": "sensor", "name": "Digest", "stat_t": topics.digest, "val_tpl": "{{ value_json.events }}",
        "json_attr_t": topics.digest, "unit_of_meas": "alerts", "ic": "mdi:newspaper-variant-outline",
    }  # fmt: skip


def device_announcement(site: NodeDescription, outbox: Outbox) -> tuple[list[Message], list[Message]]:
    """The description to announce, and the messages that remove an outdated one; each may be empty."""
    prefix = site.home_assistant_prefix
    earlier = from_saved(outbox.saved().get(_DISCOVERY), {})
    topic = "" if prefix is None else config_topic(site.topics, prefix)
    removals, description, stored = [], [], None
    if earlier and earlier["topic"] != topic:
        removals = [removal_message(earlier["topic"])]
        earlier = {}
    if prefix is not None:
        before: dict[str, str] = earlier.get("entities", {})
        description = [device_message(site, prefix, before)]
        stored = json.dumps({"topic": topic, "entities": before | platforms(site)}).encode()
    outbox.save(_DISCOVERY, stored)
    return description, removals


def state_messages(
    site: NodeDescription, outbox: Outbox, *, all_of_them: bool
) -> tuple[list[Message], list[Message], dict[str, bytes]]:
    """``OFF`` for new labels (for all of them at a start) and messages that clear removed ones; messages that clear
    their announced state; and the note to keep with them.
    """
    now = {camera: list(labels) for camera, labels in site.cameras.items()}
    before: dict[str, list[str]] = from_saved(outbox.saved().get(_STATES), {})
    fresh = [
        state_message(site.topics, camera, label, on=False)
        for camera, labels in now.items()
        for label in labels
        if all_of_them or label not in before.get(camera, ())
    ]
    gone = _removed(before, now)
    cleared = [_cleared(site.topics.state(camera, label)) for camera, label in gone]
    thresholds = [_cleared(f"{site.topics.threshold(camera, label)}/state") for camera, label in gone]
    thresholds += [topic for camera in before.keys() - now.keys() for topic in _of_camera(site.topics, camera)]
    return fresh + cleared, thresholds, {_STATES: json.dumps(now).encode()}


def _removed(before: Mapping[str, Collection[str]], now: Mapping[str, Collection[str]]) -> list[tuple[str, str]]:
    return [(camera, label) for camera in before for label in before[camera] if label not in now.get(camera, ())]


def _of_camera(topics: Topics, camera: str) -> list[Message]:
    topics_of_camera = (
        f"{topics.armed(camera)}/state",
        topics.thresholds(camera),
        topics.held_back(camera),
        topics.snapshot(camera),
        topics.last_event(camera),
    )
    return [_cleared(topic) for topic in topics_of_camera]


def _cleared(topic: str) -> Message:
    return Message(topic, b"", 1, retain=True, key=topic)
