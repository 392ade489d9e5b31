"""What the simulation must notice: guards of the program, taken away one at a time."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final
from unittest import mock

from edge import sqlite
from edge.evidence.archive.age import AgeClock
from edge.publish.facade import EventPublisher
from edge.publish.outbox import Outbox

_transact, _pending = sqlite.transact, Outbox.pending


def _transact_unsynced(db: sqlite3.Connection, statements: Sequence[sqlite.Statement]) -> None:
    db.execute("PRAGMA synchronous = OFF")
    _transact(db, statements)


def _pending_newest_first(self: Outbox, *args: Any) -> list[Any]:
    return list(reversed(_pending(self, *args)))


def _pending_once(self: Outbox, *args: Any) -> list[Any]:
    found = _pending(self, *args)
    self.acknowledge(*(waiting.seq for waiting in found))
    return found


def _end_nothing(_publisher: EventPublisher) -> list[Any]:
    return []


def _note_no_step(self: AgeClock, wall_ns: int, mono_ns: int) -> bool:
    self._wall_ns, self._mono_ns = wall_ns, mono_ns
    return False


_BY_NAME: Final[Mapping[str, tuple[Any, str, Any]]] = {
    "commits are not synced": (sqlite, "transact", _transact_unsynced),
    "the newest alert leaves first": (Outbox, "pending", _pending_newest_first),
    "alerts count as delivered when they leave": (Outbox, "pending", _pending_once),
    "a start ends no events": (EventPublisher, "resume", _end_nothing),
    "steps of the clock go unnoticed": (AgeClock, "note", _note_no_step),
}
MUTATIONS: Final = tuple(_BY_NAME)


@contextlib.contextmanager
def mutated(name: str) -> Iterator[None]:
    """Without the guard ``name``; KeyError when there is none."""
    owner, attribute, instead = _BY_NAME[name]
    replace: Callable[..., Any] = mock.patch.object
    with replace(owner, attribute, instead):
        yield
