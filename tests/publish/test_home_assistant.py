"""Home Assistant itself: its core and its MQTT integration, in a process of their own, over a real broker.

Needs an interpreter with the package `homeassistant`: `scripts/setup homeassistant` makes one in .venv-homeassistant;
EDGE_HOME_ASSISTANT names another.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from broker_parts import Mosquitto, make_certificates, until
from publish_parts import BEGIN, FACTS, JPEG, LINKS, SCORES, TOPICS, WALL_NS, site

from edge.clock import SystemClock
from edge.errors import SinkError
from edge.metrics import Metrics
from edge.publish.commands import MarkEvent, SetArmed, SetThreshold, TakeSnapshot
from edge.publish.discovery import birth_topic, platforms
from edge.publish.facade import EventPublisher
from edge.publish.health_payloads import NodeInfo
from edge.publish.mqtt import MqttConnection
from edge.publish.outbox import Outbox
from edge.publish.topics import OFFLINE, ThresholdState, status_message
from edge.status import HeldBack, HoldReason
from edge.types import EvidenceFiles

pytestmark = [pytest.mark.broker, pytest.mark.homeassistant, pytest.mark.slow]
CHILD = Path(__file__).with_name("home_assistant_child.py")
DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "home-assistant.md"
DEFAULT = Path(__file__).parents[2] / ".venv-homeassistant" / "bin" / "python"
IDENTITY = "edge_site_node"
KEPT = EvidenceFiles("e1", "gate", "fire", WALL_NS, {"snapshot": "e1/snapshot.jpg"}, "Flames at the gate.")


class HomeAssistant:
    """A running core that answers questions, one line of JSON each."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        python = os.environ.get("EDGE_HOME_ASSISTANT", str(DEFAULT))
        if not Path(python).exists():
            pytest.skip("no Home Assistant here: run scripts/setup homeassistant, or set EDGE_HOME_ASSISTANT")
        arguments = [str(folder), "127.0.0.1", str(broker.plain), "viewer", "look"]
        self._errors = (folder.parent / "home-assistant.log").open("w+")
        self._process = subprocess.Popen(
            [python, str(CHILD), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.version = self._read()["version"]

    def ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._read()

    def entities(self) -> dict[str, dict[str, Any]]:
        """The node's entities by the name that the node gave them."""
        found = self.ask("states")["entities"]
        return {e["unique_id"].removeprefix(f"{IDENTITY}_"): e | {"id": name} for name, e in found.items()}

    def state(self, name: str) -> Any:
        return self.entities().get(name, {}).get("state")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._errors.seek(0)
            pytest.fail(f"Home Assistant ended: {self._errors.read()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    certs, folder = tmp_path / "certs", tmp_path / "broker"
    certs.mkdir()
    folder.mkdir()
    make_certificates(certs)
    broker = Mosquitto(folder, certs).start()
    yield broker
    broker.stop()


@pytest.fixture
def home_assistant(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[HomeAssistant]:
    started = HomeAssistant(tmp_path / "home-assistant", mosquitto)
    yield started
    started.close()


@pytest.fixture
def node(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[EventPublisher]:
    clock, metrics = SystemClock(), Metrics()
    will = status_message(TOPICS, OFFLINE)
    filters = [*TOPICS.commands, birth_topic("homeassistant")]
    link = MqttConnection(mosquitto.access(), "edge-site-node", clock, will=will, filters=filters)
    about = site(home_assistant_prefix="homeassistant", links=LINKS)
    publisher = EventPublisher(about, Outbox(tmp_path / "outbox.db", clock, metrics), clock, metrics, link=link)
    publisher.resume()
    publisher.start()
    yield publisher
    with contextlib.suppress(SinkError):  # a test may have stopped it
        publisher.stop(5.0)


def commands(node: EventPublisher) -> list[Any]:
    found: list[Any] = []
    until(lambda: found.extend(node.poll_commands()) or found)  # type: ignore[func-returns-value]
    return [replace(command, origin=None) for command in found]


def test_home_assistant_takes_shows_and_uses_everything(home_assistant: HomeAssistant, node: EventPublisher) -> None:
    wanted = platforms(site(links=LINKS))
    until(lambda: home_assistant.entities().keys() >= wanted.keys(), 60)
    until(lambda: home_assistant.state("gate_fire") == "off")  # it has subscribed: events are not retained
    node.publish_thresholds(
        [ThresholdState("gate", "fire", 0.7, 0.4, "model"), ThresholdState("gate", "smoke", 0.5, 0.3, "model")]
    )
    node.publish_health([FACTS], NodeInfo("0.1", "fused 1", "onnx", 12.5, 10**9, 3))
    node.publish_events([BEGIN])
    node.publish_scores([SCORES])
    node.publish_evidence(KEPT, JPEG)
    node.publish_digest({"events": 3, "text": "three alerts"})
    node.publish_held_back(["gate"], [HeldBack("gate", "fire", 0.6, {HoldReason.RATE_LIMITED: 7})])
    until(lambda: home_assistant.state("digest") == "3" and home_assistant.state("gate_event") != "unknown")
    until(lambda: home_assistant.state("gate_last_event") == "Flames at the gate.")

    told = home_assistant.ask("states")
    entities = home_assistant.entities()
    assert {name: e["id"].partition(".")[0] for name, e in entities.items()} == wanted
    assert [line for line in told["log"] if "mqtt" in line and "during setup without awaiting" not in line] == []
    assert [(d["name"], d["url"]) for d in told["devices"]] == [("Edge node", "https://box:8088")]
    assert {name for name, e in entities.items() if e["disabled"]} == {"gate_fire_score", "gate_smoke_score", "uptime"}
    states = {
        name: e.get("state") for name, e in entities.items() if e["id"].partition(".")[0] not in {"button", "image"}
    }
    assert states.pop("gate_event") is not None
    assert states == {
        "gate_fire": "on", "gate_smoke": "off", "gate_no_signal": "off", "gate_fire_threshold": "0.7",
        "gate_smoke_threshold": "0.5", "gate_fire_score": None, "gate_smoke_score": None, "gate_armed": "on",
        "gate_last_event": "Flames at the gate.", "gate_state": "up", "gate_held_back": "7",
        "uptime": None, "disk_free": "1000000000",
        "outbox": "3", "runtime": "onnx", "model": "fused 1", "digest": "3",
    }  # fmt: skip
    event = entities["gate_event"]["attributes"]
    assert (event["event_type"], event["id"], event["zones"]) == ("fire_begin", "e1", ["yard"])
    assert event["evidence"]["snapshot"] == "https://box:8088/api/events/e1/snapshot.jpg"
    assert entities["gate_last_event"]["attributes"]["why"] == "flames seen, crackling heard"
    assert entities["digest"]["attributes"]["text"] == "three alerts"
    picture = home_assistant.ask(f"image {entities['gate_snapshot']['id']}")
    assert picture == {"bytes": len(JPEG), "sha256": hashlib.sha256(JPEG).hexdigest()}


def test_buttons_numbers_and_switches_reach_the_node(home_assistant: HomeAssistant, node: EventPublisher) -> None:
    until(lambda: "gate_last_was_false" in home_assistant.entities(), 60)
    until(lambda: home_assistant.state("gate_last_was_false") != "unavailable")
    ids = {name: e["id"] for name, e in home_assistant.entities().items()}
    for name, wanted in (
        ("gate_last_was_false", MarkEvent(None, "gate", None, "false", "", None)),  # type: ignore[arg-type]
        ("gate_last_was_right", MarkEvent(None, "gate", None, "true", "", None)),  # type: ignore[arg-type]
        ("gate_take_snapshot", TakeSnapshot("gate", None)),  # type: ignore[arg-type]
    ):
        home_assistant.ask(f"call button press {ids[name]}")
        assert commands(node) == [wanted]
    home_assistant.ask(f"call number set_value {ids['gate_fire_threshold']} value 0.8")
    assert commands(node) == [SetThreshold("gate", "fire", 0.8, None)]  # type: ignore[arg-type]
    home_assistant.ask(f"call switch turn_off {ids['gate_armed']}")
    assert commands(node) == [SetArmed("gate", False, None)]  # type: ignore[arg-type]


def test_labels_come_and_go_while_all_runs(home_assistant: HomeAssistant, node: EventPublisher) -> None:
    until(lambda: "gate_smoke" in home_assistant.entities(), 60)
    node.describe({"gate": ["fire", "intrusion", "no_signal"]}, ["fire", "intrusion"])
    until(lambda: home_assistant.state("gate_intrusion") == "off")
    until(lambda: not {"gate_smoke", "gate_smoke_threshold"} & home_assistant.entities().keys())
    assert {"gate_intrusion_threshold", "gate_fire", "gate_no_signal"} <= home_assistant.entities().keys()
    node.describe({"gate": ["fire", "smoke", "no_signal"]}, ["fire", "smoke"])
    until(lambda: home_assistant.state("gate_smoke") == "off")
    until(lambda: "gate_intrusion" not in home_assistant.entities())


def documented(entities: dict[str, dict[str, Any]]) -> str:
    """The automations of the page in docs, for this node's topics and the names that its entities have here."""
    text = re.findall(r"```yaml\n(- alias.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
    for name in ("gate_event", "gate_snapshot", "gate_last_event"):
        platform, _, known = entities[name]["id"].partition(".")
        text = text.replace(f"{platform}.edge_warehouse_7_gate_01_{name}", f"{platform}.{known}")
    return str(text.replace("edge/warehouse-7/gate-01", TOPICS.root))


def test_the_automations_in_the_docs_act_as_said(home_assistant: HomeAssistant, node: EventPublisher) -> None:
    until(lambda: home_assistant.state("gate_fire") == "off", 60)
    done = home_assistant.ask(f"automate {json.dumps(documented(home_assistant.entities()))}")
    assert len(done["automations"]) == 3
    node.publish_events([replace(BEGIN, id="i", severity="info"), BEGIN])
    until(lambda: home_assistant.ask("states")["calls"])

    def told_again() -> bool:
        """Until the automation's own subscription stands: what was kept is not retained."""
        node.publish_evidence(KEPT, JPEG)
        time.sleep(0.5)
        return len(home_assistant.ask("states")["calls"]) >= 2

    until(told_again)
    first, second = home_assistant.ask("states")["calls"][:2]
    assert (first["title"], first["message"]) == ("Fire at the gate", "flames seen, crackling heard")
    assert (first["data"]["tag"], first["data"]["url"]) == ("e1", "https://box:8088/events/e1")
    assert [a["action"] for a in first["data"]["actions"]] == ["EDGE_TRUE_e1", "EDGE_FALSE_e1"]
    assert (second["title"], second["message"]) == (first["title"], "Flames at the gate.")
    assert second["data"] | {"image": "", "alert_once": False} == first["data"] | {"image": "", "alert_once": False}
    assert second["data"]["image"].startswith("/api/image_proxy/image.edge_")
    home_assistant.ask('fire mobile_app_notification_action {"action": "EDGE_FALSE_e1"}')
    assert commands(node) == [MarkEvent("e1", None, None, "false", "phone", None)]  # type: ignore[arg-type]
    assert [line for line in home_assistant.ask("states")["log"] if "automation" in line or "emplate" in line] == []


def test_a_stopped_node_is_unavailable(home_assistant: HomeAssistant, node: EventPublisher) -> None:
    until(lambda: home_assistant.state("gate_fire") == "off", 60)
    node.stop(5.0)
    until(lambda: home_assistant.state("gate_fire") == "unavailable")
