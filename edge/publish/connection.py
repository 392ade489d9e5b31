"""A connection to a broker as the publisher sees it, and when it is tried, well, or taken for lost."""

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
        """What `BrokerConnection.publish` was given."""
        ...

    @property
    def topic(self) -> str:
        """Where the message went."""
        ...

    @property
    def refused(self) -> str | None:
        """Why the broker did not take it."""
        ...


class BrokerConnection(Protocol):
    """What the publisher needs of a connection; `edge.publish.mqtt.MqttConnection` is one."""

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
    SHORT_S = 10.0  # a connection that lasted less is short; three in a row are no accident
    SILENT_S = 30.0  # a broker that acknowledges nothing for so long is lost, whatever TCP says
    SLOWEST_BYTES_PER_S = 4000  # a connection may take this much longer for what is in flight

    def __init__(self, clock: Clock, metrics: Metrics) -> None:
        self.up = False
        self.trouble = ""  # what keeps it from connecting, as a sentence
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
        """The broker is there and speaks ``version``."""
        self.up = True
        self._connected_ns = self._answered_ns = self._clock.mono_ns()
        self._largest = 0
        if not self._is_silent:  # else it is well when it answers
            self.trouble = ""
        self._backoff.succeeded()
        self._metrics.broker_up.set(1)
        log.info("connected to the broker (%s)", version)

    def closed(self) -> None:
        """The connection ended."""
        self.up = False
        self._metrics.broker_up.set(0)

    def lost(self, *, is_sending: bool) -> bool:
        """The connection was lost, with messages in flight or not; whether the first of them is to blame for it."""
        self.closed()
        self._losses += is_sending
        if self._losses < self.LOSSES_AT_MOST:
            return False
        self._losses = 0
        log.error("the broker dropped the connection %d times at the same message: set aside", self.LOSSES_AT_MOST)
        return True

    def explain_loss(self, reason: str) -> None:
        """Report why it was lost, and begin to back off."""
        is_short = seconds(self._clock.mono_ns() - self._connected_ns) < self.SHORT_S
        self._short_connections = self._short_connections + 1 if is_short else 0
        twin = "; does another box use the same node.id and node.site?" if self._short_connections >= 3 else ""
        self.failed(reason + twin)

    def failed(self, why: str) -> None:
        """Report why there is no connection; a level quieter when it was said before."""
        self._next_try_ns = self._clock.mono_ns() + nanoseconds(self._backoff.failed())
        text = f"{why}; trying again, alerts wait on the disk"
        log.log(logging.DEBUG if text == self.trouble else logging.WARNING, "%s", text)
        self.trouble = text

    def is_unanswered(self, in_flight: int) -> bool:
        """Whether messages have been in flight for longer than any connection takes, without a single answer."""
        limit_s = self.SILENT_S + self._largest / self.SLOWEST_BYTES_PER_S
        return in_flight > 0 and seconds(self._clock.mono_ns() - self._answered_ns) >= limit_s

    def give_up(self) -> None:
        """The connection takes messages and acknowledges none: it was closed."""
        self.closed()
        self._metrics.drops.labels("mqtt", "unanswered").inc()
        self._is_silent = True
        self.failed(f"the broker has acknowledged nothing for {self.SILENT_S:.0f} s; connecting anew")

    def note_idle(self) -> None:
        """Nothing is in flight: silence begins with the next message."""
        self._answered_ns, self._largest = self._clock.mono_ns(), 0

    def note_sent(self, size: int) -> None:
        """A message of ``size`` bytes is in flight."""
        self._largest = max(self._largest, size)

    def note_answer(self) -> None:
        """The broker answered something."""
        self._answered_ns = self._clock.mono_ns()
        if self._is_silent:
            self._is_silent, self.trouble = False, ""

    def note_progress(self) -> None:
        """A message from the outbox was answered: no message is to blame for losses so far."""
        self._losses = 0
