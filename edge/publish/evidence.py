"""Messages and JSON payloads on evidence: of one event, of the newest event of a camera, and of a day. Pure.

Pictures are retained state: of several that wait for the broker only the newest is kept, so that they never fill the
outbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edge.clock import iso8601
from edge.publish.evidence_urls import EvidenceUrls
from edge.publish.payloads import SCHEMA, EventPayload, SchemaVersion, json_message
from edge.publish.topics import Topics
from edge.types import EvidenceFiles, Message


def evidence_message(topics: Topics, links: EvidenceUrls, kept: EvidenceFiles) -> Message:
    """The evidence of one event so far."""
    payload = EvidencePayload(
        schema=SCHEMA,
        id=kept.event_id,
        site=topics.site,
        node=topics.node,
        camera=kept.camera,
        label=kept.label,
        time=iso8601(kept.wall_ns),
        caption=kept.caption,
        files={
            kind: FilePayload(path, links.file(kept.camera, kept.event_id, kind))
            for kind, path in sorted(kept.files.items())
        },
        missing=dict(sorted(kept.missing.items())),
        page=links.page(kept.camera, kept.event_id),
    )
    return json_message(topics.evidence(kept.camera), asdict(payload))


def snapshot_message(topics: Topics, camera: str, jpeg: bytes) -> Message:
    """The newest snapshot of a camera, retained."""
    topic = topics.snapshot(camera)
    return Message(topic, jpeg, 1, retain=True, key=topic)


def digest_message(topics: Topics, payload: Mapping[str, Any]) -> Message:
    """The digest of a day, retained."""
    return json_message(topics.digest, {"schema": SCHEMA, **payload}, retain=True, key=topics.digest)


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
