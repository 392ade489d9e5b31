"""Frigate's topics: its documentation's own examples and our messages hold to the same schemas."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from frigate_schemas import DESCRIPTION, EVENTS, EXAMPLES, REVIEWS
from hypothesis import given, settings
from hypothesis import strategies as st
from publish_parts import BEGIN, END, JPEG, UPDATE, WALL_NS

from edge.config import parse
from edge.publish.frigate import FrigateEvents, FrigateTopics, frigate_topics
from edge.publish.frigate_payloads import AUDIO, frigate_name
from edge.types import NS_PER_S, Box, Event, EvidenceFiles, Message, Phase

SITE = FrigateTopics("frigate", {"gate": frozenset({"clip", "snapshot"})}, frozenset({"gate"}))
CAR, TRUCK = Box("car", 0.6, 0.1, 0.2, 0.3, 0.6), Box("truck", 0.9, 0.5, 0.5, 0.75, 1.0)
PERSON = replace(BEGIN, label="person", boxes=(Box("person", 0.9, 0.1, 0.2, 0.3, 0.6),))
SCHEMAS = {"events": EVENTS, "reviews": REVIEWS, "tracked_object_update": DESCRIPTION}
VALIDATORS = {topic: jsonschema.Draft202012Validator(schema) for topic, schema in SCHEMAS.items()}
ID = "1700000000.000000-e1"


class Broker:
    """What subscribers would see: the newest value of retained topics, and everything that was sent."""

    def __init__(self, frigate: FrigateEvents | None = None) -> None:
        self.frigate = frigate or FrigateEvents(SITE)
        self.sent: list[Message] = []
        self.notes: dict[str, bytes] = {}

    def tell(self, *events: Event) -> list[Message]:
        new: list[Message] = []
        for event in events:
            messages, notes = self.frigate.messages(event)
            self.notes.update({name: value for name, value in notes.items() if value is not None})
            for name in [name for name, value in notes.items() if value is None]:
                self.notes.pop(name, None)
            new += messages
        self.sent += new
        return new

    def state(self, topic: str) -> str | None:
        found = [m.payload.decode() for m in self.sent if m.topic == f"frigate/{topic}" and m.retain]
        return found[-1] if found else None

    def objects(self, topic: str) -> list[dict[str, Any]]:
        found = [json.loads(m.payload) for m in self.sent if m.topic == f"frigate/{topic}"]
        for payload in found:
            VALIDATORS[topic].validate(payload)
        return found


def phases(payloads: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(p["type"], p["after"]["id"]) for p in payloads]


@pytest.mark.parametrize(("schema", "example"), EXAMPLES)
def test_the_documentations_examples_hold_to_the_schemas(schema: dict[str, Any], example: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(example, schema)
    for key in schema["required"]:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in example.items() if k != key}, schema)


def test_an_event_is_new_then_updated_then_ended() -> None:
    broker = Broker()
    first, last = replace(PERSON, zones=()), replace(PERSON, phase=Phase.END, end_ns=8 * NS_PER_S)
    broker.tell(first, replace(PERSON, phase=Phase.UPDATE, zones=("yard",), peak=0.95), last)
    new, update, end = broker.objects("events")
    assert phases([new, update, end]) == [("new", ID), ("update", ID), ("end", ID)]
    assert (new["before"]["false_positive"], new["after"]["false_positive"]) == (True, False)
    assert new["after"]["box"] == [128, 144, 384, 432]
    assert (new["after"]["area"], new["after"]["ratio"]) == (256 * 288, round(256 / 288, 6))
    assert (new["after"]["has_snapshot"], new["after"]["has_clip"]) == (True, True)
    assert update["before"] == new["after"]
    assert (update["before"]["entered_zones"], update["after"]["entered_zones"]) == ([], ["yard"])
    assert end["before"] == update["after"]
    assert (end["after"]["start_time"], end["after"]["end_time"]) == (1_700_000_000.0, 1_700_000_003.0)
    assert (end["after"]["active"], end["after"]["top_score"]) == (False, 0.9)


def test_counts_at_the_camera_and_in_zones() -> None:
    broker = Broker()
    two = replace(PERSON, boxes=(*PERSON.boxes, Box("person", 0.7, 0.5, 0.5, 0.6, 0.6)), zones=("yard",))
    broker.tell(two, replace(BEGIN, id="v", label="vehicle", boxes=(CAR, TRUCK), zones=()))
    assert [broker.state(f"gate/{name}") for name in ("person", "truck", "all", "all/active")] == ["2", "1", "3", "3"]
    assert (broker.state("yard/person"), broker.state("yard/all")) == ("1", "1")
    broker.tell(replace(two, phase=Phase.END, end_ns=9 * NS_PER_S))
    assert [broker.state(f"gate/{name}") for name in ("person", "person/active", "all")] == ["0", "0", "1"]
    assert (broker.state("yard/person"), broker.state("yard/all")) == ("0", "0")


def test_what_is_heard_is_an_audio_type_and_no_tracked_object() -> None:
    broker = Broker()
    scream = replace(BEGIN, id="s", label="scream", boxes=())
    broker.tell(scream, replace(scream, id="s2"), replace(scream, phase=Phase.END, end_ns=9 * NS_PER_S))
    assert (broker.state("gate/audio/scream"), broker.state("gate/audio/all")) == ("ON", "ON")
    broker.tell(replace(scream, id="s2", phase=Phase.END, end_ns=9 * NS_PER_S))
    assert (broker.state("gate/audio/scream"), broker.state("gate/audio/all")) == ("OFF", "OFF")
    assert broker.objects("events") == []
    assert broker.objects("reviews")[0]["after"]["data"]["audio"] == ["scream"]


def test_one_review_holds_what_overlaps_and_rises_to_an_alert() -> None:
    broker = Broker()
    seen = replace(PERSON, severity="info", zones=())
    broker.tell(seen, replace(seen, phase=Phase.UPDATE, peak=0.99))
    assert broker.state("gate/review_status") == "DETECTION"
    broker.tell(replace(BEGIN, id="f"), replace(seen, phase=Phase.END, end_ns=7 * NS_PER_S))
    assert broker.state("gate/review_status") == "ALERT"
    broker.tell(replace(END, id="f"))
    new, update, end = broker.objects("reviews")
    review = f"{ID.partition('-')[0]}-re1"
    assert phases([new, update, end]) == [("new", review), ("update", review), ("end", review)]
    assert (new["after"]["severity"], update["after"]["severity"]) == ("detection", "alert")
    assert update["before"] == new["after"]
    assert end["after"]["data"] == {
        "detections": [ID, "1700000000.000000-f"], "objects": ["person", "fire"], "sub_labels": [], "zones": ["yard"],
        "audio": [],
    }  # fmt: skip
    assert end["after"]["end_time"] == 1_700_000_003.0
    assert broker.state("gate/review_status") == "NONE"


def test_after_a_kill_everything_ends_under_the_names_it_began_with() -> None:
    first = Broker()
    first.tell(replace(BEGIN, label="vehicle", boxes=(CAR, TRUCK)), replace(BEGIN, id="e2"), replace(END, id="e2"))
    second = Broker(FrigateEvents(SITE))
    second.frigate.restore(first.notes)
    second.tell(replace(END, label="vehicle", boxes=(CAR,)))
    assert [(p["type"], p["after"]["label"]) for p in second.objects("events")] == [("end", "truck")]
    assert phases(second.objects("reviews")) == [("end", first.objects("reviews")[0]["after"]["id"])]
    assert second.state("gate/truck") == "0"
    third = FrigateEvents(SITE)
    third.restore({name: value for name, value in second.notes.items() if name not in first.notes})
    assert third.messages(END) == ([], {})


def test_a_picture_and_a_caption_follow() -> None:
    broker = Broker()
    broker.tell(PERSON, replace(PERSON, phase=Phase.END, end_ns=7 * NS_PER_S))
    kept = EvidenceFiles("e1", "gate", "person", WALL_NS, {"snapshot": "x"})
    (picture,) = broker.frigate.evidence_messages(kept, JPEG)
    assert picture == Message("frigate/gate/person/snapshot", JPEG, 1, True, "frigate/gate/person/snapshot")
    broker.sent += broker.frigate.evidence_messages(replace(kept, caption="Someone waits."), None)
    broker.sent += broker.frigate.evidence_messages(replace(kept, caption="Someone waits."), None)
    (described,) = broker.objects("tracked_object_update")
    assert (described["id"], described["description"]) == (ID, "Someone waits.")


def test_states_at_the_start_and_switches() -> None:
    states = {m.topic: m.payload for m in FrigateEvents(SITE).states({"gate": ["person", "vehicle", "siren"]})}
    assert states["frigate/gate/car"] == states["frigate/gate/all/active"] == b"0"
    assert (states["frigate/gate/audio/siren"], states["frigate/gate/review_status"]) == (b"OFF", b"NONE")
    switches = {m.topic: m.payload for m in SITE.switches({"gate": False})}
    assert switches == {
        "frigate/gate/detect/state": b"OFF", "frigate/gate/audio/state": b"ON",
        "frigate/gate/recordings/state": b"ON", "frigate/gate/snapshots/state": b"ON",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("event", "name", "is_audio"),
    [
        (PERSON, "person", False),
        (replace(BEGIN, label="vehicle", boxes=(CAR, TRUCK)), "truck", False),
        (replace(BEGIN, label="vehicle", boxes=()), "car", False),
        (replace(BEGIN, label="animal", boxes=(Box("cat", 0.5, 0, 0, 1, 1), CAR)), "cat", False),
        (replace(BEGIN, label="alarm", tags=(("Smoke detector, smoke alarm", 0.8),)), "smoke_detector", True),
        (replace(BEGIN, label="alarm", tags=()), "fire_alarm", True),
        (replace(BEGIN, label="glass_break"), "shatter", True),
        (replace(BEGIN, label="intrusion"), "intrusion", False),
    ],
)
def test_names(event: Event, name: str, is_audio: bool) -> None:
    assert (frigate_name(event).name, frigate_name(event).is_audio) == (name, is_audio)


def test_what_the_configuration_asks_for() -> None:
    text = "cameras: {{a: {{source: {{type: file, path: x}}, microphone: none}}}}\nmqtt: {mqtt}\nevidence: {evidence}"
    config = parse(text.format(mqtt="{frigate: true, frigate_prefix: f}", evidence="{clips: false}")).config
    assert frigate_topics(config) == FrigateTopics("f", {"a": frozenset({"snapshot", "thumbnail"})}, frozenset())
    assert frigate_topics(parse(text.format(mqtt="{}", evidence="null")).config) is None
    none_kept = frigate_topics(parse(text.format(mqtt="{frigate: true}", evidence="null")).config)
    assert none_kept is not None
    assert none_kept.kept == {"a": frozenset()}


LABELS = ["person", "vehicle", "fire", "scream", "intrusion"]
STEP = st.tuples(
    st.integers(0, 4), st.sampled_from(["gate", "yard"]), st.sampled_from(list(Phase)), st.sampled_from(LABELS),
    st.lists(st.sampled_from(["lawn", "road"]), unique=True), st.sampled_from(["info", "alert"]), st.booleans(),
)  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(STEP, max_size=12))
def test_whatever_happens_changes_chain_up_and_end_at_nothing(steps: list[Any]) -> None:
    """Any course of events: schemas hold, ``before`` is the last ``after``, and after all ends all counts are zero."""
    topics = FrigateTopics("frigate", {"gate": frozenset(), "yard": frozenset()})
    broker = Broker(FrigateEvents(topics))
    there: dict[str, Event] = {}
    for number, camera, phase, label, zones, severity, is_killed in steps:
        name = f"e{number}{camera}"
        known = there.get(name, replace(BEGIN, id=name, camera=camera, label=label))
        end_ns = 9 * NS_PER_S if phase is Phase.END else None
        there[name] = replace(known, phase=phase, zones=tuple(zones), severity=severity, end_ns=end_ns)
        broker.tell(there[name])
        if is_killed:
            broker.frigate = FrigateEvents(topics)
            broker.frigate.restore(broker.notes)
    for event in there.values():
        broker.tell(replace(event, phase=Phase.END, end_ns=9 * NS_PER_S))
    for topic in ("events", "reviews"):
        last: dict[str, Any] = {}
        for change in broker.objects(topic):
            key = change["after"]["id"]
            assert (change["type"] == "new") == (key not in last)
            assert key not in last or change["before"] == last[key]
            last[key] = change["after"]
            if change["type"] == "end":
                del last[key]
        assert last == {}
    retained = {m.topic: m.payload for m in broker.sent if m.retain}
    assert {v for t, v in retained.items() if "/audio/" not in t and "review" not in t} <= {b"0"}
    assert {v for t, v in retained.items() if "/audio/" in t} <= {b"OFF"}
    assert broker.notes == {}


def test_audio_names_are_unlike_object_names() -> None:
    assert not set(AUDIO.values()) & {"person", "car", "dog", "all"}
    assert UPDATE.label not in AUDIO
