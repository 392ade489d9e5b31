"""What was kept, Frigate's topics and marks through a real broker that comes late and is restarted."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from broker_parts import Mosquitto, listening, make_certificates, until
from publish_parts import BEGIN, END, LINKS, TOPICS, WALL_NS, site

from edge.clock import SystemClock
from edge.errors import SinkError
from edge.metrics import Metrics
from edge.publish.commands import MarkEvent
from edge.publish.facade import EventPublisher
from edge.publish.frigate import FrigateTopics
from edge.publish.mqtt import MqttConnection
from edge.publish.outbox import Outbox
from edge.publish.topics import OFFLINE, status_message
from edge.types import EvidenceFiles

pytestmark = [pytest.mark.broker, pytest.mark.slow]
FRIGATE = FrigateTopics("frigate", {"gate": frozenset({"clip", "snapshot"})}, frozenset({"gate"}))
PICTURE = b"\xff\xd8" + bytes(200_000)
PERSON = replace(BEGIN, label="person")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    certs, folder = tmp_path / "certs", tmp_path / "broker"
    certs.mkdir()
    folder.mkdir()
    make_certificates(certs)
    broker = Mosquitto(folder, certs)
    yield broker
    broker.stop()


@pytest.fixture
def node(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[EventPublisher]:
    clock, metrics = SystemClock(), Metrics()
    filters = [*TOPICS.commands, *FRIGATE.filters]
    link = MqttConnection(
        mosquitto.access(), "edge-site-node", clock, will=status_message(TOPICS, OFFLINE), filters=filters
    )
    about = site(cameras={"gate": ["person"]}, thresholds=["person"], frigate=FRIGATE, links=LINKS)
    publisher = EventPublisher(about, Outbox(tmp_path / "outbox.db", clock, metrics), clock, metrics, link=link)
    publisher.resume()
    publisher.start()
    yield publisher
    with contextlib.suppress(SinkError):  # a test may have stopped it
        publisher.stop(5.0)


def test_a_broker_that_comes_late_gets_all_that_was_kept_but_one_picture(
    mosquitto: Mosquitto, node: EventPublisher
) -> None:
    for n in range(5):
        event = replace(PERSON, id=f"e{n}")
        node.publish_events([event, replace(END, id=event.id, label="person")])
        node.publish_evidence(
            EvidenceFiles(event.id, "gate", "person", WALL_NS + n, {"snapshot": "x"}, f"No. {n}"), PICTURE
        )
    node.publish_digest({"events": 5})
    mosquitto.start()
    viewer = mosquitto.access(username="viewer", password="look")
    with listening(viewer, f"{TOPICS.root}/#", "frigate/#") as listener:
        until(lambda: node.connected and node.depth == 0)
        until(lambda: len(listener.payloads(f"{TOPICS.root}/gate/evidence")) == 5)
        evidence = [json.loads(p)["id"] for p in listener.payloads(f"{TOPICS.root}/gate/evidence")]
        assert evidence == [f"e{n}" for n in range(5)]
        assert set(listener.payloads(f"{TOPICS.root}/gate/snapshot")) == {PICTURE}
        assert set(listener.payloads("frigate/gate/person/snapshot")) == {PICTURE}
        last = json.loads(listener.payloads(f"{TOPICS.root}/gate/last_event")[-1])
        assert (last["id"], last["phase"], last["caption"]) == ("e4", "end", "No. 4")
        assert json.loads(listener.payloads(f"{TOPICS.root}/digest")[-1])["events"] == 5
        changes = [json.loads(p) for p in listener.payloads("frigate/events")]
        assert [c["type"] for c in changes] == ["new", "end"] * 5
        assert listener.payloads("frigate/available") == [b"online"]
    with listening(viewer, f"{TOPICS.root}/gate/snapshot", "frigate/#") as late:
        until(lambda: late.payloads("frigate/available") and late.payloads(f"{TOPICS.root}/gate/snapshot"))
        assert [(i.payload, i.retain) for i in late.got if i.topic.endswith("node/gate/snapshot")] == [(PICTURE, True)]
        node.stop(5.0)
        until(lambda: late.payloads("frigate/available")[-1] == b"offline")


def test_a_mark_is_taken_and_answered_and_arrives_when_the_node_was_away(
    mosquitto: Mosquitto, node: EventPublisher
) -> None:
    mosquitto.start()
    until(lambda: node.connected)
    with listening(mosquitto.access(username="viewer", password="look"), TOPICS.reply) as viewer:
        mark = b'{"command": "mark", "event": "e1", "verdict": "true", "note": "seen myself"}'
        viewer.send(TOPICS.command, mark, correlation=b"42")
        found: list[object] = []
        until(lambda: found.extend(node.poll_commands()) or found)  # type: ignore[func-returns-value]
        (command,) = found
        assert isinstance(command, MarkEvent)
        assert (command.event, command.verdict, command.note) == ("e1", "true", "seen myself")
        node.accept(command, "event e1 is marked true")
        until(viewer.poll)
        reply = json.loads(viewer.got[0].payload)
        assert (reply["ok"], reply["correlation"]) == (True, "42")
        assert viewer.got[0].correlation == b"42"
