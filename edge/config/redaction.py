"""What may be shown of a configuration: messages without credentials, printable, and of bearable length."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

LONGEST_MESSAGE = 400
HIDDEN = "…"
_LONGEST_KEY = 64
_SHORTEST_SECRET = 4  # shorter ones are parts of ordinary words
_SECRET_KEY = re.compile(r"(pass|pwd|secret|token|api.?key|credential|pipeline|\burl)(?!.*_file$)", re.IGNORECASE)
_LOGIN = re.compile(r"://(.*)@", re.DOTALL)
_PLAIN_KEY = re.compile(r"[\w .-]+")


def find_credentials(value: Any, key: str = "") -> frozenset[str]:
    """Every text in ``value`` that is a credential by its key or looks like one: URLs' logins, words after a colon."""
    return frozenset(found for found in _walk(value, key) if len(found) >= _SHORTEST_SECRET)


def redact(message: str, secrets: Iterable[str]) -> str:
    """``message`` on one line, ``secrets`` replaced by ``***``, cut where it grows too long."""
    for secret in sorted(secrets, key=len, reverse=True):
        for form in {secret, repr(secret)[1:-1]}:
            message = re.sub(re.escape(form), "***", message, flags=re.IGNORECASE)
    line = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in message[: 2 * LONGEST_MESSAGE])
    return line if len(message) <= LONGEST_MESSAGE else f"{line[:LONGEST_MESSAGE]}…"


def display_key(part: str | int, secrets: Iterable[str] = ()) -> str:
    """A part of a key path as it may be shown: of a key that a value was glued to, what stands before the colon."""
    text = str(part)
    plain = text if _PLAIN_KEY.fullmatch(text) else _before_colon(text) + HIDDEN
    plain = plain if len(plain) <= _LONGEST_KEY else f"{plain[:_LONGEST_KEY]}…"
    return HIDDEN if any(secret.lower() in plain.lower() for secret in secrets) else plain


def is_secret_key(name: str) -> bool:
    """Whether what stands under this key is a credential."""
    return _SECRET_KEY.search(name) is not None


def key_without_space(part: str | int) -> str | None:
    """The key that ``part`` was meant to be, where the space after its colon is missing: ``url:rtsp://h``."""
    text = str(part)
    return _before_colon(text)[:-1] if ":" in text and _before_colon(text) else None


def _before_colon(text: str) -> str:
    head, colon, _ = text.partition(":")
    return head + colon if colon and _PLAIN_KEY.fullmatch(head) else ""


def _walk(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield from _walk(below, str(name))
            if isinstance(name, str):
                yield from _url_logins(name)
                _, colon, rest = name.partition(":")
                if colon:
                    yield rest.strip()
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _walk(below, key)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        if is_secret_key(key):
            yield str(value)
        yield from _url_logins(str(value))


def _url_logins(text: str) -> Iterator[str]:
    """The login of a URL, whole, and the password in it as the two usual mistakes cut it."""
    if login := _LOGIN.search(text):
        yield login[1]
        _, colon, password = login[1].partition(":")
        if colon:
            yield password
            yield from password.split("@")
