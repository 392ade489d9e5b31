"""What was kept of events, and what a day was like, as messages. Pictures are retained state: of several that wait for
the broker the newest alone is kept, so that they never fill the outbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from edge.clock import iso8601
from edge.publish.kept_payloads import EvidencePayload, FilePayload
from edge.publish.links import EvidenceUrls
from edge.publish.payloads import SCHEMA, json_message
from edge.publish.topics import Topics
from edge.types import EvidenceFiles, Message


def evidence_message(topics: Topics, links: EvidenceUrls, kept: EvidenceFiles) -> Message:
    """What was kept of one event so far."""
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
    """The newest picture of a camera that is worth showing, retained."""
    topic = topics.snapshot(camera)
    return Message(topic, jpeg, 1, retain=True, key=topic)


def digest_message(topics: Topics, payload: Mapping[str, Any]) -> Message:
    """What happened in a day, retained."""
    return json_message(topics.digest, {"schema": SCHEMA, **payload}, retain=True, key=topics.digest)
