"""The API's answers as types, from which OpenAPI is made. Times are ISO 8601 in UTC and, as ``..._s``, Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """Why it was not done, in a sentence."""

    error: str


@dataclass(frozen=True, slots=True)
class DoneResponse:
    """What was done, in a sentence."""

    done: str


@dataclass(frozen=True, slots=True)
class BoxResponse:
    """One object in the picture; corners in 0..1 of the camera's picture."""

    label: str
    score: float
    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True, slots=True)
class ContributionResponse:
    """What each modality added to the label's logit."""

    video: float
    audio: float
    sensors: float


@dataclass(frozen=True, slots=True)
class MarkResponse:
    """A user's mark on an event."""

    verdict: str
    by: str
    time: str
    note: str


@dataclass(frozen=True, slots=True)
class FileLinkResponse:
    """One kept file and its URL."""

    url: str
    size: int
    facts: dict[str, float | str]


@dataclass(frozen=True, slots=True)
class EventResponse:
    """One kept event. ``score`` is how well it fits the search, 0 without one."""

    id: str
    camera: str
    kind: str
    label: str
    severity: str
    begin: str
    end: str | None
    begin_s: float
    end_s: float | None
    duration_s: float | None
    peak: float
    threshold: float
    why: str
    zones: list[str]
    contribution: ContributionResponse | None
    boxes: list[BoxResponse]
    tags: dict[str, float]
    model: str
    caption: str
    mark: MarkResponse | None
    files: dict[str, FileLinkResponse]
    missing: dict[str, str]
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class EventsResponse:
    """A page of events; ``next`` is the ``before`` of the following page. ``understood``: how a search was read."""

    events: list[EventResponse]
    next: str | None
    understood: str = ""


@dataclass(frozen=True, slots=True)
class ThresholdResponse:
    """The settings in force for one camera and label; ``origins`` has the origin of each value.

    ``limit`` is the kind of `most_per_hour`: ``hard``, ``spaced`` (beyond it one is reported in each share of an hour),
    or ``repetitions`` (spaced, and new events are reported at once).
    """

    camera: str
    label: str
    enter: float
    leave: float
    min_s: float
    merge_s: float
    cooldown_s: float
    most_per_hour: int
    severity: str
    enabled: bool
    origins: dict[str, str]
    limit: str = "hard"


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """Measured health of one stream; null where nothing was measured yet."""

    age_s: float | None
    rate_hz: float
    level: float | None
    quiet_s: float
    frozen_s: float
    drift_ppm: float | None


@dataclass(frozen=True, slots=True)
class SensorResponse:
    """The newest reading of a configured sensor; null before the first. A stale one is not used any more."""

    name: str
    unit: str
    value: float | None
    age_s: float | None
    stale: bool


@dataclass(frozen=True, slots=True)
class HeldBackResponse:
    """A label whose scores made no event: ``reason`` and since when (Unix seconds), null when nothing is held back now;
    ``this_hour`` by reason, and of these ``limited`` by a rate limit."""

    camera: str
    label: str
    reason: str | None
    since_s: float | None
    score: float | None
    enter: float
    this_hour: dict[str, int]
    limited: int


@dataclass(frozen=True, slots=True)
class LoadResponse:
    """Shares 0..1 of the processor's time, and of the time of what runs the model; ``room`` is what is left of both."""

    processor: float
    engine: float
    room: float


@dataclass(frozen=True, slots=True)
class CameraHealthResponse:
    """Measured health of one camera; ``pictures`` says which are decoded, empty where that is not on demand."""

    camera: str
    state: str
    detail: str
    video: StreamResponse | None
    audio: StreamResponse | None
    av_offset_s: float | None
    drops: dict[str, int]
    sensors: list[SensorResponse] = field(default_factory=list)
    pictures: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceResponse:
    """The kept evidence: number of events, bytes, and the limits."""

    events: int
    bytes: int | None
    keep_days: float
    keep_gb: float


@dataclass(frozen=True, slots=True)
class HealthResponse:
    """The node and its cameras."""

    id: str
    site: str
    time: str
    version: str
    model: str
    runtime: str
    uptime_s: float
    disk_free_bytes: int
    outbox_messages: int
    broker: str
    details: dict[str, str]
    evidence: EvidenceResponse | None
    load: LoadResponse | None = None
    cameras: list[CameraHealthResponse] = field(default_factory=list)
    held_back: list[HeldBackResponse] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CameraResponse:
    """One camera as configured; ``listening``: whether users may hear its sound, ``speech``: speech included."""

    name: str
    picture: bool
    sound: bool
    armed: bool
    zones: dict[str, list[tuple[float, float]]]
    lines: dict[str, list[tuple[float, float]]]
    masks: list[list[tuple[float, float]]]
    listening: bool = False
    speech: bool = False


@dataclass(frozen=True, slots=True)
class NodeResponse:
    """The node and its cameras."""

    id: str
    site: str
    version: str
    model: str
    cameras: list[CameraResponse]
    labels: list[str]
    zones: list[str]
    keeps_evidence: bool
    blurred: list[str]
