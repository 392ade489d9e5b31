"""Deletes evidence by age, by size, and when the disk gets full. Exact, and safe to kill at any step.

By age the whole event is deleted, with row and mark; age is elapsed time, not a date (`age`). By size the oldest files
are deleted first, and their rows stay until they are too old. The transaction that deletes a file's row also notes its
path as doomed; the note is removed when the file is gone. So after a kill and the next `sweep` there are neither
files without rows nor rows without files. Calls from several threads wait for each other.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.clock import Clock
from edge.config.models import EvidenceConfig
from edge.errors import SinkError
from edge.evidence.archive.age import LEAST_STEP_NS, AgeClock, Span, is_in_spans
from edge.evidence.archive.folder import DAY_NS, RetentionItem, last_damage_ns, list_items, remove
from edge.evidence.archive.store import EventStore, event_folder_name
from edge.sqlite import Statement
from edge.types import NS_PER_S, nanoseconds

log = logging.getLogger(__name__)

GB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What one sweep removed: rows of events, items on disk (folders of events, days of traces), and their bytes."""

    events: int = 0
    things: int = 0
    size: int = 0


class Retention:
    """Decides what may be written to ``folder`` and what must be deleted. Create it before anything is written: files
    without a row at that time were left by a kill, and the first sweep deletes them.

    ``free`` returns the free bytes of the disk.
    """

    BATCH = 200
    SCAN_NS = 600 * NS_PER_S  # between two scans of every file; bytes granted in between are counted
    MOST_UNNOTED = 10_000  # a week of sweeps
    STRAY_NS = 3600 * NS_PER_S  # a file may have no row for this long, while it is being written

    def __init__(
        self,
        settings: EvidenceConfig,
        store: EventStore,
        folder: Path,
        clock: Clock,
        free: Callable[[], int] | None = None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._clock = clock
        self._free = free or (lambda: shutil.disk_usage(folder).free)
        self._lock = threading.RLock()
        self._refused: set[str] = set()
        self._strays: dict[str, int] = {}
        self._used = 0
        self._scan_due_ns = self._save_due_ns = clock.mono_ns()
        self._ages: AgeClock | None = None
        self._unnoted: deque[tuple[int, int]] = deque(maxlen=self.MOST_UNNOTED)  # times while the eras cannot be read
        self._watched = clock.wall_ns(), clock.mono_ns()
        self._unnoted.append(self._watched)
        self.reconfigure(settings)
        store.set_room_policy(self.room_for)
        try:
            self._used, there = list_items(folder)
            self._strays = dict.fromkeys(self._unlisted(there), -self.STRAY_NS)
        except (SinkError, OSError) as error:
            log.warning("%s", error)

    def reconfigure(self, settings: EvidenceConfig) -> None:
        """Apply new settings."""
        self._keep_ns = nanoseconds(settings.keep_days * 86_400)
        self._keep_bytes = round(settings.keep_gb * GB)
        self._keep_free = round(settings.keep_free_gb * GB)

    def sweep(self) -> SweepResult:
        """Delete what is due; call it about once a minute. Failed deletions are tried again next time.

        Events and free space are checked every time, every file each ten minutes.
        """
        with self._lock:
            self._store.write_held()
            try:
                spans = self._note_time().older_than(self._keep_ns)
                self._unlink_doomed()
                rows = self._events_by_age(spans)
                if not (rows or self._is_due() or self._lacking(0) > 0):
                    return SweepResult()
                self._used, there = list_items(self._folder)
                aged, there = self._sweep_items_by_age(there, spans)
                stray = self._sweep_strays(there)
                taken = self._by_size(there, 0)
                if rows or taken.events:
                    self._store.shrink()
            except (SinkError, OSError) as error:
                log.warning("evidence could not be swept: %s", error)
                return SweepResult()
            gone = (aged, stray, taken)
            return SweepResult(rows, sum(one.things for one in gone), sum(one.size for one in gone))

    def watch_clock(self) -> None:
        """Notice a step of the wall clock; call it often. The next `sweep` takes account of it. Touches no file."""
        wall_ns, now_ns = self._clock.wall_ns(), self._clock.mono_ns()
        if self._stepped(wall_ns, now_ns):
            self._unnoted.append((wall_ns, now_ns))
        self._watched = wall_ns, now_ns

    def _stepped(self, wall_ns: int, now_ns: int) -> bool:
        before_wall_ns, before_ns = self._watched
        return abs(wall_ns - before_wall_ns - (now_ns - before_ns)) > LEAST_STEP_NS

    def room_for(self, size: int) -> bool:
        """Whether ``size`` bytes may be written now; deletes the oldest evidence when that makes room."""
        with self._lock:
            if size > self._keep_bytes:
                return False
            if self._lacking(size) > 0:
                try:
                    self._used, there = list_items(self._folder)
                    self._by_size(there, size)
                except (SinkError, OSError) as error:
                    log.warning("no room could be made for evidence: %s", error)
                if self._lacking(size) > 0:
                    return False
            self._used += size
            return True

    def _is_due(self) -> bool:
        """Whether a scan of every file is due."""
        now_ns = self._clock.mono_ns()
        if now_ns < self._scan_due_ns:
            return False
        self._scan_due_ns = now_ns + self.SCAN_NS
        return True

    def _lacking(self, size: int) -> int:
        """How many bytes must be deleted before ``size`` more can be written."""
        try:
            free = self._free()
        except OSError:
            free = 0
        return max(self._used + size - self._keep_bytes, self._keep_free + size - free)

    def _note_time(self) -> AgeClock:
        """Note the time of the clocks; written at once when the wall clock stepped, else now and then.

        SinkError while the earlier eras cannot be read: nothing counts as old then.
        """
        wall_ns, now_ns = self._clock.wall_ns(), self._clock.mono_ns()
        self._unnoted.append((wall_ns, now_ns))
        if self._ages is None:
            self._ages = self._read_ages(*self._unnoted[0])
        while self._unnoted:
            if self._ages.note(*self._unnoted.popleft()):
                log.warning("the clock was set: evidence goes by its age and not by its date")
                self._save_due_ns = now_ns
        if now_ns >= self._save_due_ns:
            self._store.transact([("INSERT OR REPLACE INTO ages (n, eras) VALUES (1, ?)", (self._ages.dump(),))])
            self._save_due_ns = now_ns + self.SCAN_NS
        return self._ages

    def _read_ages(self, wall_ns: int, mono_ns: int) -> AgeClock:
        saved = self._store.rows("SELECT eras FROM ages")
        try:
            return AgeClock(wall_ns, mono_ns, str(saved[0][0]) if saved else None)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("how old the evidence is follows from its dates alone: %s", error)
            return AgeClock(wall_ns, mono_ns)

    def _unlink_doomed(self) -> None:
        """Unlink the files that are still noted as doomed."""
        self._unlink([str(path) for (path,) in self._store.rows("SELECT path FROM doomed")])

    def _events_by_age(self, spans: Sequence[Span]) -> int:
        """Delete events and near misses that are too old, with all their files; how many events."""
        rows = 0
        for span in spans:
            while batch := self._store.rows(
                "SELECT n, id, camera, begin_ns FROM events WHERE begin_ns >= ? AND begin_ns < ? "
                "ORDER BY begin_ns LIMIT ?",
                (*span, self.BATCH),
            ):
                paths = [event_folder_name(begin_ns, camera, event_id) for _, event_id, camera, begin_ns in batch]
                self._forget([n for n, *_ in batch], paths, rows_too=True)
                rows += len(batch)
            if self._store.rows("SELECT 1 FROM candidates WHERE wall_ns >= ? AND wall_ns < ? LIMIT 1", span):
                self._store.transact([("DELETE FROM candidates WHERE wall_ns >= ? AND wall_ns < ?", span)])
        return rows

    def _sweep_items_by_age(
        self, there: Sequence[RetentionItem], spans: Sequence[Span]
    ) -> tuple[SweepResult, list[RetentionItem]]:
        """Delete days of traces that are wholly too old, and digests that are partly; returns also the rest."""
        old = [t for t in there if is_in_spans((t.begin_ns if t.path.startswith("digests/") else t.end_ns) - 1, spans)]
        gone = {thing.path: thing.size for thing in old if remove(self._folder, thing.path)}
        self._used -= sum(gone.values())
        return SweepResult(0, len(gone), sum(gone.values())), [t for t in there if t.path not in gone]

    def _sweep_strays(self, there: Sequence[RetentionItem]) -> SweepResult:
        """Delete files that have had no row for long, such as those of an interrupted recording."""
        now_ns = self._clock.mono_ns()
        unlisted = self._unlisted(there)
        self._strays = {path: self._strays.get(path, now_ns) for path in unlisted}
        old = [p for p, since in self._strays.items() if since < 0 or now_ns - since >= self.STRAY_NS]
        gone = [path for path in old if remove(self._folder, path)]
        size = sum(unlisted[path] for path in gone)
        self._used -= size
        return SweepResult(0, len(gone), size)

    def _by_size(self, there: Sequence[RetentionItem], size: int) -> SweepResult:
        """Delete the oldest, until there is room for ``size`` more bytes."""
        events = things = removed = 0
        while (lacking := self._lacking(size)) > 0:
            batch = _enough(self._in_order(there), lacking, self.BATCH)
            if not batch:
                break
            paths = {thing.path for thing in batch}
            there = [thing for thing in there if thing.path not in paths]
            self._forget(self._numbers(batch), sorted(paths), rows_too=False)
            gone = [thing for thing in batch if not (self._folder / thing.path).exists()]
            self._used -= sum(thing.size for thing in gone)
            events += sum(thing.is_event for thing in gone)
            things += len(gone)
            removed += sum(thing.size for thing in gone)
        return SweepResult(events, things, removed)

    def _in_order(self, there: Sequence[RetentionItem]) -> list[RetentionItem]:
        """Oldest first: events by their begin, not only by day."""
        begun = {
            event_folder_name(begin_ns, camera, event_id): begin_ns
            for event_id, camera, begin_ns in self._store.rows(
                "SELECT id, camera, begin_ns FROM events WHERE n IN (SELECT n FROM files)"
            )
        }
        return sorted(there, key=lambda thing: (begun.get(thing.path, thing.begin_ns), thing.path))

    def _numbers(self, batch: Sequence[RetentionItem]) -> list[int]:
        """The events that the batch's files belong to."""
        paths = [path for thing in batch for path in thing.files]
        found: set[int] = set()
        for start in range(0, len(paths), 500):
            part = paths[start : start + 500]
            marks = ", ".join("?" * len(part))
            found |= {n for (n,) in self._store.rows(f"SELECT n FROM files WHERE path IN ({marks})", part)}  # noqa: S608
        return sorted(found)

    def _forget(self, numbers: Sequence[int], paths: Sequence[str], *, rows_too: bool) -> None:
        """Note ``paths`` as doomed and delete the files (and rows) of events in one transaction; then unlink."""
        tables = [("files", "n"), ("missing", "n"), ("words", "rowid"), ("vectors", "n"), ("events", "n")]
        statements: list[Statement] = [("INSERT OR IGNORE INTO doomed (path) VALUES (?)", (path,)) for path in paths]
        for n in numbers:
            if rows_too:
                statements.append(("INSERT OR IGNORE INTO doomed (path) SELECT path FROM files WHERE n = ?", (n,)))
            for table, key in tables if rows_too else tables[:1]:
                statements.append((f"DELETE FROM {table} WHERE {key} = ?", (n,)))  # noqa: S608
        self._store.transact(statements)
        self._unlink_doomed()

    def _unlink(self, paths: Sequence[str]) -> None:
        gone = [path for path in paths if remove(self._folder, path)]
        if gone:
            self._store.transact([("DELETE FROM doomed WHERE path = ?", (path,)) for path in gone])
        refused = set(paths) - set(gone)
        for path in sorted(refused - self._refused):
            log.warning("%s: cannot be removed: a link is in the way or the system refuses", self._folder / path)
        self._refused = refused

    def _unlisted(self, there: Sequence[RetentionItem]) -> dict[str, int]:
        """Files in events' folders without a row, with a share of the size; also deletes rows of missing files.

        Files of days up to the replacement of a damaged database are left out: their rows may be lost.
        """
        spared_ns = last_damage_ns(path.name for path in self._folder.iterdir())
        listed = {str(path): (n, kind) for path, n, kind in self._store.rows("SELECT path, n, kind FROM files")}
        present = {path for thing in there for path in thing.files}
        missing = [key for path, key in listed.items() if path not in present and not self._is_file(path)]
        if missing:
            self._store.transact([("DELETE FROM files WHERE n = ? AND kind = ?", key) for key in missing])
        unlisted: dict[str, int] = {}
        for thing in there:
            if thing.is_event and thing.begin_ns > spared_ns - (spared_ns % DAY_NS if spared_ns else 0):
                loose = [path for path in thing.files if path not in listed]
                unlisted |= dict.fromkeys(loose, thing.size // len(thing.files))
        return unlisted

    def _is_file(self, path: str) -> bool:
        return (self._folder / path).is_file()


def _enough(there: Sequence[RetentionItem], size: int, most: int) -> list[RetentionItem]:
    """The first of ``there`` that together have ``size`` bytes, at most ``most``."""
    batch: list[RetentionItem] = []
    total = 0
    for thing in there[:most]:
        if total >= size:
            break
        batch.append(thing)
        total += thing.size
    return batch
