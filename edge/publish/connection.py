"""What the publisher needs of a connection to a broker; `edge.publish.mqtt.MqttLink` is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edge.publish.commands import IncomingMessage
from edge.types import Message


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
    """What the publisher needs of a connection."""

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
