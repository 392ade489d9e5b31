"""Write-behind buffer of the event store: writes that the disk refused, in order. The owner locks."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from edge.errors import SinkError
from edge.evidence.archive.records import EventRecord
from edge.sqlite import Statement

log = logging.getLogger(__name__)


class WriteBehindBuffer:
    """``transact`` writes whole transactions or raises SinkError. Order is kept: while anything is held, later writes
    wait behind it. ``records`` are the events, by id, as they will be when all is written."""

    MAX_HELD = 10_000
    AT_ONCE = 500

    def __init__(self, path: Path, transact: Callable[[Sequence[Statement]], None]) -> None:
        self.records: dict[str, EventRecord] = {}
        self.trouble = ""
        self._path = path
        self._transact = transact
        self._held: OrderedDict[tuple[str, str], list[Statement]] = OrderedDict()
        self._batches = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def event_ids(self) -> set[str]:
        """The events with held writes."""
        return {event_id for _, event_id in self._held}

    def write(self, key: tuple[str, str], statements: list[Statement]) -> bool:
        """Write now, or hold the write and return False. ``key`` is the kind of write and the event's id: a later
        write replaces a held one with the same key."""
        if not self._batches:
            self.flush()
        if not self._held and not self._batches:
            try:
                self._transact(statements)
            except SinkError as error:
                self.report(error)
            else:
                self._recovered()
                return True
        self._held[key] = statements
        if len(self._held) > self.MAX_HELD:
            (_, lost), _ = self._held.popitem(last=False)
            self.records.pop(lost, None)
            log.error("%s: too much waits for the disk; event %s was lost", self._path, lost)
        return False

    def flush(self) -> None:
        """Write what is held, if the disk accepts it."""
        while self._held:
            keys = list(itertools.islice(self._held, self.AT_ONCE))
            try:
                self._transact([statement for key in keys for statement in self._held[key]])
            except SinkError as error:
                self.report(error)
                return
            for key in keys:
                del self._held[key]
            for event_id in {event_id for _, event_id in keys} - self.event_ids:
                self.records.pop(event_id, None)
            self._recovered()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """Hold the writes inside until the end; `flush` then writes them in one transaction."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1

    @property
    def is_batched(self) -> bool:
        """Whether writes are held for a batch."""
        return self._batches > 0

    def report(self, error: SinkError) -> None:
        """Note an error of the disk; logged when it is new."""
        if str(error) != self.trouble:
            self.trouble = str(error)
            log.error("%s", error)

    def close(self) -> None:
        """Write what is held, as far as the disk accepts it."""
        self.flush()
        if self._held:
            log.error("%s: %d writes were lost: the disk did not take them", self._path, len(self._held))

    def _recovered(self) -> None:
        if self.trouble and not self._held:
            self.trouble = ""
            log.info("%s: events are written again", self._path)
