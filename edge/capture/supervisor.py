"""Runs one source on its capture thread: open, read, and open again after a failure.

`OpeningSlots` lets a few sources open at a time: connecting and the first pictures cost more than what follows.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import closing

from edge.capture.base import MediaSource
from edge.clock import Backoff, Clock
from edge.errors import MediaError, SourceError
from edge.metrics import Metrics
from edge.status import AWAITS_TURN, SourceState
from edge.types import Gap, MediaItem, nanoseconds

_log = logging.getLogger(__name__)


class OpeningSlots:
    """At most ``count`` sources open at a time, and of many one every ``spacing_s``. Shared by the capture threads.

    All of a source's pictures are decoded and looked at for its first seconds: sources that came faster would fill the
    box. The first ``count`` need not wait. While the box is behind (``is_behind``), it is one every four times as long.

    A source holds its slot until it delivers or fails, for `HOLD_S` at most: waiting for a host that does not answer
    costs nothing and must not keep the others out.
    """

    HOLD_S = 3.0
    POLL_S = 0.1
    BEHIND = 4

    def __init__(
        self, clock: Clock, count: int, spacing_s: float = 0.0, is_behind: Callable[[], bool] = lambda: False
    ) -> None:
        self._clock, self._is_behind = clock, is_behind
        self._count = count
        self._spacing_ns = nanoseconds(spacing_s)
        self._next_ns = clock.mono_ns()
        self._lock = threading.Lock()
        self._until_ns: dict[object, int] = {}

    def try_acquire(self, holder: object) -> bool:
        """Take a slot for ``holder`` if one is free."""
        with self._lock:
            now_ns = self._clock.mono_ns()
            self._until_ns = {held: until_ns for held, until_ns in self._until_ns.items() if until_ns > now_ns}
            if len(self._until_ns) >= self._count or self._next_ns - now_ns > (self._count - 1) * self._spacing_ns:
                return False
            spacing_ns = self._spacing_ns * (self.BEHIND if self._is_behind() else 1)
            self._next_ns = max(self._next_ns, now_ns) + spacing_ns
            self._until_ns[holder] = now_ns + nanoseconds(self.HOLD_S)
            return True

    def acquire(self, holder: object, cancel: threading.Event) -> bool:
        """Wait for a slot; False when ``cancel`` was set before."""
        while not cancel.is_set():
            if self.try_acquire(holder):
                return True
            self._clock.wait(cancel, self.POLL_S)
        return False

    def release(self, holder: object) -> None:
        """Give the slot back; once or many times."""
        with self._lock:
            self._until_ns.pop(holder, None)


class SourceSupervisor:
    """The loop of one capture thread: items go to ``push``, with a Gap after each break.

    ``opened(has_video, has_audio)`` is called for each connection, before its first item is pushed; ``ended`` once,
    when a recording has ended. After SourceError and MediaError the source is opened again with back-off, which is
    reset when it has delivered for a while; sources that were lost together are not tried together. Each try waits for
    one of ``slots``. Any other error is a bug and passes through. `state` and `detail` may be read from any thread.
    """

    def __init__(
        self,
        source: MediaSource,
        push: Callable[[MediaItem], None],
        clock: Clock,
        metrics: Metrics,
        *,
        opened: Callable[[bool, bool], None] | None = None,
        ended: Callable[[], None] | None = None,
        slots: OpeningSlots | None = None,
    ) -> None:
        self._source = source
        self._push = push
        self._clock = clock
        self._opened = opened
        self._ended = ended
        self._slots = slots or OpeningSlots(clock, 1)
        self._gaps = metrics.gaps.labels(source.name, "reconnect")
        self._reconnects = metrics.reconnects.labels(source.name)
        self._up = metrics.source_up.labels(source.name)
        self._now = (SourceState.CONNECTING, "")
        self._delivered_ns: int | None = None

    @property
    def state(self) -> SourceState:
        """The state of the source."""
        return self._now[0]

    @property
    def detail(self) -> str:
        """One line on the reason; empty while all is well."""
        return self._now[1]

    def run(self, cancel: threading.Event) -> None:
        """Read until ``cancel``, or until the end of a recording."""
        backoff = Backoff(self._clock, self._source.name)
        self._up.set(0)
        while not cancel.is_set() and not self._try(cancel, backoff):
            pass
        self._up.set(0)

    def close(self) -> None:
        """Ask the source to end soon; set ``cancel``, too."""
        self._source.close()

    def _try(self, cancel: threading.Event, backoff: Backoff) -> bool:
        """Open and read once; False when it failed and is worth another try."""
        if not self._acquire_slot(cancel):
            return True
        try:
            self._read(cancel, backoff)
        except (SourceError, MediaError) as error:
            was_up = self._now[0] is SourceState.UP
            self._slots.release(self)
            self._note_lost(error, backoff.failures)
            if was_up:
                self._gaps.inc()
                self._push(Gap("reconnect", self._clock.mono_ns()))
            self._clock.wait(cancel, backoff.failed(self._delivered_ns))
            self._reconnects.inc()
            return False
        return True

    def _acquire_slot(self, cancel: threading.Event) -> bool:
        """Wait for a turn to open; False when it was cancelled."""
        if self._slots.try_acquire(self):
            return True
        if self._now[0] is SourceState.CONNECTING:
            self._now = (SourceState.CONNECTING, AWAITS_TURN)
        return self._slots.acquire(self, cancel)

    def _read(self, cancel: threading.Event, backoff: Backoff) -> None:
        with closing(self._items(cancel)) as items:
            for item in items:
                if self._now[0] is not SourceState.UP:
                    self._note_up(backoff)
                self._delivered_ns = self._clock.mono_ns()
                self._push(item)
                if cancel.is_set():
                    return
        if cancel.is_set():
            return
        self._slots.release(self)
        self._now = (SourceState.ENDED, "")
        if self._ended is not None:
            self._ended()

    def _items(self, cancel: threading.Event) -> Generator[MediaItem, None, None]:
        with closing(self._source.items()) as items:
            yield from items
        if self._source.live and not cancel.is_set():
            raise SourceError(f"{self._source.name}: the source ended")

    def _note_up(self, backoff: Backoff) -> None:
        if self._now[0] is SourceState.LOST:
            _log.info("%s: delivers again", self._source.name)
        self._slots.release(self)
        backoff.succeeded()
        self._now = (SourceState.UP, "")
        self._up.set(1)
        if self._opened is not None:
            self._opened(self._source.has_video, self._source.has_audio)

    def _note_lost(self, error: Exception, failures: int) -> None:
        detail = " ".join(str(error).split())
        level = logging.DEBUG if self._now[0] is SourceState.LOST else logging.WARNING
        _log.log(level, "%s: %s (try %d)", self._source.name, detail, failures + 1)
        self._now = (SourceState.LOST, detail)
        self._up.set(0)
