"""Access to the page: passwords, tokens, sessions and rate limits. Secrets are compared in constant time, never shown.

There is no default password. Without one the page is only served on this machine, which the configuration enforces and
`Authenticator` checks again. `TokenBucket` limits rates, with a bounded number of keys.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from edge.clock import Clock
from edge.config import LoadedConfig
from edge.config.services import WebConfig
from edge.errors import InputError
from edge.types import NS_PER_S, seconds

SESSION_NS = 7 * 86400 * NS_PER_S
IDLE_NS = 12 * 3600 * NS_PER_S
MOST_SESSIONS = 64
TRIES_A_MINUTE = 5  # for one address; eight times as many for all together


@dataclass(frozen=True, slots=True)
class LoginSession:
    """A logged-in user. ``csrf`` must be sent with every change."""

    user: str
    csrf: str
    begun_ns: int
    last_used_ns: int


class Authenticator:
    """Checks logins, tokens and sessions. Thread-safe. InputError when a secret's file cannot be read, or when the page
    would be open to the network."""

    def __init__(self, settings: WebConfig, loaded: LoadedConfig, clock: Clock) -> None:
        self.user = settings.username
        self._clock = clock
        self._password = _digest(_secret("web.password_file", settings.password, settings.password_file, loaded))
        self._token = _digest(_secret("web.token_file", settings.token, settings.token_file, loaded))
        if not settings.is_local and not self.is_guarded:
            raise InputError(f"web.listen {settings.listen} is reachable from the network: give password_file")
        self._sessions: OrderedDict[str, LoginSession] = OrderedDict()
        self._lock = threading.Lock()
        self._tries = TokenBucket(TRIES_A_MINUTE, TRIES_A_MINUTE / 60)
        self._all_tries = TokenBucket(8 * TRIES_A_MINUTE, 8 * TRIES_A_MINUTE / 60)

    @property
    def is_guarded(self) -> bool:
        """Whether a login or a token is required."""
        return self._password is not None or self._token is not None

    @property
    def has_password(self) -> bool:
        """Whether users log in with name and password; else with the token."""
        return self._password is not None

    def may_attempt(self, address: str) -> bool:
        """Whether ``address`` may try a login now; only failures count as tries."""
        now_ns = self._clock.mono_ns()
        return self._tries.has(address, now_ns) and self._all_tries.has("", now_ns)

    def log_in(self, user: str, password: str, address: str) -> tuple[str, LoginSession] | None:
        """The cookie's value and its session; None for a wrong login, which counts as a try."""
        right_user = hmac.compare_digest(_digest_of(user), _digest_of(self.user)) or not self.has_password
        wanted = self._password or self._token
        right_password = hmac.compare_digest(_digest_of(password), wanted or secrets.token_bytes(32))
        now_ns = self._clock.mono_ns()
        if not (right_user and right_password and wanted is not None):
            self._tries.take(address, now_ns)
            self._all_tries.take("", now_ns)
            return None
        value = secrets.token_urlsafe(32)
        session = LoginSession(self.user, secrets.token_urlsafe(32), now_ns, now_ns)
        with self._lock:
            while len(self._sessions) >= MOST_SESSIONS:
                self._sessions.popitem(last=False)
            self._sessions[_name(value)] = session
        return value, session

    def session(self, value: str) -> LoginSession | None:
        """The session of a cookie; None when there is none or it has expired."""
        name, now_ns = _name(value), self._clock.mono_ns()
        with self._lock:
            session = self._sessions.get(name)
            if session is None:
                return None
            if now_ns - session.begun_ns > SESSION_NS or now_ns - session.last_used_ns > IDLE_NS:
                del self._sessions[name]
                return None
            self._sessions[name] = session = replace(session, last_used_ns=now_ns)
            return session

    def log_out(self, value: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_name(value), None)

    def is_token(self, token: str) -> bool:
        """Whether it is the configured token."""
        return self._token is not None and hmac.compare_digest(_digest_of(token), self._token)


def same_text(one: str, other: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return hmac.compare_digest(_digest_of(one), _digest_of(other))


def _secret(name: str, value: SecretStr | None, path: Path | None, loaded: LoadedConfig) -> str | None:
    if value is not None:
        text = value.get_secret_value()
    elif path is not None:
        try:
            text = loaded.resolve(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{name}: {path} cannot be read ({type(error).__name__})") from error
    else:
        return None
    if not text:
        raise InputError(f"{name}: is empty; there is no page without a secret")
    return text


def _digest(text: str | None) -> bytes | None:
    return None if text is None else _digest_of(text)


def _digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _name(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()


class TokenBucket:
    """A rate limit: ``burst`` at once, then ``per_s`` a second, for each key. Callers pass the time; thread-safe."""

    MOST_KEYS = 1024

    def __init__(self, burst: float, per_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def has(self, key: str, now_ns: int) -> bool:
        """Whether a token is left, without taking it."""
        with self._lock:
            return self._now(key, now_ns) >= 1.0

    def __len__(self) -> int:
        return len(self._left)

    def take(self, key: str, now_ns: int) -> bool:
        """Take a token; False when none was left."""
        with self._lock:
            left = self._now(key, now_ns)
            if left >= 1.0:
                left -= 1.0
                self._keep(key, left, now_ns)
                return True
            return False

    def _now(self, key: str, now_ns: int) -> float:
        left, at_ns = self._left.get(key, (self._burst, now_ns))
        return min(self._burst, left + seconds(max(0, now_ns - at_ns)) * self._per_s)

    def _keep(self, key: str, left: float, now_ns: int) -> None:
        self._left[key] = left, now_ns
        self._left.move_to_end(key)
        while len(self._left) > self.MOST_KEYS:
            self._left.popitem(last=False)
