"""The page's interface to a running node. `edge.node.page_backend` implements it; tests have their own.

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
    """Facts on the node; ``details`` are further lines for users, ``load`` what the box is busy with."""

    version: str
    model: str
    runtime: str
    uptime_s: float
    disk_free_bytes: int
    outbox_messages: int
    broker: str
    details: Mapping[str, str] = field(default_factory=dict)
    load: NodeLoad | None = None


class NodeLoad(Protocol):
    """Shares 0..1 of the processor's time, and of the time of what runs the model."""

    @property
    def processor(self) -> float: ...
    @property
    def engine(self) -> float: ...


@dataclass(frozen=True, slots=True)
class LiveFrame:
    """The newest picture u8[h,w,3] RGB at the model's size, without letterbox bars, masked and blurred as configured;
    ``number`` grows with every picture, ``boxes`` were detected in this picture."""

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
    """The values of one camera's rules in one window, at wall time ``wall_ns``."""

    camera: str
    wall_ns: int
    values: Mapping[str, float | None]
    boxes: Sequence[SeenBox] = ()


class NodeBackend(Protocol):
    """A running node. Commands raise `EdgeError` with a sentence when they cannot be carried out."""

    @property
    def clock(self) -> Clock:
        """The node's clock."""
        ...

    @property
    def loaded(self) -> LoadedConfig:
        """The configuration in force, with drawn zones, lines and rules."""
        ...

    @property
    def store(self) -> EventStore | None:
        """The event store; None when evidence is off."""
        ...

    @property
    def traces(self) -> TraceStore | None:
        """The score traces; None when evidence is off."""
        ...

    @property
    def evidence(self) -> Path:
        """The folder to which the paths of kept files are relative."""
        ...

    @property
    def hub(self) -> Hub:
        """The hub of live updates."""
        ...

    @property
    def sound_rate_hz(self) -> int:
        """Sample rate of `sound`."""
        ...

    def labels(self) -> Sequence[str]:
        """The names of all possible events, including those that rules define."""
        ...

    def node(self) -> NodeFacts:
        """The node's own health."""
        ...

    def facts(self) -> Sequence[CameraStatus]:
        """Every camera's health, as last measured."""
        ...

    def open_events(self) -> Sequence[Event]:
        """Events that have begun and not ended, their newest phase."""
        ...

    def recent_scores(self, camera: str) -> Sequence[LiveScores]:
        """The last minutes' values, oldest first."""
        ...

    def live_frame(self, camera: str) -> LiveFrame | None:
        """The newest picture; None when there is none."""
        ...

    def sound(self, camera: str, out: F32) -> int:
        """Fill f32[n] with the newest sound; the position after its last sample."""
        ...

    def live_audio(self, camera: str, after: int) -> LiveSamples:
        """The sound from sample ``after`` on, without speech unless allowed; InputError when sound is not allowed."""
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
        """Like the MQTT command: kept over restarts; None: back to the configured threshold."""
        ...

    def set_armed(self, camera: str, armed: bool) -> None:
        """Like the MQTT command: kept over restarts."""
        ...

    def drawn(self) -> Mapping[str, Any]:
        """The drawings: ``cameras`` and ``events`` as in drawn.yaml."""
        ...

    def draw(self, drawn: Mapping[str, Any]) -> str:
        """Save a drawing and apply it at once; a sentence on what was done."""
        ...

    def sentence_embedder(self) -> SentenceEmbedder | None:
        """Embeds sentences for the search; None when the text model is not available."""
        ...
