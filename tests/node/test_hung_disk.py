"""The whole daemon on a disk whose syncs do not return, or that cannot be read or written: windows, alerts and the
watchdog go on, and nothing is lost."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from broker_parts import Mosquitto, listening, make_certificates, need
from daemon_parts import Daemon, config_text, events_in, wait_for

from edge.bench.processes import free_port
from edge.clock import SystemClock
from edge.evidence.archive.records import EventQuery
from edge.evidence.archive.store import EventStore

pytestmark = [pytest.mark.broker, pytest.mark.slow]

ROOT = "edge/test/n1"
HUNG_S = 12.0


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    (tmp_path / "certs").mkdir()
    (tmp_path / "broker").mkdir()
    make_certificates(tmp_path / "certs")
    broker = Mosquitto(tmp_path / "broker", tmp_path / "certs").start()
    yield broker
    broker.stop()


class Supervisor:
    """What systemd would hear: the times at which the daemon said that it is alive."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self.alive: list[float] = []
        self.status = ""

    def listen(self) -> None:
        while True:
            try:
                told = self._socket.recv(65536).decode()
            except BlockingIOError:
                return
            if "WATCHDOG=1" in told:
                self.alive.append(time.monotonic())
            self.status = told.partition("STATUS=")[2].partition("\n")[0] or self.status

    def close(self) -> None:
        self._socket.close()


def windows(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("edge_windows_total{"))


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """What stands before the calls of a disk."""
    made = tmp_path / "bad_disk.so"
    source = Path(__file__).with_name("bad_disk.c")
    subprocess.run([need("gcc"), "-shared", "-fPIC", "-o", str(made), str(source), "-ldl"], check=True)
    return made


def eager(data: Path, mqtt: str) -> str:
    """A configuration with many events, and evidence of them."""
    more = (
        f"{mqtt}evidence: {{}}\n"
        "events: {defaults: {enter: 0.02, leave: 0.01, min_s: 0, cooldown_s: 0, most_per_hour: null}}\n"
    )
    return config_text(data, more=more).replace("pace: fast", "pace: live, loop: true")


def test_a_disk_that_hangs_holds_up_neither_windows_nor_alerts_nor_the_watchdog(
    tmp_path: Path, shim: Path, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung, metrics = tmp_path / "hung", free_port()
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    monkeypatch.setenv("HUNG_SYNC", str(hung))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    config, told = tmp_path / "config.yaml", tmp_path / "data" / "events.jsonl"
    mqtt = f"mqtt: {{url: 'mqtt://127.0.0.1:{mosquitto.plain}', username: edge, password: s3cret}}\n"
    config.write_text(eager(tmp_path / "data", f"{mqtt}metrics: {{listen: '127.0.0.1:{metrics}'}}\n"))
    supervisor = Supervisor(tmp_path / "notify")
    to = mosquitto.access(username="viewer", password="look", port=mosquitto.plain, tls=False, ca_file=None)
    with listening(to, f"{ROOT}/+/event") as listener:
        daemon = Daemon(config)
        monkeypatch.delenv("LD_PRELOAD")
        daemon.wait_ready()
        wait_for(lambda: len(listener.payloads(f"{ROOT}/yard/event")) >= 2, "events while the disk is well")
        hung.touch()
        begun_s, seen, written = time.monotonic(), windows(metrics), len(events_in(told))
        sent = len(listener.payloads(f"{ROOT}/yard/event"))
        while time.monotonic() < begun_s + HUNG_S:
            supervisor.listen()
            listener.poll()
            time.sleep(0.02)
        scored = (windows(metrics) - seen) / (time.monotonic() - begun_s)
        arrived = listener.payloads(f"{ROOT}/yard/event")
        alive = [t for t in supervisor.alive if t >= begun_s]
        assert len(events_in(told)) <= written + 5, "the disk did hang"
        assert scored > 1.5, "two windows a second are due"
        assert len(arrived) > sent, "alerts leave from memory"
        assert max(b - a for a, b in zip([begun_s, *alive], alive, strict=False)) < 2.0
        wait_for(lambda: supervisor.listen() or "the disk takes seconds to write" in supervisor.status, "it is said")
        hung.unlink()
        wait_for(lambda: supervisor.listen() or "the disk takes" not in supervisor.status, "it is over")
        assert daemon.stop() == 0
        everything = [(e["id"], e["seq"]) for e in events_in(told)]
        wait_for(lambda: len(listener.payloads(f"{ROOT}/yard/event")) >= len(everything), "the last ones")
        got = [(e["id"], e["seq"]) for e in map(json.loads, listener.payloads(f"{ROOT}/yard/event"))]
    assert got == everything, "each once, in order"
    begun, ended = ({e["id"] for e in events_in(told) if e["phase"] == phase} for phase in ("begin", "end"))
    assert begun == ended
    assert "Traceback" not in daemon.text()
    supervisor.close()


@pytest.mark.parametrize("fault", ["BAD_READ", "BAD_WRITE"])
def test_a_disk_that_gives_errors_stops_no_alert_and_ends_no_daemon(
    tmp_path: Path, shim: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    bad, told = tmp_path / "bad", tmp_path / "data" / "events.jsonl"
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    monkeypatch.setenv(fault, str(bad))
    config = tmp_path / "config.yaml"
    config.write_text(eager(tmp_path / "data", "mqtt: null\n"))
    daemon = Daemon(config)
    monkeypatch.delenv("LD_PRELOAD")
    wait_for(lambda: len(events_in(told)) >= 4, "events while the disk is well")
    bad.touch()
    before = len(events_in(told))
    wait_for(lambda: len(events_in(told)) >= before + 8, "events go on")
    bad.unlink()
    wait_for(lambda: len(events_in(told)) >= before + 12, "and on")
    assert daemon.stop() == 0
    assert "disk I/O error" in daemon.text()
    assert "Traceback" not in daemon.text()
    begun = {e["id"] for e in events_in(told) if e["phase"] == "begin"}
    store = EventStore(tmp_path / "data" / "evidence", SystemClock(), read_only=True)
    assert begun == {found.record.id for found in store.find(EventQuery(limit=10_000))}, "no row is lost"
    store.close()
