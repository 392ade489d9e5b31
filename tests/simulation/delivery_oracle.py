"""What must hold whatever fails: nothing lost, nothing doubled, in order, every event ends, every alert has its row.

What may be lost is what docs/adr/0009 names: what neither the disk nor the broker had taken when the process ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge.types import Message


class BrokenPromiseError(AssertionError):
    """Something that is promised did not hold."""


@dataclass(slots=True)
class PublishedAlert:
    """One phase of an event, as the node appended it to its outbox."""

    camera: str
    event_id: str
    seq: int
    phase: str
    payload: bytes
    is_on_disk: bool = False
    may_be_lost: bool = False

    @property
    def key(self) -> tuple[str, int]:
        """What names it for whoever receives it."""
        return self.event_id, self.seq


def alert_of(message: Message) -> PublishedAlert | None:
    """The alert that a message carries; None when it carries something else."""
    if not message.topic.endswith("/event"):
        return None
    try:
        shown = json.loads(message.payload)
    except ValueError:
        return None  # a flipped bit
    return PublishedAlert(shown["camera"], shown["id"], shown["seq"], shown["phase"], message.payload)


class DeliveryOracle:
    """Follows what the node appends, what the disk has, and what the broker received."""

    def __init__(self) -> None:
        self.published: list[PublishedAlert] = []
        self._without_end: set[str] = set()
        self._unsure_rows: set[str] = set()
        self._may_differ: set[tuple[str, int]] = set()

    def note_appended(self, messages: Iterable[Message]) -> None:
        """The node appended these messages to its outbox."""
        self.published += [alert for message in messages if (alert := alert_of(message)) is not None]

    def note_on_disk(self) -> None:
        """Everything that was appended so far is on the disk, as the node says."""
        for alert in reversed(self.published):
            if alert.is_on_disk:
                break
            alert.is_on_disk = True

    def note_end_of_process(self, received: Sequence[Message], *, disk_is_damaged: bool = False) -> None:
        """The process ended without notice; with a damaged disk everything that waits may be lost."""
        arrived = {alert.key: alert.phase for message in received if (alert := alert_of(message)) is not None}
        for alert in self.published:
            if (disk_is_damaged or not alert.is_on_disk) and alert.key not in arrived:
                alert.may_be_lost = True
            if disk_is_damaged and alert.key not in arrived:
                self._may_differ.add(alert.key)
            if disk_is_damaged or not alert.is_on_disk:
                self._unsure_rows.add(alert.event_id)
        ended = {event_id for (event_id, _), phase in arrived.items() if phase == "end"}
        for alert in self.published:
            if alert.event_id not in ended and (disk_is_damaged or (alert.phase == "begin" and not alert.is_on_disk)):
                self._without_end.add(alert.event_id)
            alert.is_on_disk = True  # or lost, which is noted

    def note_rows_may_go(self) -> None:
        """The box cannot know that the rows so far are not as old as their dates say."""
        self._unsure_rows |= {alert.event_id for alert in self.published}

    def check_messages(self, received: Sequence[Message], retained: Mapping[str, bytes]) -> None:
        """All promises on messages, when all has been well for a while. BrokenPromiseError where one does not hold."""
        arrived = [alert for message in received if (alert := alert_of(message)) is not None]
        self._check_lost_and_doubled(arrived)
        self._check_order(arrived)
        begun = {alert.event_id for alert in arrived if alert.phase == "begin"}
        ended = {alert.event_id for alert in arrived if alert.phase == "end"}
        if open_ones := begun - ended - self._without_end:
            raise BrokenPromiseError(f"events that never end: {sorted(open_ones)}")
        on = sorted(topic for topic, payload in retained.items() if topic.endswith("/state") and payload == b"ON")
        if on := [topic for topic in on if "armed" not in topic]:
            raise BrokenPromiseError(f"states that stay on: {on}")

    def check_rows(self, rows: Mapping[str, bool], received: Sequence[Message]) -> None:
        """Every alert that arrived has a row, and that row an end; ``rows`` by id, with whether they have one."""
        arrived = {alert.event_id for message in received if (alert := alert_of(message)) is not None}
        if lacking := sorted(arrived - rows.keys() - self._unsure_rows):
            raise BrokenPromiseError(f"alerts without a row: {lacking}")
        if endless := sorted(name for name, has_end in rows.items() if not has_end and name not in self._unsure_rows):
            raise BrokenPromiseError(f"rows without an end: {endless}")

    def _check_lost_and_doubled(self, arrived: Sequence[PublishedAlert]) -> None:
        payloads: dict[tuple[str, int], bytes] = {}
        for alert in arrived:
            if payloads.setdefault(alert.key, alert.payload) != alert.payload and alert.key not in self._may_differ:
                raise BrokenPromiseError(f"two different messages are called {alert.key}")
        lost = [alert.key for alert in self.published if not alert.may_be_lost and alert.key not in payloads]
        if lost:
            raise BrokenPromiseError(f"lost: {lost}")

    def _check_order(self, arrived: Sequence[PublishedAlert]) -> None:
        place: dict[tuple[str, int], int] = {}  # of those with one name, which may be lost, the first that may not be
        for n, alert in sorted(enumerate(self.published), key=lambda one: one[1].may_be_lost):
            place.setdefault(alert.key, n)
        newest: dict[str, int] = {}
        seen: set[tuple[str, int]] = set()
        for alert in arrived:
            if alert.key in seen:
                continue
            seen.add(alert.key)
            if alert.key not in place and not self._may_differ:
                raise BrokenPromiseError(f"{alert.key} arrived and was never published")
            if place.get(alert.key, len(place)) < newest.get(alert.camera, -1):
                raise BrokenPromiseError(f"{alert.key} of {alert.camera} arrived after a later one")
            newest[alert.camera] = place.get(alert.key, newest.get(alert.camera, -1))
