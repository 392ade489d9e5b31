"""Frigate-compatible topics, so that notifiers and automations made for Frigate's MQTT messages work unchanged.

The outbox keeps the names under which an event was published, so that it ends under the same names after a kill.
docs/how-to/frigate.md lists the differences from Frigate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from edge.config import Config
from edge.publish.evidence_urls import kept_kinds
from edge.publish.frigate_payloads import (
    FrigateName,
    default_name,
    frigate_id,
    frigate_name,
    new_review,
    tracked_object,
    updated_review,
)
from edge.publish.payloads import from_saved, json_message, to_json
from edge.types import NS_PER_S, Event, EvidenceFiles, Message, Phase

_NOTE = "frigate/"


@dataclass(frozen=True, slots=True)
class FrigateTopics:
    """The topics' ``prefix``, and what each camera keeps of its events (see `edge.publish.evidence_urls.kept`)."""

    prefix: str
    kept: Mapping[str, frozenset[str]]
    with_sound: frozenset[str] = frozenset()

    @property
    def available(self) -> str:
        """``online`` or ``offline``."""
        return f"{self.prefix}/available"

    @property
    def filters(self) -> list[str]:
        """The topic filters of commands."""
        return [f"{self.prefix}/+/detect/set"]

    def switches(self, armed: Mapping[str, bool]) -> list[Message]:
        """The switches of each camera: detection is on while armed; sound, clips and pictures as configured."""
        messages = []
        for camera, is_armed in armed.items():
            files = self.kept.get(camera, frozenset())
            states = {
                "detect": is_armed, "audio": camera in self.with_sound, "recordings": "clip" in files,
                "snapshots": "snapshot" in files,
            }  # fmt: skip
            messages += [_state(f"{self.prefix}/{camera}/{name}/state", _on(on)) for name, on in states.items()]
        return messages


def frigate_topics(config: Config) -> FrigateTopics | None:
    """Frigate's topics as configured; None when they are not."""
    if config.mqtt is None or not config.mqtt.frigate:
        return None
    cameras_with_sound = frozenset(name for name, camera in config.cameras.items() if camera.microphone != "none")
    return FrigateTopics(
        config.mqtt.frigate_prefix, {name: kept_kinds(config, name) for name in config.cameras}, cameras_with_sound
    )


def available_message(site: FrigateTopics, status: bytes) -> Message:
    """The node's availability, retained."""
    return _state(site.available, status)


class FrigateEvents:
    """Events as Frigate publishes them. ``messages`` returns messages and values to save with them. Not
    thread-safe."""

    REMEMBERED = 256

    def __init__(self, site: FrigateTopics) -> None:
        self._site, self._prefix = site, site.prefix
        self._open: dict[str, dict[str, dict[str, Any]]] = {}  # camera -> event id -> its published object
        self._review: dict[str, dict[str, Any]] = {}  # camera -> its open review item
        self._frigate_ids: dict[
            str, tuple[str, FrigateName]
        ] = {}  # event id -> Frigate's id and name, of the newest events
        self._captions: dict[str, str] = {}

    def restore(self, saved: Mapping[str, bytes]) -> None:
        """Restore the values that `messages` returned for saving in an earlier run."""
        for name, value in saved.items():
            if name.startswith(_NOTE) and (state := from_saved(value, None)) is not None:
                camera = name.removeprefix(_NOTE)
                self._open[camera] = state["open"]
                for event_id, entry in state["open"].items():
                    self._frigate_ids[event_id] = (entry["object"]["id"], FrigateName(entry["name"], entry["is_audio"]))
                if state["review"] is not None:
                    self._review[camera] = state["review"]

    def states(self, cameras: Mapping[str, Collection[str]]) -> list[Message]:
        """All current counts and audio states, for the start."""
        messages: list[Message] = []
        for camera, labels in cameras.items():
            names = [default_name(label) for label in labels]
            messages += self._counts(camera, {n.name for n in names if not n.is_audio}, set())
            messages += self._sounds(camera, {n.name for n in names if n.is_audio})
            messages.append(self._review_status(camera))
        return messages

    def messages(self, event: Event) -> tuple[list[Message], dict[str, bytes | None]]:
        """One phase of an event; an end whose begin was not published is left out."""
        there = self._open.setdefault(event.camera, {})
        known = there.get(event.id)
        if known is None and event.phase is Phase.END:
            return [], {}
        name = frigate_name(event) if known is None else FrigateName(known["name"], known["is_audio"])
        files = self._site.kept.get(event.camera, frozenset())
        after = tracked_object(event, name, "snapshot" in files, "clip" in files)
        zones_before = set() if known is None else set(known["object"]["entered_zones"])
        if event.phase is Phase.END:
            del there[event.id]
        else:
            count = max(1, sum(box.label == name.name for box in event.boxes))
            there[event.id] = {"name": name.name, "is_audio": name.is_audio, "count": count, "object": after}
        self._remember(event, name)
        messages = []
        if name.is_audio:
            messages += self._sounds(event.camera, {name.name}) if event.phase is not Phase.UPDATE else []
        else:
            before = after | {"false_positive": True} if known is None else known["object"]
            kind = "new" if known is None else "end" if event.phase is Phase.END else "update"
            payload = {"type": kind, "before": before, "after": after}
            messages.append(json_message(f"{self._prefix}/events", payload))
            messages += self._counts(event.camera, {name.name}, zones_before | set(event.zones))
        messages += self._review_messages(event, name)
        state = {"open": there, "review": self._review.get(event.camera)}
        return messages, {f"{_NOTE}{event.camera}": to_json(state) if there else None}

    def evidence_messages(self, of: EvidenceFiles, snapshot: bytes | None) -> list[Message]:
        """The picture of an object, and its caption."""
        their_id, name = self._frigate_ids.get(of.event_id, ("", default_name(of.label)))
        messages = []
        if snapshot is not None and not name.is_audio:
            topic = f"{self._prefix}/{of.camera}/{name.name}/snapshot"
            messages.append(Message(topic, snapshot, 1, retain=True, key=topic))
        if of.caption and their_id and self._captions.get(of.event_id) != of.caption:
            self._captions[of.event_id] = of.caption
            payload = {
                "type": "description", "id": their_id, "description": of.caption, "camera": of.camera,
                "timestamp": round(of.wall_ns / NS_PER_S, 6),
            }  # fmt: skip
            messages.append(json_message(f"{self._prefix}/tracked_object_update", payload))
        return messages

    def _review_messages(self, event: Event, name: FrigateName) -> list[Message]:
        camera = event.camera
        known = self._review.get(camera)
        before = known if known is not None else new_review(event)
        after = updated_review(before, event, name)
        if self._open[camera]:
            self._review[camera] = after
            if known is not None and after == known:
                return []
            kind = "new" if known is None else "update"
        else:
            after |= {"end_time": tracked_object(event, name, False, False)["end_time"]}
            self._review.pop(camera, None)
            kind = "end"
        payload = {"type": kind, "before": after if known is None else before, "after": after}
        return [json_message(f"{self._prefix}/reviews", payload), self._review_status(camera)]

    def _review_status(self, camera: str) -> Message:
        severity = self._review[camera]["severity"].upper() if camera in self._review else "NONE"
        return _state(f"{self._prefix}/{camera}/review_status", severity.encode())

    def _counts(self, camera: str, names: Collection[str], zones: Collection[str]) -> list[Message]:
        """Counts of ``names`` and of all objects, for the camera and for ``zones``."""
        here = Counter[str]()
        for entry in self._open.get(camera, {}).values():
            if not entry["is_audio"]:
                here.update({entry["name"]: entry["count"], "all": entry["count"]})
        places = {zone: self._in_zone(zone) for zone in sorted(zones)} | {camera: here}
        return [
            _state(f"{self._prefix}/{place}/{name}{kind}", str(counts[name]).encode())
            for place, counts in places.items()
            for name in [*sorted(names), "all"]
            for kind in ("", "/active")
        ]

    def _in_zone(self, zone: str) -> Counter[str]:
        there = Counter[str]()
        for events in self._open.values():
            for entry in events.values():
                if not entry["is_audio"] and zone in entry["object"]["entered_zones"]:
                    there.update((entry["name"], "all"))
        return there

    def _sounds(self, camera: str, names: Collection[str]) -> list[Message]:
        active = {entry["name"] for entry in self._open.get(camera, {}).values() if entry["is_audio"]}
        return [
            *(_state(f"{self._prefix}/{camera}/audio/{name}", _on(name in active)) for name in sorted(names)),
            _state(f"{self._prefix}/{camera}/audio/all", _on(bool(active))),
        ]

    def _remember(self, event: Event, name: FrigateName) -> None:
        self._frigate_ids[event.id] = (frigate_id(event), name)
        while len(self._frigate_ids) > self.REMEMBERED:
            gone = next(iter(self._frigate_ids))
            del self._frigate_ids[gone]
            self._captions.pop(gone, None)


def _state(topic: str, value: bytes) -> Message:
    return Message(topic, value, 1, retain=True, key=topic)


def _on(value: bool) -> bytes:
    return b"ON" if value else b"OFF"
