"""Home Assistant's MQTT discovery: one retained message describes the node as a device with all its entities.

Field names: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery (device discovery, abbreviated keys).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from edge.publish.discovery_entities import camera_entities, node_entities
from edge.publish.payloads import json_message
from edge.publish.site import NodeDescription
from edge.publish.topics import OFFLINE, ONLINE, Topics
from edge.types import Message


def birth_topic(prefix: str) -> str:
    """Where Home Assistant says ``online`` when it starts."""
    return f"{prefix}/status"


def config_topic(topics: Topics, prefix: str) -> str:
    """Where the description goes."""
    return f"{prefix}/device/{_identity(topics)}/config"


def device_message(site: NodeDescription, prefix: str, before: Mapping[str, str] | None = None) -> Message:
    """The description of ``site``. What ``before`` (see `platforms`) has beyond it is taken out."""
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
    """The described entities by name, each with its platform: to be kept for the next description."""
    return {name: component["p"] for name, component in _components(site).items()}


def removal_message(topic: str) -> Message:
    """Takes the device that was described on ``topic`` out of Home Assistant."""
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
    """The node's id in Home Assistant: letters, digits, - and _ alone."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", f"edge_{topics.site}_{topics.node}")
