"""The server itself: streams without end, who leaves, TLS, and a stop that ends."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from web_parts import ScriptedBackend, event

from edge.config.services import WebConfig
from edge.web.backend import LiveFrame
from edge.web.dependencies import AppState
from edge.web.serve import WebServer

LOCAL = WebConfig(listen="127.0.0.1:0")


@contextmanager
def running(box: ScriptedBackend, settings: WebConfig = LOCAL) -> Iterator[WebServer]:
    server = WebServer(box, settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        assert server.fault is None


def stream(server: WebServer, path: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=20)
    connection.request("GET", path)
    return connection, connection.getresponse()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def news(answer: http.client.HTTPResponse) -> tuple[str, object]:
    """The next event of a stream."""
    kind = ""
    while True:
        line = answer.readline().decode().strip()
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            return kind, json.loads(line.removeprefix("data: "))


def test_news_reach_who_listens_and_who_leaves_is_forgotten(box: ScriptedBackend) -> None:
    with running(box) as server:
        connection, answer = stream(server, "/api/live")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert news(answer)[0] == "hello"
        until(lambda: len(box.hub) > 0, "it listens")
        box.hub.publish("event", lambda: event(3))
        kind, told = news(answer)
        assert kind == "event"
        assert told["id"] == f"{3:016x}"  # type: ignore[index]
        answer.close()
        connection.close()
        until(lambda: len(box.hub) == 0, "it is forgotten")


def test_moving_pictures_are_bounded_and_given_back(box: ScriptedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AppState, "MOST_STREAMS", 2)
    box.pictures["yard"] = LiveFrame(1, np.zeros((36, 64, 3), np.uint8))
    with running(box) as server:
        open_ones = [stream(server, "/api/cameras/yard/live.mjpeg") for _ in range(2)]
        for _, answer in open_ones:
            assert answer.readline() == b"--picture\r\n"
            assert answer.readline() == b"Content-Type: image/jpeg\r\n"
            length = int(answer.readline().split(b":")[1])
            assert answer.readline() == b"\r\n"
            assert answer.read(length)[:2] == b"\xff\xd8"
        connection, refused = stream(server, "/api/cameras/yard/live.mjpeg")
        assert refused.status == 503
        connection.close()
        for connection, answer in open_ones:
            answer.close()
            connection.close()

        def is_free() -> bool:
            box.pictures["yard"] = LiveFrame(box.pictures["yard"].number + 1, np.zeros((36, 64, 3), np.uint8))
            again, answer = stream(server, "/api/cameras/yard/live.mjpeg")
            status = answer.status
            answer.close()
            again.close()
            return status == 200

        until(is_free, "their places are given back")


def test_stopping_ends_open_streams_within_seconds(box: ScriptedBackend) -> None:
    box.pictures["yard"] = LiveFrame(1, np.zeros((36, 64, 3), np.uint8))
    with running(box) as server:
        held = [stream(server, path) for path in ("/api/live", "/api/cameras/yard/live.mjpeg")]
        assert news(held[0][1])[0] == "hello"
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < 4.5
        assert "web" not in {thread.name for thread in threading.enumerate()}
        for connection, answer in held:
            answer.close()
            connection.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_https_with_a_certificate_of_ones_own(box: ScriptedBackend, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made, "-keyout", key, "-out", cert, *names], check=True, capture_output=True)
    settings = WebConfig(listen="127.0.0.1:0", cert_file=cert, key_file=key)
    with running(box, settings) as server:
        assert server.address.startswith("https://")
        trusted = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection(urlsplit(server.address).netloc, timeout=20, context=trusted)
        connection.request("GET", "/api/node")
        assert connection.getresponse().status == 200
        connection.close()
