"""From the detector's events to messages: numbered phases, states, the last event of each camera, and what must be
remembered over a kill. One value of `Outgoing` becomes one transaction of the outbox."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.publish import opened
from edge.publish.evidence import evidence_message, snapshot_message
from edge.publish.frigate import Frigate
from edge.publish.links import Links
from edge.publish.payloads import event_payload, json_message, to_json
from edge.publish.topics import Topics, state_message
from edge.types import Event, Kept, Kind, Message, Phase

log = logging.getLogger(__name__)

_LAST = "last/"


@dataclass(slots=True)
class Outgoing:
    """What goes out together: ``messages``, JSON ``lines``, and what the outbox notes with them."""

    messages: list[Message] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    opened: dict[str, bytes] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    saved: dict[str, bytes | None] = field(default_factory=dict)


class Phases:
    """Which events are open and how far each was told. Not thread-safe: the owner locks."""

    SPARE = 1000

    def __init__(
        self, topics: Topics, model: str, links: Links, frigate: Frigate | None, saved: Mapping[str, bytes]
    ) -> None:
        self._topics, self._model, self._links, self._frigate = topics, model, links, frigate
        self._open: dict[str, tuple[Event, int]] = {}
        self._last: dict[str, dict[str, Any]] = {}
        for name, value in saved.items():
            if name.startswith(_LAST):
                self._last[name.removeprefix(_LAST)] = json.loads(value)
        if frigate is not None:
            frigate.restore(saved)

    def resume(self, packed: Mapping[str, bytes]) -> tuple[list[Event], set[str]]:
        """Take up events that a killed process left open, as packed then; these, and the ids of unreadable ones.

        Their numbers go on `SPARE` further: phases that left while the disk hung had numbers that nobody knows now.
        """
        left = [found for name, value in packed.items() if name not in self._open and (found := opened.unpack(value))]
        self._open |= {event.id: (event, seq + self.SPARE) for event, seq in left}
        return [event for event, _ in left], set(packed) - self._open.keys()

    def tell(self, events: Sequence[Event]) -> Outgoing:
        """The events as messages; an end of what was never told to have begun is left out."""
        out = Outgoing()
        for event in events:
            if event.id in self._open or event.phase is not Phase.END:
                self._tell(event, out)
        return out

    def tell_kept(self, kept: Kept, snapshot: bytes | None) -> Outgoing:
        """What was kept of an event, told after the retained state that shows it; ``snapshot`` is a JPEG."""
        out = Outgoing()
        if snapshot is not None:
            out.messages.append(snapshot_message(self._topics, kept.camera, snapshot))
        last = self._last.get(kept.camera)
        if last is not None and last["id"] == kept.event_id and kept.caption and kept.caption != last["caption"]:
            self._keep_last(kept.camera, last | {"caption": kept.caption}, out)
        out.messages.append(evidence_message(self._topics, self._links, kept))
        if self._frigate is not None:
            out.messages += self._frigate.tell_kept(kept, snapshot)
        return out

    def _tell(self, event: Event, out: Outgoing) -> None:
        seq = self._open[event.id][1] + 1 if event.id in self._open else 0
        links = self._links.of(event)
        payload = event_payload(event, self._topics.site, self._topics.node, self._model, seq, links)
        out.lines.append(payload)
        out.messages.append(json_message(self._topics.event(event.camera), payload))
        if event.phase is Phase.END:
            self._open.pop(event.id, None)
            out.opened.pop(event.id, None)
            out.closed.append(event.id)
        else:
            self._open[event.id] = (event, seq)
            out.opened[event.id] = opened.pack(event, seq)
        if event.phase is Phase.BEGIN or (event.phase is Phase.END and not self._others_open(event)):
            out.messages.append(state_message(self._topics, event.camera, event.label, event.phase is Phase.BEGIN))
        if event.kind is Kind.EVENT:
            self._tell_last(event, payload, out)
            if self._frigate is not None:
                messages, notes = self._frigate.tell(event)
                out.messages += messages
                out.saved.update(notes)

    def _tell_last(self, event: Event, payload: dict[str, Any], out: Outgoing) -> None:
        last = self._last.get(event.camera)
        if last is None or event.phase is Phase.BEGIN or last["id"] == event.id:
            caption = last["caption"] if last is not None and last["id"] == event.id else ""
            self._keep_last(event.camera, payload | {"caption": caption}, out)

    def _keep_last(self, camera: str, payload: dict[str, Any], out: Outgoing) -> None:
        self._last[camera] = payload
        topic = self._topics.last_event(camera)
        out.messages.append(json_message(topic, payload, retain=True, key=topic))
        out.saved[f"{_LAST}{camera}"] = to_json(payload)

    def _others_open(self, event: Event) -> bool:
        return any(
            other.id != event.id and (other.camera, other.label) == (event.camera, event.label)
            for other, _ in self._open.values()
        )
