"""Runs one source on its capture thread: open, read, and open again after a failure."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import closing

from edge.capture.base import MediaSource
from edge.clock import Backoff, Clock
from edge.errors import MediaError, SourceError
from edge.metrics import Metrics
from edge.status import SourceState
from edge.types import Gap, MediaItem

_log = logging.getLogger(__name__)


class SourceSupervisor:
    """The loop of one capture thread: items go to ``push``, with a Gap after each break.

    ``opened(has_video, has_audio)`` is called for each connection, before its first item is pushed; ``ended`` once,
    when a recording has ended. After SourceError and MediaError the source is opened again with back-off, which is
    reset when it has delivered for a while. Any other error is a bug and passes through. `state` and `detail` may be
    read from any thread.
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
    ) -> None:
        self._source = source
        self._push = push
        self._clock = clock
        self._opened = opened
        self._ended = ended
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
        backoff = Backoff(self._clock)
        self._up.set(0)
        while not cancel.is_set() and not self._try(cancel, backoff):
            pass
        self._up.set(0)

    def close(self) -> None:
        """Ask the source to end soon; set ``cancel``, too."""
        self._source.close()

    def _try(self, cancel: threading.Event, backoff: Backoff) -> bool:
        """Open and read once; False when it failed and is worth another try."""
        try:
            self._read(cancel, backoff)
        except (SourceError, MediaError) as error:
            was_up = self._now[0] is SourceState.UP
            self._note_lost(error, backoff.failures)
            if was_up:
                self._gaps.inc()
                self._push(Gap("reconnect", self._clock.mono_ns()))
            self._clock.wait(cancel, backoff.failed(self._delivered_ns))
            self._reconnects.inc()
            return False
        return True

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
