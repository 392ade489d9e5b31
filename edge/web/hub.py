"""Live updates from the node to open pages: bounded for each subscriber, and no work without subscribers.

`Hub.publish` is called on the engine thread and only appends; subscribers wait on the web server's event loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    """One update. ``key``: of waiting updates with the same non-empty key only the newest is kept."""

    kind: str
    value: object
    key: str = ""


class Subscriber:
    """The waiting updates of one page, at most `MAX_WAITING`; the oldest are dropped and counted in ``missed``."""

    MAX_WAITING = 64

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ready = asyncio.Event()
        self._waiting: deque[LiveUpdate] = deque()
        self._lock = threading.Lock()
        self.missed = 0
        self.closed = False

    def put(self, news: LiveUpdate) -> None:
        """Add an update, from any thread; never blocks."""
        with self._lock:
            if news.key:
                self._waiting = deque(one for one in self._waiting if (one.kind, one.key) != (news.kind, news.key))
            if len(self._waiting) >= self.MAX_WAITING:
                self._waiting.popleft()
                self.missed += 1
            self._waiting.append(news)
        self._rouse()

    def close(self) -> None:
        """End the subscription."""
        self.closed = True
        self._rouse()

    async def take(self, timeout_s: float) -> list[LiveUpdate]:
        """The updates since the last call; waits for at most ``timeout_s``; empty then or when closed."""
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
        except RuntimeError:  # the server's loop is closed: there is no reader any more
            self.closed = True


class Hub:
    """All subscribers."""

    MOST_LISTENERS = 32

    def __init__(self) -> None:
        self._listeners: tuple[Subscriber, ...] = ()
        self._lock = threading.Lock()
        self.is_closed = False

    def __len__(self) -> int:
        """The number of subscribers."""
        return len(self._listeners)

    def publish(self, kind: str, make: Callable[[], object], key: str = "") -> None:
        """Send an update to all subscribers; ``make`` is called only when there are any."""
        listeners = self._listeners
        if listeners:
            news = LiveUpdate(kind, make(), key)
            for listener in listeners:
                listener.put(news)

    def subscribe(self, loop: asyncio.AbstractEventLoop) -> Subscriber | None:
        """Add a subscriber; None when there are too many."""
        listener = Subscriber(loop)
        with self._lock:
            if len(self._listeners) >= self.MOST_LISTENERS:
                return None
            self._listeners = (*self._listeners, listener)
        return listener

    def unsubscribe(self, listener: Subscriber) -> None:
        """Remove a subscriber."""
        with self._lock:
            self._listeners = tuple(one for one in self._listeners if one is not listener)

    def close(self) -> None:
        """End all subscriptions."""
        self.is_closed = True
        for listener in self._listeners:
            listener.close()
