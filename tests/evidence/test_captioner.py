"""Captions from a small real HTTP server that behaves, is slow, talks nonsense, fails, or never stops talking."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from edge.clock import SystemClock, VirtualClock
from edge.config.services import DescriberConfig as Settings
from edge.errors import InputError
from edge.evidence.captioner import MAX_ANSWER_BYTES, MAX_CAPTION_CHARS, Captioner
from edge.metrics import Metrics
from edge.types import NS_PER_S, EvidenceFiles

JPEG = b"\xff\xd8 a picture"
KEPT = EvidenceFiles("e1", "gate", "fire", 0, {"snapshot": "x.jpg"})


def completion(text: object) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Endpoint:
    """An HTTP server on a free port that answers as ``status``, ``body`` and ``headers`` say, and keeps what it got."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, completion("A person opens the gate."), {}  # type: ignore[var-annotated]
        self.endless = False
        self.hold = threading.Event()
        self.hold.set()
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.requests.append((self.path, dict(self.headers), json.loads(body)))
                endpoint.answer(self)

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.hold.wait(20)
        handler.send_response(self.status)
        for name, value in self.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        try:
            handler.wfile.write(self.body)
            while self.endless:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            pass

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def close(self) -> None:
        self.hold.set()
        self.endless = False
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.close()


class Rig:
    def __init__(self, url: str, **changes: object) -> None:
        self.clock, self.metrics = VirtualClock(), Metrics()
        self.settings = Settings.model_validate({"url": url, "model": "sees", "timeout_s": 5, **changes})
        self.describer = Captioner(self.settings, self.clock, self.metrics)

    def lost(self, why: str) -> float:
        labels = {"source": "describer", "place": why}
        return self.metrics.registry.get_sample_value("edge_drops_total", labels) or 0.0

    def pass_s(self, s: float) -> None:
        self.clock.advance(round(s * NS_PER_S))


def test_an_alert_gets_its_caption(endpoint: Endpoint) -> None:
    rig = Rig(endpoint.url, api_key="s3cret", prompt="What is it?")
    assert rig.describer.step() == []
    rig.describer.enqueue(KEPT, JPEG)
    assert rig.describer.step() == [replace(KEPT, caption="A person opens the gate.")]
    assert rig.describer.step() == []
    ((path, headers, body),) = endpoint.requests
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer s3cret"
    text, picture = body["messages"][0]["content"]
    assert (body["model"], body["stream"], text) == ("sees", False, {"type": "text", "text": "What is it?"})
    head, _, data = picture["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(data) == JPEG


def test_without_a_key_none_is_sent(endpoint: Endpoint) -> None:
    rig = Rig(endpoint.url)
    rig.describer.enqueue(KEPT, JPEG)
    assert rig.describer.step()
    assert "Authorization" not in endpoint.requests[0][1]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("  A dog\n\n barks. \x00", "A dog barks."),
        ("Übel: „ja“", "Übel: „ja“"),
        ("x" * 5000, "x" * (MAX_CAPTION_CHARS - 1) + "…"),
        ("safe\u202edesrever", "safe desrever"),
    ],
)
def test_a_caption_is_one_short_printable_line(endpoint: Endpoint, said: str, kept: str) -> None:
    endpoint.body = completion(said)
    rig = Rig(endpoint.url)
    rig.describer.enqueue(KEPT, JPEG)
    assert rig.describer.step()[0].caption == kept


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b"<html>hello", "no chat completion"),
        (200, b"[" * 50_000, "no chat completion"),
        (200, b"\xff\xfe", "no chat completion"),
        (200, b'{"choices": []}', "no chat completion"),
        (200, completion(None), "holds no text"),
        (200, completion([{"type": "text"}]), "holds no text"),
        (200, completion(" \n"), "empty"),
        (401, b"s3cret", r"HTTP 401; check describer\.api_key_file"),
        (404, b"", r"HTTP 404; check describer\.url"),
        (500, b"trace", "HTTP 500; it is asked again later"),
    ],
)
def test_what_is_no_caption_is_trouble_and_no_more(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture, status: int, body: bytes, told: str
) -> None:
    endpoint.status, endpoint.body = status, body
    rig = Rig(endpoint.url, api_key="s3cret")
    rig.describer.enqueue(KEPT, JPEG)
    with caplog.at_level(logging.DEBUG):
        assert rig.describer.step() == []
    assert re.search(told, rig.describer.trouble)
    assert "s3cret" not in caplog.text + rig.describer.trouble + repr(rig.describer)
    assert rig.lost("failed") == 1


def test_an_endless_answer_is_cut_off(endpoint: Endpoint) -> None:
    endpoint.endless = True
    rig = Rig(endpoint.url)
    rig.describer.enqueue(KEPT, JPEG)
    assert rig.describer.step() == []
    assert f"larger than {MAX_ANSWER_BYTES} bytes" in rig.describer.trouble


def test_a_silent_endpoint_costs_its_time_and_no_more(endpoint: Endpoint) -> None:
    endpoint.hold.clear()
    rig = Rig(endpoint.url, timeout_s=0.05)
    rig.describer.enqueue(KEPT, JPEG)
    assert rig.describer.step() == []
    assert "describer.timeout_s" in rig.describer.trouble


def test_an_answer_drop_by_drop_is_given_up_in_time(endpoint: Endpoint) -> None:
    """Each drop comes within the socket's own time: the whole answer must be in time too."""

    class Later(SystemClock):
        jumped = 0

        def mono_ns(self) -> int:
            self.jumped += 10 * NS_PER_S
            return super().mono_ns() + self.jumped

    describer = Captioner(Settings(url=endpoint.url, model="m", timeout_s=5), Later(), Metrics())
    describer.enqueue(KEPT, JPEG)
    assert describer.step() == []
    assert "describer.timeout_s" in describer.trouble


def test_redirects_are_not_followed(endpoint: Endpoint) -> None:
    other = Endpoint()
    try:
        endpoint.status, endpoint.headers = 307, {"Location": f"{other.url}/chat/completions"}
        rig = Rig(endpoint.url, api_key="s3cret")
        rig.describer.enqueue(KEPT, JPEG)
        assert rig.describer.step() == []
        assert "redirects are not followed" in rig.describer.trouble
        assert other.requests == []
    finally:
        other.close()


def test_an_endpoint_that_is_down_is_asked_ever_more_seldom_and_the_picture_given_up(endpoint: Endpoint) -> None:
    url = endpoint.url
    endpoint.close()
    rig = Rig(url)
    rig.describer.enqueue(KEPT, JPEG)
    tries = []
    for second in range(20):
        before = rig.lost("failed")
        rig.describer.step()
        if rig.lost("failed") > before:
            tries.append(second)
        rig.pass_s(1.0)
    assert tries == [0, 1, 3]
    assert rig.lost("given_up") == 1
    assert "cannot be reached" in rig.describer.trouble


def test_it_recovers(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    endpoint.status = 503
    rig = Rig(endpoint.url)
    rig.describer.enqueue(KEPT, JPEG)
    rig.describer.step()
    endpoint.status = 200
    assert rig.describer.step() == []  # not yet
    rig.pass_s(1.0)
    with caplog.at_level(logging.INFO):
        assert rig.describer.step()[0].event_id == "e1"
    assert "answers again" in caplog.text
    assert rig.describer.trouble == ""


def test_the_newest_go_first_and_the_oldest_are_lost_when_too_many_wait(endpoint: Endpoint) -> None:
    rig = Rig(endpoint.url)
    for n in range(Captioner.QUEUE + 3):
        rig.describer.enqueue(replace(KEPT, event_id=f"e{n}"), JPEG)
    told = [rig.describer.step()[0].event_id for _ in range(Captioner.QUEUE)]
    assert told == [f"e{n}" for n in reversed(range(3, Captioner.QUEUE + 3))]
    assert rig.lost("queue_full") == 3
    assert rig.describer.step() == []


def test_an_event_offered_again_is_asked_once(endpoint: Endpoint) -> None:
    rig = Rig(endpoint.url)
    rig.describer.enqueue(KEPT, b"first")
    rig.describer.enqueue(KEPT, JPEG)
    assert len(rig.describer.step()) == 1
    assert rig.describer.step() == []
    assert endpoint.requests[0][2]["messages"][0]["content"][1]["image_url"]["url"].endswith(
        base64.b64encode(JPEG).decode()
    )


def test_at_most_so_many_an_hour_are_asked(endpoint: Endpoint) -> None:
    rig = Rig(endpoint.url, most_per_hour=2)
    for n in range(4):
        rig.describer.enqueue(replace(KEPT, event_id=f"e{n}"), JPEG)
    assert [len(rig.describer.step()) for _ in range(4)] == [1, 1, 0, 0]
    rig.pass_s(3599)
    rig.describer.enqueue(replace(KEPT, event_id="new"), JPEG)
    assert rig.describer.step() == []
    assert rig.lost("too_old") == 2
    rig.pass_s(1)
    assert [kept.event_id for kept in rig.describer.step()] == ["new"]


def test_the_key_comes_from_its_file_and_shows_nowhere(endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("fr0m-file\n")
    settings = Settings(url=endpoint.url, model="m", api_key_file=Path("key"))
    describer = Captioner(settings, VirtualClock(), Metrics(), resolve=lambda path: tmp_path / path)
    describer.enqueue(KEPT, JPEG)
    assert describer.step()
    assert endpoint.requests[0][1]["Authorization"] == "Bearer fr0m-file"
    with pytest.raises(InputError, match=r"describer\.api_key_file: .*none cannot be read: No such file"):
        Captioner(settings.model_copy(update={"api_key_file": tmp_path / "none"}), VirtualClock(), Metrics())
