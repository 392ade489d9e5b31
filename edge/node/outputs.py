"""Outputs of the node: events, scores, health and thresholds to the publisher, metrics over HTTP, embedded broker.

Also reports what is held back: as a state of each camera, and in the log when it begins.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from edge import __version__
from edge.buffer.attention import EngineLoad
from edge.clock import Clock
from edge.config import LoadedConfig
from edge.config.values import split_listen
from edge.detect.health import HEALTH_LABELS
from edge.detect.thresholds import EffectiveThreshold
from edge.engine.manifest import Manifest
from edge.errors import InputError
from edge.metrics import Metrics
from edge.pipeline import StepResult
from edge.publish.commands import IncomingMessage
from edge.publish.facade import EventPublisher, open_publisher
from edge.publish.health_payloads import LoadPayload, NodeInfo
from edge.publish.topics import ThresholdState
from edge.status import CameraStatus, HeldBack, HoldReason
from edge.types import NS_PER_S, seconds

log = logging.getLogger(__name__)
EVERY_NS = 5 * NS_PER_S
LOG_EVERY_NS = 3600 * NS_PER_S
_EXPLANATIONS = {
    HoldReason.LOW_COVERAGE: "too little picture or sound is there to tell",
    HoldReason.NOT_AGREED: "picture and sound do not agree (agree)",
    HoldReason.OUTSIDE_ZONE: "nothing is where the rule wants it (zones, lines)",
    HoldReason.OUTSIDE_SCHEDULE: "it is outside of the rule's hours (schedule)",
    HoldReason.DISARMED: "the camera is disarmed",
    HoldReason.COOLDOWN: "one has ended only just now (cooldown_s)",
    HoldReason.RATE_LIMITED: "it repeats what was reported often enough in the last hour (most_per_hour)",
}


class HeldBackReporter:
    """Reports scores that are held back. ``publish(cameras, held)`` is called for cameras whose state changed, for
    each at most every five seconds. Each camera's label and reason is logged at most once an hour; an event that only
    waits for its minimum duration is not."""

    def __init__(self, cameras: Sequence[str], publish: Callable[[Sequence[str], Sequence[HeldBack]], None]) -> None:
        self._cameras, self._publish = tuple(cameras), publish
        self._published: dict[str, object] = {}
        self._next_ns: dict[str, int] = {}
        self._logged_ns: dict[tuple[str, str, HoldReason], int] = {}

    def report(self, held: Sequence[HeldBack], now_ns: int) -> None:
        """Process everything that is held back at local time ``now_ns``."""
        self._log(held, now_ns)
        changed = []
        for camera in self._cameras:
            state = [(one.label, one.reason, dict(one.this_hour)) for one in held if one.camera == camera]
            if self._published.get(camera) != state and now_ns >= self._next_ns.get(camera, 0):
                self._published[camera], self._next_ns[camera] = state, now_ns + EVERY_NS
                changed.append(camera)
        if changed:
            self._publish(changed, held)

    def _log(self, held: Sequence[HeldBack], now_ns: int) -> None:
        for item in held:
            for reason in item.reasons & _EXPLANATIONS.keys():
                key = item.camera, item.label, reason
                before_ns = self._logged_ns.get(key)
                if before_ns is None or now_ns - before_ns >= LOG_EVERY_NS:
                    self._logged_ns[key] = now_ns
                    message = f"{item.label} is above its threshold of {item.enter:.2f} and no event"
                    log.info("%s: %s: %s", item.camera, message, _EXPLANATIONS[reason])


class NodeOutputs:
    """Everything that leaves the node. `deliver` is called on the engine thread, the rest on the main thread.

    Nothing here waits for a disk. ``labels`` are the names of all events of the scene. ``observers`` get every step
    after it was published. ``problems`` return what is wrong with a part of the node, by its name, or nothing.
    """

    HEALTH_EVERY_NS = 10 * NS_PER_S

    def __init__(
        self,
        loaded: LoadedConfig,
        manifest: Manifest,
        labels: Sequence[str],
        clock: Clock,
        metrics: Metrics,
        sensor_topics: Sequence[str],
        on_sensor: Callable[[IncomingMessage], None],
        disk_free: Callable[[], int | None],
    ) -> None:
        config = loaded.config
        self._clock = clock
        self._metrics = metrics
        self._disk_free = disk_free
        self._model = f"{manifest.name} {manifest.version}"
        self._started_ns = clock.mono_ns()
        self._health_ns = 0
        self._load: EngineLoad | None = None
        self._published_states: tuple[object, ...] = ()
        self.problems: dict[str, Callable[[], str]] = {}
        self._closers = ExitStack()
        self.runtime = ""
        self.observers: list[Callable[[StepResult], None]] = []
        if config.broker is not None:
            self._start_broker(config.broker.listen)
        if config.metrics is not None:
            self._serve_metrics(*split_listen(config.metrics.listen))
        self._labels = labels
        self._cameras = tuple(config.cameras)
        self.publisher: EventPublisher = open_publisher(
            loaded,
            clock,
            metrics,
            version=__version__,
            model=self._model,
            cameras=dict.fromkeys(config.cameras, (*labels, *HEALTH_LABELS)),
            thresholds=labels,
            sensor_topics=sensor_topics,
            on_sensor=on_sensor,
        )
        self._held_back = HeldBackReporter(self._cameras, self.publisher.publish_held_back)
        self.problems["outbox"] = lambda: self.publisher.disk_trouble

    def deliver(self, step: StepResult) -> None:
        """Publish a step's events, and its scores and status when they are due."""
        with self._metrics.stage("publish"):
            self._publish_step(step)
        for follow in self.observers:
            follow(step)

    def publish_thresholds(self, thresholds: Sequence[EffectiveThreshold]) -> None:
        """Publish the thresholds in force."""
        self.publisher.publish_thresholds(
            [ThresholdState(t.camera, t.label, t.enter, t.leave, t.origins["enter"].value) for t in thresholds]
        )

    def publish_labels(self, labels: Sequence[str]) -> None:
        """Publish which labels there are from now on, if that changed."""
        if list(labels) != list(self._labels):
            self._labels = labels
            self.publisher.describe(dict.fromkeys(self._cameras, (*labels, *HEALTH_LABELS)), labels)

    def details(self) -> dict[str, str]:
        """What is wrong, as a sentence by part of the node; empty when all is well."""
        return {name: text for name, problem in self.problems.items() if (text := problem())}

    @property
    def load(self) -> LoadPayload | None:
        """What the box is busy with; None before the first measurement."""
        load = self._load
        return None if load is None else LoadPayload(round(load.processor, 3), round(load.engine, 3))

    def close(self, drain_s: float) -> None:
        """Drain the outbox, disconnect from the broker, and stop what was started."""
        if not self.publisher.stop(drain_s):
            log.warning("not everything reached the broker; the rest waits on the disk for the next start")
        self._closers.close()

    def _publish_step(self, step: StepResult) -> None:
        if step.events:
            self.publisher.publish_events(step.events, step.ready_ns, step.infer_ns)
            for event in step.events:
                log.info("%s %s: %s", event.camera, event.phase.value, event.why)
        self.publisher.publish_scores(step.scores)
        if step.statuses:
            self._load = step.load
            self._held_back.report(step.held_back, self._clock.mono_ns())
            self._publish_health(step.statuses, step.held_back)

    def _publish_health(self, facts: Sequence[CameraStatus], held: Sequence[HeldBack]) -> None:
        now_ns = self._clock.mono_ns()
        details = self.details()
        states = (*(fact.state for fact in facts), *details)
        if states == self._published_states and now_ns < self._health_ns:
            return
        self._published_states, self._health_ns = states, now_ns + self.HEALTH_EVERY_NS
        self.publisher.publish_health(
            facts,
            NodeInfo(
                version=__version__,
                model=self._model,
                runtime=self.runtime,
                uptime_s=round(seconds(now_ns - self._started_ns), 1),
                disk_free_bytes=self._disk_free(),
                outbox_messages=self.publisher.depth,
                details=details,
                load=self.load,
            ),
            held,
        )

    def _start_broker(self, listen: str) -> None:
        from edge.publish.broker import EmbeddedBroker

        broker = EmbeddedBroker(listen)
        broker.start()
        self._closers.callback(broker.stop)

    def _serve_metrics(self, host: str, port: int) -> None:
        from prometheus_client import start_http_server

        try:
            server, _ = start_http_server(port, host, self._metrics.registry)
        except OSError as error:
            raise InputError(f"metrics.listen: {host}:{port} cannot be served ({error.strerror})") from error
        self._closers.callback(server.shutdown)
