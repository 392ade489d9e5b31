"""The backlog of the outbox in memory, and how the disk differs from it. Pure; the outbox locks and writes.

Messages are ordered by sequence number. The oldest have their content in memory; when many wait, the content of the
newest is only on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from edge.types import Message

Fact = tuple[str, str]
"""Kind and name of a small value that is kept over restarts."""

Row = tuple[int, bool, str, int, "Message | None"]
"""A message of an earlier run: number, whether parked, key, wall time, and its content or None."""


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A waiting message, its sequence number, and when it was appended."""

    seq: int
    message: Message
    wall_ns: int


@dataclass(frozen=True, slots=True)
class OutboxChange:
    """The content of one transaction: new messages, and which of them are parked; numbers of removed messages;
    messages parked or unparked since they were written; facts; and the number up to which all are reserved for this
    run."""

    added: Mapping[int, QueuedMessage]
    gone: frozenset[int]
    parked: Mapping[int, bool]
    facts: Mapping[Fact, bytes | None]
    reserved: int | None

    def __bool__(self) -> bool:
        return bool(self.added or self.gone or self.parked or self.facts)


class OutboxBacklog:
    """The messages and facts of one node. Not thread-safe."""

    HELD_AT_MOST = 10_000  # messages that are not on disk
    HELD_BYTES = 64 << 20
    CACHED_BYTES = 16 << 20  # content of messages that are also on disk
    READ_AT_ONCE = 256
    RESERVED = 1 << 20

    def __init__(self) -> None:
        self.next_seq = 1
        self.facts: dict[Fact, bytes] = {}
        self._pending: dict[
            int, QueuedMessage | int
        ] = {}  # in order; a number is the wall time of a message whose content is only on disk
        self._parked: dict[int, QueuedMessage | int] = {}
        self._keys: dict[str, int] = {}
        self._fresh: dict[int, int] = {}  # not on disk, as far as known -> when it was appended
        self._gone: set[int] = set()  # perhaps on disk, to be deleted
        self._park_changes: dict[int, bool] = {}  # on disk, to be marked as parked or not
        self._dirty: set[Fact] = set()
        self._tried: set[int] = set()  # of the fresh: perhaps on disk nevertheless
        self._reserved = 0
        self.cached_bytes = self._fresh_bytes = 0

    def append(self, message: Message, now_ns: int, wall_ns: int) -> int:
        """Add a message at the end; it replaces one with the same non-empty key. Its number."""
        seq, self.next_seq = self.next_seq, self.next_seq + 1
        if message.key:
            self.remove(self._keys.get(message.key, 0))
            self._keys[message.key] = seq
        self._pending[seq] = QueuedMessage(seq, message, wall_ns)
        self._fresh[seq] = now_ns
        self.cached_bytes += _size(message)
        self._fresh_bytes += _size(message)
        return seq

    def set_fact(self, fact: Fact, value: bytes | None) -> None:
        """Keep a value; None deletes it."""
        if value is None:
            self.facts.pop(fact, None)
        else:
            self.facts[fact] = value
        self._dirty.add(fact)

    def remove(self, seq: int) -> None:
        """Remove a message; unknown numbers are ignored."""
        waiting = self._find(seq)
        if waiting is None:
            return
        is_maybe_on_disk = self._may_be_on_disk(seq)
        self._forget_fresh(seq)
        self._pending.pop(seq, None)
        self._parked.pop(seq, None)
        if isinstance(waiting, QueuedMessage):
            self.cached_bytes -= _size(waiting.message)
            if self._keys.get(waiting.message.key) == seq:
                del self._keys[waiting.message.key]
        if is_maybe_on_disk:
            self._gone.add(seq)
        self._park_changes.pop(seq, None)

    def surplus(self) -> list[int]:
        """Drop the oldest messages that are not on disk and for which memory has no room; their numbers."""
        dropped = []
        while len(self._fresh) > self.HELD_AT_MOST or self._fresh_bytes > self.HELD_BYTES:
            dropped.append(next(iter(self._fresh)))
            self.remove(dropped[-1])
        return dropped

    def park(self, seq: int) -> None:
        """Park a message."""
        waiting = self._pending.pop(seq, None)
        if waiting is None:
            return
        self._parked[seq] = waiting
        if self._may_be_on_disk(seq):
            self._park_changes[seq] = True
        if seq not in self._fresh:
            self._leave_to_disk(self._parked, seq)

    def unpark(self) -> int:
        """Make all parked messages wait again, at their old places; how many there were."""
        count = len(self._parked)
        if count:
            self._park_changes |= {seq: False for seq in self._parked if self._may_be_on_disk(seq)}
            self._pending = dict(sorted((self._parked | self._pending).items()))
            self._parked = {}
        return count

    def __len__(self) -> int:
        return len(self._pending) + len(self._parked)

    @property
    def unsent(self) -> int:
        """The number of waiting messages without the parked ones."""
        return len(self._pending)

    @property
    def held(self) -> int:
        """The number of messages that are only in memory."""
        return len(self._fresh)

    def held_since_ns(self, seq: int) -> int | None:
        """When a message that is only in memory was appended; None for one that is on disk."""
        return self._fresh.get(seq)

    def held_since(self) -> Iterator[int]:
        """When each message that is only in memory was appended, oldest first."""
        return iter(self._fresh.values())

    def pending(self) -> Iterator[QueuedMessage | int]:
        """Waiting messages without the parked ones, oldest first; only the number when the content is on disk."""
        return iter(self._pending.values())

    def oldest_ns(self) -> int | None:
        """When the oldest message was appended, as wall time; None when there is none."""
        firsts = [next(iter(some.items())) for some in (self._pending, self._parked) if some]
        if not firsts:
            return None
        first = min(firsts, key=lambda item: item[0])[1]
        return first if isinstance(first, int) else first.wall_ns

    def change(self) -> OutboxChange:
        """The change to write now; call `mark_written` when it is on disk."""
        reserve = self.next_seq + self.RESERVED // 2 > self._reserved
        change = OutboxChange(
            added={seq: waiting for seq in self._fresh if isinstance(waiting := self._find(seq), QueuedMessage)},
            gone=frozenset(self._gone),
            parked={**self._park_changes, **{seq: True for seq in self._fresh if seq in self._parked}},
            facts={fact: self.facts.get(fact) for fact in self._dirty},
            reserved=self.next_seq + self.RESERVED if reserve else None,
        )
        self._tried.update(change.added)
        return change

    def mark_written(self, change: OutboxChange) -> None:
        """Note that ``change`` is on disk."""
        self._gone -= change.gone
        for fact, value in change.facts.items():
            if self.facts.get(fact) == value:
                self._dirty.discard(fact)
        for seq, is_parked in change.parked.items():
            if self._park_changes.get(seq) is is_parked:
                del self._park_changes[seq]
        for seq in change.added:
            self._forget_fresh(seq)
            if seq in self._parked:
                self._leave_to_disk(self._parked, seq)
        self._reserved = max(self._reserved, change.reserved or 0)
        for seq in reversed(list(change.added)):
            if self.cached_bytes - self._fresh_bytes <= self.CACHED_BYTES:
                break
            self._leave_to_disk(self._pending, seq)

    def missing_content(self, ahead: int) -> list[int]:
        """Numbers among the ``ahead`` oldest messages whose content is only on disk, the first of them."""
        head = islice(self._pending.items(), ahead)
        return list(islice((seq for seq, one in head if not isinstance(one, QueuedMessage)), self.READ_AT_ONCE))

    def load_content(self, found: Iterable[QueuedMessage], wanted: Iterable[int]) -> int:
        """Add the content of `missing_content` messages; those that were not found are dropped. How many were
        dropped."""
        there = {waiting.seq: waiting for waiting in found}
        lost = 0
        for seq in wanted:
            if not isinstance(self._pending.get(seq), int):
                continue  # removed or parked meanwhile
            if seq in there:
                self._pending[seq] = there[seq]
                self.cached_bytes += _size(there[seq].message)
            else:
                self.remove(seq)
                lost += 1
        return lost

    def load(self, rows: Iterable[Row], last: int) -> None:
        """Add the messages of an earlier run, in order, before all that were appended since; ``last`` is the highest
        number that was ever used."""
        self.next_seq = max(self.next_seq, last + 1)
        pending: dict[int, QueuedMessage | int] = {}
        for seq, is_parked, key, wall_ns, message in rows:
            if key and key in self._keys:
                self._gone.add(seq)  # a newer one was appended before this was read
                continue
            if key:
                self._keys[key] = seq
            waiting = wall_ns if message is None else QueuedMessage(seq, message, wall_ns)
            (self._parked if is_parked else pending)[seq] = waiting
            self.cached_bytes += 0 if message is None else _size(message)
        self._pending = pending | self._pending
        self._reserved = last

    def load_facts(self, facts: Mapping[Fact, bytes]) -> None:
        """Add the facts of an earlier run; facts that were set since take precedence."""
        self.facts = {fact: value for fact, value in facts.items() if fact not in self._dirty} | self.facts

    def reset(self, now_ns: int) -> int:
        """The disk has lost everything: write all that is in memory again. How many messages are lost."""
        lost = 0
        for waiting in (self._pending, self._parked):
            for seq in [seq for seq, one in waiting.items() if not isinstance(one, QueuedMessage)]:
                del waiting[seq]
                lost += 1
        known = {**self._pending, **self._parked}
        self._keys = {w.message.key: seq for seq, w in known.items() if isinstance(w, QueuedMessage) and w.message.key}
        self._fresh = {seq: self._fresh.get(seq, now_ns) for seq in sorted(known)}
        self._fresh_bytes = self.cached_bytes
        self._tried = set(self._fresh)
        self._park_changes.clear()
        self._dirty.update(self.facts)
        self._reserved = 0
        return lost

    def _find(self, seq: int) -> QueuedMessage | int | None:
        return self._pending[seq] if seq in self._pending else self._parked.get(seq)

    def _may_be_on_disk(self, seq: int) -> bool:
        return seq not in self._fresh or seq in self._tried

    def _forget_fresh(self, seq: int) -> None:
        waiting = self._find(seq)
        if self._fresh.pop(seq, None) is not None and isinstance(waiting, QueuedMessage):
            self._fresh_bytes -= _size(waiting.message)
        self._tried.discard(seq)

    def _leave_to_disk(self, where: dict[int, QueuedMessage | int], seq: int) -> None:
        waiting = where.get(seq)
        if isinstance(waiting, QueuedMessage):
            self.cached_bytes -= _size(waiting.message)
            where[seq] = waiting.wall_ns


def _size(message: Message) -> int:
    return len(message.payload) + len(message.topic)
