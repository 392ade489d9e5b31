"""JSON Schemas of the payloads, made from their types: ``python -m edge.publish.schema docs/schema`` writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from edge.publish.evidence import DigestPayload, EvidencePayload, LastEventPayload
from edge.publish.health_payloads import HealthPayload
from edge.publish.payloads import (
    EventPayload,
    HeldBackPayload,
    ReplyPayload,
    ScorePayload,
    ThresholdsPayload,
)

PAYLOADS: dict[str, type[Any]] = {
    "event": EventPayload,
    "last_event": LastEventPayload,
    "evidence": EvidencePayload,
    "digest": DigestPayload,
    "score": ScorePayload,
    "health": HealthPayload,
    "held_back": HeldBackPayload,
    "thresholds": ThresholdsPayload,
    "reply": ReplyPayload,
}


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (draft 2020-12) by payload name."""
    found = {}
    for name, kind in PAYLOADS.items():
        schema = TypeAdapter(kind).json_schema(mode="serialization")
        found[name] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return found


def texts() -> dict[str, str]:
    """The files of docs/schema/ by name."""
    return {f"{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in schemas().items()}


def write(folder: Path) -> list[Path]:
    """Write all schemas into ``folder``; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (folder / name).write_text(text, encoding="utf-8")
    return sorted(folder / name for name in texts())


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schema"))
