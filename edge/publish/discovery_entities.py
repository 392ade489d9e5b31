"""The entities that Home Assistant is told of, by name, in its abbreviated keys."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from edge.publish.site import NodeDescription
from edge.publish.topics import Topics

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
_LONGEST_STATE = 255  # characters; Home Assistant takes no longer state


def camera_entities(site: NodeDescription, camera: str) -> dict[str, Entity]:
    """Everything about one camera."""
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
    """What there is once a node."""
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
