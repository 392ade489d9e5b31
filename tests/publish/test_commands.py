"""Commands: strict, and quiet about whatever else arrives."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publish_parts import TOPICS, site

from edge.publish.commands import (
    MAX_PAYLOAD_BYTES,
    CommandOrigin,
    CommandRefusal,
    IncomingMessage,
    MarkEvent,
    Reload,
    SetArmed,
    SetThreshold,
    TakeSnapshot,
    parse,
    reply_message,
)
from edge.publish.frigate import FrigateTopics

SITE = site(
    cameras={"gate": ["fire", "smoke", "no_signal"], "yard": ["fire"]},
    frigate=FrigateTopics("frigate", {}, frozenset()),
)
THRESHOLD = "edge/site/node/gate/fire/threshold/set"
ARMED = "edge/site/node/gate/armed/set"
COMMAND = "edge/site/node/command"


def command(topic: str, payload: bytes, **more: object) -> object:
    return parse(SITE, IncomingMessage(topic, payload, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "value"), [("0.7", 0.7), (" 1 ", 1.0), (".5", 0.5), ("5e-1", 0.5), ("1.0", 1.0)])
def test_a_threshold(text: str, value: float) -> None:
    assert command(THRESHOLD, text.encode()) == SetThreshold("gate", "fire", value, CommandOrigin(THRESHOLD))


def test_back_to_the_configured_threshold() -> None:
    assert command(THRESHOLD, b"default") == SetThreshold("gate", "fire", None, CommandOrigin(THRESHOLD))


def test_arming() -> None:
    assert command(ARMED, b"OFF", correlation=b"7") == SetArmed("gate", False, CommandOrigin(ARMED, b"7"))
    assert command(ARMED, b"ON") == SetArmed("gate", True, CommandOrigin(ARMED))


@pytest.mark.parametrize("payload", [b"reload", b'{"command": "reload"}'])
def test_reload(payload: bytes) -> None:
    assert command(COMMAND, payload) == Reload(CommandOrigin(COMMAND))


def test_an_id_serves_where_there_is_no_correlation_data() -> None:
    assert command(COMMAND, b'{"command": "reload", "id": "7"}') == Reload(CommandOrigin(COMMAND, b"7"))
    assert command(COMMAND, b'{"command": "reload", "id": "7"}', correlation=b"8") == Reload(
        CommandOrigin(COMMAND, b"8")
    )


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (THRESHOLD, b"", "not a number"),
        (THRESHOLD, b"0", "above 0"),
        (THRESHOLD, b"1.01", "up to 1"),
        (THRESHOLD, b"-0.5", "above 0"),
        (THRESHOLD, b"nan", "not a number"),
        (THRESHOLD, b"inf", "not a number"),
        (THRESHOLD, b"1e999", "not a number"),
        (THRESHOLD, b"1_0", "not a number"),
        (THRESHOLD, "٠.٥".encode(), "not a number"),
        (THRESHOLD, b"\xff", "UTF-8"),
        (THRESHOLD, b"0" * (MAX_PAYLOAD_BYTES + 1), "at most"),
        (ARMED, b"on", "neither ON nor OFF"),
        (ARMED, b"", "neither"),
        (ARMED.replace("gate", "attic"), b"ON", "no camera 'attic'; there is: gate, yard"),
        (THRESHOLD.replace("gate", "attic"), b"0.5", "no camera"),
        (THRESHOLD.replace("gate/fire", "yard/smoke"), b"0.5", "no label 'smoke'; there is: fire"),
        (COMMAND, b"{", "not readable as JSON"),
        (COMMAND, b"{" * 4000, "not readable as JSON"),
        (COMMAND, b'{"command": "format"}', "unknown command 'format'; known: reload"),
        (COMMAND, b'{"command": "reload", "now": 1}', "unknown key 'now'"),
        (COMMAND, b"{}", "unknown command"),
        ("edge/site/node/gate/fire/other/set", b"1", "no such command topic"),
    ],
)
def test_refusals_say_what_would_be_right(topic: str, payload: bytes, reason: str) -> None:
    refusal = command(topic, payload)
    assert isinstance(refusal, CommandRefusal)
    assert reason in refusal.reason


def test_a_retained_command_is_refused() -> None:
    refusal = command(THRESHOLD, b"0.5", retain=True)
    assert isinstance(refusal, CommandRefusal)
    assert "without retain" in refusal.reason


@given(topic=st.text(max_size=60), payload=st.binary(max_size=200), correlation=st.none() | st.binary(max_size=20))
def test_nothing_that_arrives_raises_and_every_answer_is_json(
    topic: str, payload: bytes, correlation: bytes | None
) -> None:
    for where in (topic, f"{TOPICS.root}/{topic}", THRESHOLD, ARMED, COMMAND):
        found = parse(SITE, IncomingMessage(where, payload, correlation=correlation))
        reason = found.reason if isinstance(found, CommandRefusal) else "done"
        assert len(reason) < 400
        assert reason.isprintable()
        reply = json.loads(reply_message(TOPICS, found.origin, False, reason, "t").payload)
        assert reply["reason"] == reason


@given(text=st.text(max_size=200))
def test_hostile_json_is_never_obeyed(text: str) -> None:
    payload = json.dumps({"command": text}).encode()
    found = parse(SITE, IncomingMessage(COMMAND, payload))
    assert isinstance(found, Reload) == (text == "reload")


@given(
    event=st.none() | st.text(max_size=70), camera=st.none() | st.sampled_from(["gate", "attic", ""]),
    label=st.none() | st.sampled_from(["fire", "nothing"]),
    verdict=st.none() | st.sampled_from(["true", "false", "none", "x"]),
    note=st.text(max_size=600),
)  # fmt: skip
def test_a_mark_is_obeyed_only_when_it_is_clear_what_is_meant(
    event: str | None, camera: str | None, label: str | None, verdict: str | None, note: str
) -> None:
    given = {"command": "mark", "event": event, "camera": camera, "label": label, "verdict": verdict, "note": note}
    found = command(COMMAND, json.dumps({k: v for k, v in given.items() if v is not None}, ensure_ascii=False).encode())
    if isinstance(found, MarkEvent):
        assert (found.event is None) != (found.camera is None)
        assert found.camera in {None, "gate"}
        assert found.label in {None, "fire"}
        assert found.verdict == (None if verdict == "none" else verdict)
        assert found.event is None or re.fullmatch(r"[A-Za-z0-9._-]{1,64}", found.event)
    else:
        assert isinstance(found, CommandRefusal)


def test_marks_and_snapshots() -> None:
    origin = CommandOrigin(COMMAND)
    assert command(
        COMMAND, b'{"command": "mark", "event": "9f2c51d0", "verdict": "false", "note": "a cat"}'
    ) == MarkEvent("9f2c51d0", None, None, "false", "a cat", origin)
    assert command(COMMAND, b'{"command": "mark", "camera": "gate", "label": "fire", "verdict": "true"}') == MarkEvent(
        None, "gate", "fire", "true", "", origin
    )
    assert command(COMMAND, b'{"command": "mark", "camera": "gate", "verdict": "none"}') == MarkEvent(
        None, "gate", None, None, "", origin
    )
    assert command(COMMAND, b'{"command": "snapshot", "camera": "gate", "id": "7"}') == TakeSnapshot(
        "gate", CommandOrigin(COMMAND, b"7")
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"command": "mark", "event": "e1"', "verdict must be one of true, false, none"),
        ('"command": "mark", "event": "e1", "verdict": "maybe"', "verdict must be one of"),
        ('"command": "mark", "event": "e1", "verdict": true', "verdict must be a text in quotes"),
        ('"command": "mark", "verdict": "true"', "give either event"),
        ('"command": "mark", "verdict": "true", "event": "e1", "camera": "gate"', "give either event"),
        ('"command": "mark", "verdict": "true", "event": "../e1"', "no id of an event"),
        ('"command": "mark", "verdict": "true", "event": "e1", "label": "fire"', "label goes with camera"),
        ('"command": "mark", "verdict": "true", "camera": "attic"', "no camera 'attic'"),
        ('"command": "mark", "verdict": "true", "camera": "gate", "label": "flood"', "no label 'flood'"),
        ('"command": "mark", "verdict": "true", "event": "e1", "why": "x"', "unknown key 'why'"),
        ('"command": "snapshot"', "no camera ''"),
        ('"command": "snapshot", "camera": "gate", "verdict": "true"', "unknown key 'verdict'"),
    ],
)
def test_unclear_marks_and_snapshots_are_refused(text: str, reason: str) -> None:
    refusal = command(COMMAND, f"{{{text}}}".encode())
    assert isinstance(refusal, CommandRefusal)
    assert reason in refusal.reason


def test_frigates_switch_arms() -> None:
    topic = "frigate/gate/detect/set"
    assert command(topic, b"OFF") == SetArmed("gate", False, CommandOrigin(topic))
    assert isinstance(command("frigate/attic/detect/set", b"OFF"), CommandRefusal)


def test_a_reply_repeats_the_correlation_data() -> None:
    reply = json.loads(reply_message(TOPICS, CommandOrigin("t", b"\x00\xfe"), True, "done", "now").payload)
    assert reply == {"schema": 1, "ok": True, "topic": "t", "reason": "done", "correlation": "00fe", "time": "now"}
    assert json.loads(reply_message(TOPICS, CommandOrigin("t", b"x7"), True, "", "").payload)["correlation"] == "x7"
