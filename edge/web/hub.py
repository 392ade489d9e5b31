"""News from the node to whoever looks: bounded for each listener, and nothing is done while nobody listens.

`tell` is called on the engine thread and only appends; listeners wait on the web server's event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """One thing that happened. ``key``: of waiting news with the same non-empty key only the newest is kept."""

    kind: str
    value: object
    key: str = ""


class Subscriber:
    """The news of one listener, at most `MAX_WAITING`; the oldest give way, counted in ``missed``."""

    MAX_WAITING = 64

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready = asyncio.Event()
        self._waiting: deque[LiveUpdate] = deque()
        self._lock = threading.Lock()
        self.missed = 0
        self.closed = False

    def put(self, news: LiveUpdate) -> None:
        """From any thread; never blocks."""
        with self._lock:
            if news.key:
                self._waiting = deque(one for one in self._waiting if (one.kind, one.key) != (news.kind, news.key))
            if len(self._waiting) >= self.MAX_WAITING:
                self._waiting.popleft()
                self.missed += 1
            self._waiting.append(news)
        self._rouse()

    def close(self) -> None:
        """No more news."""
        self.closed = True
        self._rouse()

    async def take(self, timeout_s: float) -> list[LiveUpdate]:
        """What came since the last call; waits for at most ``timeout_s``, empty then or when closed."""
        try:
            await asyncio.wait_for(self._ready.wait(), timeout_s)
        except (TimeoutError, asyncio.TimeoutError):
            return []
        self._ready.clear()
        with self._lock:
            news, self._waiting = list(self._waiting), deque()
        return news

    def _rouse(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._ready.set)
        except RuntimeError:  # the server's loop is closed: nobody reads any more
            self.closed = True


class Hub:
    """Everybody who listens."""

    MOST_LISTENERS = 32

    def __init__(self) -> None:
        self._listeners: tuple[Subscriber, ...] = ()
        self._lock = threading.Lock()
        self.is_closed = False

    def __len__(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def publish(self, kind: str, make: Callable[[], object], key: str = "") -> None:
        """Tell all listeners; ``make`` is called only when there are any."""
        listeners = self._listeners
        if listeners:
            news = LiveUpdate(kind, make(), key)
            for listener in listeners:
                listener.put(news)

    def subscribe(self, loop: asyncio.AbstractEventLoop) -> Subscriber | None:
        """Begin to listen; None when too many do."""
        listener = Subscriber(loop)
        with self._lock:
            if len(self._listeners) >= self.MOST_LISTENERS:
                return None
            self._listeners = (*self._listeners, listener)
        return listener

    def unsubscribe(self, listener: Subscriber) -> None:
        """Stop listening."""
        with self._lock:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

    def close(self) -> None:
        """Let every listener go."""
        self.is_closed = True
        for listener in self._listeners:
            listener.close()
