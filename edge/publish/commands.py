"""Commands from the broker: bytes in, a typed command or a refusal out. Never raises, whatever arrives."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edge.publish.payloads import SCHEMA, ReplyPayload, json_message
from edge.publish.topics import Topics
from edge.types import Message

LONGEST = 4096  # bytes of a payload
_SHOWN = 60  # characters of a foreign text in a reason
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message as it came: ``correlation`` is MQTT 5 correlation data, ``arrival_ns`` local monotonic time."""

    topic: str
    payload: bytes
    retain: bool = False
    correlation: bytes | None = None
    arrival_ns: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a command came from, for the answer."""

    topic: str
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class SetThreshold:
    """Set the ``enter`` threshold of a label, 0 < value <= 1; None: back to what the configuration says."""

    camera: str
    label: str
    value: float | None
    origin: Origin


@dataclass(frozen=True, slots=True)
class SetArmed:
    """Publish the camera's events, or not."""

    camera: str
    on: bool
    origin: Origin


@dataclass(frozen=True, slots=True)
class Reload:
    """Read the configuration again."""

    origin: Origin


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is no command; ``reason`` says what would be one."""

    reason: str
    origin: Origin


Command: TypeAlias = SetThreshold | SetArmed | Reload


def parse(topics: Topics, incoming: Incoming, known: Mapping[str, Collection[str]]) -> Command | Refusal:
    """The command in a message. ``known``: the labels of every camera."""
    origin = Origin(incoming.topic, incoming.correlation)
    text = _text(incoming.payload)
    if incoming.retain:
        return Refusal(
            "retained commands are not obeyed, they would act again at every reconnect: publish without retain "
            "and clear this topic with an empty retained message",
            origin,
        )
    if text is None:
        return Refusal(f"the payload must be UTF-8 text of at most {LONGEST} bytes", origin)
    below = incoming.topic.removeprefix(f"{topics.root}/").split("/")
    if incoming.topic == topics.command:
        return _node_command(text, origin)
    if len(below) == 4 and below[2:] == ["threshold", "set"]:
        return _threshold(below[0], below[1], text, known, origin)
    if len(below) == 3 and below[1:] == ["armed", "set"]:
        return _armed(below[0], text, known, origin)
    return Refusal("there is no such command topic; see docs/topics.md", origin)


def reply_message(topics: Topics, origin: Origin, ok: bool, reason: str, time: str) -> Message:
    """The answer to a command; correlation data that is not text is given in hexadecimal."""
    correlation = None if origin.correlation is None else _as_text(origin.correlation)
    payload = ReplyPayload(SCHEMA, ok, _as_text(origin.topic.encode("utf-8", "replace")), reason, correlation, time)
    return json_message(topics.reply, {name: getattr(payload, name) for name in ReplyPayload.__slots__})


def _node_command(text: str, origin: Origin) -> Command | Refusal:
    try:
        raw = json.loads(text) if text.startswith("{") else {"command": text}
    except (ValueError, RecursionError):
        return Refusal('not readable as JSON; send {"command": "reload"}', origin)
    extra = sorted(set(raw) - {"command", "id"})
    if extra:
        return Refusal(f"unknown key {_quote(extra[0])}; known: command, id", origin)
    if isinstance(raw.get("id"), str) and origin.correlation is None:
        origin = Origin(origin.topic, raw["id"].encode("utf-8", "replace"))
    if raw.get("command") == "reload":
        return Reload(origin)
    return Refusal(f"unknown command {_quote(raw.get('command'))}; known: reload", origin)


def _threshold(
    camera: str, label: str, text: str, known: Mapping[str, Collection[str]], origin: Origin
) -> Command | Refusal:
    if camera not in known:
        return _unknown("camera", camera, known, origin)
    if label not in known[camera]:
        return _unknown("label", label, known[camera], origin)
    if text == "default":
        return SetThreshold(camera, label, None, origin)
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not 0 < value <= 1:
        return Refusal(f"{_quote(text)} is not a number above 0 and up to 1 (or the word default)", origin)
    return SetThreshold(camera, label, value, origin)


def _armed(camera: str, text: str, known: Mapping[str, Collection[str]], origin: Origin) -> Command | Refusal:
    if camera not in known:
        return _unknown("camera", camera, known, origin)
    if text not in {"ON", "OFF"}:
        return Refusal(f"{_quote(text)} is neither ON nor OFF", origin)
    return SetArmed(camera, text == "ON", origin)


def _unknown(what: str, name: str, valid: Collection[str], origin: Origin) -> Refusal:
    return Refusal(f"there is no {what} {_quote(name)}; there is: {', '.join(sorted(valid))}", origin)


def _text(payload: bytes) -> str | None:
    if len(payload) > LONGEST:
        return None
    try:
        return payload.decode().strip()
    except UnicodeDecodeError:
        return None


def _quote(value: object) -> str:
    """Foreign text, short and without control characters."""
    text = value if isinstance(value, str) else repr(value)
    return ascii(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")


def _as_text(data: bytes) -> str:
    try:
        text = data[:LONGEST].decode()
    except UnicodeDecodeError:
        return data[:LONGEST].hex()
    return text if text.isprintable() else data[:LONGEST].hex()
