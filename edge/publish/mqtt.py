"""The connection to the broker, over paho: MQTT 5, or 3.1.1 when the broker supports no more.

Every connection is a new paho client, so that paho resends nothing that the outbox does not know of. paho's thread only
appends to queues; everything else runs on the calling thread.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.clock import Backoff, Clock, SystemClock
from edge.config import LoadedConfig
from edge.errors import InputError, SinkError
from edge.publish.broker_login import (
    BrokerLogin,
    broker_login,
    explain,
    explain_closed,
    explain_refusal,
    explain_silent,
    tls_context,
)
from edge.publish.commands import IncomingMessage
from edge.publish.mqtt_callbacks import MqttSession, PahoCallbacks
from edge.types import Message

log = logging.getLogger(__name__)

_V5, _V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311


@dataclass(frozen=True, slots=True)
class MqttAck:
    """The broker's answer to one message; ``refused`` is its reason, None when it accepted the message."""

    token: int | None
    topic: str
    refused: str | None


class _ProtocolError(SinkError):
    """The broker's answer does not fit the chosen protocol version."""


class MqttConnection:
    """A connection, opened by `connect` and used from one thread; it calls ``wake`` when messages or answers arrived.

    ``will`` is published by the broker when this client vanishes; ``filters`` are subscribed with QoS 1. ``renew``
    reads the login again for each attempt, because passwords may change while this runs.
    """

    WINDOW = 64
    CONNECT_TIMEOUT_S = 10.0
    INCOMING_AT_MOST = 1000
    MAX_PACKET_BYTES = 256 * 1024  # largest incoming packet; a broker with MQTT 5 sends nothing larger

    def __init__(
        self,
        to: BrokerLogin,
        client_id: str,
        clock: Clock,
        *,
        will: Message | None = None,
        filters: Sequence[str] = (),
        wake: Callable[[], None] = lambda: None,
        renew: Callable[[], BrokerLogin] | None = None,
    ) -> None:
        self.login = to
        self._renew = renew
        self._client_id = client_id
        self._clock = clock
        self._will = will
        self._filters = list(filters)
        self.wake = wake
        self._protocol = _V5
        self._client: paho.Client | None = None
        self._session = MqttSession()
        self._in_flight: dict[int, tuple[int | None, str]] = {}
        self._incoming: deque[IncomingMessage] = deque(maxlen=self.INCOMING_AT_MOST)
        self.packet_limit: int | None = None
        self._window = self.WINDOW

    def connect(self) -> None:
        """Connect, log in and subscribe; SinkError says why it failed and what to do. May block for seconds."""
        self.close(timeout_s=0.0)
        if self._renew is not None:
            try:
                self.login = self._renew()
            except InputError as error:
                raise SinkError(f"broker {self.login.address}: {error}") from None
        try:
            self._connect(self._protocol)
        except _ProtocolError as first:
            other = _V311 if self._protocol is _V5 else _V5
            try:
                self._connect(other)
            except _ProtocolError:
                raise first from None
            self._protocol = other

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""
        s = self._session
        alive = s.thread is not None and s.thread.is_alive()
        return self._client is not None and s.answered.is_set() and not s.closed.is_set() and alive

    @property
    def lost_reason(self) -> str:
        """Why the last connection ended, as a sentence."""
        lost = self._session.lost
        if lost in {"", "Unspecified error", "Normal disconnection"}:
            return f"broker {self.login.address}: the connection was lost"
        return explain_refusal(lost, self.login, self._client_id)

    @property
    def version(self) -> str:
        """The protocol spoken, for logs."""
        return ("MQTT 5" if self._protocol is _V5 else "MQTT 3.1.1") + (" over TLS" if self.login.tls else "")

    @property
    def room(self) -> int:
        """How many more messages may be in flight."""
        return max(0, self._window - len(self._in_flight))

    @property
    def in_flight(self) -> int:
        """Messages that the broker has not answered yet."""
        return len(self._in_flight)

    def publish(self, message: Message, token: int | None = None, correlation: bytes | None = None) -> bool:
        """Send; False when that is not possible now. A QoS 1 message is answered by an `MqttAck` with ``token``."""
        if not self.connected or self._client is None:
            return False
        properties = None
        if correlation is not None and self._protocol is _V5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = correlation
        info = self._client.publish(message.topic, message.payload, message.qos, message.retain, properties)
        if info.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        if message.qos > 0:
            self._in_flight[info.mid] = (token, message.topic)
        return True

    def take_acks(self) -> list[MqttAck]:
        """Answers since the last call."""
        acks = []
        while self._session.pubacks:
            mid, refused = self._session.pubacks.popleft()
            known = self._in_flight.pop(mid, None)
            if known is not None:
                acks.append(MqttAck(*known, refused))
        return acks

    def take_incoming(self) -> list[IncomingMessage]:
        """Messages since the last call."""
        messages = []
        while self._incoming:
            messages.append(self._incoming.popleft())
        return messages

    def close(self, timeout_s: float = 1.0) -> None:
        """Disconnect cleanly (no will) if that works within ``timeout_s``, by force otherwise."""
        client, session = self._client, self._session
        self._client = None
        self._in_flight.clear()
        if client is None:
            return
        if self._alive(session):
            client.disconnect()
            self._clock.wait(session.closed, timeout_s)
            sock = client.socket()
            if isinstance(sock, socket.socket):
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)  # ends paho's loop, which would wait for acknowledgements
        client.loop_stop()

    @staticmethod
    def _alive(session: MqttSession) -> bool:
        return session.thread is not None and session.thread.is_alive() and not session.closed.is_set()

    def _connect(self, protocol: MQTTProtocolVersion) -> None:
        session = self._session = MqttSession()
        client = self._make_client(protocol, session)
        expiry = self.login.session_expiry_s
        options: dict[str, Any] = {}
        if protocol is _V5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = self.MAX_PACKET_BYTES
            properties.SessionExpiryInterval = min(expiry, 0xFFFFFFFF)
            options = {"clean_start": expiry == 0, "properties": properties}
        try:
            client.connect(self.login.host, self.login.port, self.login.keepalive_s, **options)
        except (OSError, ValueError) as error:
            raise SinkError(explain(error, self.login)) from None
        self._client = client
        before = set(threading.enumerate())
        client.loop_start()
        session.thread = next((t for t in threading.enumerate() if t not in before and self._client_id in t.name), None)
        try:
            self._await_answer(client, session)
        except SinkError:
            self.close(timeout_s=0.0)
            raise

    def _await_answer(self, client: paho.Client, session: MqttSession) -> None:
        if not self._clock.wait(session.answered, self.CONNECT_TIMEOUT_S):
            raise _ProtocolError(explain_silent(self.login))
        if session.reason is None:
            raise _ProtocolError(explain_closed(self.login))
        if session.reason.is_failure:
            kind = _ProtocolError if "protocol version" in str(session.reason).lower() else SinkError
            raise kind(explain_refusal(str(session.reason), self.login, self._client_id))
        self.packet_limit = getattr(session.properties, "MaximumPacketSize", None)
        self._window = min(self.WINDOW, getattr(session.properties, "ReceiveMaximum", self.WINDOW))
        if self._filters:
            client.subscribe([(topic, 1) for topic in self._filters])
            if not self._clock.wait(session.subscribed, self.CONNECT_TIMEOUT_S) or session.closed.is_set():
                raise SinkError(explain_closed(self.login))

    def _make_client(self, protocol: MQTTProtocolVersion, session: MqttSession) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            self._client_id,
            clean_session=None if protocol is _V5 else self.login.session_expiry_s == 0,
            protocol=protocol,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(0)  # the publisher limits messages in flight
        if self.login.username is not None:
            client.username_pw_set(self.login.username, self.login.password)
        if self.login.tls:
            client.tls_set_context(tls_context(self.login))
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain)
        PahoCallbacks(session, self._incoming, self._clock, self._notify).attach(client)
        return client

    def _notify(self) -> None:
        self.wake()


@contextlib.contextmanager
def subscribe(loaded: LoadedConfig, filters: Sequence[str], on_message: Callable[[str, bytes], None]) -> Iterator[None]:
    """Subscribe to topics of the configured broker while the context lasts, also after a lost connection.

    SinkError when the first connection fails. ``on_message`` gets topic and payload, on a thread of its own.
    """
    clock = SystemClock()
    news, stop = threading.Event(), threading.Event()

    def renew() -> BrokerLogin:
        return replace(broker_login(loaded), session_expiry_s=0)

    name = f"edge-watch-{uuid.uuid4().hex[:12]}"
    link = MqttConnection(renew(), name, clock, filters=filters, wake=news.set, renew=renew)
    link.connect()
    thread = threading.Thread(target=_follow, args=(link, clock, news, stop, on_message), name="follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        news.set()
        thread.join(timeout=MqttConnection.CONNECT_TIMEOUT_S)
        link.close()


def _follow(
    link: MqttConnection,
    clock: Clock,
    news: threading.Event,
    stop: threading.Event,
    on_message: Callable[[str, bytes], None],
) -> None:
    backoff = Backoff(clock)
    while not stop.is_set():
        news.clear()
        for incoming in link.take_incoming():
            on_message(incoming.topic, incoming.payload)
        if link.connected:
            clock.wait(news, 1.0)
            continue
        try:
            link.connect()
            backoff.succeeded()
        except SinkError as error:
            log.warning("%s; trying again", error)
            clock.wait(stop, backoff.failed())
