"""Who is let in: hosts, logins, sessions, tokens, foreign pages, long bodies, and what is never shown."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from web_parts import ScriptedBackend

from edge.config import parse
from edge.config.services import WebConfig
from edge.errors import ConfigError, InputError
from edge.types import NS_PER_S
from edge.web.access import Authenticator, TokenBucket
from edge.web.app import create_app
from edge.web.guard import CSP, LONGEST_BODY
from edge.web.serve import WebServer

WORD, TOKEN = "correct horse battery", "t0ken-of-the-house"
PAGE = "http://127.0.0.1:8088"


@contextmanager
def page(folder: Path, web: str, base: str = PAGE) -> Iterator[tuple[TestClient, ScriptedBackend]]:
    box = ScriptedBackend(folder, web)
    with TestClient(create_app(box), base_url=base) as client:
        yield client, box
    assert box.store is not None
    box.store.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, ScriptedBackend]]:
    with page(tmp_path_factory.mktemp("guarded"), f"password: '{WORD}', token: '{TOKEN}'") as made:
        yield made


@pytest.fixture
def stranger(guarded: tuple[TestClient, ScriptedBackend]) -> TestClient:
    client, box = guarded
    client.cookies.clear()
    box.clock.advance(120 * NS_PER_S)
    return client


def logged_in(client: TestClient) -> str:
    answer = client.post("/api/login", json={"username": "admin", "password": WORD})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["csrf"])


def test_without_a_login_there_is_only_the_page_itself(stranger: TestClient) -> None:
    for path in ("node", "events", "live", "openapi.json", "cameras/yard/picture.jpg", "drawn", "nothing"):
        answer = stranger.get(f"/api/{path}")
        assert answer.status_code == 401, path
        assert set(answer.json()) == {"error"}
    assert stranger.get("/").status_code == 200
    assert stranger.get("/api/session").json() == {"user": None, "csrf": "", "guarded": True, "asks_name": True}
    assert stranger.post("/api/events/1/mark", json={"verdict": "true"}).status_code == 401


def test_a_session_lets_in_and_logging_out_ends_it(stranger: TestClient) -> None:
    csrf = logged_in(stranger)
    assert stranger.get("/api/node").status_code == 200
    assert stranger.get("/api/session").json()["csrf"] == csrf
    cookie = stranger.cookies["edge_session"]
    assert stranger.post("/api/logout", json={}, headers={"x-edge-csrf": csrf}).status_code == 200
    stranger.cookies.set("edge_session", cookie)
    assert stranger.get("/api/node").status_code == 401


def test_the_cookie_is_for_the_page_alone(stranger: TestClient) -> None:
    answer = stranger.post("/api/login", json={"username": "admin", "password": WORD})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie


def test_with_tls_the_cookie_is_secure(tmp_path: Path) -> None:
    with page(tmp_path, f"password: '{WORD}', base_url: 'https://gate.example'", "https://gate.example") as (client, _):
        answer = client.post("/api/login", json={"username": "admin", "password": WORD})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-edge=")
        assert "Secure" in cookie
        assert client.get("/api/node").status_code == 200


def test_a_change_needs_the_sessions_own_word(
    stranger: TestClient, guarded: tuple[TestClient, ScriptedBackend]
) -> None:
    csrf = logged_in(stranger)
    body = {"armed": False}
    for headers in ({}, {"x-edge-csrf": ""}, {"x-edge-csrf": csrf[:-1] + "~"}):
        assert stranger.put("/api/cameras/yard/armed", json=body, headers=headers).status_code == 403
    assert guarded[1].arming["yard"] is True
    assert stranger.put("/api/cameras/yard/armed", json=body, headers={"x-edge-csrf": csrf}).status_code == 200
    assert guarded[1].arming["yard"] is False


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_foreign_page_changes_nothing(client: TestClient, box: ScriptedBackend, headers: dict[str, str]) -> None:
    answer = client.put("/api/cameras/yard/armed", json={"armed": False}, headers=headers)
    assert answer.status_code == 403
    assert box.arming["yard"] is True


def test_the_pages_own_origin_changes(client: TestClient, box: ScriptedBackend) -> None:
    headers = {"origin": PAGE, "sec-fetch-site": "same-origin"}
    assert client.put("/api/cameras/yard/armed", json={"armed": False}, headers=headers).status_code == 200
    assert box.arming["yard"] is False


def test_a_form_of_a_foreign_page_is_no_json(client: TestClient, box: ScriptedBackend) -> None:
    answer = client.put("/api/cameras/yard/armed", content=b'{"armed": false}', headers={"content-type": "text/plain"})
    assert answer.status_code == 422
    assert box.arming["yard"] is True


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.5", "gate-01", "", "[::", "::1"])
def test_without_a_password_foreign_names_are_not_answered(client: TestClient, host: str) -> None:
    answer = client.get("/api/node", headers={"host": host})
    assert answer.status_code == 403, "a page that had its name point to this machine could read it"


@pytest.mark.parametrize("host", ["localhost:8088", "127.0.0.1", "[::1]:8088", "127.0.0.2:80"])
def test_this_machines_own_names_are(client: TestClient, host: str) -> None:
    assert client.get("/api/node", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("name", ["x-forwarded-for", "forwarded", "x-real-ip"])
def test_a_proxy_does_not_open_a_page_without_a_password(client: TestClient, name: str) -> None:
    answer = client.get("/api/node", headers={name: "203.0.113.9"})
    assert answer.status_code == 403
    assert "password_file" in answer.json()["error"]


def test_a_token_lets_programs_in(stranger: TestClient) -> None:
    right = {"authorization": f"Bearer {TOKEN}"}
    assert stranger.get("/api/node", headers=right).status_code == 200
    assert stranger.put("/api/cameras/yard/armed", json={"armed": True}, headers=right).status_code == 200
    for wrong in (f"Bearer {TOKEN}x", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {WORD}"):
        assert stranger.get("/api/node", headers={"authorization": wrong}).status_code == 401


def test_guessing_is_slowed_and_a_right_login_then_waits_too(
    stranger: TestClient, guarded: tuple[TestClient, ScriptedBackend]
) -> None:
    statuses = [
        stranger.post("/api/login", json={"username": "admin", "password": f"guess {i}"}).status_code for i in range(7)
    ]
    assert statuses == [403] * 5 + [429] * 2
    assert stranger.post("/api/login", json={"username": "admin", "password": WORD}).status_code == 429
    guarded[1].clock.advance(13 * NS_PER_S)
    logged_in(stranger)


@pytest.mark.parametrize(
    "login",
    [{"username": "root", "password": WORD}, {"username": "admin", "password": ""}, {"password": TOKEN}],
)
def test_a_wrong_login_is_not_explained(stranger: TestClient, login: dict[str, str]) -> None:
    answer = stranger.post("/api/login", json=login)
    assert (answer.status_code, answer.json()["error"]) == (403, "the name or the password is wrong")


def test_secrets_are_in_no_log_and_no_answer(
    stranger: TestClient, guarded: tuple[TestClient, ScriptedBackend], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    guesses = ("guess-4711", ["guess-4711"])
    said = [stranger.post("/api/login", json={"username": "admin", "password": guess}).text for guess in guesses]
    csrf = logged_in(stranger)
    shown = ("/api/node", "/api/health", "/api/drawn", "/api/openapi.json", "/api/session", "/")
    said += [stranger.get(path).text for path in shown]
    told = caplog.text + repr(guarded[1].loaded.config) + "".join(said)
    assert "was wrong" in caplog.text
    for secret in (WORD, TOKEN, "guess-4711", stranger.cookies["edge_session"]):
        assert secret not in told
    assert csrf not in caplog.text


def test_sessions_lapse(tmp_path: Path) -> None:
    box = ScriptedBackend(tmp_path, f"password: '{WORD}'")
    access = Authenticator(box.loaded.config.web or WebConfig(), box.loaded, box.clock)
    opened = access.log_in("admin", WORD, "a")
    assert opened is not None
    for _ in range(14):
        box.clock.advance(11 * 3600 * NS_PER_S)
        assert access.session(opened[0]) is not None, "it is used"
    box.clock.advance(15 * 3600 * NS_PER_S)
    assert access.session(opened[0]) is None
    many = [access.log_in("admin", WORD, "a") for _ in range(70)]
    live = sum(one is not None and access.session(one[0]) is not None for one in many)
    assert live == 64, "the oldest give way"
    assert box.store is not None
    box.store.close()


def test_a_page_with_a_token_alone_takes_it_as_the_login(tmp_path: Path) -> None:
    with page(tmp_path, f"token: '{TOKEN}'") as (client, _):
        assert client.get("/api/session").json()["asks_name"] is False
        assert client.post("/api/login", json={"password": "no"}).status_code == 403
        assert client.post("/api/login", json={"password": TOKEN}).status_code == 200
        assert client.get("/api/node").status_code == 200


def test_an_open_page_is_refused_off_the_loopback(tmp_path: Path) -> None:
    open_wide = "cameras: {a: {source: {type: v4l2, device: 0}}}\nweb: {listen: '0.0.0.0:8088'}\n"
    with pytest.raises(ConfigError, match="password_file"):
        parse(open_wide)
    box = ScriptedBackend(tmp_path)
    sneaked = WebConfig.model_construct(listen="0.0.0.0:8088")
    with pytest.raises(InputError, match="reachable from the network"):
        create_app(box, sneaked)
    assert box.store is not None
    box.store.close()


@pytest.mark.parametrize("content", ["", "\n", None])
def test_an_empty_or_missing_password_file_is_no_password(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "word").write_text(content)
    box = ScriptedBackend(tmp_path, "password_file: word")
    with pytest.raises(InputError, match="password_file"):
        create_app(box)
    assert box.store is not None
    box.store.close()


def test_every_answer_has_its_headers(client: TestClient) -> None:
    for path in ("/", "/static/page.js", "/api/node", "/api/nothing", "/nowhere"):
        headers = client.get(path).headers
        assert headers["content-security-policy"] == CSP, path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
    assert "unsafe" not in CSP
    assert client.get("/api/node").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("size", [LONGEST_BODY + 1, 5_000_000])
def test_a_huge_body_is_refused(client: TestClient, size: int) -> None:
    headers = {"content-type": "application/json"}
    assert client.put("/api/rules/x", content=b"[" * size, headers=headers).status_code == 413

    def in_parts() -> Iterator[bytes]:
        for _ in range(0, size, 8192):
            yield b"[" * 8192

    assert client.put("/api/rules/x", content=in_parts(), headers=headers).status_code == 413


@pytest.mark.parametrize(
    "body",
    [b"[" * 60_000, b"{", b"\xff\xfe", b"", b"null", b'{"armed": ' + b"9" * 5000 + b"}", b'"' + b"x" * 60_000 + b'"'],
)
def test_a_broken_body_is_told_and_breaks_nothing(client: TestClient, body: bytes) -> None:
    answer = client.put("/api/cameras/yard/armed", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert set(answer.json()) == {"error"}
    assert len(answer.text) < 500


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static//etc/passwd",
        "/api/events/..%2f..%2fconfig.yaml/clip.mp4",
        "/api/events/%2e%2e/clip.mp4",
        "/api/cameras/..%2f/picture.jpg",
        "/api/digest/..%2f..%2fx/storyboard.jpg?since=1&until=2",
    ],
)
def test_no_path_leads_out(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in {404, 422}, answer.text
    assert not re.search("root:|create_app|data_dir", answer.text)


def test_too_many_changes_at_once_wait(client: TestClient, box: ScriptedBackend) -> None:
    statuses = [client.put("/api/cameras/yard/armed", json={"armed": True}).status_code for _ in range(40)]
    assert statuses == [200] * 30 + [429] * 10
    assert client.get("/api/node").status_code == 200, "looking goes on"


def test_pace_gives_back_with_time_and_forgets_strangers() -> None:
    pace = TokenBucket(2, 1.0)
    assert [pace.take("a", 0) for _ in range(3)] == [True, True, False]
    assert pace.take("b", 0)
    assert not pace.has("a", NS_PER_S // 2)
    assert pace.take("a", NS_PER_S)
    for i in range(5000):
        pace.take(f"x{i}", NS_PER_S)
    assert len(pace) == TokenBucket.MOST_KEYS


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    import socket

    box = ScriptedBackend(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = WebServer(box, WebConfig(listen=f"127.0.0.1:{port}"))
        with pytest.raises(InputError, match=f"{port}.*another port"):
            server.start()
        server.stop()
    assert box.store is not None
    box.store.close()


def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    box = ScriptedBackend(tmp_path)
    (tmp_path / "c.pem").write_text("no certificate")
    server = WebServer(box, WebConfig(cert_file=Path("c.pem"), key_file=Path("c.pem")))
    with pytest.raises(InputError, match="cert_file"):
        server.start()
    server.stop()
    assert box.store is not None
    box.store.close()
