"""Events that were told and that the event store has no row of yet. They lie in the outbox, noted with the messages
that told them, so that a kill in between leaves neither an alert without a row nor a row without an end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edge.publish import opened
from edge.types import Event

_PREFIX = "row/"


class UnrecordedEvents:
    """The newest phase of each such event. ``saved`` is what the outbox kept; not thread-safe: the owner locks."""

    def __init__(self, saved: Mapping[str, bytes]) -> None:
        self._newest: dict[str, Event] = {}
        self._unreadable: list[str] = []
        for name, value in saved.items():
            if not name.startswith(_PREFIX):
                continue
            found = opened.unpack_event(value)
            if found is None:
                self._unreadable.append(name)
            else:
                self._newest[found[0].id] = found[0]

    @property
    def events(self) -> list[Event]:
        """What has no row yet."""
        return list(self._newest.values())

    def note(self, events: Sequence[Event]) -> dict[str, bytes | None]:
        """What the outbox is to keep of events that are told now."""
        self._newest |= {event.id: event for event in events}
        return {f"{_PREFIX}{event.id}": opened.pack_event(event, 0) for event in events}

    def recorded(self, events: Iterable[Event]) -> dict[str, bytes | None]:
        """What the outbox may forget now that these phases have their rows; not where a later phase was told since."""
        done = [event.id for event in events if self._newest.get(event.id) is event]
        for event_id in done:
            del self._newest[event_id]
        names = [*(f"{_PREFIX}{event_id}" for event_id in done), *self._unreadable]
        self._unreadable = []
        return dict.fromkeys(names)
