"""A box in the simulation: the node's own parts on a clock, a disk, a broker and cameras that do what they are told.

The parts are those of `edge run`, one after another on one thread: a turn of the engine, of the outbox, of evidence, of
the file worker, of the publisher. A process may end in the middle of any of them; the next `start` is the next process.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from delivery_oracle import BrokenPromiseError, DeliveryOracle
from fault_disk import FaultDisk
from simulated_broker import SimulatedBroker, connection_class
from simulated_cameras import SimulatedCamera, SimulatedModel, SimulatedSource

from edge.config import load
from edge.engine.manifest import ModelFolder
from edge.evidence.archive.records import EventQuery
from edge.metrics import Metrics
from edge.node import daemon
from edge.node.daemon import Daemon
from edge.pipeline import StepResult
from edge.publish.outbox import Outbox
from edge.types import NS_PER_S, Message, nanoseconds

YEAR_NS = 365 * 86_400 * NS_PER_S
BEGAN_WALL_NS = 1_790_000_000 * NS_PER_S
CONFIG = """\
node: {{id: box, site: simulated, data_dir: {data}}}
model: {{runtime: onnx}}
mqtt: {{url: "mqtt://127.0.0.1:1", home_assistant: true}}
cameras:
  gate: {{source: {{type: rtsp, url: "rtsp://127.0.0.1/gate"}}}}
  yard: {{source: {{type: rtsp, url: "rtsp://127.0.0.1/yard"}}}}
evidence: {{keep_free_gb: 0, keep_gb: 0.05, before_s: 1, after_s: 1}}
events: {{defaults: {{enter: {enter}, min_s: 0.5, cooldown_s: 1, most_per_hour: 3600}}}}
"""


class BoxClock:
    """One box's time. ``true_ns`` goes on; the monotonic clock begins anew at each boot, the wall clock may step."""

    def __init__(self) -> None:
        self.true_ns = NS_PER_S
        self.boot_ns = 0
        self.wall_offset_ns = BEGAN_WALL_NS

    def mono_ns(self) -> int:
        return self.true_ns - self.boot_ns

    def wall_ns(self) -> int:
        return self.true_ns + self.wall_offset_ns

    def processor_ns(self) -> int:
        return 0

    def wait(self, cancel: threading.Event, timeout_s: float) -> bool:
        if not cancel.is_set():
            self.true_ns += nanoseconds(max(0.0, timeout_s))
        return cancel.is_set()


class SimulatedBox:
    """Disk, clock, broker and cameras of one box, and the process that runs on it. ``folder`` is empty."""

    def __init__(self, folder: Path, model: ModelFolder, seed: int) -> None:
        self.data = folder / "data"
        self.data.mkdir()
        self.config = folder / "config.yaml"
        self._saves = 0
        self.write_config("0.6")
        self.clock, self.broker, self.oracle = BoxClock(), SimulatedBroker(), DeliveryOracle()
        self.disk = FaultDisk(self.data, seed)
        self.cameras: dict[str, SimulatedCamera] = {}
        self.disk_hangs = self.disk_is_bad = False
        self.scored: Counter[str] = Counter()
        self.starts = 0
        self._model = model
        self._node: Daemon | None = None

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Put the simulation in the place of the network, the cameras and the model."""
        append = Outbox.append

        def noted_append(outbox: Outbox, messages: list[Message], **notes: object) -> list[int]:
            if not self.disk.is_dead:
                self.oracle.note_appended(messages)
            return append(outbox, messages, **notes)  # type: ignore[arg-type]

        connection = connection_class(lambda: self.broker, lambda: not self.disk.is_dead)
        with (
            mock.patch("edge.publish.mqtt.MqttConnection", connection),
            mock.patch("edge.node.inputs.open_source", lambda name, *_more: SimulatedSource(name)),
            mock.patch("edge.node.inputs.SourceSupervisor", self._camera),
            mock.patch.object(daemon, "Model", SimulatedModel),
            mock.patch.object(Outbox, "append", noted_append),
        ):
            yield

    @property
    def is_running(self) -> bool:
        """Whether a process runs."""
        return self._node is not None

    @property
    def node(self) -> Daemon:
        """The running process."""
        assert self._node is not None
        return self._node

    def write_config(self, enter: str) -> None:
        """Save the configuration with another threshold, or with nonsense."""
        self.config.write_text(CONFIG.format(data=self.data, enter=enter), encoding="utf-8")
        self._saves += 1
        os.utime(self.config, ns=(self._saves, self._saves))  # each save is seen, however soon after the last

    def start(self) -> bool:
        """Begin a process; whether it lived to its first turn."""
        self.starts += 1
        self.cameras = {}
        try:
            node = daemon.assemble(load(self.config), self._model, self.clock, None, Metrics())
            node.context.outputs.observers.append(self._count)
            self._node = node
            node.context.engine.open()
        except Exception:
            if not self.disk.is_dead:
                raise
        return not self.disk.is_dead

    def turn(self) -> None:
        """One turn of every part; afterwards the process may have ended (``disk.is_dead``)."""
        context, before = self.node.context, self.disk.calls
        context.engine.turn()
        if self.disk.calls != before:
            raise BrokenPromiseError("the engine's turn touched the disk")
        parts: list[Callable[[], object]] = [] if self.disk_hangs else [self._flush, self._evidence, context.files.step]
        for part in (*parts, self._publish, self.node.commands.poll):
            if self.disk.is_dead:
                return
            part()

    def abandon(self, *, disk_is_damaged: bool = False) -> None:
        """The process has ended; nothing of it is left but what the disk and the broker have."""
        self.disk.die()
        self.oracle.note_end_of_process(self.broker.received, disk_is_damaged=disk_is_damaged)
        self.broker.drop_connection()
        if self._node is not None:
            self._close(self._node)
        self._node = None

    def stop(self) -> None:
        """End the process as SIGTERM does."""
        context = self.node.context
        context.engine.finish()
        context.files.step()
        if context.evidence is not None:
            context.evidence.finish()
        self._flush()
        self._close(self.node, drain_s=3.0)
        self.oracle.note_end_of_process(self.broker.received)
        self.broker.drop_connection(tell_will=False)
        self._node = None

    def flush_and_publish(self) -> None:
        """Turns of all parts but the engine, which has ended."""
        self._flush()
        self._evidence()
        self._flush()
        self._publish()

    def hop_s(self, camera: str) -> float:
        """How often the camera is looked at now."""
        return self.node.context.buffers[camera].schedule.hop_s

    def rows(self) -> dict[str, bool]:
        """Every event that the store has, and whether it has an end."""
        evidence = self.node.context.evidence
        assert evidence is not None
        found = evidence.store.find(EventQuery(limit=100_000))
        return {hit.record.id: hit.record.end_ns is not None for hit in found}

    def _camera(self, source: SimulatedSource, *args: object, **more: object) -> SimulatedCamera:
        self.cameras[source.name] = camera = SimulatedCamera(source, *args, **more)  # type: ignore[arg-type]
        return camera

    def _count(self, step: StepResult) -> None:
        self.scored.update(scores.camera for scores in step.scores)

    def _flush(self) -> None:
        if self.node.context.outputs.publisher.flush() and not self.disk.is_dead:
            self.oracle.note_on_disk()

    def _evidence(self) -> None:
        evidence = self.node.context.evidence
        if evidence is not None:
            evidence.step()

    def _publish(self) -> None:
        publisher = self.node.context.outputs.publisher.publisher
        assert publisher is not None
        publisher.step()
        publisher.step()

    def _close(self, node: Daemon, drain_s: float = 0.0) -> None:
        """Close the files. Of a process that is gone, nothing more reaches disk or broker."""
        node.context.outputs.close(drain_s)
        if node.context.evidence is not None:
            node.context.evidence.close()
