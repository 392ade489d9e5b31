"""Captions for events from an OpenAI-compatible endpoint, after the alert was sent.

`enqueue` only queues. `step` sends one request at a time and runs on the describer thread, because it blocks as long
as the endpoint takes. An event that is not described in time (queue full, endpoint down, hourly limit reached) has no
caption; the alert, its clip and its snapshot do not depend on it. Pictures go only to the configured endpoint.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import urllib.request
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from edge.clock import Backoff, Clock
from edge.config.services import DescriberConfig as Settings
from edge.errors import InputError, SinkError
from edge.metrics import Metrics
from edge.types import NS_PER_S, EvidenceFiles, nanoseconds, seconds

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 256 * 1024  # bytes of an answer that are read
MAX_CAPTION_CHARS = 500  # characters of a caption that are kept
_HOUR_NS = 3600 * NS_PER_S
_OVER_AFTER_NS = 900 * NS_PER_S  # a picture that waited this long is not worth describing


@dataclass(frozen=True, slots=True)
class _CaptionRequest:
    kept: EvidenceFiles
    jpeg: bytes
    offered_ns: int
    tries: int = 0


class Captioner:
    """Requests captions from ``settings.url``; ``resolve`` makes ``api_key_file`` absolute.

    InputError when that file cannot be read.
    """

    QUEUE = 16
    TRIES = 3  # for one picture: a working endpoint may refuse this one

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
        resolve: Callable[[Path], Path] = lambda path: path,
    ) -> None:
        self._settings, self._clock, self._metrics = settings, clock, metrics
        self._key = _api_key(settings, resolve)
        self._open = urllib.request.build_opener(_NoRedirects()).open
        self._lock = threading.Lock()
        self._queue: deque[_CaptionRequest] = deque()
        self._requested_ns: deque[int] = deque()
        self._backoff = Backoff(clock)
        self._next_try_ns = clock.mono_ns()
        self.trouble = ""

    def enqueue(self, kept: EvidenceFiles, jpeg: bytes) -> None:
        """Queue a kept event with its snapshot. When too many wait, the oldest are dropped and counted."""
        waiting = _CaptionRequest(kept, jpeg, self._clock.mono_ns())
        with self._lock:
            same = [w for w in self._queue if w.kept.event_id == kept.event_id]
            for earlier in same:
                self._queue.remove(earlier)
            self._queue.append(waiting)
            while len(self._queue) > self.QUEUE:
                self._queue.popleft()
                self._count("queue_full")

    def step(self) -> list[EvidenceFiles]:
        """Request a caption for the newest that waits, if one is due; the captioned events, as before and after."""
        waiting = self._take()
        if waiting is None:
            return []
        try:
            caption = self._ask(waiting.jpeg)
        except SinkError as error:
            self._failed(str(error))
            self._put_back(replace(waiting, tries=waiting.tries + 1))
            return []
        self._succeeded()
        return [replace(waiting.kept, caption=caption)]

    @property
    def wait_s(self) -> float:
        """Seconds until `step` may have something to do, at most a second."""
        return max(0.0, min(1.0, seconds(self._next_try_ns - self._clock.mono_ns()))) if self._queue else 1.0

    def _take(self) -> _CaptionRequest | None:
        now_ns = self._clock.mono_ns()
        with self._lock:
            while self._queue and now_ns - self._queue[0].offered_ns > _OVER_AFTER_NS:
                self._queue.popleft()
                self._count("too_old")
            while self._requested_ns and now_ns - self._requested_ns[0] >= _HOUR_NS:
                self._requested_ns.popleft()
            if not self._queue or now_ns < self._next_try_ns:
                return None
            if len(self._requested_ns) >= self._settings.most_per_hour:
                return None
            self._requested_ns.append(now_ns)
            return self._queue.pop()

    def _put_back(self, waiting: _CaptionRequest) -> None:
        """Put back behind the newer ones, unless it was tried often enough or queued again meanwhile."""
        with self._lock:
            if waiting.tries >= self.TRIES or len(self._queue) >= self.QUEUE:
                self._count("given_up")
            elif all(w.kept.event_id != waiting.kept.event_id for w in self._queue):
                self._queue.appendleft(waiting)

    def _ask(self, jpeg: bytes) -> str:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(  # noqa: S310 - the configuration allows http and https alone
            f"{self._settings.url}/chat/completions", json.dumps(self._question(jpeg)).encode(), headers, method="POST"
        )
        try:
            return _caption(self._fetch(request))
        except HTTPError as error:
            error.close()
            raise SinkError(f"describer.url answers with HTTP {error.code}; {_hint(error.code)}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise SinkError(f"describer.url: {_error_text(error)}") from None

    def _fetch(self, request: urllib.request.Request) -> bytes:
        """The body, read until it ends, is too large, or the time is up: an endpoint may answer very slowly."""
        deadline_ns = self._clock.mono_ns() + nanoseconds(self._settings.timeout_s)
        body = bytearray()
        with self._open(request, timeout=self._settings.timeout_s) as answer:
            while len(body) <= MAX_ANSWER_BYTES:
                part = answer.read1(65536)
                if not part:
                    return bytes(body)
                body += part
                if self._clock.mono_ns() > deadline_ns:
                    raise TimeoutError
        raise ValueError(f"its answer is larger than {MAX_ANSWER_BYTES} bytes")

    def _question(self, jpeg: bytes) -> dict[str, Any]:
        picture = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
        content = [
            {"type": "text", "text": self._settings.prompt},
            {"type": "image_url", "image_url": {"url": picture}},
        ]
        return {
            "model": self._settings.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 200,
            "stream": False,
        }

    def _failed(self, why: str) -> None:
        self._count("failed")
        self._next_try_ns = self._clock.mono_ns() + nanoseconds(self._backoff.failed())
        log.log(logging.DEBUG if why == self.trouble else logging.WARNING, "%s; alerts go out without a caption", why)
        self.trouble = why

    def _succeeded(self) -> None:
        if self.trouble:
            log.info("the describer answers again")
        self.trouble = ""
        self._backoff.succeeded()

    def _count(self, why: str) -> None:
        self._metrics.drops.labels("describer", why).inc()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Sends pictures and keys to no other address than the configured one."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        """Follow no redirect: it then counts as an HTTP error."""
        return


def _api_key(settings: Settings, resolve: Callable[[Path], Path]) -> str | None:
    if settings.api_key_file is None:
        return None if settings.api_key is None else settings.api_key.get_secret_value()
    path = resolve(settings.api_key_file)
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not plain text"
        raise InputError(f"describer.api_key_file: {path} cannot be read: {why}") from None


def _caption(body: bytes) -> str:
    """The text of a chat completion on one line; ValueError when there is none."""
    try:
        content = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise ValueError("its answer is no chat completion; is the url that of an OpenAI-compatible API?") from None
    if not isinstance(content, str):
        raise ValueError("its answer holds no text; does the model take pictures?")  # noqa: TRY004 - data, not code
    text = " ".join("".join(c if c.isprintable() else " " for c in content).split())
    if not text:
        raise ValueError("its answer is empty; does the model take pictures?")
    return text if len(text) <= MAX_CAPTION_CHARS else f"{text[: MAX_CAPTION_CHARS - 1]}…"


def _hint(code: int) -> str:
    if code in {401, 403}:
        return "check describer.api_key_file"
    if code in {301, 302, 303, 307, 308}:
        return "redirects are not followed: give the address that it leads to"
    if code in {400, 404, 422}:
        return "check describer.url (it ends before /chat/completions) and describer.model"
    return "it is asked again later"


def _error_text(error: Exception) -> str:
    reason = getattr(error, "reason", error)
    if isinstance(reason, TimeoutError):
        return "no answer within describer.timeout_s"
    if isinstance(reason, OSError):
        return f"cannot be reached ({reason.strerror or type(reason).__name__})"
    if isinstance(error, HTTPException):
        return f"breaks off or is no web server ({type(error).__name__})"
    return str(error)
