"""Commands: strict, and quiet about whatever else arrives."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from publish_parts import TOPICS

from edge.publish.commands import (
    LONGEST,
    Incoming,
    Origin,
    Refusal,
    Reload,
    SetArmed,
    SetThreshold,
    parse,
    reply_message,
)

KNOWN = {"gate": ["fire", "smoke"], "yard": ["fire"]}
THRESHOLD = "edge/site/node/gate/fire/threshold/set"
ARMED = "edge/site/node/gate/armed/set"
COMMAND = "edge/site/node/command"


def command(topic: str, payload: bytes, **more: object) -> object:
    return parse(TOPICS, Incoming(topic, payload, **more), KNOWN)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "value"), [("0.7", 0.7), (" 1 ", 1.0), (".5", 0.5), ("5e-1", 0.5), ("1.0", 1.0)])
def test_a_threshold(text: str, value: float) -> None:
    assert command(THRESHOLD, text.encode()) == SetThreshold("gate", "fire", value, Origin(THRESHOLD))


def test_back_to_the_configured_threshold() -> None:
    assert command(THRESHOLD, b"default") == SetThreshold("gate", "fire", None, Origin(THRESHOLD))


def test_arming() -> None:
    assert command(ARMED, b"OFF", correlation=b"7") == SetArmed("gate", False, Origin(ARMED, b"7"))
    assert command(ARMED, b"ON") == SetArmed("gate", True, Origin(ARMED))


@pytest.mark.parametrize("payload", [b"reload", b'{"command": "reload"}'])
def test_reload(payload: bytes) -> None:
    assert command(COMMAND, payload) == Reload(Origin(COMMAND))


def test_an_id_serves_where_there_is_no_correlation_data() -> None:
    assert command(COMMAND, b'{"command": "reload", "id": "7"}') == Reload(Origin(COMMAND, b"7"))
    assert command(COMMAND, b'{"command": "reload", "id": "7"}', correlation=b"8") == Reload(Origin(COMMAND, b"8"))


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
        (THRESHOLD, b"0" * (LONGEST + 1), "at most"),
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
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason


def test_a_retained_command_is_refused() -> None:
    refusal = command(THRESHOLD, b"0.5", retain=True)
    assert isinstance(refusal, Refusal)
    assert "without retain" in refusal.reason


@given(topic=st.text(max_size=60), payload=st.binary(max_size=200), correlation=st.none() | st.binary(max_size=20))
def test_nothing_that_arrives_raises_and_every_answer_is_json(
    topic: str, payload: bytes, correlation: bytes | None
) -> None:
    for where in (topic, f"{TOPICS.root}/{topic}", THRESHOLD, ARMED, COMMAND):
        found = parse(TOPICS, Incoming(where, payload, correlation=correlation), KNOWN)
        reason = found.reason if isinstance(found, Refusal) else "done"
        assert len(reason) < 400
        assert reason.isprintable()
        reply = json.loads(reply_message(TOPICS, found.origin, False, reason, "t").payload)
        assert reply["reason"] == reason


@given(text=st.text(max_size=200))
def test_hostile_json_is_never_obeyed(text: str) -> None:
    payload = json.dumps({"command": text}).encode()
    found = parse(TOPICS, Incoming(COMMAND, payload), KNOWN)
    assert isinstance(found, Reload) == (text == "reload")


def test_a_reply_repeats_the_correlation_data() -> None:
    reply = json.loads(reply_message(TOPICS, Origin("t", b"\x00\xfe"), True, "done", "now").payload)
    assert reply == {"schema": 1, "ok": True, "topic": "t", "reason": "done", "correlation": "00fe", "time": "now"}
    assert json.loads(reply_message(TOPICS, Origin("t", b"x7"), True, "", "").payload)["correlation"] == "x7"
