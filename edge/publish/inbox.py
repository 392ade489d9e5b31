"""Incoming messages: commands are parsed, saved over restarts once accepted, and answered; the rest goes to sensors."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable

from edge.clock import Clock, iso8601
from edge.publish.commands import (
    Command,
    CommandOrigin,
    CommandRefusal,
    IncomingMessage,
    Reload,
    SetArmed,
    SetThreshold,
    parse,
    reply_message,
)
from edge.publish.discovery import birth_topic
from edge.publish.outbox import Outbox
from edge.publish.payloads import from_saved
from edge.publish.topics import ONLINE, NodeDescription
from edge.types import Message

log = logging.getLogger(__name__)


class CommandInbox:
    """Commands of one node. ``send`` sends a reply with its correlation data, ``on_birth`` is called when Home
    Assistant starts, ``on_message`` with messages that are no commands.
    """

    COMMANDS_AT_MOST = 256

    def __init__(
        self,
        site: NodeDescription,
        outbox: Outbox,
        clock: Clock,
        *,
        send: Callable[[Message, bytes | None], None],
        on_birth: Callable[[], None],
        on_message: Callable[[IncomingMessage], None] | None,
    ) -> None:
        self._site, self._outbox, self._clock = site, outbox, clock
        self._send, self._on_birth, self._on_other = send, on_birth, on_message
        self._commands: deque[Command] = deque()
        self.armed: dict[str, bool] = {}
        self.describe(site)

    def receive(self, incoming: IncomingMessage) -> None:
        """Process one message from the broker."""
        prefix = self._site.home_assistant_prefix
        if prefix is not None and incoming.topic == birth_topic(prefix):
            if incoming.payload == ONLINE:
                self._on_birth()
        elif self._is_command(incoming.topic):
            self._receive_command(incoming)
        elif self._on_other is not None:
            self._on_other(incoming)

    def describe(self, site: NodeDescription) -> None:
        """Accept commands for the cameras and labels of ``site`` from now on; earlier settings for them stay."""
        self._site = site
        armed = dict.fromkeys(site.cameras, True)
        armed.update({c.camera: c.on for c in self.overrides() if isinstance(c, SetArmed)})
        self.armed = armed

    def poll(self) -> list[Command]:
        """Commands since the last call."""
        commands = []
        while self._commands:
            commands.append(self._commands.popleft())
        return commands

    def accept(self, command: Command, reason: str) -> None:
        """Save the command's change over restarts, and answer it."""
        if isinstance(command, SetArmed):
            self.armed[command.camera] = command.on
        self._answer(command.origin, True, reason)
        if isinstance(command, SetArmed):
            self._outbox.save(f"armed/{command.camera}", None if command.on else b"false")
        elif isinstance(command, SetThreshold):
            value = None if command.value is None else json.dumps(command.value).encode()
            self._outbox.save(f"threshold/{command.camera}/{command.label}", value)

    def refuse(self, command: Command | CommandRefusal, reason: str) -> None:
        """Answer a command that cannot be carried out."""
        log.warning("refused a command on %s: %s", ascii(command.origin.topic), reason)
        self._answer(command.origin, False, reason)

    def overrides(self) -> list[SetThreshold | SetArmed]:
        """Changes by accepted commands, now and in earlier runs, for cameras and labels that still exist."""
        found: list[SetThreshold | SetArmed] = []
        for name, value in sorted(self._outbox.saved().items()):
            kind, _, rest = name.partition("/")
            camera, _, label = rest.partition("/")
            if camera not in self._site.cameras:
                continue
            if kind == "armed":
                found.append(SetArmed(camera, value == b"true", CommandOrigin("")))
            elif kind == "threshold" and label in self._site.thresholds:
                enter = from_saved(value, None)
                found += [] if enter is None else [SetThreshold(camera, label, float(enter), CommandOrigin(""))]
        return found

    def _is_command(self, topic: str) -> bool:
        frigate = self._site.frigate
        below_frigate = frigate is not None and topic.startswith(f"{frigate.prefix}/") and topic.endswith("/detect/set")
        return below_frigate or topic.startswith(f"{self._site.topics.root}/")

    def _receive_command(self, incoming: IncomingMessage) -> None:
        command = parse(self._site, incoming)
        if isinstance(command, CommandRefusal):
            self.refuse(command, command.reason)
        elif len(self._commands) >= self.COMMANDS_AT_MOST:
            self.refuse(command, "too many commands wait; send it again later")
        else:
            self._commands.append(command)

    def _answer(self, origin: CommandOrigin, ok: bool, reason: str) -> None:
        if origin.topic:
            message = reply_message(self._site.topics, origin, ok, reason, iso8601(self._clock.wall_ns()))
            self._send(message, origin.correlation)


__all__ = ["Command", "CommandInbox", "Reload", "SetArmed", "SetThreshold"]
