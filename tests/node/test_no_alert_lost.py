"""The whole daemon against a real broker: absent, then there; the daemon killed in the middle; nothing is lost."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from broker_parts import Listener, Mosquitto, listening, make_certificates
from daemon_parts import Daemon, config_text, eager, events_in, wait_for

pytestmark = pytest.mark.broker

ROOT = "edge/test/n1"
EAGER = eager("{enter: 0.01, leave: 0.009, min_s: 0, cooldown_s: 0}")


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    (tmp_path / "certs").mkdir()
    (tmp_path / "broker").mkdir()
    make_certificates(tmp_path / "certs")
    broker = Mosquitto(tmp_path / "broker", tmp_path / "certs")
    yield broker
    broker.stop()


def write_config(folder: Path, broker: Mosquitto, more: str = EAGER) -> Path:
    (folder / "password").write_text("s3cret\n")
    mqtt = (
        f"mqtt: {{url: 'mqtts://localhost:{broker.tls}', username: edge, password_file: '{folder}/password',"
        f" ca_file: '{folder}/certs/ca.crt', keepalive_s: 5, home_assistant: true}}\n"
    )
    path = folder / "config.yaml"
    text = config_text(folder / "data", more=mqtt + more)
    path.write_text(text.replace("pace: fast", "pace: live, loop: true"), encoding="utf-8")
    return path


def arrived(listener: Listener) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in listener.payloads(f"{ROOT}/yard/event")]


def key(event: dict[str, Any]) -> tuple[str, int]:
    return event["id"], event["seq"]


def test_broker_away_and_daemon_killed(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config, told = write_config(tmp_path, mosquitto), tmp_path / "data" / "events.jsonl"
    first = Daemon(config)
    wait_for(lambda: len(events_in(told)) >= 6, "events while the broker is away")
    assert first.stop(signal.SIGKILL) == -signal.SIGKILL
    before = events_in(told)
    second = Daemon(config)
    wait_for(lambda: len(events_in(told)) >= len(before) + 6, "events after the kill")
    second.process.send_signal(signal.SIGSTOP)  # so that the listener is there before what it listens for
    mosquitto.start()
    with listening(mosquitto.access(username="viewer", password="look"), f"{ROOT}/#") as listener:
        second.process.send_signal(signal.SIGCONT)
        wait_for(lambda: {key(e) for e in events_in(told)} <= {key(e) for e in arrived(listener)}, "everything", 120)
        assert second.stop() == 0
        everything = events_in(told)
        wait_for(lambda: {key(e) for e in everything} <= {key(e) for e in arrived(listener)}, "the last ones")
        got = arrived(listener)
    first_seen = list(dict.fromkeys(key(e) for e in got))
    assert [k for k in first_seen if k in {key(e) for e in everything}] == [key(e) for e in everything]
    assert len({json.dumps(e, sort_keys=True) for e in got}) == len(first_seen), "a repeated pair is the same message"
    begun, ended = ({e["id"] for e in got if e["phase"] == phase} for phase in ("begin", "end"))
    assert begun == ended
    assert any("restart" in e["why"] for e in got), "what the kill left open is ended at the next start"


def test_commands_change_thresholds_and_are_kept(tmp_path: Path, mosquitto: Mosquitto) -> None:
    mosquitto.start()
    config = write_config(tmp_path, mosquitto, more="")
    with listening(mosquitto.access(username="viewer", password="look"), f"{ROOT}/#") as listener:
        daemon = Daemon(config)
        daemon.wait_ready()
        state = f"{ROOT}/yard/fire/threshold/state"
        wait_for(lambda: listener.payloads(state), "the threshold is told")
        listener.send(f"{ROOT}/yard/fire/threshold/set", b"0.35")
        wait_for(lambda: listener.payloads(state)[-1] == b"0.35", "the threshold is changed")
        listener.send(f"{ROOT}/yard/armed/set", b"OFF")
        wait_for(lambda: b"OFF" in listener.payloads(f"{ROOT}/yard/armed/state"), "the camera is disarmed")
        for topic, payload in (
            ("yard/fire/threshold/set", b"nan"),
            ("yard/fire/threshold/set", b"\xff" * 5000),
            ("yard/nothing/threshold/set", b"0.5"),
            ("nowhere/armed/set", b"ON"),
            ("command", b'{"command": "rm -rf /"}'),
            ("command", b"[" * 4000),
        ):
            count = len(listener.payloads(f"{ROOT}/reply"))
            listener.send(f"{ROOT}/{topic}", payload)
            wait_for(lambda n=count: len(listener.payloads(f"{ROOT}/reply")) > n, f"{payload[:20]!r} is answered")
            assert json.loads(listener.payloads(f"{ROOT}/reply")[-1])["ok"] is False
        assert daemon.stop(signal.SIGKILL) != 0
        wait_for(lambda: listener.payloads(f"{ROOT}/status")[-1:] == [b"offline"], "the last will")
        again = Daemon(config)
        again.wait_ready()
        wait_for(lambda: listener.payloads(f"{ROOT}/status")[-1:] == [b"online"], "it is back")
        wait_for(lambda: listener.payloads(state)[-1] == b"0.35", "the threshold was kept")
        listener.send(f"{ROOT}/command", b"reload")
        wait_for(lambda: json.loads(listener.payloads(f"{ROOT}/reply")[-1])["ok"], "reload is answered")
        assert again.stop() == 0
        wait_for(lambda: listener.payloads(f"{ROOT}/status")[-1:] == [b"stopped"], "a clean goodbye")
        assert listener.payloads(f"{ROOT}/yard/armed/state")[-1] == b"OFF"
    assert "s3cret" not in again.text()
