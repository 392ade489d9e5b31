"""The node's interface for publishing: events, scores, health and thresholds out; commands and sensor readings in.

`open_publisher` builds it from the configuration. Methods may be called from any thread. Only `flush` and `stop` wait
for a disk: published messages are in memory when the other methods return. The thread ``outbox`` writes them at once,
``publish`` sends them, ``jsonl`` writes the lines.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.config import LoadedConfig
from edge.metrics import Metrics
from edge.publish import event_phases
from edge.publish.commands import Command, IncomingMessage, SetArmed, SetThreshold
from edge.publish.connection import BrokerConnection
from edge.publish.discovery import birth_topic, device_announcement, state_messages
from edge.publish.event_phases import EventPhases, OutgoingBatch, UnrecordedEvents
from edge.publish.evidence import digest_message, snapshot_message
from edge.publish.evidence_urls import evidence_urls
from edge.publish.frigate import FrigateEvents, available_message, frigate_topics
from edge.publish.health_payloads import NodeInfo
from edge.publish.inbox import CommandInbox
from edge.publish.outbox import Outbox
from edge.publish.publisher import Publisher
from edge.publish.topics import (
    OFFLINE,
    ONLINE,
    STOPPED,
    NodeDescription,
    ScoreRateLimiter,
    ThresholdState,
    Topics,
    health_message,
    held_back_message,
    score_message,
    status_message,
    threshold_messages,
)
from edge.publish.writer import DiskWriter, JsonLinesSink
from edge.status import CameraStatus, HeldBack
from edge.threads import ThreadGroup
from edge.types import Event, EvidenceFiles, Message, Scores

log = logging.getLogger(__name__)


def open_publisher(
    loaded: LoadedConfig,
    clock: Clock,
    metrics: Metrics,
    *,
    version: str,
    model: str,
    cameras: Mapping[str, Collection[str]],
    thresholds: Collection[str],
    sensor_topics: Collection[str] = (),
    on_sensor: Callable[[IncomingMessage], None] | None = None,
) -> EventPublisher:
    """The publisher that the configuration describes, not started; connects only when started.

    ``cameras``: all labels by camera, health labels included; ``thresholds``: the labels with a threshold.
    InputError when another process holds the outbox, or the path of the JSON lines or the password file is wrong. A
    failing disk is reported as `EventPublisher.trouble`.
    """
    config = loaded.config
    topics = Topics(config.node.site, config.node.id)
    mqtt = config.mqtt
    prefix = mqtt.home_assistant_prefix if mqtt is not None and mqtt.home_assistant else None
    frigate = frigate_topics(config)
    site = NodeDescription(topics, version, model, cameras, thresholds, prefix, frigate, evidence_urls(config))
    link: BrokerConnection | None = None
    if mqtt is not None:
        from edge.publish.broker_login import broker_login
        from edge.publish.mqtt import MqttConnection

        filters = [*topics.commands, *sorted(set(sensor_topics)), *([birth_topic(prefix)] if prefix else [])]
        filters += [] if frigate is None else frigate.filters
        will = status_message(topics, OFFLINE)
        client_id = f"edge-{topics.site}-{topics.node}"
        link = MqttConnection(
            broker_login(loaded), client_id, clock, will=will, filters=filters, renew=lambda: broker_login(loaded)
        )
    jsonl = None
    if config.jsonl is not None:
        path = config.jsonl.path
        jsonl = JsonLinesSink(path if path == "-" else loaded.resolve(Path(path)))
    outbox = Outbox(loaded.resolve(config.node.data_dir) / "outbox.db", clock, metrics)
    records = config.evidence is not None
    return EventPublisher(site, outbox, clock, metrics, link=link, jsonl=jsonl, on_sensor=on_sensor, records=records)


class EventPublisher:
    """Publishes through the outbox and the link; without a link (mqtt: null) only to JSON lines.

    ``records``: events get rows in the event store, confirmed by `recorded`; until then the outbox keeps them.
    ``on_sensor`` gets messages that are no commands, on the publisher's thread; it must not raise. Before `start` only
    `flush` writes.
    """

    def __init__(
        self,
        site: NodeDescription,
        outbox: Outbox,
        clock: Clock,
        metrics: Metrics,
        *,
        link: BrokerConnection | None = None,
        jsonl: JsonLinesSink | None = None,
        on_sensor: Callable[[IncomingMessage], None] | None = None,
        records: bool = False,
    ) -> None:
        self.description, self._topics = site, site.topics
        self._outbox, self._clock, self._metrics = outbox, clock, metrics
        self._limit = ScoreRateLimiter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = ThreadGroup(clock, lambda: None)
        self._writer = DiskWriter(outbox, jsonl, clock, self._flushed)
        self._is_resumed = outbox.is_read
        self._inbox = CommandInbox(site, outbox, clock, send=self._send, on_birth=self._on_birth, on_message=on_sensor)
        self._frigate = None if site.frigate is None else FrigateEvents(site.frigate)
        self._events = EventPhases(self._topics, site.model, site.links, self._frigate, outbox.saved())
        self._unrecorded = UnrecordedEvents(outbox.saved()) if records else None
        self.publisher: Publisher | None = None
        """The broker's publisher; None without a broker."""
        if link is not None:
            hello, goodbye = status_message(self._topics, ONLINE), status_message(self._topics, STOPPED)
            self.publisher = Publisher(
                outbox, link, clock, metrics, hello=hello, goodbye=goodbye, on_message=self._inbox.receive
            )
            if site.frigate is not None:
                self.publisher.announce([available_message(site.frigate, ONLINE)])
            self._announce_device()

    @property
    def unrecorded(self) -> list[Event]:
        """Published events whose newest phase is not `recorded`, including those of earlier runs."""
        with self._lock:
            return [] if self._unrecorded is None else self._unrecorded.events

    def recorded(self, events: Sequence[Event]) -> None:
        """Note that these phases have their rows on disk."""
        with self._lock:
            if self._unrecorded is not None:
                self._append(OutgoingBatch(saved=self._unrecorded.recorded(events)))

    def resume(self) -> list[Event]:
        """End the events that a killed process left open, and publish every label's state; the events ended.

        Call it once, before the first `publish_events`.
        """
        left, unreadable = self._events.resume(self._outbox.open_events(), self._clock.wall_ns())
        with self._lock:
            self._publish_states(all_of_them=True, closed=unreadable)
        ends = [event_phases.end_at_restart(event, self._clock.wall_ns()) for event in left]
        self.publish_events(ends)
        return ends

    def describe(self, cameras: Mapping[str, Collection[str]], thresholds: Collection[str]) -> None:
        """Apply a live change of cameras and labels: describe the device again, accept commands for new labels,
        publish their states, and clear those of removed ones. End the events of removed labels before.
        """
        with self._lock:
            self.description = replace(self.description, cameras=cameras, thresholds=thresholds)
            self._inbox.describe(self.description)
            self._announce_device()
            self._publish_states(all_of_them=False)

    def publish_events(self, events: Sequence[Event], ready_ns: int | None = None, infer_ns: int = 0) -> None:
        """Publish events. The detector, not this method, honours disarmed cameras.

        For the latency metrics: ``ready_ns`` is when the last media of the events' window arrived, ``infer_ns`` the
        model's own time.
        """
        with self._lock:
            out = self._events.messages(events)
            if self._unrecorded is not None:
                out.saved.update(self._unrecorded.note(events))
            if out.messages:
                self._append(out, ready_ns, infer_ns)
            self._writer.write_lines(out.lines)

    def publish_evidence(self, kept: EvidenceFiles, snapshot: bytes | None = None) -> None:
        """Publish the evidence of an event so far, and its picture as a JPEG."""
        with self._lock:
            self._append(self._events.evidence_messages(kept, snapshot))

    def publish_snapshot(self, camera: str, jpeg: bytes) -> None:
        """Publish a new picture on the camera's snapshot topic, as the answer to `TakeSnapshot`."""
        with self._lock:
            self._append(OutgoingBatch([snapshot_message(self._topics, camera, jpeg)]))

    def publish_digest(self, payload: Mapping[str, Any]) -> None:
        """Publish the digest of a day, retained."""
        with self._lock:
            self._append(OutgoingBatch([digest_message(self._topics, payload)]))

    def publish_scores(self, scores: Iterable[Scores]) -> None:
        """Publish scores for plotting: at most one per second and camera; lost while the broker is away."""
        if self.publisher is None:
            return
        for s in scores:
            if self._limit.allow(s.camera, s.t_end_ns):
                self.publisher.send(score_message(self._topics, s, self._clock.wall_ns()))

    def publish_health(self, facts: Sequence[CameraStatus], info: NodeInfo, held: Sequence[HeldBack] = ()) -> None:
        """Publish the health of the node and its cameras, retained."""
        if self.publisher is not None:
            self.publisher.announce([health_message(self._topics, info, facts, self._clock.wall_ns(), held)])

    def publish_held_back(self, cameras: Iterable[str], held: Sequence[HeldBack]) -> None:
        """Publish what is held back of ``cameras``, retained."""
        if self.publisher is not None:
            self.publisher.announce([held_back_message(self._topics, camera, held) for camera in cameras])

    def publish_thresholds(self, thresholds: Iterable[ThresholdState]) -> None:
        """Publish the thresholds in force and each camera's arming, retained."""
        if self.publisher is not None:
            armed = dict(self._inbox.armed)
            self.publisher.announce(threshold_messages(self._topics, thresholds, armed))
            if self.description.frigate is not None:
                self.publisher.announce(self.description.frigate.switches(armed))

    def poll_commands(self) -> list[Command]:
        """Commands since the last call; answer each with `accept` or `refuse`."""
        return self._inbox.poll()

    def accept(self, command: Command, reason: str = "done") -> None:
        """Save the command's change over restarts, apply arming, and answer."""
        self._inbox.accept(command, reason)

    def refuse(self, command: Command, reason: str) -> None:
        """Answer a command that cannot be carried out."""
        self._inbox.refuse(command, reason)

    def overrides(self) -> list[SetThreshold | SetArmed]:
        """Changes by accepted commands, now and in earlier runs, for cameras and labels that still exist."""
        return self._inbox.overrides()

    def is_armed(self, camera: str) -> bool:
        """Whether the camera is armed, by the commands so far."""
        return self._inbox.armed.get(camera, True)

    @property
    def fault(self) -> BaseException | None:
        """The bug that ended a thread, if one did."""
        return self._threads.failure

    @property
    def connected(self) -> bool:
        """Whether the broker is connected; True when no broker is configured."""
        return self.publisher is None or self.publisher.connected

    @property
    def trouble(self) -> str:
        """What is wrong with the broker or the disk, as a sentence; empty when all is well."""
        return self._outbox.trouble or ("" if self.publisher is None else self.publisher.trouble)

    @property
    def depth(self) -> int:
        """The number of messages that wait for the broker."""
        return self._outbox.depth

    @property
    def disk_trouble(self) -> str:
        """What is wrong with the outbox's disk, as a sentence; empty when all is well."""
        return self._outbox.trouble

    def flush(self) -> bool:
        """Write what waits for the disk, on the calling thread; whether all of it is on disk."""
        return self._writer.flush()

    def start(self) -> None:
        """Start the threads. A bug in one is reported by ``fault``."""
        self._writer.start(self._threads)
        if self.publisher is not None:
            publisher = self.publisher
            self._threads.start("publish", lambda _cancel: publisher.run(self._stop))

    def stop(self, drain_s: float = 3.0) -> bool:
        """Send what waits for at most ``drain_s``, disconnect and close; whether nothing is left on disk."""
        self._stop.set()
        empty = self.publisher is None or self._drain(self.publisher, drain_s)
        self._writer.stop(self._threads, drain_s)
        return empty

    def _drain(self, publisher: Publisher, drain_s: float) -> bool:
        publisher.nudge()
        if not self._threads.has_ended("publish", drain_s + 1.0):
            log.warning("the broker connection hangs; what waits stays on the disk for the next start")
            return False
        if self.description.frigate is not None:
            publisher.announce([available_message(self.description.frigate, OFFLINE)])
        return publisher.drain(drain_s)

    def _flushed(self) -> None:
        """Wake the publisher after a flush: messages that are now on disk may be sent."""
        if not self._is_resumed and self._outbox.is_read:
            self._is_resumed = True
            self._resume_late()
        if self.publisher is not None:
            self.publisher.nudge()

    def _resume_late(self) -> None:
        """End the open events of an earlier run whose outbox could not be read at the start, but can be now."""
        log.warning("%s is read only now: restart, so that the thresholds and arming set in it hold", self._outbox.path)
        with self._lock:
            left, _ = self._events.resume(self._outbox.open_events(), self._clock.wall_ns())
        self.publish_events([event_phases.end_at_restart(event, self._clock.wall_ns()) for event in left])

    def _send(self, message: Message, correlation: bytes | None) -> None:
        if self.publisher is not None:
            self.publisher.send(message, correlation)

    def _on_birth(self) -> None:
        if self.publisher is not None:
            self.publisher.announce_again()

    def _announce_device(self) -> None:
        if self.publisher is not None:
            description, removals = device_announcement(self.description, self._outbox)
            self.publisher.announce(description)
            self._append(OutgoingBatch(removals))

    def _publish_states(self, *, all_of_them: bool, closed: Collection[str] = ()) -> None:
        messages, cleared, note = state_messages(self.description, self._outbox, all_of_them=all_of_them)
        if self._frigate is not None:
            messages += self._frigate.states(self.description.cameras)
        self._append(OutgoingBatch(messages, closed=list(closed), saved=dict(note)))
        if self.publisher is not None:
            self.publisher.announce(cleared)

    def _append(self, out: OutgoingBatch, ready_ns: int | None = None, infer_ns: int = 0) -> None:
        seqs = self._outbox.append(
            out.messages if self.publisher else [], opened=out.opened, closed=out.closed, saved=out.saved
        )
        if self.publisher is not None:
            self.publisher.nudge({} if ready_ns is None else dict.fromkeys(seqs, ready_ns), infer_ns)
