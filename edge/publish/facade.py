"""What the node uses to publish: events, scores, health and thresholds out; commands and sensor readings in.

`open_publisher` builds it from the configuration. Methods may be called from any thread.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.config import Loaded
from edge.errors import SinkError
from edge.metrics import Metrics
from edge.publish import opened
from edge.publish.commands import Command, Incoming, SetArmed, SetThreshold
from edge.publish.discovery import birth_topic
from edge.publish.drain import Publisher
from edge.publish.inbox import Inbox
from edge.publish.introduce import introduce
from edge.publish.jsonl import JsonLines
from edge.publish.link import Link
from edge.publish.outbox import Outbox
from edge.publish.payloads import NodeInfo, event_payload
from edge.publish.site import Site
from edge.publish.topics import (
    OFFLINE,
    ONLINE,
    STOPPED,
    ScoreLimit,
    Threshold,
    Topics,
    event_messages,
    health_message,
    score_message,
    state_message,
    status_message,
    threshold_messages,
)
from edge.types import CameraFacts, Event, Kind, Message, Phase, Scores

log = logging.getLogger(__name__)


def open_publisher(
    loaded: Loaded,
    clock: Clock,
    metrics: Metrics,
    *,
    version: str,
    model: str,
    cameras: Mapping[str, Collection[str]],
    thresholds: Collection[str],
    sensor_topics: Collection[str] = (),
    on_sensor: Callable[[Incoming], None] | None = None,
) -> EventPublisher:
    """The publisher that the configuration describes, not started; connects only when started.

    ``cameras``: all labels by camera, health labels included; ``thresholds``: the labels with a threshold.
    InputError or SinkError when the outbox, the JSON lines file or the password file cannot be used.
    """
    config = loaded.config
    topics = Topics(config.node.site, config.node.id)
    mqtt = config.mqtt
    prefix = mqtt.home_assistant_prefix if mqtt is not None and mqtt.home_assistant else None
    site = Site(topics, version, model, cameras, thresholds, prefix)
    link: Link | None = None
    if mqtt is not None:
        from edge.publish.access import access
        from edge.publish.mqtt import MqttLink

        filters = [*topics.commands, *sorted(set(sensor_topics)), *([birth_topic(prefix)] if prefix else [])]
        will = status_message(topics, OFFLINE)
        link = MqttLink(access(loaded), f"edge-{topics.site}-{topics.node}", clock, will=will, filters=filters)
    jsonl = None
    if config.jsonl is not None:
        path = config.jsonl.path
        jsonl = JsonLines(path if path == "-" else loaded.resolve(Path(path)))
    outbox = Outbox(loaded.resolve(config.node.data_dir) / "outbox.db", clock, metrics)
    return EventPublisher(site, outbox, clock, metrics, link=link, jsonl=jsonl, on_sensor=on_sensor)


class EventPublisher:
    """Publishes through the outbox and the link; without a link (mqtt: null) only to JSON lines.

    ``on_sensor`` gets messages of topics that are no commands, on the publisher's thread; it must not raise.
    """

    def __init__(
        self,
        site: Site,
        outbox: Outbox,
        clock: Clock,
        metrics: Metrics,
        *,
        link: Link | None = None,
        jsonl: JsonLines | None = None,
        on_sensor: Callable[[Incoming], None] | None = None,
    ) -> None:
        self._site, self._topics = site, site.topics
        self._outbox, self._clock, self._metrics, self._jsonl = outbox, clock, metrics, jsonl
        self._limit = ScoreLimit()
        self._open: dict[str, tuple[Event, int]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.fault: BaseException | None = None
        self._inbox = Inbox(site, outbox, clock, send=self._send, on_birth=self._on_birth, on_other=on_sensor)
        self._publisher: Publisher | None = None
        if link is not None:
            hello, goodbye = status_message(self._topics, ONLINE), status_message(self._topics, STOPPED)
            self._publisher = Publisher(
                outbox, link, clock, metrics, hello=hello, goodbye=goodbye, on_message=self._inbox.receive
            )
            description, removals = introduce(site, outbox)
            self._publisher.announce(description)
            self._append(removals, {}, (), None)

    def resume(self) -> list[Event]:
        """End the events that a killed process left open, and publish every label's state; the events ended.

        Call it once, before the first `publish_events`.
        """
        left = [event for value in self._outbox.open_events().values() if (event := opened.unpack(value)) is not None]
        unreadable = set(self._outbox.open_events()) - {event.id for event, _ in left}
        ends = [opened.ended(event, self._clock.wall_ns()) for event, _ in left]
        states = [
            state_message(self._topics, camera, label, on=False)
            for camera, labels in self._site.cameras.items()
            for label in labels
        ]
        with self._lock:
            self._append(states, {}, unreadable, None)
            self._open = {event.id: (event, seq) for event, seq in left}
        self.publish_events(ends)
        return ends

    def publish_events(self, events: Sequence[Event], media_end_ns: int | None = None) -> None:
        """Put events on the way: on disk when this returns. Events of a disarmed camera are left out.

        ``media_end_ns``: local time of the last media of the window they came from, for the latency metric.
        """
        messages: list[Message] = []
        note: dict[str, bytes] = {}
        closed: list[str] = []
        lines: list[dict[str, Any]] = []
        with self._lock:
            for event in events:
                if not self._admit(event):
                    continue
                seq = self._number(event)
                messages += event_messages(self._topics, event, self._site.model, seq, self._others_open(event))
                if event.phase is Phase.END:
                    closed.append(event.id)
                    note.pop(event.id, None)
                else:
                    note[event.id] = opened.pack(event, seq)
                lines.append(event_payload(event, self._topics.site, self._topics.node, self._site.model, seq))
            if messages:
                self._append(messages, note, closed, media_end_ns)
            if self._jsonl is not None:  # after the outbox: what a line tells is already safe
                for line in lines:
                    self._jsonl.write(line)

    def publish_scores(self, scores: Iterable[Scores]) -> None:
        """Scores for plotting: at most one a second and camera, lost while the broker is away."""
        if self._publisher is None:
            return
        for s in scores:
            if self._limit.admit(s.camera, s.t_end_ns):
                self._publisher.send(score_message(self._topics, s, self._clock.wall_ns()))

    def publish_health(self, facts: Sequence[CameraFacts], info: NodeInfo) -> None:
        """The node and its cameras, retained."""
        if self._publisher is not None:
            self._publisher.announce([health_message(self._topics, info, facts, self._clock.wall_ns())])

    def publish_thresholds(self, thresholds: Iterable[Threshold]) -> None:
        """What is in force, retained; together with each camera's arming."""
        if self._publisher is not None:
            self._publisher.announce(threshold_messages(self._topics, thresholds, dict(self._inbox.armed)))

    def poll_commands(self) -> list[Command]:
        """Commands since the last call; answer each with `accept` or `refuse`."""
        return self._inbox.poll()

    def accept(self, command: Command, reason: str = "done") -> None:
        """Keep what the command changed over restarts, apply arming, and answer."""
        with contextlib.suppress(SinkError):
            self._inbox.accept(command, reason)

    def refuse(self, command: Command, reason: str) -> None:
        """Answer a command that cannot be obeyed."""
        self._inbox.refuse(command, reason)

    def overrides(self) -> list[SetThreshold | SetArmed]:
        """What accepted commands changed, now and in earlier runs, for cameras and labels that still exist."""
        return self._inbox.overrides()

    def is_armed(self, camera: str) -> bool:
        """Whether the camera's events are published."""
        return self._inbox.armed.get(camera, True)

    @property
    def connected(self) -> bool:
        """Whether the broker is there; True without a broker in the configuration."""
        return self._publisher is None or self._publisher.connected

    @property
    def trouble(self) -> str:
        """What is wrong with the broker or the disk, as a sentence; empty when nothing is."""
        return self._outbox.trouble or ("" if self._publisher is None else self._publisher.trouble)

    @property
    def depth(self) -> int:
        """Messages that wait for the broker."""
        return self._outbox.depth

    def start(self) -> None:
        """Start the publisher's thread. A bug in it lands in ``fault``."""
        if self._publisher is not None:
            self._thread = threading.Thread(target=self._run, name="publish", daemon=True)
            self._thread.start()

    def stop(self, drain_s: float = 3.0) -> bool:
        """Send what waits for at most ``drain_s``, say goodbye and close; whether nothing is left on the disk."""
        self._stop.set()
        empty = True
        if self._publisher is not None:
            self._publisher.nudge()
            if self._thread is not None:
                self._thread.join(drain_s + 1.0)
            if self._thread is None or not self._thread.is_alive():
                empty = self._publisher.drain(drain_s)
            else:
                empty = False
                log.warning("the broker connection hangs; what waits stays on the disk for the next start")
        if self._jsonl is not None:
            self._jsonl.close()
        self._outbox.close()
        return empty

    def _run(self) -> None:
        assert self._publisher is not None
        try:
            self._publisher.run(self._stop)
        except Exception as error:
            self.fault = error
            log.exception("bug in the publisher")

    def _send(self, message: Message, correlation: bytes | None) -> None:
        if self._publisher is not None:
            self._publisher.send(message, correlation)

    def _on_birth(self) -> None:
        if self._publisher is not None:
            self._publisher.announce_again()

    def _admit(self, event: Event) -> bool:
        return event.id in self._open or (
            event.phase is not Phase.END and (event.kind is Kind.HEALTH or self.is_armed(event.camera))
        )

    def _number(self, event: Event) -> int:
        seq = self._open[event.id][1] + 1 if event.id in self._open else 0
        if event.phase is Phase.END:
            self._open.pop(event.id, None)
        else:
            self._open[event.id] = (event, seq)
        return seq

    def _others_open(self, event: Event) -> bool:
        return any(
            other.id != event.id and (other.camera, other.label) == (event.camera, event.label)
            for other, _ in self._open.values()
        )

    def _append(
        self, messages: list[Message], note: dict[str, bytes], closed: Iterable[str], media_end_ns: int | None
    ) -> None:
        try:
            seqs = self._outbox.append(messages if self._publisher else [], opened=note, closed=closed)
        except SinkError:  # the outbox logs it, holds it, and it goes out all the same
            seqs = []
        if self._publisher is not None:
            self._publisher.nudge({} if media_end_ns is None else dict.fromkeys(seqs, media_end_ns))
