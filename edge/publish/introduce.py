"""What a starting node tells Home Assistant, given what earlier runs told it."""

from __future__ import annotations

import contextlib
import json

from edge.errors import SinkError
from edge.publish.discovery import config_topic, device_message, platforms, removal_message
from edge.publish.outbox import Outbox
from edge.publish.site import Site
from edge.types import Message

_TOLD = "home_assistant"


def introduce(site: Site, outbox: Outbox) -> tuple[list[Message], list[Message]]:
    """The description to announce, and what takes back an earlier one that no longer holds; each may be empty.

    What is told is noted in the outbox for the next run.
    """
    prefix = site.home_assistant_prefix
    earlier = json.loads(outbox.saved().get(_TOLD, b"{}"))
    topic = "" if prefix is None else config_topic(site.topics, prefix)
    removals, description, told = [], [], None
    if earlier and earlier["topic"] != topic:
        removals = [removal_message(earlier["topic"])]
        earlier = {}
    if prefix is not None:
        about = (site.cameras, site.thresholds)
        description = [device_message(site.topics, prefix, site.version, *about, earlier.get("entities"))]
        told = json.dumps({"topic": topic, "entities": platforms(site.topics, *about)}).encode()
    with contextlib.suppress(SinkError):
        outbox.save(_TOLD, told)
    return description, removals
