"""The node's side of publishing, over a scripted connection."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from publish_parts import BEGIN, END, FACTS, JPEG, LINKS, SCORES, UPDATE, WALL_NS, Disk, Killed, ScriptedLink, site

from edge.clock import VirtualClock
from edge.config import parse
from edge.errors import InputError
from edge.metrics import Metrics
from edge.publish.commands import (
    CommandOrigin,
    IncomingMessage,
    MarkEvent,
    Reload,
    SetArmed,
    SetThreshold,
    TakeSnapshot,
)
from edge.publish.evidence_urls import evidence_urls
from edge.publish.facade import EventPublisher, open_publisher
from edge.publish.frigate import FrigateTopics
from edge.publish.health_payloads import NodeInfo
from edge.publish.outbox import Outbox
from edge.publish.topics import ThresholdState
from edge.publish.writer import JsonLinesSink
from edge.sqlite import SqliteFile
from edge.types import NS_PER_S, Event, EventKind, EvidenceFiles, Phase

ROOT = "edge/site/node"


class Rig:
    """One run of a node's publisher; several may follow each other in one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        home_assistant: str | None = None,
        link: bool = True,
        records: bool = False,
        **about: object,
    ) -> None:
        self.clock = VirtualClock(WALL_NS + 60 * NS_PER_S)
        self.outbox = Outbox(folder / "outbox.db", self.clock, Metrics())
        self.link = ScriptedLink(room=100)
        self.lines = folder / "events.jsonl"
        self.jsonl = JsonLinesSink(self.lines)
        self.sensor: list[IncomingMessage] = []
        self.events = EventPublisher(
            site(home_assistant_prefix=home_assistant, **about),
            self.outbox,
            self.clock,
            Metrics(),
            link=self.link if link else None,
            jsonl=self.jsonl,
            on_sensor=self.sensor.append,
            records=records,
        )

    def publish(self, *events: Event) -> None:
        """As the daemon's threads do it while the disk answers: published, and on the disk at once."""
        self.events.publish_events(events)
        self.events.flush()

    def turn(self) -> None:
        assert self.events.publisher is not None
        for _ in range(4):
            self.events.flush()
            self.events.publisher.step()

    def sent(self, below: str) -> list[object]:
        return [_readable(p) for p in self.link.payloads(f"{ROOT}/{below}")]

    def command(self, below: str, payload: bytes, **more: object) -> None:
        self.link.incoming.append(IncomingMessage(f"{ROOT}/{below}", payload, **more))  # type: ignore[arg-type]
        self.turn()

    def kill(self) -> None:
        self.outbox.file.close()
        self.jsonl.close()

    def written(self) -> list[dict[str, object]]:
        self.events.flush()
        return [json.loads(line) for line in self.lines.read_text().splitlines()]


def _readable(payload: bytes) -> object:
    return json.loads(payload) if payload.startswith(b"{") else payload.decode()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.events.stop(0)


def phases(events: list[object]) -> list[tuple[str, str, int]]:
    return [(e["id"], e["phase"], e["seq"]) for e in events]  # type: ignore[index]


def test_an_event_goes_out_phase_by_phase(rig: Rig) -> None:
    rig.events.publish_events([BEGIN])
    rig.events.publish_events([UPDATE, END])
    rig.turn()
    expected = [("e1", "begin", 0), ("e1", "update", 1), ("e1", "end", 2)]
    assert phases(rig.sent("gate/event")) == expected
    assert phases(rig.written()) == expected  # type: ignore[arg-type]
    assert rig.sent("gate/fire/state") == ["OFF"]  # ON was replaced before the broker was there
    assert rig.outbox.open_events() == {}


def test_ends_that_two_starts_gave_an_event_have_different_numbers(tmp_path: Path) -> None:
    """The first one was sent while the disk refused it: the second start knows nothing of it."""
    first = Rig(tmp_path)
    first.publish(BEGIN)
    first.kill()
    kept = (tmp_path / "outbox.db").read_bytes()
    numbers = []
    for _ in range(2):
        again = Rig(tmp_path)
        again.clock.advance(len(numbers) * 7 * NS_PER_S)
        again.events.resume()
        again.turn()
        numbers.append(again.sent("gate/event")[-1]["seq"])  # type: ignore[index]
        again.kill()
        (tmp_path / "outbox.db").write_bytes(kept)
    assert len(set(numbers)) == 2


def test_a_damaged_saved_value_does_not_keep_it_from_starting(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Rig(tmp_path)
    first.publish(BEGIN, END)
    names = list(first.outbox.saved())
    assert names
    for name in names:
        first.outbox.save(name, b'{"a\x01')
    first.events.flush()
    first.kill()
    second = Rig(tmp_path)
    second.events.resume()
    second.publish(replace(BEGIN, id="e2"))
    second.kill()
    assert "damaged and left out" in caplog.text


def test_two_open_events_of_one_label_keep_its_state_on(rig: Rig) -> None:
    rig.events.publish_events([BEGIN, replace(BEGIN, id="e2")])
    rig.turn()
    rig.events.publish_events([END])
    rig.turn()
    assert rig.sent("gate/fire/state")[-1] == "ON"
    rig.events.publish_events([replace(END, id="e2")])
    rig.turn()
    assert rig.sent("gate/fire/state")[-1] == "OFF"


def test_a_killed_daemons_events_are_ended_by_the_next_one(tmp_path: Path) -> None:
    first = Rig(tmp_path)
    first.publish(BEGIN, UPDATE, replace(BEGIN, id="e2", label="smoke"))
    first.kill()
    second = Rig(tmp_path)
    ended = second.events.resume()
    assert [(e.id, e.phase) for e in ended] == [("e1", Phase.END), ("e2", Phase.END)]
    second.turn()
    assert phases(second.sent("gate/event")) == [
        ("e1", "begin", 0), ("e1", "update", 1), ("e2", "begin", 0), ("e1", "end", 1062), ("e2", "end", 1061),
    ]  # fmt: skip
    assert second.sent("gate/fire/state") == ["OFF"]
    assert second.sent("gate/event")[-1]["duration_s"] == 60.0  # type: ignore[index]
    second.kill()
    third = Rig(tmp_path)
    assert third.events.resume() == []
    third.events.stop(0)


def test_what_has_no_row_yet_is_remembered_over_a_kill(tmp_path: Path) -> None:
    first = Rig(tmp_path, records=True)
    other = replace(BEGIN, id="e2")
    first.publish(BEGIN, END, other)
    first.events.recorded([BEGIN])  # the row of its begin alone: its end was told since
    first.turn()
    first.kill()
    second = Rig(tmp_path, records=True)
    left = second.events.unrecorded
    assert [(e.id, e.phase, e.media_begin) for e in left] == [("e1", Phase.END, None), ("e2", Phase.BEGIN, None)]
    (ended,) = second.events.resume()
    second.events.recorded([*left, ended])
    assert second.events.unrecorded == []
    second.turn()
    second.kill()
    third = Rig(tmp_path, records=True)
    assert third.events.unrecorded == []
    third.events.stop(0)


def test_an_open_event_of_another_version_is_forgotten(tmp_path: Path) -> None:
    first = Rig(tmp_path)
    first.outbox.append([], opened={"old": b"{}"})
    first.events.flush()
    first.kill()
    second = Rig(tmp_path)
    assert second.events.resume() == []
    assert second.outbox.open_events() == {}
    second.events.stop(0)


def test_every_state_is_told_at_start(rig: Rig) -> None:
    rig.events.resume()
    rig.turn()
    assert [rig.sent(f"gate/{label}/state") for label in ("fire", "smoke", "no_signal")] == [["OFF"]] * 3


def test_scores_go_out_once_a_second_while_the_broker_is_there(rig: Rig) -> None:
    rig.events.publish_scores([SCORES])
    rig.turn()
    rig.events.publish_scores([replace(SCORES, t_end_ns=n * NS_PER_S // 2) for n in range(2, 7)])
    rig.turn()
    assert len(rig.sent("gate/score")) == 3


def test_health_and_thresholds_are_told(rig: Rig) -> None:
    rig.events.publish_health([FACTS], NodeInfo("0.1", "fused 1", "onnx", 1.0))
    rig.events.publish_thresholds([ThresholdState("gate", "fire", 0.7, 0.4, "model")])
    rig.turn()
    assert rig.sent("health")[0]["cameras"]["gate"]["state"] == "up"  # type: ignore[index]
    assert rig.sent("gate/fire/threshold/state") == ["0.7"]
    assert rig.sent("gate/armed/state") == ["ON"]


def test_a_threshold_command_is_answered_and_kept(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.turn()
    rig.command("gate/fire/threshold/set", b"0.8", correlation=b"7")
    (command,) = rig.events.poll_commands()
    assert command == SetThreshold("gate", "fire", 0.8, CommandOrigin(f"{ROOT}/gate/fire/threshold/set", b"7"))
    assert rig.events.poll_commands() == []
    rig.events.accept(command)
    rig.turn()
    assert rig.sent("reply")[0]["ok"] is True  # type: ignore[index]
    assert rig.link.correlations[-1] == b"7"
    rig.kill()
    again = Rig(tmp_path)
    assert again.events.overrides() == [SetThreshold("gate", "fire", 0.8, CommandOrigin(""))]
    again.command("gate/fire/threshold/set", b"default")
    again.events.accept(again.events.poll_commands()[0])
    assert again.events.overrides() == []
    again.events.stop(0)


def test_refused_commands_never_reach_the_node_but_are_answered(rig: Rig) -> None:
    rig.turn()
    rig.command("gate/fire/threshold/set", b"7")
    rig.command("gate/no_signal/threshold/set", b"0.5")
    assert rig.events.poll_commands() == []
    assert [reply["ok"] for reply in rig.sent("reply")] == [False, False]  # type: ignore[index]
    rig.command("command", b"reload")
    (command,) = rig.events.poll_commands()
    assert isinstance(command, Reload)
    rig.events.refuse(command, "config.yaml:3: wrong")
    rig.turn()
    assert rig.sent("reply")[-1]["reason"] == "config.yaml:3: wrong"  # type: ignore[index]


def test_a_flood_of_commands_is_bounded_and_answered(rig: Rig) -> None:
    rig.link.incoming = [IncomingMessage(f"{ROOT}/command", b"reload") for _ in range(300)]
    rig.turn()
    assert len(rig.events.poll_commands()) == 256
    assert len(rig.sent("reply")) == 44


def test_what_a_disarmed_camera_begins_is_the_detectors_to_say(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.events.publish_events([BEGIN])
    rig.events.accept(SetArmed("gate", False, CommandOrigin("")))
    smoke = replace(BEGIN, id="e2", label="smoke")
    never_begun = replace(END, id="e3")
    rig.events.publish_events([smoke, never_begun, END])
    rig.turn()
    assert phases(rig.sent("gate/event")) == [("e1", "begin", 0), ("e2", "begin", 0), ("e1", "end", 1)]
    rig.kill()
    again = Rig(tmp_path)
    assert not again.events.is_armed("gate")
    again.events.accept(SetArmed("gate", True, CommandOrigin("")))
    assert again.events.overrides() == []
    again.events.stop(0)


def test_other_topics_go_to_the_sensors(rig: Rig) -> None:
    rig.link.incoming.append(IncomingMessage("yard/temp", b"21.5"))
    rig.turn()
    assert [i.payload for i in rig.sensor] == [b"21.5"]


def test_home_assistant_is_told_at_its_start_and_when_switched_off(tmp_path: Path) -> None:
    rig = Rig(tmp_path, home_assistant="ha")
    rig.turn()
    topic = "ha/device/edge_site_node/config"
    rig.link.incoming.append(IncomingMessage("ha/status", b"online"))
    rig.turn()
    assert len(rig.link.payloads(topic)) == 2
    rig.link.incoming.append(IncomingMessage("ha/status", b"offline"))
    rig.turn()
    assert len(rig.link.payloads(topic)) == 2
    rig.kill()
    without = Rig(tmp_path)
    without.turn()
    assert without.link.payloads(topic) == [b""]
    without.events.stop(0)
    third = Rig(tmp_path)
    third.turn()
    assert third.link.payloads(topic) == []
    third.events.stop(0)


def test_without_a_broker_events_go_to_json_lines_and_nothing_piles_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, link=False)
    rig.events.resume()
    rig.publish(BEGIN)
    rig.events.publish_scores([SCORES])
    assert phases(rig.written()) == [("e1", "begin", 0)]  # type: ignore[arg-type]
    assert rig.events.depth == 0
    assert rig.events.connected
    assert "e1" in rig.outbox.open_events()
    rig.kill()
    again = Rig(tmp_path, link=False)
    assert [e.id for e in again.events.resume()] == ["e1"]
    assert again.events.stop(1.0)


def test_a_full_disk_is_trouble_but_events_go_on(rig: Rig) -> None:
    rig.turn()
    pages = rig.outbox.file.read("PRAGMA page_count")[0][0]
    rig.outbox.file.read(f"PRAGMA max_page_count = {pages}")
    many: list[Event] = [replace(BEGIN, id=f"e{n}", why="x" * 5000) for n in range(20)]
    rig.publish(*many)
    assert "disk is full" in rig.events.trouble
    rig.turn()
    assert len(rig.sent("gate/event")) == 20
    rig.outbox.file.read("PRAGMA max_page_count = 1000000")
    rig.turn()
    assert rig.events.trouble == ""


def test_a_kill_while_the_disk_hangs_never_numbers_two_messages_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Phases that left from memory are known to the broker and to nobody after the kill."""
    disk = Disk(monkeypatch)
    first = Rig(tmp_path)
    first.publish(BEGIN)
    first.turn()

    def hang_and_die(_write: Callable[[], None]) -> None:
        for _ in range(3):
            first.events.publish_events([UPDATE])
            first.clock.advance(NS_PER_S)
            first.events.publisher.step()  # type: ignore[union-attr]
        raise Killed

    disk.script = [hang_and_die]
    first.events.publish_events([UPDATE])
    with pytest.raises(Killed):
        first.events.flush()
    assert len(first.sent("gate/event")) == 5
    first.kill()
    second = Rig(tmp_path)
    assert [e.id for e in second.events.resume()] == ["e1"]
    second.turn()
    told = [*first.sent("gate/event"), *second.sent("gate/event")]
    pairs = {(e["id"], e["seq"]): json.dumps(e) for e in told}  # type: ignore[index]
    assert all(pairs[e["id"], e["seq"]] == json.dumps(e) for e in told)  # type: ignore[index]
    assert told[-1]["phase"] == "end"  # type: ignore[index]
    second.events.stop(0)


def test_open_events_of_a_run_that_could_be_read_only_later_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Rig(tmp_path)
    first.publish(BEGIN)
    first.kill()

    def unreadable(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr("edge.sqlite.connect", unreadable)
        broken.setattr(SqliteFile, "read_copy", lambda *_: None)
        second = Rig(tmp_path)
        assert second.events.resume() == []
        second.publish(replace(BEGIN, id="e2"))
        assert "disk I/O error" in second.events.trouble
    second.turn()
    ends = [(e["id"], e["phase"]) for e in second.sent("gate/event")]  # type: ignore[index]
    assert ends[0] == ("e1", "begin")
    assert ("e1", "end") in ends
    assert ("e2", "end") not in ends
    second.events.stop(0)


def test_start_and_stop_with_its_thread(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.events.start()
    rig.events.publish_events([BEGIN, END])
    assert rig.events.stop(3.0)
    assert rig.link.sent[-1].payload == b"stopped"
    assert rig.events.fault is None


def test_a_reader_that_stopped_reading_holds_up_no_disk_and_no_alert(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    reads, blocked = threading.Event(), threading.Event()
    put = rig.jsonl._put

    def blocking(line: bytes) -> None:
        blocked.set()
        reads.wait(60)
        put(line)

    rig.jsonl._put = blocking  # type: ignore[method-assign]
    rig.events.start()
    rig.events.publish_events([BEGIN])
    assert blocked.wait(60)
    rig.events.publish_events([UPDATE, END])
    while rig.events.depth:
        assert rig.events.fault is None
    assert phases(rig.sent("gate/event")) == [("e1", "begin", 0), ("e1", "update", 1), ("e1", "end", 2)]
    reads.set()
    assert rig.events.stop(3.0)
    assert len(rig.lines.read_text().splitlines()) == 3


def test_a_bug_in_the_thread_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path)
    assert rig.events.publisher is not None
    monkeypatch.setattr(rig.events.publisher, "step", lambda: 1 / 0)
    rig.events.start()
    while rig.events.fault is None:
        threading.Event().wait(0.01)
    assert isinstance(rig.events.fault, ZeroDivisionError)
    rig.events.stop(0)


KEPT = EvidenceFiles("e1", "gate", "fire", WALL_NS, {"clip": "e1/clip.mp4"})
FRIGATE = FrigateTopics("frigate", {"gate": frozenset({"clip", "snapshot"})}, frozenset({"gate"}))


def test_pictures_never_fill_the_outbox(rig: Rig) -> None:
    """While the broker is away only the newest picture of a camera waits, and all that was kept is told later."""
    for n in range(50):
        rig.events.publish_evidence(replace(KEPT, event_id=f"e{n}"), bytes([n]) * 20_000)
    rig.events.flush()
    waiting = rig.outbox.pending(1000)
    assert sum(len(w.message.payload) for w in waiting if w.message.topic.endswith("/snapshot")) == 20_000
    rig.turn()
    assert rig.link.payloads(f"{ROOT}/gate/snapshot") == [b"1" * 20_000]
    assert [e["id"] for e in rig.sent("gate/evidence")] == [f"e{n}" for n in range(50)]  # type: ignore[index]


def test_a_caption_joins_the_last_event_also_over_a_kill(tmp_path: Path) -> None:
    rig = Rig(tmp_path, links=LINKS)
    rig.events.publish_events([BEGIN, replace(BEGIN, id="e2"), UPDATE])
    rig.turn()
    assert rig.sent("gate/last_event")[-1]["id"] == "e2"  # type: ignore[index]
    rig.kill()
    again = Rig(tmp_path, links=LINKS)
    again.events.publish_evidence(replace(KEPT, event_id="e1", caption="Not of the newest."), None)
    again.events.publish_evidence(replace(KEPT, event_id="e2", caption="Flames."), None)
    again.turn()
    (last,) = again.sent("gate/last_event")
    assert (last["id"], last["caption"], last["phase"]) == ("e2", "Flames.", "begin")  # type: ignore[index]
    again.events.resume()
    again.turn()
    last = again.sent("gate/last_event")[-1]
    assert (last["id"], last["caption"], last["phase"]) == ("e2", "Flames.", "end")  # type: ignore[index]
    again.events.stop(0)


def test_health_is_no_last_event(rig: Rig) -> None:
    rig.events.publish_events([replace(BEGIN, id="h", kind=EventKind.HEALTH, label="no_signal")])
    rig.turn()
    assert rig.sent("gate/last_event") == []


def test_a_digest_and_a_fresh_picture_are_retained(rig: Rig) -> None:
    rig.events.publish_digest({"events": 1, "text": "old"})
    rig.events.publish_digest({"events": 2, "text": "new"})
    rig.events.publish_snapshot("gate", JPEG)
    rig.turn()
    assert rig.sent("digest") == [{"schema": 1, "events": 2, "text": "new"}]
    assert [(m.payload, m.retain) for m in rig.link.sent if m.topic == f"{ROOT}/gate/snapshot"] == [(JPEG, True)]


def test_marks_and_snapshots_reach_the_node_and_are_answered(rig: Rig) -> None:
    rig.turn()
    rig.command("command", b'{"command": "mark", "camera": "gate", "verdict": "false", "id": "7"}')
    rig.command("command", b'{"command": "snapshot", "camera": "gate"}')
    mark, snapshot = rig.events.poll_commands()
    assert mark == MarkEvent(None, "gate", None, "false", "", CommandOrigin(f"{ROOT}/command", b"7"))
    assert isinstance(snapshot, TakeSnapshot)
    rig.events.accept(mark, "event e1 is marked false")
    rig.events.refuse(snapshot, "there is no picture yet")
    rig.turn()
    told = [(r["ok"], r["reason"], r["correlation"]) for r in rig.sent("reply")]  # type: ignore[index]
    assert told == [(True, "event e1 is marked false", "7"), (False, "there is no picture yet", None)]
    assert rig.events.overrides() == []


def test_labels_come_and_go_while_it_runs(tmp_path: Path) -> None:
    rig = Rig(tmp_path, home_assistant="ha")
    rig.events.resume()
    rig.events.publish_thresholds([ThresholdState("gate", "smoke", 0.5, 0.3, "model")])
    rig.turn()
    rig.command("gate/intrusion/threshold/set", b"0.5")
    assert rig.events.poll_commands() == []
    rig.events.describe({"gate": ["fire", "intrusion", "no_signal"]}, ["fire", "intrusion"])
    rig.turn()
    assert rig.sent("gate/intrusion/state") == ["OFF"]
    assert rig.sent("gate/fire/state") == ["OFF"]  # once, at the start
    assert rig.sent("gate/smoke/state") == ["OFF", ""]
    assert rig.sent("gate/smoke/threshold/state") == ["0.5", ""]
    components = json.loads(rig.link.payloads("ha/device/edge_site_node/config")[-1])["cmps"]
    assert components["gate_smoke"] == {"p": "binary_sensor"}
    assert components["gate_intrusion_threshold"]["p"] == "number"
    rig.command("gate/intrusion/threshold/set", b"0.5")
    rig.command("gate/smoke/threshold/set", b"0.5")
    (command,) = rig.events.poll_commands()
    assert isinstance(command, SetThreshold)
    rig.events.accept(command)
    rig.kill()
    again = Rig(tmp_path, home_assistant="ha", cameras={"gate": ["fire", "no_signal"]}, thresholds=["fire"])
    again.events.resume()
    again.turn()
    assert again.sent("gate/intrusion/state") == [""]  # gone between two runs
    assert again.sent("gate/smoke/state") == []
    components = json.loads(again.link.payloads("ha/device/edge_site_node/config")[-1])["cmps"]
    assert components["gate_smoke"] == {"p": "binary_sensor"}  # still: Home Assistant may have been away
    again.events.stop(0)


def test_frigates_topics_are_told_with_the_same_guarantees(tmp_path: Path) -> None:
    rig = Rig(tmp_path, frigate=FRIGATE)
    rig.events.resume()
    rig.events.publish_thresholds([])
    rig.events.publish_events([replace(BEGIN, label="person")])
    rig.turn()
    rig.kill()
    again = Rig(tmp_path, frigate=FRIGATE)
    assert [e.id for e in again.events.resume()] == ["e1"]
    again.turn()
    sent = [*rig.link.sent, *again.link.sent]
    changes = [json.loads(m.payload) for m in sent if m.topic == "frigate/events"]
    assert [(c["type"], c["after"]["id"]) for c in changes] == [
        ("new", "1700000000.000000-e1"), ("end", "1700000000.000000-e1"),
    ]  # fmt: skip
    assert [m.payload for m in sent if m.topic == "frigate/gate/person"][-1] == b"0"
    again.events.publish_evidence(replace(KEPT, label="person"), JPEG)
    again.turn()
    assert again.link.payloads("frigate/gate/person/snapshot") == [JPEG]
    assert [m.payload for m in sent if m.topic == "frigate/gate/detect/state"] == [b"ON"]
    again.link.incoming.append(IncomingMessage("frigate/gate/detect/set", b"OFF"))
    again.turn()
    (command,) = again.events.poll_commands()
    again.events.accept(command)
    again.events.publish_thresholds([])
    assert not again.events.is_armed("gate")
    again.events.stop(1.0)
    assert again.link.payloads("frigate/gate/detect/state")[-1] == b"OFF"
    assert again.link.payloads("frigate/available") == [b"online", b"offline"]


CONFIG = """
node: {{id: n, site: s, data_dir: data}}
cameras: {{gate: {{source: {{type: file, path: x}}}}}}
mqtt: {mqtt}
jsonl: {{path: out/events.jsonl}}
"""


def opened(tmp_path: Path, mqtt: str) -> EventPublisher:
    loaded = parse(CONFIG.format(mqtt=mqtt), tmp_path / "config.yaml")
    return open_publisher(
        loaded, VirtualClock(), Metrics(), version="1", model="m", cameras={"gate": ["fire"]}, thresholds=["fire"]
    )


def test_opening_from_a_configuration_puts_files_beside_it(tmp_path: Path) -> None:
    publisher = opened(tmp_path, "{home_assistant: true}")
    assert (tmp_path / "data" / "outbox.db").exists()
    assert (tmp_path / "out" / "events.jsonl").exists()
    publisher.stop(0)
    opened(tmp_path, "null").stop(0)


def test_a_configuration_with_everything_on(tmp_path: Path) -> None:
    publisher = opened(tmp_path, "{home_assistant: true, frigate: true, frigate_prefix: cameras/frigate}")
    about = publisher.description
    assert about.frigate is not None
    assert about.frigate.prefix == "cameras/frigate"
    assert about.links.kept == {"gate": frozenset({"clip", "snapshot", "thumbnail", "spectrogram"})}
    publisher.stop(0)


@pytest.mark.parametrize(
    ("more", "clip", "page"),
    [
        ("", None, None),
        ("web: {}", "/api/events/e1/clip.mp4", "/events/e1"),
        (
            "web: {base_url: 'https://box:8088/'}",
            "https://box:8088/api/events/e1/clip.mp4",
            "https://box:8088/events/e1",
        ),
        ("web: {}\nevidence: {clips: false}", None, "/events/e1"),
        ("web: {}\nevidence: null", None, None),
    ],
)
def test_links_are_those_that_the_configuration_will_keep(
    tmp_path: Path, more: str, clip: str | None, page: str | None
) -> None:
    text = f"node: {{data_dir: data}}\ncameras: {{gate: {{source: {{type: file, path: x}}}}}}\nmqtt: null\n{more}"
    found = evidence_urls(parse(text, tmp_path / "config.yaml").config).of(BEGIN)
    assert (found.clip, found.page) == (clip, page)


def test_an_unreadable_password_file_is_bad_input_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.yaml:4: mqtt\.password_file: .*cannot be read: No such file"):
        opened(tmp_path, "{username: u, password_file: secret}")


def test_json_lines_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"jsonl\.path"):
        JsonLinesSink(tmp_path)
    lines = JsonLinesSink("/dev/full")
    lines.put([{"a": 1}, {"a": 1}])
    lines.step()  # lost with a warning, no exception
    lines.close()


def test_json_lines_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    lines = JsonLinesSink("-")
    lines.put([{"a": "ü"}])
    lines.step()
    lines.close()
    assert capsys.readouterr().out == '{"a":"ü"}\n'
