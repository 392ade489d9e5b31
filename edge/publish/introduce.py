"""What a node tells of what there is: to Home Assistant, and which states it has. Each given what was told before.

What is told is noted in the outbox, so that a later run or a live change takes back what is no more.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from edge.publish.discovery import config_topic, device_message, platforms, removal_message
from edge.publish.outbox import Outbox
from edge.publish.site import NodeDescription
from edge.publish.topics import Topics, state_message
from edge.types import Message

_DISCOVERY, _STATES = "home_assistant", "states"


def device_announcement(site: NodeDescription, outbox: Outbox) -> tuple[list[Message], list[Message]]:
    """The description to announce, and what takes back an earlier one that no longer holds; each may be empty."""
    prefix = site.home_assistant_prefix
    earlier = json.loads(outbox.saved().get(_DISCOVERY, b"{}"))
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
    """``OFF`` for labels that were not told before (for all of them at a start) and what clears those that are no more;
    what clears announced state of theirs; and the note to keep with them.
    """
    now = {camera: list(labels) for camera, labels in site.cameras.items()}
    before: dict[str, list[str]] = json.loads(outbox.saved().get(_STATES, b"{}"))
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
