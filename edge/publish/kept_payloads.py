"""The JSON objects about what was kept: of one event, of the newest event of a camera, and of a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge.publish.payloads import EventPayload, SchemaVersion


@dataclass(frozen=True, slots=True)
class LastEventPayload(EventPayload):
    """The newest phase of a camera's newest event; ``caption`` is what a describer said of it, empty until then."""

    caption: str


@dataclass(frozen=True, slots=True)
class FilePayload:
    """One kept file: ``path`` below the evidence folder of the box, ``url`` as in `EvidenceLinks`."""

    path: str
    url: str | None


@dataclass(frozen=True, slots=True)
class EvidencePayload:
    """What was kept of one event so far: ``files`` by kind, such as clip or snapshot. The newest message holds most.

    ``missing`` says of files that should be there why they are not.
    """

    schema: SchemaVersion
    id: str
    site: str
    node: str
    camera: str
    label: str
    time: str
    caption: str
    files: dict[str, FilePayload]
    missing: dict[str, str]
    page: str | None


@dataclass(frozen=True, slots=True)
class HappenedPayload:
    """One label on one camera in a day: how often, when first and last, and what people said of it."""

    camera: str
    label: str
    kind: Literal["event", "health"]
    count: int
    first: str
    last: str
    peak: float
    marked_true: int
    marked_false: int


@dataclass(frozen=True, slots=True)
class NotablePayload:
    """One of the most notable events of a day; ``files`` by kind, as paths below the evidence folder."""

    id: str
    camera: str
    label: str
    severity: str
    begin: str
    end: str | None
    peak: float
    why: str
    caption: str
    mark: Literal["true", "false"] | None
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class DigestPayload:
    """A day in a few sentences (``text``) and in figures; ``events`` counts those of kind event."""

    schema: SchemaVersion
    day: str
    since: str
    until: str
    text: str
    events: int
    happened: list[HappenedPayload]
    notable: list[NotablePayload]
    storyboards: dict[str, str]
