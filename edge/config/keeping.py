"""What config.yaml says of what is kept: clips, snapshots, for how long, and what must never be in them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from edge.config.schedule import TimeZone
from edge.config.sources import ConfigSection, Positive
from edge.config.values import Duration, EventName


class EvidenceConfig(ConfigSection):
    """Clips and snapshots of events, kept on this box alone until age or size takes them."""

    before_s: Duration = 5.0
    after_s: Duration = 10.0
    longest_s: Positive = 120.0
    ring_mb: Annotated[float, Field(gt=0, le=4096)] = 64.0
    clips: bool = True
    audio: bool = True
    speech: bool = False
    blur: tuple[EventName, ...] = ()
    encoder: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")] | None = None
    candidates: bool = True
    keep_days: Positive = 14.0
    keep_gb: Positive = 20.0
    keep_free_gb: Duration = 1.0
    digest: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = "07:00"


class LocationConfig(ConfigSection):
    """Where the box stands: for sunrise and sunset, and for the hours of schedules."""

    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    timezone: TimeZone | None = None
