"""Home Assistant's MQTT discovery: one retained message describes the node as a device with all its entities.

Field names: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery (device discovery, abbreviated keys).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from edge.publish.payloads import json_message
from edge.publish.topics import OFFLINE, ONLINE, Topics
from edge.types import Message

_DEVICE_CLASSES = {
    "smoke": "smoke", "fire": "safety", "explosion": "safety", "gunshot": "safety", "glass_break": "safety",
    "scream": "safety", "fight": "safety", "fall": "safety", "crowd_panic": "safety", "alarm": "safety",
    "person": "occupancy", "vehicle": "occupancy", "animal": "occupancy", "anomaly": "problem",
}  # fmt: skip
_EVENT_TEMPLATE = (
    "{{ {'event_type': value_json.label ~ '_' ~ value_json.phase, 'id': value_json.id, 'score': value_json.score, "
    "'why': value_json.why, 'begin': value_json.begin, 'severity': value_json.severity} | tojson }}"
)


def birth_topic(prefix: str) -> str:
    """Where Home Assistant says ``online`` when it starts."""
    return f"{prefix}/status"


def config_topic(topics: Topics, prefix: str) -> str:
    """Where the description goes."""
    return f"{prefix}/device/{_identity(topics)}/config"


def device_message(
    topics: Topics,
    prefix: str,
    version: str,
    cameras: Mapping[str, Collection[str]],
    thresholds: Collection[str],
    before: Mapping[str, str] | None = None,
) -> Message:
    """The description: for ``cameras`` with their labels; those in ``thresholds`` have a number to set.

    Health labels have a state but no threshold. What ``before`` (see `platforms`) has beyond them is taken out.
    """
    components = _components(topics, cameras, thresholds)
    gone = {name: {"p": platform} for name, platform in (before or {}).items() if name not in components}
    payload = {
        "dev": {
            "ids": [_identity(topics)], "name": f"Edge {topics.node}", "mf": "edge",
            "mdl": "Audio-visual edge monitor", "sw": version, "sa": topics.site,
        },
        "o": {"name": "edge", "sw": version},
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


def platforms(topics: Topics, cameras: Mapping[str, Collection[str]], thresholds: Collection[str]) -> dict[str, str]:
    """The described entities by name, each with its platform: to be kept for the next description."""
    return {name: component["p"] for name, component in _components(topics, cameras, thresholds).items()}


def removal_message(topic: str) -> Message:
    """Takes the device that was described on ``topic`` out of Home Assistant."""
    return Message(topic, b"", 1, retain=True)


def _components(
    topics: Topics, cameras: Mapping[str, Collection[str]], thresholds: Collection[str]
) -> dict[str, dict[str, Any]]:
    identity = _identity(topics)
    components: dict[str, dict[str, Any]] = {}
    for camera, labels in cameras.items():
        for label in labels:
            components[f"{camera}_{label}"] = _binary_sensor(topics, camera, label, label not in thresholds)
            if label in thresholds:
                components[f"{camera}_{label}_threshold"] = _number(topics, camera, label)
                components[f"{camera}_{label}_score"] = _score(topics, camera, label)
        components[f"{camera}_event"] = _event(topics, camera, labels)
        components[f"{camera}_armed"] = _switch(topics, camera)
        components[f"{camera}_state"] = _camera_state(topics, camera)
    components["uptime"] = _uptime(topics)
    for name, component in components.items():
        component["uniq_id"] = f"{identity}_{name}"
        component["default_entity_id"] = f"{component['p']}.{identity}_{name}".lower().replace("-", "_")
    return components


def _identity(topics: Topics) -> str:
    """The node's id in Home Assistant: letters, digits, - and _ alone."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", f"edge_{topics.site}_{topics.node}")


def _title(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()


def _binary_sensor(topics: Topics, camera: str, label: str, diagnostic: bool) -> dict[str, Any]:
    component: dict[str, Any] = {
        "p": "binary_sensor",
        "name": f"{_title(camera)} {_title(label).lower()}",
        "stat_t": topics.state(camera, label),
    }
    if diagnostic:
        return component | {"dev_cla": "problem", "ent_cat": "diagnostic"}
    return component | {"dev_cla": _DEVICE_CLASSES.get(label, "sound")}


def _number(topics: Topics, camera: str, label: str) -> dict[str, Any]:
    topic = topics.threshold(camera, label)
    return {
        "p": "number", "name": f"{_title(camera)} {_title(label).lower()} threshold", "cmd_t": f"{topic}/set",
        "stat_t": f"{topic}/state", "min": 0.01, "max": 1, "step": 0.01, "mode": "box", "ent_cat": "config",
        "ic": "mdi:tune-variant",
    }  # fmt: skip


def _score(topics: Topics, camera: str, label: str) -> dict[str, Any]:
    return {
        "p": "sensor", "name": f"{_title(camera)} {_title(label).lower()} score", "stat_t": topics.score(camera),
        "val_tpl": f"{{{{ value_json.scores['{label}'] }}}}", "stat_cla": "measurement", "ent_cat": "diagnostic",
        "en": False, "sug_dsp_prc": 2, "ic": "mdi:chart-line",
    }  # fmt: skip


def _event(topics: Topics, camera: str, labels: Collection[str]) -> dict[str, Any]:
    return {
        "p": "event", "name": f"{_title(camera)} event", "stat_t": topics.event(camera), "val_tpl": _EVENT_TEMPLATE,
        "evt_typ": [f"{label}_{phase}" for label in labels for phase in ("begin", "update", "end")],
        "ic": "mdi:alert-decagram",
    }  # fmt: skip


def _switch(topics: Topics, camera: str) -> dict[str, Any]:
    topic = topics.armed(camera)
    return {
        "p": "switch", "name": f"{_title(camera)} armed", "cmd_t": f"{topic}/set", "stat_t": f"{topic}/state",
        "ic": "mdi:shield",
    }  # fmt: skip


def _camera_state(topics: Topics, camera: str) -> dict[str, Any]:
    return {
        "p": "sensor", "name": f"{_title(camera)} state", "stat_t": topics.health,
        "val_tpl": f"{{{{ value_json.cameras['{camera}'].state }}}}", "dev_cla": "enum",
        "ops": ["connecting", "up", "lost", "ended"], "ent_cat": "diagnostic",
    }  # fmt: skip


def _uptime(topics: Topics) -> dict[str, Any]:
    return {
        "p": "sensor", "name": "Uptime", "stat_t": topics.health, "val_tpl": "{{ value_json.info.uptime_s }}",
        "dev_cla": "duration", "unit_of_meas": "s", "ent_cat": "diagnostic", "en": False,
    }  # fmt: skip
