"""From the detector's events to messages: numbered phases, states, and the last event of each camera.

One `OutgoingBatch` becomes one transaction of the outbox. It also notes open events, so that a restarted daemon ends
those of a killed one, and published events without a row in the event store, so that a kill leaves neither an alert
without a row nor a row without an end. Noted events have no media times: epochs end with the process. The owner locks.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from edge.publish.evidence import evidence_message, snapshot_message
from edge.publish.evidence_urls import EvidenceUrls
from edge.publish.frigate import FrigateEvents
from edge.publish.payloads import event_payload, from_saved, json_message, to_json
from edge.publish.topics import Topics, state_message
from edge.types import NS_PER_S, Box, Contribution, Event, EventKind, EvidenceFiles, Message, Phase

log = logging.getLogger(__name__)
_MEDIA = ("media_begin", "media_end")
_FORMER = ("media_begin_ns", "media_end_ns", "epoch")  # as earlier versions wrote them
_LAST = "last/"
_PREFIX = "row/"


def pack_event(event: Event, seq: int) -> bytes:
    """An event without its media times, and the number of its last published phase."""
    kept = {name: value for name, value in asdict(event).items() if name not in _MEDIA}
    return json.dumps({"seq": seq, **kept}, default=str).encode()


def unpack_event(value: bytes) -> tuple[Event, int] | None:
    """The event and its number; None when it cannot be read, for example from another version."""
    try:
        raw = json.loads(value)
        seq = int(raw.pop("seq"))
        contribution = raw.pop("contribution")
        event = Event(
            **{
                **{name: value for name, value in raw.items() if name not in _FORMER},
                "media_begin": None,
                "kind": EventKind(raw["kind"]),
                "phase": Phase(raw["phase"]),
                "contribution": Contribution(**contribution) if contribution else None,
                "boxes": tuple(Box(**box) for box in raw["boxes"]),
                "zones": tuple(str(name) for name in raw.get("zones", ())),
                "tags": tuple((str(name), float(score)) for name, score in raw["tags"]),
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        log.warning("an event left open by an earlier run cannot be read (%s): it gets no end", error)
        return None
    return event, seq


def end_at_restart(event: Event, wall_ns: int) -> Event:
    """The end of an event whose daemon was killed. Its true end is unknown: the time of the restart stands for it."""
    lasted_ns = max(0, wall_ns - event.wall_begin_ns)
    return replace(
        event,
        phase=Phase.END,
        end_ns=event.begin_ns + lasted_ns,
        why=f"{event.why}; ended at restart: the daemon stopped without notice while this event was open",
    )


@dataclass(slots=True)
class OutgoingBatch:
    """What is published together: ``messages``, JSON ``lines``, and the notes of the outbox with them."""

    messages: list[Message] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    opened: dict[str, bytes] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    saved: dict[str, bytes | None] = field(default_factory=dict)


class EventPhases:
    """The open events and the last published phase of each. Not thread-safe: the owner locks."""

    RESTART_GAP = 1000

    def __init__(
        self, topics: Topics, model: str, links: EvidenceUrls, frigate: FrigateEvents | None, saved: Mapping[str, bytes]
    ) -> None:
        self._topics, self._model, self._links, self._frigate = topics, model, links, frigate
        self._open: dict[str, tuple[Event, int]] = {}
        self._last: dict[str, dict[str, Any]] = {}
        for name, value in saved.items():
            if name.startswith(_LAST) and (last := from_saved(value, None)) is not None:
                self._last[name.removeprefix(_LAST)] = last
        if frigate is not None:
            frigate.restore(saved)

    def resume(self, packed: Mapping[str, bytes], wall_ns: int) -> tuple[list[Event], set[str]]:
        """Resume packed events that a killed process left open; these events, and the ids of unreadable ones.

        Their numbers continue with a gap of `RESTART_GAP` and the event's age in seconds: phases may have been sent
        that a hanging disk did not note, among them the end that a start before this one gave the event.
        """
        left = [found for name, value in packed.items() if name not in self._open and (found := unpack_event(value))]
        for event, seq in left:
            age_s = abs(wall_ns - event.wall_begin_ns) // NS_PER_S
            self._open[event.id] = (event, seq + self.RESTART_GAP + age_s)
        return [event for event, _ in left], set(packed) - self._open.keys()

    def messages(self, events: Sequence[Event]) -> OutgoingBatch:
        """The events as messages; the end of an event whose begin was never published is left out."""
        out = OutgoingBatch()
        for event in events:
            if event.id in self._open or event.phase is not Phase.END:
                self._add_phase(event, out)
        return out

    def evidence_messages(self, kept: EvidenceFiles, snapshot: bytes | None) -> OutgoingBatch:
        """Messages on the evidence of an event, after the retained state that shows it; ``snapshot`` is a JPEG."""
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
            out.opened[event.id] = pack_event(event, seq)
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


class UnrecordedEvents:
    """The newest phase of each published event without a row. ``saved`` are the outbox's values; not thread-safe: the
    owner locks."""

    def __init__(self, saved: Mapping[str, bytes]) -> None:
        self._newest: dict[str, Event] = {}
        self._unreadable: list[str] = []
        for name, value in saved.items():
            if not name.startswith(_PREFIX):
                continue
            found = unpack_event(value)
            if found is None:
                self._unreadable.append(name)
            else:
                self._newest[found[0].id] = found[0]

    @property
    def events(self) -> list[Event]:
        """The events without a row."""
        return list(self._newest.values())

    def note(self, events: Sequence[Event]) -> dict[str, bytes | None]:
        """The notes for events that are published now."""
        self._newest |= {event.id: event for event in events}
        return {f"{_PREFIX}{event.id}": pack_event(event, 0) for event in events}

    def recorded(self, events: Iterable[Event]) -> dict[str, bytes | None]:
        """The notes to delete now that these phases have rows, except of events with a later published phase."""
        done = [event.id for event in events if self._newest.get(event.id) is event]
        for event_id in done:
            del self._newest[event_id]
        names = [*(f"{_PREFIX}{event_id}" for event_id in done), *self._unreadable]
        self._unreadable = []
        return dict.fromkeys(names)
