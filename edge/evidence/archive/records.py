"""Records of kept events. All times are wall (Unix) nanoseconds; paths are relative to the evidence folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from edge.types import F32, Box, Contribution, EventKind

FileKind: TypeAlias = Literal["clip", "snapshot", "thumbnail", "spectrogram"]
Verdict: TypeAlias = Literal["true", "false"]

SEVERITIES = ("info", "warning", "alert")  # from the least to the most


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """One kept file: ``path`` below the evidence folder (with forward slashes), ``size`` in bytes.

    ``facts`` holds what its writer knows, such as ``{"begin_ns": ..., "seconds": 15.2, "width": 1920}``.
    """

    path: str
    size: int
    facts: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventMark:
    """A user's verdict on an event: ``true`` (correct) or ``false`` (a false alarm)."""

    verdict: Verdict
    by: str
    wall_ns: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One kept event; ``end_ns`` is None until it ended. ``model`` is the name and version that was running.

    ``missing`` has the reason for each file that should exist and does not.
    """

    id: str
    camera: str
    kind: EventKind
    label: str
    severity: str
    begin_ns: int
    end_ns: int | None
    peak: float
    threshold: float
    why: str
    zones: tuple[str, ...] = ()
    contribution: Contribution | None = None
    boxes: tuple[Box, ...] = ()
    tags: tuple[tuple[str, float], ...] = ()
    model: str = ""
    caption: str = ""
    mark: EventMark | None = None
    files: Mapping[FileKind, EvidenceFile] = field(default_factory=lambda: MappingProxyType({}))
    missing: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class EventQuery:
    """A query for events; fields that are empty or None do not restrict it.

    ``text`` is words of which any may match (full text). ``vector`` f32[D] is the embedding of a sentence, a unit
    vector in the space of `Features.aligned`; ``baseline`` f32[2,2] has the mean and standard deviation of its cosine
    to ordinary pictures and to ordinary sounds. With either, the best come first, else the newest. An event is in the
    span when any part of it lies in ``since_ns`` <= t < ``until_ns``. ``before_ns`` is for paging: only events that
    began before it. ``marked`` "none" selects events without a mark; ``zones`` matches an event that was in any.
    """

    text: str = ""
    cameras: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    kinds: tuple[EventKind, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    marked: Literal["true", "false", "none"] | None = None
    limit: int = 50
    before_ns: int | None = None
    vector: F32 | None = field(default=None, compare=False)
    baseline: F32 | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One event that a query found; ``score`` is 0 without a search, else higher is better."""

    record: EventRecord
    score: float


@dataclass(frozen=True, slots=True)
class StoredNearMiss:
    """A near miss: ``value`` stayed below ``enter``. ``thumbnail`` is a JPEG, empty without a picture; ``number`` is
    its row number, 0 before it is stored."""

    camera: str
    label: str
    wall_ns: int
    value: float
    enter: float
    thumbnail: bytes = b""
    number: int = 0
