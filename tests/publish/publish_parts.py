"""A scripted broker connection and sample values for the tests of publishing."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from edge import sqlite
from edge.errors import SinkError
from edge.media_time import MediaTime
from edge.publish.commands import IncomingMessage
from edge.publish.evidence_urls import EvidenceUrls
from edge.publish.mqtt import MqttAck
from edge.publish.topics import NodeDescription, Topics
from edge.sqlite import Statement
from edge.status import CameraStatus, SourceState, StreamStatus
from edge.types import (
    NS_PER_S,
    Box,
    Contribution,
    Event,
    EventKind,
    Message,
    Phase,
    Scores,
)

TOPICS = Topics("site", "node")
WALL_NS = 1_700_000_000 * NS_PER_S
MEDIA = MediaTime(0, 95_000 * NS_PER_S)

BEGIN = Event(
    id="e1", camera="gate", kind=EventKind.EVENT, label="fire", phase=Phase.BEGIN, begin_ns=5 * NS_PER_S, end_ns=None,
    media_begin=MEDIA + 5 * NS_PER_S, wall_begin_ns=WALL_NS, score=0.81, peak=0.9, threshold=0.6, severity="alert",
    why="flames seen, crackling heard", contribution=Contribution(1.5, -0.25, 0.0),
    boxes=(Box("person", 0.5, 0.1, 0.2, 0.3, 0.4),), tags=(("Fire", 0.7), ("Crackle", 0.4)), zones=("yard",),
)  # fmt: skip
UPDATE = replace(BEGIN, phase=Phase.UPDATE, peak=0.95)
END = replace(BEGIN, phase=Phase.END, end_ns=8 * NS_PER_S)

SCORES = Scores(
    camera="gate", seq=1, t_end_ns=0, media_end=MEDIA, values={"fire": 0.25, "smoke": 0.5}, contribution={},
    embedding=np.zeros(4, np.float32), boxes=(), tags={}, coverage=1.0, video_ok=True, audio_ok=True, model="fused 1",
)  # fmt: skip

FACTS = CameraStatus(
    camera="gate", now_ns=0, state=SourceState.UP, detail="", video=StreamStatus(0.1, 15.0, 90.0, 0.0, 0.0, 12.0),
    audio=StreamStatus(None, 0.0, float("-inf"), 0.0, 0.0, None), av_offset_s=None, drops={"ring": 3},
)  # fmt: skip


def site(**changes: object) -> NodeDescription:
    base = NodeDescription(TOPICS, "0.1", "fused 1", {"gate": ["fire", "smoke", "no_signal"]}, ["fire", "smoke"])
    return replace(base, **changes)  # type: ignore[arg-type]


LINKS = EvidenceUrls("https://box:8088", {"gate": frozenset({"clip", "snapshot", "thumbnail", "spectrogram"})})
JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


class Killed(BaseException):
    """The process ends here."""


class Disk:
    """Stands between the outbox and SQLite: ``script`` holds what transactions do instead, one after another; each is
    given what writes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.script: list[Callable[[Callable[[], None]], None]] = []
        self.asked = 0
        self._write = sqlite.transact
        monkeypatch.setattr(sqlite, "transact", self._transact)

    def _transact(self, db: sqlite3.Connection, statements: list[Statement]) -> None:
        self.asked += 1
        write = partial(self._write, db, statements)
        if self.script:
            self.script.pop(0)(write)
        else:
            write()


class ScriptedLink:
    """A connection that does what the test says; with ``answer`` it acknowledges by itself."""

    def __init__(self, *, answer: bool = True, room: int = 4) -> None:
        self.wake: Callable[[], None] = lambda: None
        self.packet_limit: int | None = None
        self.lost_reason = "broker test: the connection was lost"
        self.version = "MQTT 5"
        self.answer = answer
        self.window = room
        self.up = False
        self.refuse_connecting: str | None = None
        self.refuse_topics: dict[str, str] = {}
        self.connects = 0
        self.closed = False
        self.sent: list[Message] = []
        self.correlations: list[bytes | None] = []
        self.in_air: list[tuple[int | None, str]] = []
        self.acks: list[MqttAck] = []
        self.incoming: list[IncomingMessage] = []
        self.lock = threading.Lock()

    @property
    def connected(self) -> bool:
        return self.up

    def connect(self) -> None:
        self.connects += 1
        if self.refuse_connecting is not None:
            raise SinkError(self.refuse_connecting)
        self.up = True

    def lose(self) -> None:
        self.up = False
        self.in_air, self.acks = [], []

    @property
    def room(self) -> int:
        return self.window - len(self.in_air)

    @property
    def in_flight(self) -> int:
        return len(self.in_air)

    def publish(self, message: Message, token: int | None = None, correlation: bytes | None = None) -> bool:
        if not self.up:
            return False
        self.sent.append(message)
        self.correlations.append(correlation)
        if message.qos:
            self.in_air.append((token, message.topic))
            if self.answer:
                self.acknowledge()
        return True

    def acknowledge(self, count: int = 1) -> None:
        for _ in range(min(count, len(self.in_air))):
            token, topic = self.in_air.pop(0)
            self.acks.append(MqttAck(token, topic, self.refuse_topics.get(topic)))

    def take_acks(self) -> list[MqttAck]:
        acks, self.acks = self.acks, []
        return acks

    def take_incoming(self) -> list[IncomingMessage]:
        incoming, self.incoming = self.incoming, []
        return incoming

    def close(self, timeout_s: float = 1.0) -> None:
        self.up = False
        self.closed = True

    def payloads(self, topic: str) -> list[bytes]:
        return [m.payload for m in self.sent if m.topic == topic]
