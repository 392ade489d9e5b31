"""Middleware before every request: identity, origin, size and rate; and the security headers of every answer.

Plain ASGI, so that streams pass unchanged.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from edge.clock import Clock
from edge.web.access import Authenticator, LoginSession, TokenBucket, same_text

log = logging.getLogger(__name__)
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

LONGEST_BODY = 64 * 1024
SLOWEST_BODY_S = 10.0
SAFE = {"GET", "HEAD", "OPTIONS"}
OPEN_PATHS = {"/api/session", "/api/login"}
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self'; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class RequestRefused(Exception):  # noqa: N818 - an answer rather than a failure
    """A refused request, with the status and the sentence of its answer."""

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, dict(headers or {})


class RequestGuard:
    """Checks every request. ``base_url`` is the page's address for browsers behind a proxy."""

    def __init__(
        self, app: App, access: Authenticator, clock: Clock, base_url: str | None, *, tls: bool = False
    ) -> None:
        self._app, self._access, self._clock = app, access, clock
        self._base = base_url
        self.is_secure = tls or (base_url or "").startswith("https:")
        self.cookie = "__Host-edge" if self.is_secure else "edge_session"
        self._writes = TokenBucket(30, 5)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check_request(scope)
        except RequestRefused as refused:
            await _answer(refused, send)
            return
        await self._pass(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in SAFE:
            try:
                receive = _replay(await asyncio.wait_for(_read(receive), SLOWEST_BODY_S))
            except (TimeoutError, asyncio.TimeoutError):
                await _answer(RequestRefused(408, "the body did not arrive in time"), send)
                return
            except RequestRefused as refused:
                await _answer(refused, send)
                return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _dress(message.get("headers", ()), scope["path"])}
            await send(message)

        await self._app(scope, receive, dressed)

    def _check_request(self, scope: Scope) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        address = scope["client"][0] if scope.get("client") else ""
        self._check_host(headers)
        _check_length(headers)
        scope["state"] = {"user": "local", "session": None, "address": address, "guard": self}
        writes = scope["method"] not in SAFE
        if writes:
            self._check_origin(headers, scope.get("scheme", "http"))
            if not self._writes.take(address, self._clock.mono_ns()):
                raise RequestRefused(429, "too many changes at once; wait a moment", {"retry-after": "2"})
        if self._access.is_guarded:
            self._identify(scope, headers, writes)

    def _check_host(self, headers: Mapping[str, str]) -> None:
        """Without a login only this machine's own names are accepted, against DNS rebinding by a foreign page."""
        if self._access.is_guarded:
            return
        if not _is_loopback(_host_of(headers.get("host", ""))):
            raise RequestRefused(403, "without a password this page answers on this machine only, as http://127.0.0.1")
        if any(name in headers for name in ("forwarded", "x-forwarded-for", "x-real-ip")):
            raise RequestRefused(403, "a proxy stands in between: set web.password_file before the page is passed on")

    def _check_origin(self, headers: Mapping[str, str], scheme: str) -> None:
        """A change must come from the page itself or from a program; browsers send the origin of a request."""
        origin, host = headers.get("origin"), headers.get("host", "")
        if origin is not None:
            own = {f"{scheme}://{host}".lower(), _origin_of(self._base)}
            if origin.lower() not in own:
                raise RequestRefused(
                    403, "the request comes from another site; set web.base_url when a proxy is in between"
                )
        elif headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
            raise RequestRefused(403, "the request comes from another site")

    def _identify(self, scope: Scope, headers: Mapping[str, str], writes: bool) -> None:
        state = scope["state"]
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._access.is_token(token.strip()):
            state["user"] = "token"
            return
        session = self._session(headers)
        if session is not None:
            state["session"], state["user"] = session, session.user
        path = scope["path"]
        if not path.startswith("/api/") or path in OPEN_PATHS:
            return
        if session is None:
            raise RequestRefused(
                401, "log in first, or send a token as Authorization: Bearer", {"www-authenticate": "Bearer"}
            )
        if writes and not same_text(headers.get("x-edge-csrf", ""), session.csrf):
            raise RequestRefused(403, "the request does not come from the page: X-Edge-CSRF is missing or wrong")

    def _session(self, headers: Mapping[str, str]) -> LoginSession | None:
        value = cookie_of(headers.get("cookie", ""), self.cookie)
        return self._access.session(value) if value else None


def cookie_of(header: str, name: str) -> str:
    """A cookie's value in a Cookie header; empty when it is missing."""
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def _check_length(headers: Mapping[str, str]) -> None:
    length = headers.get("content-length", "0")
    if not length.isdigit() or len(length) > 12:
        raise RequestRefused(400, "Content-Length is no number")
    if int(length) > LONGEST_BODY:
        raise RequestRefused(413, f"the body is longer than {LONGEST_BODY} bytes")


def _host_of(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _origin_of(url: str | None) -> str:
    if url is None:
        return ""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _dress(headers: Any, path: str) -> list[tuple[bytes, bytes]]:
    named = [(bytes(name).lower(), bytes(value)) for name, value in headers]
    there = {name for name, _ in named}
    extra = dict(HEADERS)
    if path.startswith("/api/"):
        extra["cache-control"] = "no-store"
    return [*named, *((n.encode(), v.encode()) for n, v in extra.items() if n.encode() not in there)]


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > LONGEST_BODY:
            raise RequestRefused(413, f"the body is longer than {LONGEST_BODY} bytes")
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


async def _answer(refused: RequestRefused, send: Send) -> None:
    body = json.dumps({"error": refused.sentence}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
    if refused.status == 413:
        headers["connection"] = "close"
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": _dress(pairs, "/api/")})
    await send({"type": "http.response.body", "body": body})
