"""Parking of messages that the broker refuses: they stay on disk, let others pass, and are retried with back-off."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from edge.clock import Clock
from edge.metrics import Metrics
from edge.publish.backlog import QueuedMessage
from edge.publish.outbox import Outbox
from edge.types import nanoseconds

log = logging.getLogger(__name__)


class ParkingPolicy:
    """Decides which messages of the outbox are parked and until when. Used on the publisher's thread."""

    FIRST_S, LONGEST_S = 60.0, 3600.0
    OVERHEAD = 64  # bytes of a packet beyond topic and payload, generously

    def __init__(self, outbox: Outbox, clock: Clock, metrics: Metrics) -> None:
        self._outbox, self._clock, self._metrics = outbox, clock, metrics
        self._refused_topics: dict[str, str] = {}
        self._park_s = self.FIRST_S
        self._unpark_ns: int | None = None
        self._has_poison = False

    def is_blocked(self, waiting: QueuedMessage, packet_limit: int | None) -> bool:
        """Whether a message would be refused: it is too large, or its topic was refused before."""
        message = waiting.message
        size = len(message.payload) + len(message.topic.encode()) + self.OVERHEAD
        if packet_limit is not None and size > packet_limit:
            self.note_refusal(message.topic, f"larger than the broker's limit of {packet_limit} bytes")
        return message.topic in self._refused_topics

    def note_refusal(self, topic: str, reason: str) -> None:
        """Note that the broker refused a message to ``topic``."""
        self._metrics.drops.labels("mqtt", "refused").inc()
        if topic not in self._refused_topics:
            log.warning(
                "the broker refuses %s (%s): allow this user to write it (ACL) or check its quota; "
                "what it refuses stays on the disk and is tried again later",
                *(topic, reason),
            )
        self._refused_topics[topic] = reason

    def park(self, seqs: Sequence[int]) -> None:
        """Park refused messages; the first retry is after a minute."""
        if self._unpark_ns is None:
            self._unpark_ns = self._clock.mono_ns() + nanoseconds(self._park_s)
            self._park_s = min(self.LONGEST_S, 2 * self._park_s)
        self._outbox.park(*seqs)

    def set_aside(self, seq: int) -> None:
        """Park a poison message, at which the broker drops every connection; new connections do not retry it."""
        self._has_poison = True
        self._unpark_ns = self._clock.mono_ns() + nanoseconds(self.LONGEST_S)
        self._outbox.park(seq)

    def begin_connection(self) -> None:
        """Retry everything on a new connection, unless a poison message caused the last losses."""
        if not self._has_poison:
            self._park_s = self.FIRST_S
            self._release()

    def release_due(self) -> None:
        """Release parked messages whose retry is due."""
        if self._unpark_ns is not None and self._clock.mono_ns() >= self._unpark_ns:
            self._release()

    def _release(self) -> None:
        self._unpark_ns = None
        self._has_poison = False
        self._refused_topics.clear()
        self._outbox.unpark()
