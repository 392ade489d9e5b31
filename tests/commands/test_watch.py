"""`edge watch`: what its lines say, and what it needs of the configuration."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import pytest

from edge.commands.watch import event_line, run
from edge.errors import ConfigError, SinkError

EVENT = {
    "phase": "begin",
    "camera": "gate",
    "label": "fire",
    "begin": "2026-01-31T23:59:58.250Z",
    "end": None,
    "duration_s": None,
    "score": 0.81,
    "peak": 0.93,
    "threshold": 0.6,
    "contribution": {"video": 1.5, "audio": -0.2, "sensors": 0.0},
}


def test_a_line_says_when_it_began_and_the_last_when_it_ended() -> None:
    assert event_line(EVENT) == "23:59:58  gate     begin  fire         0.81/0.60  video +1.5  audio -0.2  sensors +0.0"
    ended = {**EVENT, "phase": "end", "end": "2026-02-01T00:00:10.500Z", "duration_s": 12.25, "contribution": None}
    assert event_line(ended) == "00:00:10  gate     end    fire         0.93/0.60 after 12.2 s"


def test_a_camera_password_that_only_the_service_has_is_not_needed(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        config = tmp_path / "config.yaml"
        config.write_text(
            "cameras: {gate: {source: {type: rtsp, url: 'rtsp://u:${NOT_SET_HERE}@192.0.2.5/1'}}}\n"
            f"mqtt: {{url: 'mqtt://127.0.0.1:{taken.getsockname()[1]}'}}\n",
            encoding="utf-8",
        )
        with pytest.raises(SinkError):  # the broker: so far it came
            run(config, as_json=False, count=1, until_gone=None, out=io.StringIO())


def test_the_password_of_the_broker_is_needed_and_where_it_comes_from_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    config = tmp_path / "config.yaml"
    config.write_text(
        "cameras: {gate: {source: {type: file, path: a.mp4}}}\n"
        "mqtt: {url: 'mqtt://h', username: u, password_file: '${CREDENTIALS_DIRECTORY}/mqtt-password'}\n",
        encoding="utf-8",
    )
    with pytest.raises(
        ConfigError, match=r"config\.yaml:2: mqtt\.password_file: .*sudo CREDENTIALS_DIRECTORY=/etc/edge"
    ):
        run(config, as_json=False, count=1, until_gone=None, out=io.StringIO())
