"""Callbacks on paho's thread: they only append to queues, which `edge.publish.mqtt` reads."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from edge.clock import Clock
from edge.publish.commands import IncomingMessage

log = logging.getLogger(__name__)


class MqttSession:
    """State of one connection: written by paho's thread, read by the owner's."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.subscribed = threading.Event()
        self.closed = threading.Event()
        self.reason: ReasonCode | None = None
        self.properties: Properties | None = None
        self.lost = ""
        self.pubacks: deque[tuple[int, str | None]] = deque()
        self.thread: threading.Thread | None = None


class PahoCallbacks:
    """Callbacks of one client."""

    def __init__(
        self, session: MqttSession, incoming: deque[IncomingMessage], clock: Clock, wake: Callable[[], None]
    ) -> None:
        self._session = session
        self._incoming = incoming
        self._clock = clock
        self._wake = wake

    def attach(self, client: paho.Client) -> None:
        """Set these callbacks on ``client``."""
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    def _on_connect(self, _c: Any, _u: Any, _flags: Any, reason: ReasonCode, properties: Properties | None) -> None:
        self._session.reason, self._session.properties = reason, properties
        self._session.answered.set()

    def _on_disconnect(self, _c: Any, _u: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        if not self._session.closed.is_set():  # paho calls twice; the broker's own reason comes first
            self._session.lost = str(reason)
        self._session.closed.set()
        self._session.answered.set()
        self._session.subscribed.set()
        self._wake()

    def _on_publish(self, _c: Any, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:
        self._session.pubacks.append((mid, str(reason) if reason.is_failure else None))
        self._wake()

    def _on_subscribe(self, _c: Any, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:
        self._session.subscribed.set()
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            log.warning("the broker refuses subscriptions (%s): commands or sensors will not arrive; check its ACL",
                        ", ".join(sorted(set(refused))))  # fmt: skip

    def _on_message(self, _c: Any, _u: Any, message: paho.MQTTMessage) -> None:
        correlation = getattr(message.properties, "CorrelationData", None)
        self._incoming.append(
            IncomingMessage(_topic(message), bytes(message.payload), message.retain, correlation, self._clock.mono_ns())
        )
        self._wake()


def _topic(message: paho.MQTTMessage) -> str:
    try:
        return message.topic
    except UnicodeDecodeError:
        return ""
