"""The broker of the simulation, and the node's connection to it: both do what the seed says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edge.errors import SinkError
from edge.publish.commands import IncomingMessage
from edge.publish.mqtt import MqttAck
from edge.types import Message

ROOM = 20


@dataclass
class SimulatedBroker:
    """What reached it, in order. ``is_up``: it can be connected to. ``answers``: it acknowledges. ``takes``: messages
    that it takes a step; 0 is a black hole."""

    is_up: bool = True
    answers: bool = True
    takes: int = 1000
    received: list[Message] = field(default_factory=list)
    retained: dict[str, bytes] = field(default_factory=dict)
    commands: deque[IncomingMessage] = field(default_factory=deque)
    link: SimulatedLink | None = None

    def receive(self, message: Message) -> None:
        """Take a message."""
        self.received.append(message)
        if message.retain:
            self.retained[message.topic] = message.payload

    def drop_connection(self, *, tell_will: bool = True) -> None:
        """End the node's connection, as a reset does; what it had sent and the broker had not taken is lost."""
        if self.link is not None and self.link.is_up:
            self.link.lose()
            if tell_will:
                self.receive(self.link.will)

    def restart(self, *, forgets: bool) -> None:
        """Stop and start; without a store of its own it forgets what it retained."""
        self.drop_connection(tell_will=False)
        if forgets:
            self.retained.clear()


class SimulatedLink:
    """Stands in for `MqttConnection`. ``is_alive`` says whether the process that holds it still is."""

    def __init__(self, broker: SimulatedBroker, is_alive: Callable[[], bool], will: Message) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.packet_limit: int | None = None
        self.lost_reason = "the connection was reset"
        self.version = "MQTT 5"
        self.will = will
        self.is_up = False
        self._broker, self._is_alive = broker, is_alive
        self._on_way: deque[tuple[Message, int | None]] = deque()
        self._unanswered: deque[tuple[int | None, str]] = deque()
        self._acks: list[MqttAck] = []

    @property
    def connected(self) -> bool:
        return self.is_up

    @property
    def room(self) -> int:
        return ROOM - self.in_flight

    @property
    def in_flight(self) -> int:
        return len(self._on_way) + len(self._unanswered)

    def connect(self) -> None:
        if not (self._broker.is_up and self._is_alive()):
            raise SinkError("broker: connection refused")
        self.is_up, self._broker.link = True, self

    def lose(self) -> None:
        self.is_up = False
        self._on_way.clear()
        self._unanswered.clear()
        self._acks.clear()

    def close(self, timeout_s: float = 1.0) -> None:
        self.lose()

    def publish(self, message: Message, token: int | None = None, correlation: bytes | None = None) -> bool:
        if not (self.is_up and self._is_alive()):
            return False
        self._on_way.append((message, token))
        return True

    def take_acks(self) -> list[MqttAck]:
        """Let the broker take what is on its way, and answer."""
        broker = self._broker
        for _ in range(min(broker.takes, len(self._on_way))):
            message, token = self._on_way.popleft()
            broker.receive(message)
            if message.qos:
                self._unanswered.append((token, message.topic))
        if broker.answers:
            self._acks += [MqttAck(token, topic, None) for token, topic in self._unanswered]
            self._unanswered.clear()
        acks, self._acks = self._acks, []
        return acks

    def take_incoming(self) -> list[IncomingMessage]:
        if not self.is_up:
            return []
        incoming = list(self._broker.commands)
        self._broker.commands.clear()
        return incoming


def connection_class(broker: Callable[[], SimulatedBroker], is_alive: Callable[[], bool]) -> Callable[..., Any]:
    """What to put in the place of `MqttConnection`."""

    def connection(_login: object, _client_id: str, _clock: object, *, will: Message, **_more: object) -> SimulatedLink:
        return SimulatedLink(broker(), is_alive, will)

    return connection
