"""What the page needs of a running node. `edge.node.page_backend` is the daemon's; tests script their own.

Methods are called from the web server's threads and may not block for long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from edge.clock import Clock
from edge.config import LoadedConfig
from edge.detect.thresholds import EffectiveThreshold
from edge.events.search import SentenceEmbedder
from edge.evidence.archive.store import EventStore
from edge.evidence.archive.traces import TraceStore
from edge.status import CameraStatus, HeldBack
from edge.types import F32, U8, Event
from edge.types import Box as SeenBox
from edge.web.hub import Hub


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What the node says of itself; ``details`` are further lines for people."""

    version: str
    model: str
    runtime: str
    uptime_s: float
    disk_free_bytes: int
    outbox_messages: int
    broker: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """The newest picture u8[h,w,3] RGB as the model sees it, without letterbox bars, masked and blurred as configured;
    ``number`` grows with every picture, ``boxes`` are what was found in this very one."""

    number: int
    image: U8
    boxes: Sequence[SeenBox] = ()


@dataclass(frozen=True, slots=True)
class LiveSamples:
    """Sound f32[n] in -1..1 that ends before sample number ``next``."""

    next: int
    samples: F32


@dataclass(frozen=True, slots=True)
class LiveScores:
    """What the rules of one camera looked at in one window, at wall time ``wall_ns``."""

    camera: str
    wall_ns: int
    values: Mapping[str, float | None]
    boxes: Sequence[SeenBox] = ()


class NodeBackend(Protocol):
    """A running node. Commands raise `EdgeError` with a sentence when they cannot be obeyed."""

    @property
    def clock(self) -> Clock:
        """The node's clock."""
        ...

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration in force, with what was drawn."""
        ...

    @property
    def store(self) -> EventStore | None:
        """The events kept; None where nothing is kept."""
        ...

    @property
    def traces(self) -> TraceStore | None:
        """The scores kept; None where nothing is kept."""
        ...

    @property
    def evidence(self) -> Path:
        """The folder that kept files' paths start at."""
        ...

    @property
    def hub(self) -> Hub:
        """Where news is told; see `edge.web.news` for what."""
        ...

    @property
    def sound_rate_hz(self) -> int:
        """Of `sound`."""
        ...

    def labels(self) -> Sequence[str]:
        """The names of all events that there can be, those of one's own included."""
        ...

    def node(self) -> NodeFacts:
        """The node's own health."""
        ...

    def facts(self) -> Sequence[CameraStatus]:
        """Every camera's health, as measured last."""
        ...

    def open_events(self) -> Sequence[Event]:
        """Events that have begun and not ended, their newest phase."""
        ...

    def recent_scores(self, camera: str) -> Sequence[LiveScores]:
        """The last minutes' values, oldest first."""
        ...

    def live_frame(self, camera: str) -> LiveFrame | None:
        """The newest picture; None where there is none."""
        ...

    def sound(self, camera: str, out: F32) -> int:
        """Fill f32[n] with the newest sound; the number of samples heard so far."""
        ...

    def live_audio(self, camera: str, after: int) -> LiveSamples:
        """The sound from sample ``after`` on, as people may hear it; InputError where they may not."""
        ...

    def held_back(self) -> Sequence[HeldBack]:
        """What is above its threshold without an event, now or in the last hour."""
        ...

    def thresholds(self) -> Sequence[EffectiveThreshold]:
        """All thresholds in force."""
        ...

    def armed(self) -> Mapping[str, bool]:
        """By camera: whether its events may begin."""
        ...

    def set_threshold(self, camera: str, label: str, enter: float | None) -> None:
        """As the MQTT command: kept over restarts; None: back to what the configuration says."""
        ...

    def set_armed(self, camera: str, armed: bool) -> None:
        """As the MQTT command: kept over restarts."""
        ...

    def drawn(self) -> Mapping[str, Any]:
        """What was drawn so far: ``cameras`` and ``events`` as in drawn.yaml."""
        ...

    def draw(self, drawn: Mapping[str, Any]) -> str:
        """Keep what was drawn and take it over at once; a sentence on what was done."""
        ...

    def sentence_embedder(self) -> SentenceEmbedder | None:
        """What sentences mean, to search by; None where that cannot be told."""
        ...
