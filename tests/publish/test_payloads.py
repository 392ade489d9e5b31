"""Payloads, topics and their schemas: frozen, documented, and true."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from publish_parts import BEGIN, END, FACTS, JPEG, LINKS, SCORES, TOPICS, UPDATE, WALL_NS, site

from edge.publish.commands import CommandOrigin, reply_message
from edge.publish.event_phases import EventPhases, end_at_restart, pack_event, unpack_event
from edge.publish.health_payloads import NodeInfo
from edge.publish.payloads import event_payload
from edge.publish.schema import schemas, texts, write
from edge.publish.topics import (
    ScoreRateLimiter,
    ThresholdState,
    health_message,
    held_back_message,
    score_message,
    state_message,
    threshold_messages,
)
from edge.status import HeldBack, HoldReason, SensorStatus
from edge.types import NS_PER_S, Event, EvidenceFiles, Message

DOCS = Path(__file__).parents[2] / "docs"
INFO = NodeInfo("0.1", "fused 1", "onnx", 12.5, 10**9, 3, {"provider": "CPU"})


def validate(name: str, message: Message) -> dict[str, object]:
    payload = json.loads(message.payload)
    schema = {**schemas()[name], "additionalProperties": False}
    jsonschema.validate(payload, schema, format_checker=jsonschema.FormatChecker())
    return payload


def told(*events: Event) -> list[Message]:
    """The messages of the last event, told after the others."""
    phases = EventPhases(TOPICS, "fused 1", LINKS, None, {})
    return [phases.messages([event]) for event in events][-1].messages


def test_an_event_object_is_what_it_was_in_the_first_release() -> None:
    """Freezes keys and forms: programs out there rely on them."""
    begin, state, _ = told(BEGIN)
    assert begin.topic == "edge/site/node/gate/event"
    assert (begin.qos, begin.retain, begin.key) == (1, False, "")
    assert validate("event", begin) == {
        "schema": 1, "id": "e1", "seq": 0, "phase": "begin", "kind": "event", "site": "site", "node": "node",
        "camera": "gate", "label": "fire", "severity": "alert", "begin": "2023-11-14T22:13:20.000Z", "end": None,
        "duration_s": None, "score": 0.81, "peak": 0.9, "threshold": 0.6, "why": "flames seen, crackling heard",
        "contribution": {"video": 1.5, "audio": -0.25, "sensors": 0.0},
        "boxes": [{"label": "person", "score": 0.5, "x1": 0.1, "y1": 0.2, "x2": 0.3, "y2": 0.4}],
        "tags": {"Fire": 0.7, "Crackle": 0.4}, "model": "fused 1", "zones": ["yard"],
        "evidence": {
            "page": "https://box:8088/events/e1", "clip": "https://box:8088/api/events/e1/clip.mp4",
            "snapshot": "https://box:8088/api/events/e1/snapshot.jpg",
            "thumbnail": "https://box:8088/api/events/e1/thumbnail.jpg",
            "spectrogram": "https://box:8088/api/events/e1/spectrogram.png",
        },
    }  # fmt: skip
    topic = "edge/site/node/gate/fire/state"
    assert state == Message(topic, b"ON", 1, True, topic)


def test_an_end_has_its_times_on_the_wall_clock_of_the_begin() -> None:
    end, state, _ = told(BEGIN, UPDATE, END)
    payload = validate("event", end)
    assert (payload["end"], payload["duration_s"], payload["seq"]) == ("2023-11-14T22:13:23.000Z", 3.0, 2)
    assert state.payload == b"OFF"


def test_the_state_stays_on_while_another_event_of_the_label_is_open() -> None:
    other = replace(BEGIN, id="e2")
    topic = TOPICS.state("gate", "fire")
    assert [m.payload for m in told(BEGIN, other, END) if m.topic == topic] == []
    assert [m.payload for m in told(BEGIN, UPDATE) if m.topic == topic] == []
    assert [m.payload for m in told(BEGIN, other, END, replace(END, id="e2")) if m.topic == topic] == [b"OFF"]


def test_numbers_that_json_has_not_do_not_break_an_event() -> None:
    odd = replace(BEGIN, score=float("nan"), peak=float("inf"), contribution=None)
    validate("event", told(odd)[0])


def test_scores() -> None:
    message = score_message(TOPICS, SCORES, WALL_NS)
    assert (message.topic, message.qos, message.retain) == ("edge/site/node/gate/score", 0, False)
    assert validate("score", message)["scores"] == {"fire": 0.25, "smoke": 0.5}


def test_at_most_one_score_a_second_and_camera() -> None:
    limit = ScoreRateLimiter()
    at = [n * NS_PER_S // 4 for n in range(9)]
    assert [t // NS_PER_S for t in at if limit.allow("a", t)] == [0, 1, 2]
    assert limit.allow("b", at[-1])


def test_health() -> None:
    message = health_message(TOPICS, INFO, [FACTS], WALL_NS)
    assert (message.topic, message.retain) == ("edge/site/node/health", True)
    payload = validate("health", message)
    camera = payload["cameras"]["gate"]  # type: ignore[index]
    assert camera["video"]["rate_hz"] == 15.0
    assert camera["audio"]["level"] is None
    assert (camera["sensors"], camera["held_back"], payload["held_back"]) == ({}, {}, 0)


HELD = (
    HeldBack("gate", "person", 0.6, {HoldReason.RATE_LIMITED: 7, HoldReason.COOLDOWN: 2, HoldReason.OUTSIDE_ZONE: 30},
             HoldReason.RATE_LIMITED, WALL_NS, 0.91),
    HeldBack("gate", "fire", 0.5, {HoldReason.WAITING: 4}),
    HeldBack("hall", "person", 0.6, {HoldReason.COOLDOWN: 1}),
)  # fmt: skip


def test_health_tells_what_limits_held_back_and_what_the_sensors_say() -> None:
    read = SensorStatus("temperature", "°C", 21.52, 3.25, is_stale=False)
    silent = SensorStatus("smoke", "ppm", None, None, is_stale=True)
    facts = [replace(FACTS, sensors=(read, silent)), replace(FACTS, camera="hall")]
    payload = validate("health", health_message(TOPICS, INFO, facts, WALL_NS, HELD))
    gate, hall = payload["cameras"]["gate"], payload["cameras"]["hall"]  # type: ignore[index]
    assert payload["held_back"] == 10
    assert (gate["held_back"], hall["held_back"]) == ({"person": 9}, {"person": 1})
    assert gate["sensors"] == {
        "temperature": {"value": 21.52, "unit": "°C", "age_s": 3.25, "stale": False},
        "smoke": {"value": None, "unit": "ppm", "age_s": None, "stale": True},
    }


def test_what_is_held_back_is_an_object_of_its_own() -> None:
    """Freezes keys and forms: the label's state stays ON or OFF, so this is told beside it."""
    message = held_back_message(TOPICS, "gate", HELD)
    assert (message.topic, message.retain) == ("edge/site/node/gate/held_back", True)
    assert validate("held_back", message) == {
        "schema": 1,
        "camera": "gate",
        "this_hour": 9,
        "labels": {
            "person": {
                "reason": "rate_limited",
                "since": "2023-11-14T22:13:20.000Z",
                "score": 0.91,
                "enter": 0.6,
                "this_hour": {"rate_limited": 7, "cooldown": 2, "outside_zone": 30},
            },
            "fire": {"reason": None, "since": None, "score": None, "enter": 0.5, "this_hour": {"waiting": 4}},
        },
    }
    assert validate("held_back", held_back_message(TOPICS, "yard", HELD))["labels"] == {}


def test_every_reason_is_documented() -> None:
    text = (DOCS / "reference" / "topics.md").read_text(encoding="utf-8")
    assert [reason.value for reason in HoldReason if f"`{reason.value}`" not in text] == []


def test_thresholds() -> None:
    messages = threshold_messages(
        TOPICS, [ThresholdState("gate", "fire", 0.7, 0.4, "config")], {"gate": False, "x": True}
    )
    by_topic = {m.topic: m for m in messages}
    assert all(m.retain for m in messages)
    assert by_topic["edge/site/node/gate/fire/threshold/state"].payload == b"0.7"
    assert by_topic["edge/site/node/gate/armed/state"].payload == b"OFF"
    whole = validate("thresholds", by_topic["edge/site/node/gate/thresholds"])
    assert whole["labels"] == {"fire": {"enter": 0.7, "leave": 0.4, "origin": "config"}}
    assert validate("thresholds", by_topic["edge/site/node/x/thresholds"])["labels"] == {}


@pytest.mark.parametrize("enter", [1.0, 0.05, 0.12345, 1e-9])
def test_a_threshold_is_told_as_a_plain_number(enter: float) -> None:
    text = threshold_messages(TOPICS, [ThresholdState("gate", "fire", enter, 0, "model")], {})[0].payload.decode()
    assert re.fullmatch(r"\d(\.\d{1,4})?", text)
    assert float(text) == pytest.approx(enter, abs=5e-5)


def test_what_was_kept_is_told_with_its_links() -> None:
    """Freezes keys and forms, as above."""
    kept = EvidenceFiles(
        "e1", "gate", "fire", WALL_NS, {"clip": "2023-11-14/gate/e1/clip.mp4", "notes": "x"}, "Flames."
    )
    kept = replace(kept, missing={"spectrogram": "no room left"})
    snapshot, evidence = EventPhases(TOPICS, "m", LINKS, None, {}).evidence_messages(kept, JPEG).messages
    assert (evidence.topic, evidence.qos, evidence.retain, evidence.key) == (
        f"{TOPICS.root}/gate/evidence",
        1,
        False,
        "",
    )
    assert validate("evidence", evidence) == {
        "schema": 1, "id": "e1", "site": "site", "node": "node", "camera": "gate", "label": "fire",
        "time": "2023-11-14T22:13:20.000Z", "caption": "Flames.", "page": "https://box:8088/events/e1",
        "files": {
            "clip": {"path": "2023-11-14/gate/e1/clip.mp4", "url": "https://box:8088/api/events/e1/clip.mp4"},
            "notes": {"path": "x", "url": None},
        },
        "missing": {"spectrogram": "no room left"},
    }  # fmt: skip
    topic = f"{TOPICS.root}/gate/snapshot"
    assert snapshot == Message(topic, JPEG, 1, True, topic)


def test_the_last_event_stands_for_those_who_come_later() -> None:
    last = told(BEGIN)[-1]
    assert (last.topic, last.retain, last.key) == (f"{TOPICS.root}/gate/last_event", True, last.topic)
    payload = validate("last_event", last)
    assert payload == {**validate("event", told(BEGIN)[0]), "caption": ""}


def test_a_reply() -> None:
    validate("reply", reply_message(TOPICS, CommandOrigin("a", b"1"), True, "done", "2023-11-14T22:13:20.000Z"))


def test_a_label_state_is_retained_and_replaces_the_one_that_waits() -> None:
    assert state_message(TOPICS, "gate", "fire", False).key == TOPICS.state("gate", "fire")


def test_the_schemas_in_docs_are_those_of_the_types() -> None:
    found = {path.name: json.loads(path.read_text()) for path in (DOCS / "schema").glob("*.json")}
    expected = {name: json.loads(text) for name, text in texts().items()}
    assert found == expected, "run: python -m edge.publish.schema docs/schema"


def test_schemas_are_valid_and_closed_enough_to_fail(tmp_path: Path) -> None:
    for path in write(tmp_path):
        jsonschema.Draft202012Validator.check_schema(json.loads(path.read_text()))
    bad = event_payload(BEGIN, "s", "n", "m")
    bad["phase"] = "started"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schemas()["event"])


def test_every_topic_is_documented() -> None:
    text = (DOCS / "reference" / "topics.md").read_text()
    tops = [TOPICS.status, TOPICS.health, TOPICS.command, TOPICS.reply, TOPICS.event("<camera>"),
            TOPICS.state("<camera>", "<label>"), TOPICS.score("<camera>"), TOPICS.thresholds("<camera>"),
            TOPICS.threshold("<camera>", "<label>") + "/set", TOPICS.threshold("<camera>", "<label>") + "/state",
            TOPICS.armed("<camera>") + "/set", TOPICS.armed("<camera>") + "/state", TOPICS.evidence("<camera>"),
            TOPICS.held_back("<camera>"),
            TOPICS.snapshot("<camera>"), TOPICS.last_event("<camera>"), TOPICS.digest]  # fmt: skip
    missing = [t for t in tops if f"`…/{t.removeprefix(TOPICS.root + '/')}`" not in text]
    assert missing == []


@given(
    score=st.floats(0, 1), why=st.text(max_size=50), begin=st.integers(0, 2**62), seq=st.integers(0, 1000),
    whole=st.booleans(),
)  # fmt: skip
def test_open_events_come_back_from_the_disk_as_they_were(
    score: float, why: str, begin: int, seq: int, whole: bool
) -> None:
    event = replace(BEGIN, score=score, why=why, begin_ns=begin)
    if not whole:
        event = replace(event, contribution=None, boxes=(), tags=())
    assert unpack_event(pack_event(event, seq)) == (replace(event, media_begin=None), seq)


def test_an_open_event_of_an_older_version_is_read() -> None:
    old = {**json.loads(pack_event(BEGIN, 3)), "media_begin_ns": 5, "media_end_ns": None, "epoch": 0}
    assert unpack_event(json.dumps(old).encode()) == (replace(BEGIN, media_begin=None), 3)


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"seq": 1}', b"\xff", b'{"seq":1,"contribution":null,"x":1}'])
def test_an_unreadable_open_event_is_no_reason_to_stop(value: bytes) -> None:
    assert unpack_event(value) is None


def test_an_event_of_a_killed_daemon_ends_at_the_restart() -> None:
    end: Event = end_at_restart(BEGIN, WALL_NS + 90 * NS_PER_S)
    payload = event_payload(end, "s", "n", "m")
    assert (payload["phase"], payload["duration_s"], payload["end"]) == ("end", 90.0, "2023-11-14T22:14:50.000Z")
    assert "ended at restart" in payload["why"]
    assert end_at_restart(BEGIN, 0).end_ns == BEGIN.begin_ns  # the wall clock went back


def test_settable_labels_leave_health_out() -> None:
    assert site().settable == {"gate": ["fire", "smoke"]}
