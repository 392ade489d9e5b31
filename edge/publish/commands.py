"""Parses commands from the broker: bytes in, a typed command or a refusal out. Never raises, whatever arrives."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from edge.publish.payloads import SCHEMA, ReplyPayload, json_message
from edge.publish.topics import NodeDescription, Topics
from edge.types import Message

MAX_PAYLOAD_BYTES = 4096  # bytes of a payload
_SHOWN = 60  # characters of a foreign text in a reason
_LONGEST_NOTE = 500
_EVENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_KEYS = {"reload": (), "mark": ("event", "camera", "label", "verdict", "note"), "snapshot": ("camera",)}
_VERDICTS: dict[str, Literal["true", "false"] | None] = {"true": "true", "false": "false", "none": None}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A received message: ``correlation`` is MQTT 5 correlation data, ``arrival_ns`` local monotonic time."""

    topic: str
    payload: bytes
    retain: bool = False
    correlation: bytes | None = None
    arrival_ns: int = 0


@dataclass(frozen=True, slots=True)
class CommandOrigin:
    """The topic and correlation data of a command, for the answer."""

    topic: str
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class SetThreshold:
    """Set the ``enter`` threshold of a label, 0 < value <= 1; None: back to the configured one."""

    camera: str
    label: str
    value: float | None
    origin: CommandOrigin


@dataclass(frozen=True, slots=True)
class SetArmed:
    """Arm or disarm a camera."""

    camera: str
    on: bool
    origin: CommandOrigin


@dataclass(frozen=True, slots=True)
class Reload:
    """Read the configuration again."""

    origin: CommandOrigin


@dataclass(frozen=True, slots=True)
class MarkEvent:
    """Mark an event: by its id, or with ``event`` None the newest one of ``camera`` (and of ``label``, if given).

    ``verdict`` None removes an earlier mark.
    """

    event: str | None
    camera: str | None
    label: str | None
    verdict: Literal["true", "false"] | None
    note: str
    origin: CommandOrigin


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """Publish a new picture of the camera on its snapshot topic."""

    camera: str
    origin: CommandOrigin


@dataclass(frozen=True, slots=True)
class CommandRefusal:
    """A message that is not a valid command; ``reason`` says why and what is valid."""

    reason: str
    origin: CommandOrigin


Command: TypeAlias = SetThreshold | SetArmed | Reload | MarkEvent | TakeSnapshot


def parse(site: NodeDescription, incoming: IncomingMessage) -> Command | CommandRefusal:
    """The command in a message to the node."""
    origin = CommandOrigin(incoming.topic, incoming.correlation)
    text = _text(incoming.payload)
    if incoming.retain:
        return CommandRefusal(
            "retained commands are not obeyed, they would act again at every reconnect: publish without retain "
            "and clear this topic with an empty retained message",
            origin,
        )
    if text is None:
        return CommandRefusal(f"the payload must be UTF-8 text of at most {MAX_PAYLOAD_BYTES} bytes", origin)
    return _parse(site, incoming.topic, text, origin)


def _parse(site: NodeDescription, topic: str, text: str, origin: CommandOrigin) -> Command | CommandRefusal:
    if topic == site.topics.command:
        return _node_command(text, site.cameras, origin)
    if site.frigate is not None and topic.startswith(f"{site.frigate.prefix}/"):
        return _armed(topic.removeprefix(f"{site.frigate.prefix}/").split("/")[0], text, site.cameras, origin)
    below = topic.removeprefix(f"{site.topics.root}/").split("/")
    if len(below) == 4 and below[2:] == ["threshold", "set"]:
        return _threshold(below[0], below[1], text, site.settable, origin)
    if len(below) == 3 and below[1:] == ["armed", "set"]:
        return _armed(below[0], text, site.cameras, origin)
    return CommandRefusal("there is no such command topic; see docs/reference/topics.md", origin)


def reply_message(topics: Topics, origin: CommandOrigin, ok: bool, reason: str, time: str) -> Message:
    """The answer to a command; correlation data that is not text becomes hexadecimal."""
    correlation = None if origin.correlation is None else _as_text(origin.correlation)
    payload = ReplyPayload(SCHEMA, ok, _as_text(origin.topic.encode("utf-8", "replace")), reason, correlation, time)
    return json_message(topics.reply, {name: getattr(payload, name) for name in ReplyPayload.__slots__})


def _node_command(text: str, cameras: Mapping[str, Collection[str]], origin: CommandOrigin) -> Command | CommandRefusal:
    try:
        raw = json.loads(text) if text.startswith("{") else {"command": text}
    except (ValueError, RecursionError):
        return CommandRefusal('not readable as JSON; send {"command": "reload"}', origin)
    reason = _malformed(raw)
    if reason is not None:
        return CommandRefusal(reason, origin)
    if isinstance(raw.get("id"), str) and origin.correlation is None:
        origin = CommandOrigin(origin.topic, raw["id"].encode("utf-8", "replace"))
    if raw["command"] == "mark":
        return _mark(raw, cameras, origin)
    if raw["command"] == "snapshot":
        camera = raw.get("camera", "")
        return TakeSnapshot(camera, origin) if camera in cameras else _unknown("camera", camera, cameras, origin)
    return Reload(origin)


def _malformed(raw: Mapping[str, object]) -> str | None:
    """Why an object has not the form of a command; None when its form is right. Does not check values."""
    name = raw.get("command")
    if not isinstance(name, str) or name not in _KEYS:
        return f"unknown command {_quote(name)}; known: {', '.join(_KEYS)}"
    allowed = {"command", "id", *_KEYS[name]}
    extra = sorted(set(raw) - allowed)
    if extra:
        return f"unknown key {_quote(extra[0])}; known: {', '.join(sorted(allowed))}"
    odd = [key for key in _KEYS[name] if not isinstance(raw.get(key, ""), str)]
    return f"{odd[0]} must be a text in quotes" if odd else None


def _mark(
    raw: Mapping[str, str], cameras: Mapping[str, Collection[str]], origin: CommandOrigin
) -> Command | CommandRefusal:
    event, camera, label, note = raw.get("event"), raw.get("camera"), raw.get("label"), raw.get("note", "")
    wrong = [
        (raw.get("verdict", "") not in _VERDICTS, f"verdict must be one of {', '.join(_VERDICTS)}"),
        ((event is None) == (camera is None), "give either event (its id) or camera (its newest event is meant)"),
        (event is not None and not _EVENT_ID.fullmatch(event), f"{_quote(event)} is no id of an event"),
        (event is not None and label is not None, "label goes with camera, not with event"),
        (len(note) > _LONGEST_NOTE, f"note is longer than {_LONGEST_NOTE} characters"),
    ]
    reason = next((text for is_wrong, text in wrong if is_wrong), None)
    if reason is not None:
        return CommandRefusal(reason, origin)
    if camera is not None and camera not in cameras:
        return _unknown("camera", camera, cameras, origin)
    if camera is not None and label is not None and label not in cameras[camera]:
        return _unknown("label", label, cameras[camera], origin)
    return MarkEvent(event, camera, label, _VERDICTS[raw["verdict"]], note, origin)


def _threshold(
    camera: str, label: str, text: str, known: Mapping[str, Collection[str]], origin: CommandOrigin
) -> Command | CommandRefusal:
    if camera not in known:
        return _unknown("camera", camera, known, origin)
    if label not in known[camera]:
        return _unknown("label", label, known[camera], origin)
    if text == "default":
        return SetThreshold(camera, label, None, origin)
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not 0 < value <= 1:
        return CommandRefusal(f"{_quote(text)} is not a number above 0 and up to 1 (or the word default)", origin)
    return SetThreshold(camera, label, value, origin)


def _armed(
    camera: str, text: str, known: Mapping[str, Collection[str]], origin: CommandOrigin
) -> Command | CommandRefusal:
    if camera not in known:
        return _unknown("camera", camera, known, origin)
    if text not in {"ON", "OFF"}:
        return CommandRefusal(f"{_quote(text)} is neither ON nor OFF", origin)
    return SetArmed(camera, text == "ON", origin)


def _unknown(what: str, name: str, valid: Collection[str], origin: CommandOrigin) -> CommandRefusal:
    return CommandRefusal(f"there is no {what} {_quote(name)}; there is: {', '.join(sorted(valid))}", origin)


def _text(payload: bytes) -> str | None:
    if len(payload) > MAX_PAYLOAD_BYTES:
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
        text = data[:MAX_PAYLOAD_BYTES].decode()
    except UnicodeDecodeError:
        return data[:MAX_PAYLOAD_BYTES].hex()
    return text if text.isprintable() else data[:MAX_PAYLOAD_BYTES].hex()
