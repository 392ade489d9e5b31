"""From the detector's events to messages: numbered phases, states, the last event of each camera, and what must be
remembered over a kill. One value of `OutgoingBatch` becomes one transaction of the outbox."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge.publish import opened
from edge.publish.evidence import evidence_message, snapshot_message
from edge.publish.frigate import FrigateEvents
from edge.publish.links import EvidenceUrls
from edge.publish.payloads import event_payload, json_message, to_json
from edge.publish.topics import Topics, state_message
from edge.types import Event, EventKind, EvidenceFiles, Message, Phase

log = logging.getLogger(__name__)

_LAST = "last/"


@dataclass(slots=True)
class OutgoingBatch:
    """What goes out together: ``messages``, JSON ``lines``, and what the outbox notes with them."""

    messages: list[Message] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    opened: dict[str, bytes] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    saved: dict[str, bytes | None] = field(default_factory=dict)


class EventPhases:
    """Which events are open and how far each was told. Not thread-safe: the owner locks."""

    RESTART_GAP = 1000

    def __init__(
        self, topics: Topics, model: str, links: EvidenceUrls, frigate: FrigateEvents | None, saved: Mapping[str, bytes]
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

        Their numbers go on `RESTART_GAP` further: phases that left while the disk hung had numbers that nobody knows
        now.
        """
        left = [
            found for name, value in packed.items() if name not in self._open and (found := opened.unpack_event(value))
        ]
        self._open |= {event.id: (event, seq + self.RESTART_GAP) for event, seq in left}
        return [event for event, _ in left], set(packed) - self._open.keys()

    def messages(self, events: Sequence[Event]) -> OutgoingBatch:
        """The events as messages; an end of what was never told to have begun is left out."""
        out = OutgoingBatch()
        for event in events:
            if event.id in self._open or event.phase is not Phase.END:
                self._add_phase(event, out)
        return out

    def evidence_messages(self, kept: EvidenceFiles, snapshot: bytes | None) -> OutgoingBatch:
        """What was kept of an event, told after the retained state that shows it; ``snapshot`` is a JPEG."""
        out = OutgoingBatch()
        if snapshot is not None:
            out.messages.append(snapshot_message(self._topics, kept.camera, snapshot))
        last = self._last.get(kept.camera)
        if last is not None and last["id"] == kept.event_id and kept.caption and kept.caption != last["caption"]:
            self._keep_last(kept.camera, last | {"caption": kept.caption}, out)
        out.messages.append(evidence_message(self._topics, self._links, kept))
        if self._frigate is not None:
            out.messages += self._frigate.evidence_messages(kept, snapshot)
        return out

    def _add_phase(self, event: Event, out: OutgoingBatch) -> None:
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
            out.opened[event.id] = opened.pack_event(event, seq)
        if event.phase is Phase.BEGIN or (event.phase is Phase.END and not self._others_open(event)):
            out.messages.append(state_message(self._topics, event.camera, event.label, event.phase is Phase.BEGIN))
        if event.kind is EventKind.EVENT:
            self._add_last_event(event, payload, out)
            if self._frigate is not None:
                messages, notes = self._frigate.messages(event)
                out.messages += messages
                out.saved.update(notes)

    def _add_last_event(self, event: Event, payload: dict[str, Any], out: OutgoingBatch) -> None:
        last = self._last.get(event.camera)
        if last is None or event.phase is Phase.BEGIN or last["id"] == event.id:
            caption = last["caption"] if last is not None and last["id"] == event.id else ""
            self._keep_last(event.camera, payload | {"caption": caption}, out)

    def _keep_last(self, camera: str, payload: dict[str, Any], out: OutgoingBatch) -> None:
        self._last[camera] = payload
        topic = self._topics.last_event(camera)
        out.messages.append(json_message(topic, payload, retain=True, key=topic))
        out.saved[f"{_LAST}{camera}"] = to_json(payload)

    def _others_open(self, event: Event) -> bool:
        return any(
            other.id != event.id and (other.camera, other.label) == (event.camera, event.label)
            for other, _ in self._open.values()
        )
