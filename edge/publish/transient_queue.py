"""Messages that bypass the outbox: retained state sent at every connection, scores, and answers. In memory only."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from edge.metrics import Metrics
from edge.types import Message

Item = tuple[Message, bytes | None]  # a message and its correlation data


class TransientQueue:
    """A bounded queue and the state announced so far. Thread-safe."""

    MAX_ITEMS = 2000

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._lock = threading.Lock()
        self._announced: dict[str, Message] = {}
        self._queue: deque[Item] = deque()

    def announce(self, messages: Iterable[Message]) -> None:
        """Set retained state: queued when it changed, and sent again at every connection."""
        with self._lock:
            for message in messages:
                if self._announced.get(message.topic) != message:
                    self._announced[message.topic] = message
                    self._push((message, None))

    def announce_again(self) -> None:
        """Queue all announced state once more."""
        with self._lock:
            for message in self._announced.values():
                self._push((message, None))

    def push(self, message: Message, correlation: bytes | None = None) -> None:
        """Queue one message; of retained ones on one topic only the newest stays."""
        with self._lock:
            self._push((message, correlation))

    def push_front(self, item: Item) -> None:
        """Put back an item that could not be sent."""
        with self._lock:
            self._queue.appendleft(item)

    def pop(self) -> Item | None:
        """The next item, if any."""
        with self._lock:
            return self._queue.popleft() if self._queue else None

    def begin_connection(self, hello: Message) -> None:
        """Queue for a new connection: first ``hello``, then all state, then the answers that wait."""
        with self._lock:
            waiting = [item for item in self._queue if item[0].qos > 0 and item[0].topic not in self._announced]
            self._queue = deque([(hello, None), *((m, None) for m in self._announced.values()), *waiting])

    def __len__(self) -> int:
        return len(self._queue)

    def _push(self, item: Item) -> None:
        if item[0].retain:
            self._queue = deque(other for other in self._queue if other[0].topic != item[0].topic)
        self._queue.append(item)
        while len(self._queue) > self.MAX_ITEMS:
            self._queue.popleft()
            self._metrics.drops.labels("mqtt", "memory_full").inc()
