"""Reads the evidence database: by id, by restrictions (in SQL), and by search (ranked). Thread-safe.

Words are ranked by BM25 (a hit in the label or the caption counts most), meaning by cosine. Reciprocal rank fusion
joins both ranks (Cormack, Clarke, Buettcher 2009: the sum of 1 / (60 + rank)), because their numbers have no common
scale. An event without a word hit counts only when its cosine stands out: some event is always the closest.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.clock import Clock
from edge.evidence.archive.records import EventQuery, EventRecord, EvidenceFile, FileKind, SearchHit
from edge.evidence.archive.schema import EVENT, EVENTS_SCHEMA, files_of, from_row
from edge.evidence.archive.vectors import VectorIndex
from edge.sqlite import Row, SqliteFile
from edge.sqlite_schema import SqliteAccess
from edge.types import F32

log = logging.getLogger(__name__)
WEIGHTS = "8.0, 1.0, 3.0, 2.0, 1.0, 6.0"  # of label, why, tags, zones, camera, caption
DEPTH = 400  # entries that are used of each of the two rankings
RRF_K = 60.0
LEAST_Z_SCORE = 2.0  # standard deviations above the baseline from which a meaning counts without a word hit
LEAST_COSINE = 0.35  # the same when there is no baseline
WORDS_BATCH = 10_000  # events that are ranked by words at a time
NO_RESTRICTION = "1"  # no restriction
_WORD = re.compile(r"\w+")
_COLUMNS = ", ".join(f"e.{name}" for name in EVENT)
_SEARCHED = (
    "SELECT e.n FROM words w JOIN events e ON e.n = w.rowid WHERE words MATCH ? AND w.rowid BETWEEN ? AND ? AND {} "  # noqa: S608
    f"ORDER BY bm25(words, {WEIGHTS}), e.n DESC LIMIT ?"
)


def where_clause(query: EventQuery) -> tuple[str, list[object]]:
    """The restrictions of a query as SQL over ``events e``, and its arguments."""
    parts, args = [NO_RESTRICTION], list[object]()
    for column, names in (("camera", query.cameras), ("label", query.labels), ("kind", query.kinds)):
        if names:
            parts.append(f"e.{column} IN ({', '.join('?' * len(names))})")
            args += [getattr(name, "value", name) for name in names]
    if query.zones:
        parts.append("(" + " OR ".join(["instr(e.zones, ?) > 0"] * len(query.zones)) + ")")
        args += [f'"{zone}"' for zone in query.zones]
    if query.until_ns is not None:
        parts.append("e.begin_ns < ?")
        args.append(query.until_ns)
    if query.before_ns is not None:
        parts.append("e.begin_ns < ?")
        args.append(query.before_ns)
    if query.since_ns is not None:
        parts.append("coalesce(e.end_ns, e.begin_ns) >= ?")
        args.append(query.since_ns)
    if query.marked is not None:
        parts.append("e.verdict IS NULL" if query.marked == "none" else "e.verdict = ?")
        args += [] if query.marked == "none" else [query.marked]
    return " AND ".join(parts[1:] or parts), args


def near_miss_clause(query: EventQuery) -> tuple[str, list[object]]:
    """The cameras, labels and span of a query as SQL over ``candidates``, and its arguments."""
    parts, args = [NO_RESTRICTION], list[object]()
    for column, names in (("camera", query.cameras), ("label", query.labels)):
        if names:
            parts.append(f"{column} IN ({', '.join('?' * len(names))})")
            args += names
    for operator, ns in ((">=", query.since_ns), ("<", query.until_ns)):
        if ns is not None:
            parts.append(f"wall_ns {operator} ?")
            args.append(ns)
    return " AND ".join(parts[1:] or parts), args


def matches(record: EventRecord, query: EventQuery) -> bool:
    """`where_clause` for a record that is not in the database yet."""
    end_ns = record.begin_ns if record.end_ns is None else record.end_ns
    verdict = "none" if record.mark is None else record.mark.verdict
    return all(
        (
            not query.cameras or record.camera in query.cameras,
            not query.labels or record.label in query.labels,
            not query.kinds or record.kind in query.kinds,
            not query.zones or bool(set(query.zones) & set(record.zones)),
            query.until_ns is None or record.begin_ns < query.until_ns,
            query.before_ns is None or record.begin_ns < query.before_ns,
            query.since_ns is None or end_ns >= query.since_ns,
            query.marked is None or query.marked == verdict,
        )
    )


def match_expression(text: str) -> str:
    """A full-text expression that matches any of the words; "" without words. Nothing in ``text`` acts as syntax."""
    return " OR ".join(f'"{word}"' for word in dict.fromkeys(_WORD.findall(text.lower())))


def reciprocal_rank_fusion(
    words: Sequence[int], meaning: Sequence[tuple[int, float]], least: float
) -> dict[int, float]:
    """Reciprocal rank fusion of two rankings, best first; a meaning without a word hit must reach ``least``."""
    scores: dict[int, float] = {n: 1.0 / (RRF_K + rank) for rank, n in enumerate(words, 1)}
    hits = set(scores)
    for rank, (n, closeness) in enumerate(meaning, 1):
        if n in hits or closeness >= least:
            scores[n] = scores.get(n, 0.0) + 1.0 / (RRF_K + rank)
    return scores


def by_score(scores: Mapping[int, float]) -> list[tuple[int, float]]:
    """Sorted by score, the newer of equals first."""
    return sorted(scores.items(), key=lambda item: (-item[1], -item[0]))


class EventReader:
    """A connection of its own to the file at ``path``. InputError when it is missing or damaged, SinkError when the
    disk cannot read it: from the constructor with ``at_once``, else from each method until the file is there. The
    first search by meaning reads all vectors into memory, later ones only new vectors."""

    def __init__(self, path: Path, clock: Clock, *, at_once: bool = True) -> None:
        self._path = path
        self._clock = clock
        self._opened: SqliteFile | None = None
        self._opening = threading.Lock()
        self._vectors = VectorIndex()
        self._searching = threading.Lock()
        if at_once:
            self._db  # noqa: B018 - opens it

    def rows(self, sql: str, args: Sequence[object] = ()) -> list[Row]:
        """The rows of a statement."""
        return self._db.read(sql, args)

    def get(self, event_id: str) -> EventRecord | None:
        """One event by its id."""
        return next(iter(self._records("WHERE e.id = ?", (event_id,)).values()), None)

    def find(self, query: EventQuery) -> list[SearchHit]:
        """Events that match, newest first, or best first when the query searches."""
        restriction, args = where_clause(query)
        text = match_expression(query.text)
        if text or query.vector is not None:
            return self._search(query, text, restriction, args)
        rest = f"WHERE {restriction} ORDER BY e.begin_ns DESC, e.n DESC LIMIT ?"
        return [SearchHit(record, 0.0) for record in self._records(rest, (*args, query.limit)).values()]

    def reopen(self) -> None:
        """Open the file again after it was replaced."""
        with self._searching:
            self.close()
            self._vectors = VectorIndex()

    def close(self) -> None:
        """Close the file."""
        with self._opening:
            if self._opened is not None:
                self._opened.close()
            self._opened = None

    @property
    def _db(self) -> SqliteFile:
        with self._opening:
            if self._opened is None:
                file = SqliteFile(self._path, EVENTS_SCHEMA, self._clock, SqliteAccess.READ_ONLY)
                file.open()
                self._opened = file
            return self._opened

    def _records(self, rest: str, args: Sequence[object]) -> dict[int, EventRecord]:
        """Events by row number, in the order of the query."""
        rows = self._db.read(f"SELECT e.n, {_COLUMNS} FROM events e {rest}", args)  # noqa: S608
        numbers = [row[0] for row in rows]
        sql = f"SELECT n, kind, path, size, facts FROM files WHERE n IN ({_marks(numbers)})"  # noqa: S608
        by_event: Mapping[int, Mapping[FileKind, EvidenceFile]] = files_of(self._db.read(sql, numbers))
        missing = self._missing(numbers)
        found: dict[int, EventRecord] = {}
        for n, *row in rows:
            try:
                found[n] = from_row(tuple(row), by_event.get(n, {}), missing.get(n, {}))
            except (ValueError, TypeError) as error:
                log.warning("%s: event %r is damaged and left out (%s)", self._path, row[0], error)
        return found

    def _missing(self, numbers: Sequence[object]) -> dict[int, dict[str, str]]:
        """Why files are missing, by event; empty for a database of an older version."""
        found: dict[int, dict[str, str]] = {}
        if self._db.read("SELECT 1 FROM sqlite_master WHERE name = 'missing'"):
            sql = f"SELECT n, kind, reason FROM missing WHERE n IN ({_marks(numbers)})"  # noqa: S608
            for n, kind, reason in self._db.read(sql, numbers):
                found.setdefault(n, {})[kind] = reason
        return found

    def _search(self, query: EventQuery, text: str, restriction: str, args: Sequence[object]) -> list[SearchHit]:
        allowed = None if restriction == NO_RESTRICTION else self._allowed(restriction, args)
        if allowed is not None and not len(allowed):
            return []
        hits = self._word_hits(text, restriction, args, allowed) if text else []
        meaning = self._vector_hits(query.vector, query.baseline, allowed) if query.vector is not None else []
        least = LEAST_Z_SCORE if query.baseline is not None else LEAST_COSINE
        ranked = by_score(reciprocal_rank_fusion(hits, meaning, least))[: query.limit]
        records = self._records(f"WHERE e.n IN ({_marks(ranked)})", [n for n, _ in ranked])
        return [SearchHit(records[n], score) for n, score in ranked if n in records]

    def _allowed(self, restriction: str, args: Sequence[object]) -> NDArray[np.int64]:
        """The row numbers of the events that match the restrictions."""
        sql = f"SELECT e.n FROM events e WHERE {restriction}"  # noqa: S608
        return np.array([row[0] for row in self._db.read(sql, args)], np.int64)

    def _word_hits(
        self, text: str, restriction: str, args: Sequence[object], allowed: NDArray[np.int64] | None
    ) -> list[int]:
        """The best `DEPTH` events by words among the newest `WORDS_BATCH`; older ones only while there are fewer
        hits, because ranking every event with a common word would take long."""
        if allowed is not None:
            first, last = int(allowed.min()), int(allowed.max())
        else:
            first, last = (int(n or 0) for n in self._db.read("SELECT min(n), max(n) FROM events")[0])
        hits: list[int] = []
        while last >= first and len(hits) < DEPTH:
            begin = max(first, last - WORDS_BATCH + 1)
            found = self._db.read(_SEARCHED.format(restriction), (text, begin, last, *args, DEPTH - len(hits)))
            hits += [row[0] for row in found]
            last = begin - 1
        return hits

    def _vector_hits(
        self, vector: F32, ordinary: F32 | None, allowed: NDArray[np.int64] | None
    ) -> list[tuple[int, float]]:
        """The events with the closest meaning, at most `DEPTH`, closest first."""
        with self._searching:
            self._vectors.add(self._db.read("SELECT seq, n, data FROM vectors WHERE seq > ?", (self._vectors.seq,)))
            return self._vectors.closest(np.asarray(vector, np.float32), ordinary, allowed, DEPTH)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))
