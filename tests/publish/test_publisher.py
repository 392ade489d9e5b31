"""The publisher's steps over a scripted connection, in virtual time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from publish_parts import Disk, ScriptedLink

from edge.clock import VirtualClock
from edge.metrics import Metrics
from edge.publish.commands import IncomingMessage
from edge.publish.connection import ConnectionPolicy
from edge.publish.outbox import Outbox
from edge.publish.publisher import Publisher
from edge.types import NS_PER_S, Message

HELLO, GOODBYE = Message("status", b"online", 1, True), Message("status", b"stopped", 1, True)


class Rig:
    """A publisher with everything around it."""

    def __init__(self, folder: Path, **link: object) -> None:
        self.clock = VirtualClock(1_000 * NS_PER_S)
        self.metrics = Metrics()
        self.outbox = Outbox(folder / "outbox.db", self.clock, self.metrics)
        self.link = ScriptedLink(**link)  # type: ignore[arg-type]
        self.got: list[IncomingMessage] = []
        self.publisher = Publisher(
            self.outbox, self.link, self.clock, self.metrics, hello=HELLO, goodbye=GOODBYE, on_message=self.got.append
        )

    def turn(self, times: int = 3) -> None:
        for _ in range(times):
            self.outbox.flush()
            self.publisher.step()

    def later(self, s: float) -> None:
        self.clock.advance(round(s * NS_PER_S))
        self.turn()

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.outbox.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Rig]:
    """The broker acknowledges when the test says so."""
    made = Rig(tmp_path, answer=False)
    yield made
    made.outbox.close()


def numbered(count: int, topic: str = "t") -> list[Message]:
    return [Message(topic, b"%d" % n) for n in range(count)]


def test_hello_comes_first_then_state_then_the_outbox(rig: Rig) -> None:
    rig.outbox.append(numbered(2))
    rig.publisher.announce([Message("state", b"x", 1, True)])
    rig.turn()
    assert [m.payload for m in rig.link.sent] == [b"online", b"x", b"0", b"1"]
    assert rig.outbox.depth == 0
    assert rig.value("edge_broker_up") == 1


def test_a_message_stays_until_it_is_acknowledged(slow: Rig) -> None:
    slow.outbox.append(numbered(1))
    slow.turn()
    assert slow.outbox.depth == 1
    slow.link.acknowledge(9)
    slow.turn()
    assert slow.outbox.depth == 0


def test_no_more_than_the_window_is_in_flight(slow: Rig) -> None:
    slow.outbox.append(numbered(10))
    slow.turn()
    assert len(slow.link.in_air) == 4  # hello is one of them
    slow.link.acknowledge(2)
    slow.turn()
    assert slow.link.payloads("t") == [b"0", b"1", b"2", b"3", b"4"]


def test_after_a_lost_connection_everything_unacknowledged_goes_again_in_order(slow: Rig) -> None:
    slow.outbox.append(numbered(5))
    slow.turn()
    slow.link.acknowledge(2)  # hello and 0
    slow.turn()
    slow.link.lose()
    slow.turn()
    slow.link.answer = True
    slow.link.sent.clear()
    slow.later(1.1)
    assert slow.link.payloads("t") == [b"1", b"2", b"3", b"4"]
    assert slow.outbox.depth == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(st.sampled_from(["append", "ack", "ack", "lose", "turn", "wait"]), max_size=40))
def test_nothing_is_lost_or_overtaken_whatever_the_connection_does(
    tmp_path_factory: pytest.TempPathFactory, script: list[str]
) -> None:
    rig = Rig(tmp_path_factory.mktemp("rig"), answer=False)
    count = 0
    for action in script:
        if action == "append":
            rig.outbox.append([Message("t", b"%d" % (count + n)) for n in range(3)])
            count += 3
        elif action == "ack":
            rig.link.acknowledge(2)
        elif action == "lose":
            rig.link.lose()
        rig.later(70.0 if action == "wait" else 0.0)
    rig.link.answer = True
    rig.link.acknowledge(99)
    for _ in range(10):
        rig.later(70.0)
    received = [int(p) for p in rig.link.payloads("t")]
    firsts = list(dict.fromkeys(received))
    assert firsts == list(range(count))
    assert rig.outbox.depth == 0
    rig.outbox.close()


def test_connecting_is_retried_with_growing_delays_and_logged_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.link.refuse_connecting = "broker x: refuses connections"
    with caplog.at_level(logging.INFO):
        waits = []
        for _ in range(200):
            wait_s = rig.publisher.step()
            waits.append(wait_s)
            rig.clock.advance(round(wait_s * NS_PER_S))
        assert 5 <= rig.link.connects <= 12
        assert max(waits) <= Publisher.IDLE_S
        assert [r.levelname for r in caplog.records].count("WARNING") == 1
        assert rig.publisher.trouble.startswith("broker x: refuses connections")
        rig.link.refuse_connecting = None
        rig.later(61.0)
    assert rig.publisher.connected
    assert rig.publisher.trouble == ""
    assert "connected to the broker" in caplog.text


def test_state_is_told_again_at_every_connection_but_only_when_it_changed_otherwise(rig: Rig) -> None:
    rig.publisher.announce([Message("state", b"x", 1, True)])
    rig.turn()
    rig.publisher.announce([Message("state", b"x", 1, True)])
    rig.turn()
    assert rig.link.payloads("state") == [b"x"]
    rig.publisher.announce([Message("state", b"y", 1, True)])
    rig.turn()
    rig.link.lose()
    rig.turn()
    rig.later(1.1)
    assert rig.link.payloads("state") == [b"x", b"y", b"y"]
    rig.publisher.announce_again()
    rig.turn()
    assert rig.link.payloads("state") == [b"x", b"y", b"y", b"y"]


def test_scores_are_lost_and_counted_while_the_broker_is_away_but_answers_wait(rig: Rig) -> None:
    rig.publisher.send(Message("score", b"s", 0))
    rig.publisher.send(Message("reply", b"r", 1), b"correlation")
    rig.turn()
    assert rig.link.payloads("score") == []
    assert rig.link.payloads("reply") == [b"r"]
    assert b"correlation" in rig.link.correlations
    assert rig.value("edge_drops_total", source="mqtt", place="not_connected") == 1


def test_what_arrives_is_handed_on(rig: Rig) -> None:
    rig.link.incoming = [IncomingMessage("a", b"1"), IncomingMessage("b", b"2")]
    rig.turn(1)
    assert [i.topic for i in rig.got] == ["a", "b"]


def test_a_refused_topic_is_parked_named_once_and_tried_again_ever_more_seldom(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.link.refuse_topics["denied"] = "Not authorized"
    rig.outbox.append([Message("denied", b"1"), Message("t", b"2"), Message("denied", b"3")])
    with caplog.at_level(logging.WARNING):
        rig.turn(5)
        rig.outbox.append([Message("denied", b"4")])
        rig.turn(5)
    assert rig.link.payloads("t") == [b"2"]
    assert rig.link.payloads("denied") == [b"1", b"3"]  # 4 waits without a try
    assert rig.outbox.depth == 3
    assert caplog.text.count("ACL") == 1
    rig.later(59)
    assert len(rig.link.payloads("denied")) == 2
    rig.later(2)
    rig.turn(5)
    tried = len(rig.link.payloads("denied"))
    assert tried > 2
    rig.later(61)
    assert len(rig.link.payloads("denied")) == tried  # two minutes now
    rig.link.refuse_topics.clear()
    rig.link.sent.clear()
    rig.later(60)
    rig.turn(5)
    assert rig.link.payloads("denied") == [b"1", b"3", b"4"]
    assert rig.outbox.depth == 0


def test_a_message_larger_than_the_broker_takes_does_not_block_the_rest(rig: Rig) -> None:
    rig.link.packet_limit = 1000
    rig.outbox.append([Message("big", bytes(2000)), Message("t", b"1")])
    rig.turn()
    assert rig.link.payloads("t") == [b"1"]
    assert rig.link.payloads("big") == []
    assert rig.outbox.depth == 1


def test_a_message_that_makes_the_broker_hang_up_is_set_aside(slow: Rig) -> None:
    slow.outbox.append([Message("poison", b"!"), Message("t", b"1")])
    for _ in range(ConnectionPolicy.LOSSES_AT_MOST):
        slow.turn()
        assert slow.link.in_air[1][1] == "poison"
        slow.link.lose()
        slow.turn(1)
        slow.clock.advance(61 * NS_PER_S)
    slow.link.answer = True
    slow.turn(3)
    assert slow.link.payloads("t")[-1:] == [b"1"]
    assert slow.outbox.depth == 1
    slow.later(3600)
    assert slow.outbox.depth == 0  # tried again after an hour, and this time it went through


def test_short_connections_in_a_row_point_at_a_second_box_with_the_same_name(rig: Rig) -> None:
    for n in range(3):
        rig.turn()
        assert rig.publisher.connected
        rig.link.lose()
        rig.turn(1)
        assert ("another box" in rig.publisher.trouble) == (n == 2)
        rig.clock.advance(61 * NS_PER_S)
    rig.turn()
    rig.later(11)
    rig.link.lose()
    rig.turn(1)
    assert "another box" not in rig.publisher.trouble


def test_drain_sends_what_waits_then_says_goodbye(rig: Rig) -> None:
    rig.turn()
    rig.outbox.append(numbered(20))
    assert rig.publisher.drain(3.0)
    assert [m.payload for m in rig.link.sent][-2:] == [b"19", b"stopped"]
    assert rig.link.closed


def test_drain_gives_up_at_its_deadline_and_still_says_goodbye(slow: Rig) -> None:
    slow.turn()
    slow.link.acknowledge()
    slow.link.window = 100
    slow.outbox.append(numbered(3))
    before = slow.clock.mono_ns()
    assert not slow.publisher.drain(3.0)
    assert 3 <= (slow.clock.mono_ns() - before) / NS_PER_S <= 4.5
    assert slow.link.sent[-1] == GOODBYE
    assert slow.outbox.depth == 3


def test_drain_without_a_connection_does_not_wait(rig: Rig) -> None:
    rig.link.refuse_connecting = "no"
    rig.outbox.append(numbered(1))
    rig.turn()
    before = rig.clock.mono_ns()
    assert not rig.publisher.drain(3.0)
    assert rig.clock.mono_ns() == before


def test_latencies_are_measured_from_sending_and_from_the_media(slow: Rig) -> None:
    slow.turn()
    slow.link.acknowledge()
    seqs = slow.outbox.append(numbered(1))
    slow.publisher.nudge(dict.fromkeys(seqs, slow.clock.mono_ns() - 2 * NS_PER_S), infer_ns=NS_PER_S // 2)
    slow.turn(1)
    slow.clock.advance(NS_PER_S)
    slow.link.acknowledge()
    slow.turn(1)
    assert slow.value("edge_publish_seconds_sum") == 1.0
    assert slow.value("edge_end_to_end_seconds_sum") == 3.0
    assert slow.value("edge_added_seconds_sum") == 2.5


def test_a_full_disk_does_not_stop_the_publisher(rig: Rig) -> None:
    rig.turn()
    rig.outbox.append(numbered(1))
    pages = rig.outbox.file.read("PRAGMA page_count")[0][0]
    rig.outbox.file.read(f"PRAGMA max_page_count = {pages}")
    rig.outbox.append([Message("t", bytes([65 + n]) * 50_000) for n in range(9)])
    assert not rig.outbox.flush()
    rig.turn(4)
    assert [p[:1] for p in rig.link.payloads("t")] == [b"0", *(bytes([65 + n]) for n in range(9))]
    assert rig.outbox.depth == 0
    rig.outbox.file.read("PRAGMA max_page_count = 1000000")
    rig.turn()
    assert rig.outbox.trouble == ""


def test_a_disk_that_hangs_holds_up_no_alert(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that takes a minute: what is appended before and meanwhile leaves within a second, in order, and
    nothing of it is left on the disk or offered again when that answers."""
    disk = Disk(monkeypatch)
    rig.turn()
    held, waits = [], []

    def hang(write: Callable[[], None]) -> None:
        for n in range(1, 60):
            rig.outbox.append([Message("t", b"%d" % n)])
            for _ in range(2):
                waits.append(rig.publisher.step())
                rig.clock.advance(round(waits[-1] * NS_PER_S))
            rig.publisher.step()
            held.append(rig.outbox.held)
            assert rig.link.payloads("t")[-1] == b"%d" % n
        assert "the disk takes seconds to write" in rig.outbox.trouble
        write()

    disk.script = [hang]
    rig.outbox.append(numbered(1))
    rig.outbox.flush()
    assert max(waits) <= 1.0
    assert max(held) <= 1, "what the broker has is not held for the disk"
    assert rig.link.payloads("t") == [b"%d" % n for n in range(60)]
    assert (rig.outbox.depth, rig.outbox.trouble) == (0, "")


def test_what_neither_disk_nor_broker_took_goes_out_once_and_in_order_when_both_are_back(
    slow: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    slow.turn()

    def hang(write: Callable[[], None]) -> None:
        slow.clock.advance(NS_PER_S)
        slow.publisher.step()  # two of the three are in flight now, and on no disk
        slow.link.lose()
        slow.outbox.append([Message("t", b"3")])
        write()

    slow.link.acknowledge()
    slow.link.window = 2
    disk.script = [hang]
    slow.outbox.append(numbered(3))
    assert slow.outbox.flush()
    assert slow.value("edge_outbox_held_messages") == 0
    slow.link.answer, slow.link.window = True, 4
    slow.link.sent.clear()
    slow.later(0)
    slow.later(2)
    assert slow.link.payloads("t") == [b"0", b"1", b"2", b"3"]
    assert slow.outbox.depth == 0


def test_a_broker_that_acknowledges_nothing_is_left_and_everything_goes_again(slow: Rig) -> None:
    """TCP lives, the broker's answers vanish: without a time limit nothing would leave for ever."""
    slow.link.answer = True
    slow.turn()
    slow.link.answer = False
    slow.outbox.append(numbered(9))
    slow.turn()
    assert slow.link.payloads("t") == [b"0", b"1", b"2", b"3"]
    slow.later(29)
    assert slow.publisher.connected
    assert slow.publisher.trouble == ""
    slow.later(2)
    assert not slow.publisher.connected
    assert "acknowledged nothing for 30 s" in slow.publisher.trouble
    slow.later(2)
    assert slow.publisher.connected
    assert "acknowledged nothing" in slow.publisher.trouble, "it is well when it answers, not when it connects"
    assert slow.value("edge_drops_total", source="mqtt", place="unanswered") == 1
    slow.link.sent.clear()
    slow.link.answer = True
    slow.link.acknowledge(9)
    slow.turn(9)
    assert slow.publisher.trouble == ""
    assert slow.outbox.depth == 0


def test_a_connection_that_is_only_slow_is_not_left(slow: Rig) -> None:
    slow.link.answer = True
    slow.turn()
    slow.link.answer = False
    slow.outbox.append([Message("t", bytes(200_000)), Message("t", b"1"), Message("t", b"2")])
    for _ in range(3):  # one answer each minute, while 200 kB may take 50 s longer than usual
        slow.later(60)
        slow.link.acknowledge()
        slow.turn()
    assert slow.link.connects == 1
    assert slow.outbox.depth == 0
    slow.later(500)
    assert slow.link.connects == 1, "nothing is in flight: silence is no trouble"


def test_the_age_of_the_oldest_message_is_kept_up_to_date(rig: Rig) -> None:
    rig.link.refuse_connecting = "no"
    rig.outbox.append(numbered(1))
    rig.later(120)
    assert rig.value("edge_outbox_age_seconds") == 120
