"""Publishing through real brokers: mosquitto as a process, and the one inside the daemon."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from broker_parts import Listener, Mosquitto, listening, make_certificates, until
from publish_parts import BEGIN, TOPICS, site

from edge.bench.processes import free_port
from edge.clock import Backoff, SystemClock
from edge.config import parse
from edge.errors import InputError, SinkError
from edge.metrics import Metrics
from edge.publish.broker import EmbeddedBroker
from edge.publish.broker_login import BrokerLogin, broker_login
from edge.publish.commands import SetThreshold
from edge.publish.connection import ConnectionPolicy
from edge.publish.facade import EventPublisher
from edge.publish.mqtt import _V5, _V311, MqttConnection, subscribe
from edge.publish.outbox import Outbox
from edge.publish.topics import OFFLINE, status_message
from edge.types import Message

pytestmark = [pytest.mark.broker, pytest.mark.slow]
ROOT = TOPICS.root
STATUS = TOPICS.status


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certs")
    make_certificates(folder)
    return folder


@pytest.fixture
def mosquitto(tmp_path: Path, certs: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder, certs)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def viewer(mosquitto: Mosquitto) -> Iterator[Listener]:
    with listening(mosquitto.access(username="viewer", password="look"), "#") as listener:
        yield listener


class Node:
    """A publisher of events with its thread, as the daemon has it."""

    def __init__(self, to: BrokerLogin, folder: Path, cameras: tuple[str, ...] = ("gate",), *filters: str) -> None:
        clock, metrics = SystemClock(), Metrics()
        link = MqttConnection(
            to, "edge-site-node", clock, will=status_message(TOPICS, OFFLINE), filters=[*TOPICS.commands, *filters]
        )
        self.metrics = metrics
        self.sensor: list[object] = []
        self.outbox = Outbox(folder / "outbox.db", clock, metrics)
        about = site(cameras={camera: ["fire"] for camera in cameras}, thresholds=["fire"])
        self.events = EventPublisher(about, self.outbox, clock, metrics, link=link, on_sensor=self.sensor.append)
        self.events.start()

    def publish(self, *ids: str, camera: str = "gate") -> None:
        for name in ids:
            self.events.publish_events([replace(BEGIN, id=name, camera=camera)])

    def settled(self) -> bool:
        return self.events.connected and self.events.depth == 0

    def refused(self) -> float | None:
        labels = {"source": "mqtt", "place": "refused"}
        return self.metrics.registry.get_sample_value("edge_drops_total", labels)


def first_ids(payloads: list[bytes]) -> list[str]:
    """Event ids in the order of their first arrival: a repeated (id, seq) is a repeated delivery."""
    return [pair[0] for pair in dict.fromkeys((json.loads(p)["id"], json.loads(p)["seq"]) for p in payloads)]


@pytest.mark.parametrize("kill", [signal.SIGTERM, signal.SIGKILL])
def test_a_broker_restarted_in_mid_stream_costs_nothing_and_keeps_the_order(
    mosquitto: Mosquitto, tmp_path: Path, kill: signal.Signals
) -> None:
    node = Node(mosquitto.access(), tmp_path, ("gate", "yard"))
    to = mosquitto.access(username="viewer", password="look")
    until(lambda: node.events.connected)
    sent: list[str] = []
    halfway, done = threading.Event(), threading.Event()

    def produce() -> None:
        for n in range(300):
            node.publish(f"{n}", camera="gate" if n % 2 else "yard")
            sent.append(f"{n}")
            if n == 100:
                halfway.set()
        done.set()

    with listening(to, f"{ROOT}/+/event") as before:
        threading.Thread(target=produce, daemon=True).start()
        assert halfway.wait(60)
        if kill is signal.SIGKILL:
            # what the broker took but did not save is the broker's loss: only what it had not taken is ours
            until(lambda: len(before.poll()) > 20)
        mosquitto.stop(kill)
        assert done.wait(60)
        mosquitto.start()
        if kill is signal.SIGTERM:
            until(lambda: len({json.loads(i.payload)["id"] for i in before.poll()}) == 300, 60)
        until(node.settled, 60)
        for camera, wanted in (("gate", sent[1::2]), ("yard", sent[0::2])):
            ids = first_ids(before.payloads(f"{ROOT}/{camera}/event"))
            assert ids == (wanted if kill is signal.SIGTERM else [i for i in wanted if i in ids])
    assert node.events.stop(5.0)
    assert node.events.fault is None


def test_a_broker_that_comes_late_gets_everything(mosquitto: Mosquitto, tmp_path: Path) -> None:
    mosquitto.stop()
    node = Node(mosquitto.access(), tmp_path)
    node.publish(*(f"{n}" for n in range(20)))
    until(lambda: "refuses connections" in node.events.trouble)
    mosquitto.start()
    with listening(mosquitto.access(username="viewer", password="look"), f"{ROOT}/gate/event") as viewer:
        until(node.settled)
        until(lambda: len(viewer.poll()) >= 20)
        assert first_ids(viewer.payloads(f"{ROOT}/gate/event")) == [f"{n}" for n in range(20)]
    assert node.events.stop(5.0)


def test_status_goes_from_online_to_stopped(mosquitto: Mosquitto, viewer: Listener, tmp_path: Path) -> None:
    node = Node(mosquitto.access(), tmp_path)
    until(lambda: viewer.payloads(STATUS) == [b"online"])
    node.events.stop(5.0)
    until(lambda: viewer.payloads(STATUS) == [b"online", b"stopped"])
    with listening(mosquitto.access(username="viewer", password="look"), STATUS) as late:
        until(late.poll)
        assert [(i.payload, i.retain) for i in late.got] == [(b"stopped", True)]


CONFIG = """
node: {{id: node, site: site, data_dir: data}}
cameras: {{a: {{source: {{type: file, path: x}}}}, b: {{source: {{type: file, path: x}}}}}}
mqtt: {{url: "mqtts://localhost:{port}", username: edge, password_file: secret, ca_file: {ca}, keepalive_s: 5}}
"""


def child(mosquitto: Mosquitto, folder: Path, *args: str) -> subprocess.Popen[bytes]:
    (folder / "secret").write_text("s3cret\n")
    (folder / "config.yaml").write_text(CONFIG.format(port=mosquitto.tls, ca=mosquitto.certs / "ca.crt"))
    script = Path(__file__).with_name("publishing_child.py")
    return subprocess.Popen([sys.executable, str(script), str(folder / "config.yaml"), str(folder / "log"), *args])


def test_killed_at_any_instant_no_event_is_lost_and_the_will_is_seen(
    mosquitto: Mosquitto, viewer: Listener, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    for at in (30, 80, 130):
        process = child(mosquitto, tmp_path, "100000")
        until(lambda at=at: log.exists() and len(log.read_text().splitlines()) >= at)  # type: ignore[misc]
        process.kill()
        process.wait(10)
    until(lambda: b"offline" in viewer.payloads(STATUS))
    assert child(mosquitto, tmp_path, "1").wait(60) == 0
    taken = log.read_text().splitlines()
    for camera in "ab":
        wanted = [line.partition("/")[2] for line in taken if line.startswith(camera)]
        topic = f"{ROOT}/{camera}/event"
        until(lambda topic=topic, wanted=wanted: wanted[-1] in first_ids(viewer.payloads(topic)))  # type: ignore[misc]
        begins = [p for p in viewer.payloads(topic) if json.loads(p)["phase"] == "begin"]
        ids = first_ids(begins)
        assert [i for i in ids if i in set(wanted)] == wanted
        ended = {json.loads(p)["id"] for p in viewer.payloads(topic) if json.loads(p)["phase"] == "end"}
        assert set(wanted[:-1]) <= ended  # the next process ended what the killed one left open


@pytest.mark.parametrize("version", [_V5, _V311])
def test_a_wrong_password_is_named_and_never_shown(mosquitto: Mosquitto, version: object) -> None:
    link = MqttConnection(mosquitto.access(password="hunter2"), "c", SystemClock())
    link._protocol = version  # type: ignore[assignment]
    with pytest.raises(SinkError, match=r"refuses the login of user 'edge'.*mqtt\.password_file") as caught:
        link.connect()
    assert "hunter2" not in repr(caught.value) + repr(link.login)
    anonymous = MqttConnection(mosquitto.access(username=None, password=None), "c", SystemClock())
    with pytest.raises(SinkError, match="anonymous login"):
        anonymous.connect()


def wrong(mosquitto: Mosquitto, case: str) -> tuple[BrokerLogin, str]:
    certs = mosquitto.certs
    return {
        "ca": (mosquitto.access(ca_file=certs / "other.crt"), r"not signed by mqtt\.ca_file .*other\.crt"),
        "no ca": (mosquitto.access(ca_file=None), "not signed by the system's authorities"),
        "expired": (mosquitto.access(port=mosquitto.expired), "certificate has expired"),
        "name": (mosquitto.access(host="127.0.0.1"), "for another name than '127.0.0.1'"),
        "plain": (mosquitto.access(port=mosquitto.plain), "does not speak TLS|is this its TLS port"),
        "tls": (mosquitto.access(tls=False, ca_file=None), "port without TLS|does not answer as a broker"),
        "ca file": (mosquitto.access(ca_file=certs / "ext"), r"mqtt\.ca_file.*no readable PEM"),
        "ca missing": (mosquitto.access(ca_file=certs / "none"), r"mqtt\.ca_file.*No such file"),
        "pair": (mosquitto.access(cert_file=certs / "client.crt", key_file=certs / "server.key"), "readable pair"),
        "refused": (mosquitto.access(port=free_port()), "refuses connections"),
        "unknown": (mosquitto.access(host="no-such-host.invalid"), "name 'no-such-host.invalid' is not known"),
    }[case]  # fmt: skip


CASES = ["ca", "no ca", "expired", "name", "plain", "tls", "ca file", "ca missing", "pair", "refused", "unknown"]


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said(mosquitto: Mosquitto, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MqttConnection, "CONNECT_TIMEOUT_S", 3.0)
    to, message = wrong(mosquitto, case)
    with pytest.raises(SinkError, match=message) as caught:
        MqttConnection(to, "c", SystemClock()).connect()
    assert "s3cret" not in str(caught.value)


def test_a_client_certificate_is_used_and_missed(mosquitto: Mosquitto) -> None:
    certs = mosquitto.certs
    to = mosquitto.access(port=mosquitto.mutual, cert_file=certs / "client.crt", key_file=certs / "client.key")
    link = MqttConnection(to, "c", SystemClock())
    link.connect()
    assert link.connected
    link.close()
    with pytest.raises(SinkError, match=r"mqtt\.cert_file"):
        MqttConnection(replace(to, cert_file=None, key_file=None), "c", SystemClock()).connect()


@pytest.mark.parametrize("polite", [True, False])
def test_a_port_that_is_no_broker(polite: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MqttConnection, "CONNECT_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            for _ in range(2):
                connection = server.accept()[0]
                kept.append(connection)
                if polite:
                    connection.recv(100)
                    connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        link = MqttConnection(BrokerLogin("127.0.0.1", server.getsockname()[1]), "c", SystemClock())
        with pytest.raises(SinkError, match="without an answer" if polite else "does not answer as a broker"):
            link.connect()
        thread.join(10)
        for connection in kept:
            connection.close()


def test_a_password_that_changes_is_read_at_the_next_attempt(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "FIRST_S", 0.1)
    secret = tmp_path / "secret"
    secret.write_text("old")
    link = MqttConnection(mosquitto.access(password="old"), "c", SystemClock(), renew=lambda: broker_login(loaded))
    loaded = parse(CONFIG.format(port=mosquitto.tls, ca=mosquitto.certs / "ca.crt"), tmp_path / "config.yaml")
    with pytest.raises(SinkError, match="refuses the login"):
        link.connect()
    secret.unlink()
    with pytest.raises(SinkError, match=r"mqtt\.password_file: .*cannot be read"):
        link.connect()
    secret.write_text("s3cret\n")
    link.connect()
    assert link.connected
    link.close()


class Muffled:
    """Between a node and its broker: while ``is_muffled``, the broker's acknowledgements vanish and all else passes."""

    def __init__(self, port: int) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._broker = port
        self.is_muffled = False
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client = self._server.accept()[0]
            except OSError:
                return
            self.connections += 1
            broker = socket.create_connection(("127.0.0.1", self._broker))
            for source, sink, passes in ((client, broker, None), (broker, client, self._passes)):
                threading.Thread(target=self._pump, args=(source, sink, passes), daemon=True).start()

    def _passes(self, packet: bytes) -> bool:
        return not (self.is_muffled and packet[0] >> 4 == 4)  # PUBACK

    def _pump(self, source: socket.socket, sink: socket.socket, passes: Callable[[bytes], bool] | None) -> None:
        """Bytes as they come; with ``passes`` whole packets, none of which is larger than 127 bytes here."""
        waiting = b""
        with contextlib.suppress(OSError), source, sink:
            while data := source.recv(65536):
                waiting += data
                if passes is None:
                    sink.sendall(waiting)
                    waiting = b""
                while len(waiting) >= 2 and len(waiting) >= 2 + waiting[1]:
                    packet, waiting = waiting[: 2 + waiting[1]], waiting[2 + waiting[1] :]
                    if passes is not None and passes(packet):
                        sink.sendall(packet)
            sink.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()


def test_acknowledgements_that_vanish_end_the_connection_and_nothing_is_lost(
    mosquitto: Mosquitto, viewer: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConnectionPolicy, "SILENT_S", 1.0)
    between = Muffled(mosquitto.plain)
    node = Node(mosquitto.access(port=between.port, tls=False, ca_file=None), tmp_path)
    until(node.settled)
    between.is_muffled = True
    ids = [f"{n}" for n in range(100)]  # more than may be in flight
    node.publish(*ids)
    until(lambda: "acknowledged nothing" in node.events.trouble)
    until(lambda: between.connections >= 2)
    between.is_muffled = False
    until(node.settled)
    assert node.events.trouble == ""
    assert first_ids(viewer.payloads(f"{ROOT}/gate/event")) == ids
    assert node.events.stop(5.0)
    between.close()


def test_what_the_acl_denies_does_not_block_the_rest(
    mosquitto: Mosquitto, viewer: Listener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        node = Node(mosquitto.access(), tmp_path, ("denied", "gate"))
        node.publish("1", "2", camera="denied")
        node.publish("3")
        until(lambda: len(viewer.payloads(f"{ROOT}/gate/event")) == 1)
        until(lambda: node.refused() and node.events.depth == 2)
    assert caplog.text.count(f"the broker refuses {ROOT}/denied/event (Not authorized)") == 1
    assert viewer.payloads(f"{ROOT}/denied/event") == []
    node.events.stop(2.0)


def test_a_message_beyond_the_brokers_limit_stays_here(mosquitto: Mosquitto, viewer: Listener, tmp_path: Path) -> None:
    node = Node(mosquitto.access(), tmp_path)
    until(lambda: node.events.connected)
    node.outbox.append([Message(f"{ROOT}/big", bytes(400_000)), Message(f"{ROOT}/small", b"1")])
    until(lambda: viewer.payloads(f"{ROOT}/small") == [b"1"])
    until(lambda: node.events.depth == 1)
    assert node.events.connected
    node.events.stop(2.0)


def test_a_command_sent_while_away_arrives_and_is_answered(
    mosquitto: Mosquitto, viewer: Listener, tmp_path: Path
) -> None:
    first = Node(mosquitto.access(), tmp_path, ("gate",), "yard/#")
    until(lambda: first.events.connected)
    first.events.stop(5.0)
    viewer.send(f"{ROOT}/gate/fire/threshold/set", b"0.77", correlation=b"abc")
    viewer.send("yard/temp", b"21.5")
    second = Node(mosquitto.access(), tmp_path, ("gate",), "yard/#")
    commands: list[object] = []
    until(lambda: commands.extend(second.events.poll_commands()) or commands)
    (command,) = commands
    assert isinstance(command, SetThreshold)
    assert command.value == 0.77
    second.events.accept(command)
    until(lambda: viewer.payloads(f"{ROOT}/reply"))
    (reply,) = [i for i in viewer.got if i.topic == f"{ROOT}/reply"]
    assert reply.correlation == b"abc"
    until(lambda: second.sensor)
    second.events.stop(5.0)


def test_a_huge_reading_does_not_reach_the_node(mosquitto: Mosquitto, viewer: Listener, tmp_path: Path) -> None:
    node = Node(mosquitto.access(), tmp_path, ("gate",), "yard/#")
    until(lambda: node.events.connected)
    viewer.send("yard/temp", bytes(280_000))
    viewer.send("yard/temp", b"1")
    until(lambda: node.sensor)
    assert [i.payload for i in node.sensor] == [b"1"]  # type: ignore[attr-defined]
    assert node.events.connected
    node.events.stop(5.0)


def test_a_retained_command_is_refused_once_it_comes_back(
    mosquitto: Mosquitto, viewer: Listener, tmp_path: Path
) -> None:
    viewer.send(f"{ROOT}/gate/armed/set", b"OFF", retain=True)
    node = Node(mosquitto.access(), tmp_path)
    until(lambda: viewer.payloads(f"{ROOT}/reply"))
    assert "without retain" in json.loads(viewer.payloads(f"{ROOT}/reply")[0])["reason"]
    assert node.events.is_armed("gate")
    node.events.stop(5.0)


def test_following_goes_on_after_a_broker_restart(mosquitto: Mosquitto, viewer: Listener, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    text = CONFIG.format(port=mosquitto.tls, ca=mosquitto.certs / "ca.crt")
    got: list[tuple[str, bytes]] = []
    with subscribe(
        parse(text, tmp_path / "c.yaml"), [f"{ROOT}/x"], lambda topic, payload: got.append((topic, payload))
    ):
        viewer.send(f"{ROOT}/x", b"1")
        until(lambda: got == [(f"{ROOT}/x", b"1")])
        mosquitto.stop()
        mosquitto.start()
        until(lambda: viewer.poll() is not None and viewer._link.connected)

        def again() -> bool:
            viewer.send(f"{ROOT}/x", b"2")
            return len(got) > 1

        until(again)


class TestEmbedded:
    """rumqttd inside a child process."""

    def test_retained_state_wills_sessions_and_order(self, tmp_path: Path) -> None:
        port = free_port()
        broker = EmbeddedBroker(f"127.0.0.1:{port}")
        broker.start()
        try:
            to = BrokerLogin("127.0.0.1", port)
            node = Node(to, tmp_path)
            with listening(to, f"{ROOT}/#") as viewer:
                node.publish(*(f"{n}" for n in range(100)))
                until(node.settled)
                until(lambda: len(viewer.payloads(f"{ROOT}/gate/event")) == 100)
                assert first_ids(viewer.payloads(f"{ROOT}/gate/event")) == [f"{n}" for n in range(100)]
                with listening(to, STATUS) as late:
                    until(late.poll)
                    assert [(i.payload, i.retain) for i in late.got] == [(b"online", True)]
                viewer.send(f"{ROOT}/gate/armed/set", b"OFF")
                commands: list[object] = []
                until(lambda: commands.extend(node.events.poll_commands()) or commands)
                node.events.stop(5.0)
                until(lambda: viewer.payloads(STATUS)[-1] == b"stopped")
        finally:
            broker.stop()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port), 5.0)

    def test_the_will_after_a_cut_connection(self) -> None:
        port = free_port()
        broker = EmbeddedBroker(f"127.0.0.1:{port}")
        broker.start()
        try:
            to = BrokerLogin("127.0.0.1", port)
            link = MqttConnection(to, "c", SystemClock(), will=status_message(TOPICS, OFFLINE))
            link.connect()
            assert link.version == "MQTT 3.1.1"
            with listening(to, STATUS) as viewer:
                assert link._client is not None
                sock = link._client.socket()
                assert isinstance(sock, socket.socket)
                sock.shutdown(socket.SHUT_RDWR)
                until(lambda: viewer.payloads(STATUS) == [b"offline"])
            link.close()
        finally:
            broker.stop()

    def test_a_taken_port_is_named(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            broker = EmbeddedBroker(f"127.0.0.1:{server.getsockname()[1]}")
            with pytest.raises(SinkError, match="does another broker run here"):
                broker.start()

    def test_the_missing_package_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "iotcore", None)
        with pytest.raises(InputError, match="extra `broker`"):
            EmbeddedBroker("127.0.0.1:1883")
