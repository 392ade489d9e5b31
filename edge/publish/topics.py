"""Topics and their messages: values of the pipeline in, messages out. Pure functions over one topic root.

`NodeDescription` lists the node's cameras and labels. docs/reference/topics.md is the reference; a test compares it
with this file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge.publish.evidence_urls import NO_URLS, EvidenceUrls
from edge.publish.frigate import FrigateTopics
from edge.publish.health_payloads import NodeInfo, health_payload
from edge.publish.payloads import (
    ThresholdPayload,
    held_back_payload,
    json_message,
    score_payload,
    thresholds_payload,
)
from edge.status import CameraStatus, HeldBack
from edge.types import NS_PER_S, Message, Scores

ONLINE, OFFLINE, STOPPED = b"online", b"offline", b"stopped"


@dataclass(frozen=True, slots=True)
class ThresholdState:
    """Thresholds in force: an event begins at ``enter`` and ends below ``leave``, both 0..1.

    ``origin`` says where ``enter`` came from: model, default, config, command or learned.
    """

    camera: str
    label: str
    enter: float
    leave: float
    origin: str


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of node ``node`` at ``site``."""

    site: str
    node: str

    @property
    def root(self) -> str:
        """The common prefix of all topics."""
        return f"edge/{self.site}/{self.node}"

    @property
    def status(self) -> str:
        """``online``, ``offline`` (last will) or ``stopped``."""
        return f"{self.root}/status"

    @property
    def health(self) -> str:
        """The node and its cameras."""
        return f"{self.root}/health"

    @property
    def command(self) -> str:
        """Commands to the node."""
        return f"{self.root}/command"

    @property
    def reply(self) -> str:
        """Answers to commands."""
        return f"{self.root}/reply"

    def event(self, camera: str) -> str:
        """One object for each phase of an event."""
        return f"{self.root}/{camera}/event"

    def state(self, camera: str, label: str) -> str:
        """``ON`` while an event of this label is open."""
        return f"{self.root}/{camera}/{label}/state"

    def score(self, camera: str) -> str:
        """All scores, for plotting."""
        return f"{self.root}/{camera}/score"

    def thresholds(self, camera: str) -> str:
        """All thresholds in force and whether the camera is armed, as one object."""
        return f"{self.root}/{camera}/thresholds"

    def threshold(self, camera: str, label: str) -> str:
        """The threshold of one label, as a number; ``/set`` after it changes it, ``/state`` reports it."""
        return f"{self.root}/{camera}/{label}/threshold"

    def armed(self, camera: str) -> str:
        """Whether events are published; ``/set`` after it changes it, ``/state`` reports it."""
        return f"{self.root}/{camera}/armed"

    def held_back(self, camera: str) -> str:
        """What is above its threshold without an event, and why, as one object."""
        return f"{self.root}/{camera}/held_back"

    def evidence(self, camera: str) -> str:
        """The evidence of an event."""
        return f"{self.root}/{camera}/evidence"

    def snapshot(self, camera: str) -> str:
        """The picture of the last event, or a new one after a command."""
        return f"{self.root}/{camera}/snapshot"

    def last_event(self, camera: str) -> str:
        """The newest event, for later subscribers."""
        return f"{self.root}/{camera}/last_event"

    @property
    def digest(self) -> str:
        """The digest of a day."""
        return f"{self.root}/digest"

    @property
    def commands(self) -> list[str]:
        """The filters to subscribe to for commands."""
        return [f"{self.root}/+/+/threshold/set", f"{self.root}/+/armed/set", self.command]


def status_message(topics: Topics, status: bytes) -> Message:
    """The node's status, retained."""
    return Message(topics.status, status, 1, retain=True)


def state_message(topics: Topics, camera: str, label: str, on: bool) -> Message:
    """Whether an event of this label is open, retained; of several that wait only the newest is sent."""
    topic = topics.state(camera, label)
    return Message(topic, _on(on), 1, retain=True, key=topic)


def score_message(topics: Topics, scores: Scores, wall_ns: int) -> Message:
    """Scores of one window; not kept when the broker is away."""
    return json_message(topics.score(scores.camera), score_payload(scores, wall_ns), qos=0)


def health_message(
    topics: Topics, info: NodeInfo, facts: Sequence[CameraStatus], wall_ns: int, held: Sequence[HeldBack] = ()
) -> Message:
    """The node and its cameras, retained."""
    payload = health_payload(topics.site, topics.node, wall_ns, info, facts, held)
    return json_message(topics.health, payload, retain=True)


def held_back_message(topics: Topics, camera: str, held: Sequence[HeldBack]) -> Message:
    """What is held back of one camera, retained."""
    return json_message(topics.held_back(camera), held_back_payload(camera, held), retain=True)


def threshold_messages(
    topics: Topics, thresholds: Iterable[ThresholdState], armed: Mapping[str, bool]
) -> list[Message]:
    """Thresholds and arming in force, retained: a number or word each, and one object for each camera in ``armed``."""
    by_camera: dict[str, dict[str, ThresholdPayload]] = {camera: {} for camera in armed}
    messages = []
    for t in thresholds:
        by_camera.setdefault(t.camera, {})[t.label] = ThresholdPayload(round(t.enter, 4), round(t.leave, 4), t.origin)
        number = f"{t.enter:.4f}".rstrip("0").rstrip(".")
        messages.append(Message(f"{topics.threshold(t.camera, t.label)}/state", number.encode(), 1, retain=True))
    for camera, labels in by_camera.items():
        is_armed = armed.get(camera, True)
        messages.append(Message(f"{topics.armed(camera)}/state", _on(is_armed), 1, retain=True))
        messages.append(
            json_message(topics.thresholds(camera), thresholds_payload(camera, is_armed, labels), retain=True)
        )
    return messages


class ScoreRateLimiter:
    """Allows one score per second and camera."""

    def __init__(self, interval_ns: int = NS_PER_S) -> None:
        self._interval_ns = interval_ns
        self._last: dict[str, int] = {}

    def allow(self, camera: str, now_ns: int) -> bool:
        """Whether a score of ``camera`` may be sent at ``now_ns``."""
        last = self._last.get(camera)
        if last is not None and now_ns - last < self._interval_ns:
            return False
        self._last[camera] = now_ns
        return True


def _on(value: bool) -> bytes:
    return b"ON" if value else b"OFF"


@dataclass(frozen=True, slots=True)
class NodeDescription:
    """The node's topics, its version and model, and the labels of every camera, health labels included.

    ``thresholds`` are the labels whose threshold can be set. Without ``home_assistant_prefix`` there is no discovery,
    without ``frigate`` there are no Frigate topics. ``links`` has the URLs of events and the files that are kept.
    """

    topics: Topics
    version: str
    model: str
    cameras: Mapping[str, Collection[str]]
    thresholds: Collection[str]
    home_assistant_prefix: str | None = None
    frigate: FrigateTopics | None = None
    links: EvidenceUrls = NO_URLS

    @property
    def settable(self) -> dict[str, list[str]]:
        """The labels with a threshold, by camera."""
        return {camera: [name for name in labels if name in self.thresholds] for camera, labels in self.cameras.items()}
