"""The publisher's interface to a broker connection, and the policy for back-off, silence and losses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from edge.clock import Backoff, Clock
from edge.metrics import Metrics
from edge.publish.commands import IncomingMessage
from edge.types import Message, nanoseconds, seconds

log = logging.getLogger(__name__)


class BrokerAck(Protocol):
    """The broker's answer to one message."""

    @property
    def token(self) -> int | None:
        """The ``token`` of `BrokerConnection.publish`."""
        ...

    @property
    def topic(self) -> str:
        """The topic of the message."""
        ...

    @property
    def refused(self) -> str | None:
        """Why the broker refused it; None when it accepted it."""
        ...


class BrokerConnection(Protocol):
    """The connection interface of the publisher; `edge.publish.mqtt.MqttConnection` implements it."""

    wake: Callable[[], None]
    packet_limit: int | None

    def connect(self) -> None:
        """Connect or raise SinkError."""
        ...

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""
        ...

    @property
    def lost_reason(self) -> str:
        """Why the last connection ended."""
        ...

    @property
    def version(self) -> str:
        """The protocol spoken, for logs."""
        ...

    @property
    def room(self) -> int:
        """How many more messages may be in flight."""
        ...

    @property
    def in_flight(self) -> int:
        """Messages that the broker has not answered yet."""
        ...

    def publish(self, message: Message, token: int | None = None, correlation: bytes | None = None) -> bool:
        """Send; False when that is not possible now."""
        ...

    def take_acks(self) -> Sequence[BrokerAck]:
        """Answers since the last call."""
        ...

    def take_incoming(self) -> list[IncomingMessage]:
        """Messages since the last call."""
        ...

    def close(self, timeout_s: float = 1.0) -> None:
        """Disconnect."""
        ...


class ConnectionPolicy:
    """Back-off, silence and repeated losses of one connection. Used on the publisher's thread; ``trouble`` from any."""

    LOSSES_AT_MOST = 5
    SHORT_S = 10.0  # a connection that lasted less is short; three in a row suggest a second client with this id
    SILENT_S = 30.0  # a broker that acknowledges nothing for this long counts as lost, whatever TCP says
    SLOWEST_BYTES_PER_S = 4000  # a connection may take this much longer for what is in flight

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self.up = False
        self.trouble = ""  # why it does not connect, as a sentence
        self._clock, self._metrics = clock, metrics
        self._backoff = Backoff(clock)
        self._next_try_ns = 0
        self._connected_ns = 0
        self._answered_ns = 0  # when the broker last acknowledged, or something was sent while nothing was in flight
        self._largest = 0  # bytes of the largest message in flight
        self._is_silent = False
        self._losses = 0  # in a row, while messages were in flight
        self._short_connections = 0
        metrics.broker_up.set(0)

    @property
    def may_connect(self) -> bool:
        """Whether the back-off is over."""
        return self._clock.mono_ns() >= self._next_try_ns

    @property
    def wait_s(self) -> float:
        """Seconds until the next try; negative when it is overdue."""
        return seconds(self._next_try_ns - self._clock.mono_ns())

    def connected(self, version: str) -> None:
        """Note a connection to the broker with protocol ``version``."""
        self.up = True
        self._connected_ns = self._answered_ns = self._clock.mono_ns()
        self._largest = 0
        if not self._is_silent:  # else the trouble ends with the first answer
            self.trouble = ""
        self._backoff.succeeded()
        self._metrics.broker_up.set(1)
        log.info("connected to the broker (%s)", version)

    def closed(self) -> None:
        """Note that the connection ended."""
        self.up = False
        self._metrics.broker_up.set(0)

    def lost(self, *, is_sending: bool) -> bool:
        """Note a lost connection, with messages in flight or not; whether the first of them causes the losses."""
        self.closed()
        self._losses += is_sending
        if self._losses < self.LOSSES_AT_MOST:
            return False
        self._losses = 0
        log.error("the broker dropped the connection %d times at the same message: set aside", self.LOSSES_AT_MOST)
        return True

    def explain_loss(self, reason: str) -> None:
        """Log why the connection was lost, and begin to back off."""
        is_short = seconds(self._clock.mono_ns() - self._connected_ns) < self.SHORT_S
        self._short_connections = self._short_connections + 1 if is_short else 0
        twin = "; does another box use the same node.id and node.site?" if self._short_connections >= 3 else ""
        self.failed(reason + twin)

    def failed(self, why: str) -> None:
        """Log why there is no connection; one level lower when it was logged before."""
        self._next_try_ns = self._clock.mono_ns() + nanoseconds(self._backoff.failed())
        text = f"{why}; trying again, alerts wait on the disk"
        log.log(logging.DEBUG if text == self.trouble else logging.WARNING, "%s", text)
        self.trouble = text

    def is_unanswered(self, in_flight: int) -> bool:
        """Whether messages have been in flight for longer than even a slow connection needs, without an answer."""
        limit_s = self.SILENT_S + self._largest / self.SLOWEST_BYTES_PER_S
        return in_flight > 0 and seconds(self._clock.mono_ns() - self._answered_ns) >= limit_s

    def give_up(self) -> None:
        """Note that the connection was closed because the broker acknowledges nothing."""
        self.closed()
        self._metrics.drops.labels("mqtt", "unanswered").inc()
        self._is_silent = True
        self.failed(f"the broker has acknowledged nothing for {self.SILENT_S:.0f} s; connecting anew")

    def note_idle(self) -> None:
        """Note that nothing is in flight: the time without an answer begins with the next message."""
        self._answered_ns, self._largest = self._clock.mono_ns(), 0

    def note_sent(self, size: int) -> None:
        """Note that a message of ``size`` bytes is in flight."""
        self._largest = max(self._largest, size)

    def note_answer(self) -> None:
        """Note an answer of the broker."""
        self._answered_ns = self._clock.mono_ns()
        if self._is_silent:
            self._is_silent, self.trouble = False, ""

    def note_progress(self) -> None:
        """Note an answer to a message of the outbox: no message counts as the cause of earlier losses."""
        self._losses = 0
