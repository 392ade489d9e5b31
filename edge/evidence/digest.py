"""The digest of a day: counts for each camera and label, the most notable events, a few sentences, and storyboards.

Kept as ``digests/<day>.json`` and ``digests/<day>-<camera>.jpg`` below the evidence folder, under retention.
`DigestSchedule` makes it on the evidence thread, once a day at the configured hour of local time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from itertools import zip_longest
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from edge.clock import Clock, iso8601
from edge.config import Config
from edge.config.models import EvidenceConfig
from edge.errors import SinkError
from edge.evidence.archive.records import SEVERITIES, EventQuery, EventRecord
from edge.evidence.archive.store import EventStore
from edge.evidence.snapshot import StoryboardTile, make_storyboard
from edge.files import atomic_write
from edge.types import NS_PER_S, EventKind

FOLDER = "digests"
MAX_NOTABLE, MAX_TILES, MAX_EVENTS, MAX_KINDS = 6, 12, 20_000, 12
UTC = timezone.utc
_FAR_NS = 48 * 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """One label on one camera: how often, when first and last, its highest value, and how users marked it."""

    camera: str
    label: str
    kind: EventKind
    count: int
    first_ns: int
    last_ns: int
    peak: float
    marked_true: int
    marked_false: int


@dataclass(frozen=True, slots=True)
class Digest:
    """Events that began in ``since_ns`` <= t < ``until_ns``: counts by camera and label, the most notable events
    (most notable first), a few sentences, and a JPEG for each camera that had pictures. ``day`` is the date of
    ``since_ns``."""

    day: str
    since_ns: int
    until_ns: int
    text: str
    happened: tuple[LabelSummary, ...]
    notable: tuple[EventRecord, ...]
    storyboards: Mapping[str, bytes] = field(default_factory=dict)


def day_span(day: date, tz: tzinfo) -> tuple[int, int]:
    """The first instant of a day in ``tz`` and of the next, as Unix nanoseconds; a day may have 23 or 25 hours."""
    begins = [datetime.combine(d, time(), tz) for d in (day, day + timedelta(days=1))]
    return round(begins[0].timestamp()) * NS_PER_S, round(begins[1].timestamp()) * NS_PER_S


def make_digest(store: EventStore, since_ns: int, until_ns: int, cameras: Sequence[str], tz: tzinfo = UTC) -> Digest:
    """The digest of a span on ``cameras`` (empty: all); times in its sentences are in ``tz``."""
    found = store.find(EventQuery(cameras=tuple(cameras), since_ns=since_ns, until_ns=until_ns, limit=MAX_EVENTS))
    records = [one.record for one in reversed(found) if one.record.begin_ns >= since_ns]
    happened = _happened(records)
    notable = sorted(
        (r for r in records if r.kind is EventKind.EVENT and not _is_false(r)), key=_notability, reverse=True
    )
    boards = {
        name: board
        for name in dict.fromkeys(record.camera for record in records)
        if (board := _board(store.folder, [r for r in records if r.camera == name], tz)) is not None
    }
    day = datetime.fromtimestamp(since_ns // NS_PER_S, tz).strftime("%Y-%m-%d")
    text = _in_words(records, happened, notable, tz)
    if len(found) >= MAX_EVENTS:
        text += f" Only the newest {MAX_EVENTS} events were counted."
    return Digest(day, since_ns, until_ns, text, happened, tuple(notable[:MAX_NOTABLE]), boards)


def as_json(made: Digest) -> dict[str, Any]:
    """The digest for a topic or a page: file names instead of pictures, times as ISO 8601 in UTC."""
    return {
        "day": made.day,
        "since": iso8601(made.since_ns),
        "until": iso8601(made.until_ns),
        "text": made.text,
        "events": sum(h.count for h in made.happened if h.kind is EventKind.EVENT),
        "happened": [
            {
                "camera": h.camera,
                "label": h.label,
                "kind": h.kind.value,
                "count": h.count,
                "first": iso8601(h.first_ns),
                "last": iso8601(h.last_ns),
                "peak": round(h.peak, 3),
                "marked_true": h.marked_true,
                "marked_false": h.marked_false,
            }
            for h in made.happened
        ],
        "notable": [
            {
                "id": r.id,
                "camera": r.camera,
                "label": r.label,
                "severity": r.severity,
                "begin": iso8601(r.begin_ns),
                "end": None if r.end_ns is None else iso8601(r.end_ns),
                "peak": round(r.peak, 3),
                "why": r.why,
                "caption": r.caption,
                "mark": None if r.mark is None else r.mark.verdict,
                "files": {kind: file.path for kind, file in r.files.items()},
            }
            for r in made.notable
        ],
        "storyboards": {camera: f"{FOLDER}/{made.day}-{camera}.jpg" for camera in made.storyboards},
    }


def write_digest(store: EventStore, made: Digest) -> Path:
    """Write a digest below the store's folder, the pictures first; the path of the JSON. SinkError when the disk or
    retention has no room for it."""
    files = {f"{made.day}-{camera}.jpg": jpeg for camera, jpeg in made.storyboards.items()}
    files[f"{made.day}.json"] = json.dumps(as_json(made), ensure_ascii=False, indent=1).encode()
    folder = store.folder / FOLDER
    if not store.room_for(sum(len(data) for data in files.values())):
        raise SinkError(f"{folder}: no room for the digest of {made.day}; see evidence.keep_gb and keep_free_gb")
    for name, data in files.items():
        atomic_write(folder / name, data)
    return folder / f"{made.day}.json"


def _happened(records: Sequence[EventRecord]) -> tuple[LabelSummary, ...]:
    groups: dict[tuple[str, str, EventKind], list[EventRecord]] = {}
    for record in records:
        groups.setdefault((record.camera, record.label, record.kind), []).append(record)
    rows = [
        LabelSummary(
            *(camera, label, kind, len(group), group[0].begin_ns, group[-1].begin_ns),
            max(record.peak for record in group),
            sum(r.mark is not None and r.mark.verdict == "true" for r in group),
            sum(_is_false(r) for r in group),
        )
        for (camera, label, kind), group in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.camera, row.kind is EventKind.HEALTH, -row.count, row.label)))


def _notability(record: EventRecord) -> tuple[bool, int, float, int]:
    """Sort key: a user's mark first, then severity, then score, then time."""
    severity = SEVERITIES.index(record.severity) if record.severity in SEVERITIES else 0
    return record.mark is not None, severity, record.peak, record.begin_ns


def _is_false(record: EventRecord) -> bool:
    return record.mark is not None and record.mark.verdict == "false"


def _in_words(
    records: Sequence[EventRecord], happened: Sequence[LabelSummary], notable: Sequence[EventRecord], tz: tzinfo
) -> str:
    scene = [row for row in happened if row.kind is EventKind.EVENT]
    trouble = [row for row in happened if row.kind is EventKind.HEALTH]
    sentences = []
    if not scene:
        sentences.append("Nothing happened.")
    else:
        labels = Counter[str]()
        for row in scene:
            labels[row.label] += row.count
        total, cameras = labels.total(), sorted({row.camera for row in scene})
        sentences.append(f"{_times(total, 'event')} on {', '.join(cameras)}: {_kinds(labels)}.")
    if notable:
        sentences.append(f"Most notable: {_named(notable[0], tz)}.")
    if false := sum(map(_is_false, records)):
        sentences.append(f"{_times(false, 'event')} marked as a false alarm.")
    if trouble:
        what = ", ".join(f"{row.label.replace('_', ' ')} at {row.camera} ({row.count})" for row in trouble)
        sentences.append(f"Trouble with equipment: {what}.")
    return " ".join(sentences)


def _kinds(labels: Counter[str]) -> str:
    """Every label with its count, most frequent first; the rarest of very many are summed up."""
    ordered = labels.most_common()
    named, rest = (ordered, []) if len(ordered) <= MAX_KINDS else (ordered[: MAX_KINDS - 1], ordered[MAX_KINDS - 1 :])
    parts = [f"{name.replace('_', ' ')} {count}" for name, count in named]
    if rest:
        parts.append(f"{sum(count for _, count in rest)} more of {len(rest)} other kinds")
    return ", ".join(parts)


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _named(record: EventRecord, tz: tzinfo) -> str:
    what = record.caption.rstrip(".") or f"{record.label.replace('_', ' ')} ({record.peak:.2f})"
    return f"{what}, {record.camera}, {_clock(record.begin_ns, tz)}"


def _clock(ns: int, tz: tzinfo) -> str:
    return datetime.fromtimestamp(ns // NS_PER_S, tz).strftime("%H:%M")


def _board(folder: Path, records: Sequence[EventRecord], tz: tzinfo) -> bytes | None:
    """The storyboard of one camera: the notable events of each label in turn that have a thumbnail, by time."""
    by_label: dict[str, list[EventRecord]] = {}
    for record in sorted(records, key=_notability, reverse=True):
        if "thumbnail" in record.files:
            by_label.setdefault(record.label, []).append(record)
    in_turns = [record for turn in zip_longest(*by_label.values()) for record in turn if record is not None]
    chosen = sorted(in_turns[:MAX_TILES], key=lambda r: r.begin_ns)
    tiles = []
    for record in chosen:
        try:
            jpeg = (folder / record.files["thumbnail"].path).read_bytes()
        except OSError:
            continue
        words = f"{_clock(record.begin_ns, tz)} {record.label.replace('_', ' ')}"
        tiles.append(StoryboardTile(jpeg, words, record.mark.verdict if record.mark else None))
    return make_storyboard(tiles)


class DigestSchedule:
    """Makes the digest of the day that ends at the configured hour, writes it, and passes it to ``on_digest``."""

    def __init__(self, store: EventStore, clock: Clock, on_digest: Callable[[Digest], None] | None) -> None:
        self._store = store
        self._clock = clock
        self._on_digest = on_digest
        self._at: time | None = None
        self._zone: str | None = None
        self._cameras: tuple[str, ...] = ()
        self._due_ns: int | None = None

    def reconfigure(self, config: Config, settings: EvidenceConfig) -> None:
        """Apply new settings: the next digest is due the next time that it is the configured hour."""
        at = time.fromisoformat(settings.digest) if settings.digest is not None else None
        self._cameras = tuple(config.cameras)
        if (at, config.location.timezone) != (self._at, self._zone) or self._due_ns is None:
            self._at, self._zone = at, config.location.timezone
            self._due_ns = self._next(self._clock.wall_ns())

    def run_if_due(self) -> bool:
        """Make the digest if it is due; whether it was. SinkError when it cannot be written; it is published anyway."""
        now_ns = self._clock.wall_ns()
        if self._due_ns is not None and self._due_ns - now_ns > _FAR_NS:  # the clock was set back meanwhile
            self._due_ns = self._next(now_ns)
        if self._due_ns is None or self._at is None or now_ns < self._due_ns:
            return False
        until_ns, self._due_ns = self._due_ns, self._next(now_ns)
        until = datetime.fromtimestamp(until_ns // NS_PER_S, self._tz(until_ns))
        since_ns = _ns(datetime.combine(until.date() - timedelta(days=1), self._at, until.tzinfo))
        made = make_digest(self._store, since_ns, until_ns, self._cameras, until.tzinfo or timezone.utc)
        if self._on_digest is not None:
            self._on_digest(made)
        write_digest(self._store, made)
        return True

    def _next(self, now_ns: int) -> int | None:
        """The next time after ``now_ns`` at which it is the configured hour."""
        if self._at is None:
            return None
        today = datetime.fromtimestamp(now_ns // NS_PER_S, self._tz(now_ns)).date()
        struck = (_ns(datetime.combine(today + timedelta(days=k), self._at, self._tz(now_ns))) for k in (0, 1, 2))
        return next(t for t in struck if t > now_ns)

    def _tz(self, now_ns: int) -> tzinfo:
        """The configured time zone, else the machine's with its offset at that time."""
        if self._zone is not None:
            return ZoneInfo(self._zone)
        here = datetime.fromtimestamp(now_ns // NS_PER_S, timezone.utc).astimezone().tzinfo
        return here or timezone.utc


def _ns(when: datetime) -> int:
    return round(when.timestamp()) * NS_PER_S
