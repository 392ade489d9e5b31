"""Inputs of the node: one supervised capture thread for each source, camera buffers, and sensor readings over MQTT."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from edge.buffer.camera import CameraBuffer
from edge.buffer.microphone import MicrophoneBuffer
from edge.capture.base import MediaSource, SourceOptions
from edge.capture.bursts import BurstTurn
from edge.capture.packet_sink import PcmPacketFeed
from edge.capture.registry import open_main_stream, open_microphone, open_source
from edge.capture.sensors import SensorParser
from edge.capture.supervisor import OpeningSlots, SourceSupervisor
from edge.capture.worker.messages import Opening
from edge.capture.worker.pool import WorkerPool, worker_count
from edge.capture.worker.source import WorkerDemand, WorkerSource
from edge.clock import Clock, core_count
from edge.config import LoadedConfig
from edge.config.models import duplicate_streams
from edge.config.sources import CameraConfig, CameraSourceConfig, FileSourceConfig, RtspSourceConfig
from edge.demand import PictureDemand
from edge.engine.manifest import Geometry
from edge.evidence.clips.packet_ring import PacketRing
from edge.media_time import MediaTime
from edge.metrics import Metrics
from edge.publish.commands import IncomingMessage
from edge.status import SourceState
from edge.threads import ThreadGroup
from edge.types import NS_PER_MS, U8, MediaItem, Rect

_log = logging.getLogger(__name__)

FAST_PREROLL_S = 600.0
FEW_CAMERAS = 8
FEW_BURST_NS, MANY_BURST_NS = 300 * NS_PER_MS, 400 * NS_PER_MS
OPENING_PER_CORE = 4
"""Sources that connect at a time, for each core."""
OPENED_PER_CORE_HZ = 1.0
"""Of many sources, how many begin to connect in a second, for each core."""


class NodeInputs:
    """Sources and buffers of all cameras. Built on the main thread; each source is read by its own thread."""

    def __init__(self, loaded: LoadedConfig, geometry: Geometry, clock: Clock, metrics: Metrics) -> None:
        self._loaded, self._geometry, self._clock, self._metrics = loaded, geometry, clock, metrics
        config = loaded.config
        for key, message in duplicate_streams(config):
            _log.warning("%s", loaded.fault(key, message))
        self._wake: Callable[[], None] = lambda: None
        self._supervisors: dict[str, SourceSupervisor] = {}
        spacing_s = 1 / (OPENED_PER_CORE_HZ * core_count())
        self._slots = OpeningSlots(clock, OPENING_PER_CORE * core_count(), spacing_s, self._is_behind)
        self._microphones = {name: MicrophoneBuffer(name, geometry, config.health) for name in config.microphones}
        self._microphone_rings = {name: self._packet_ring(own_axis=True) for name in config.microphones}
        for name, microphone in config.microphones.items():
            source = open_microphone(name, microphone, geometry, clock, metrics)
            self._supervisors[f"microphone:{name}"] = SourceSupervisor(
                source, self._microphone_push(name), clock, metrics, slots=self._slots
            )
        self.live: dict[str, bool] = {}
        self._burst_turn = BurstTurn()
        self._pool = self._open_pool()
        self.packet_rings: dict[str, PacketRing] = {}
        self.buffers = {name: self._open_camera(name, camera) for name, camera in config.cameras.items()}
        self._sensors = SensorParser(
            {name: camera.sensor_topics() for name, camera in config.cameras.items() if camera.sensors}, metrics
        )

    @property
    def sensor_topics(self) -> list[str]:
        """The topics to subscribe to."""
        return self._sensors.topics

    def on_sensor(self, incoming: IncomingMessage) -> None:
        """Hand a message of a sensor topic to the cameras that want it."""
        arrival_ns = incoming.arrival_ns or self._clock.mono_ns()
        for camera, reading in self._sensors.parse(incoming.topic, incoming.payload, arrival_ns):
            self.buffers[camera].push_sensor(reading)

    def start(self, group: ThreadGroup, wake: Callable[[], None]) -> None:
        """Start one capture thread for each source; ``wake`` is called when a window came due."""
        self._wake = wake
        for k, (name, supervisor) in enumerate(self._supervisors.items()):
            group.start(f"capture:{name}", self._delayed(supervisor, k * self._geometry.hop_s / len(self._supervisors)))

    def close(self) -> None:
        """Let every capture thread end soon."""
        for supervisor in self._supervisors.values():
            supervisor.close()
        for buffer in self.buffers.values():
            buffer.close()

    def close_workers(self) -> None:
        """End the capture workers; to be called when the capture threads have ended."""
        self._pool.close()

    def workers_ns(self) -> int:
        """Processor time of the capture workers so far."""
        return self._pool.processor_ns

    def state(self, camera: str) -> tuple[SourceState, str]:
        """The state of a camera's source, and a few words on it."""
        spec = self._loaded.config.cameras[camera]
        supervisor = self._supervisors[camera if spec.source is not None else f"microphone:{spec.microphone}"]
        return supervisor.state, supervisor.detail

    def picture(self, camera: str, taken: MediaTime | None) -> U8 | None:
        """The camera's picture u8[h,w,3] RGB as the model gets it, without the letterbox: the one taken at ``taken``,
        or the newest for None. Returns None when it is not in the ring."""
        copy = self.buffers[camera].newest_picture(taken)
        if copy is None or (taken is not None and copy.taken_at != taken):
            return None
        return without_letterbox(copy.image, copy.content)

    def all_ended(self) -> bool:
        """Whether every source is a recording that has ended."""
        return all(supervisor.state is SourceState.ENDED for supervisor in self._supervisors.values())

    def summary(self) -> str:
        """One line for users: how many sources are in which state."""
        counts = Counter(supervisor.state.value for supervisor in self._supervisors.values())
        return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))

    def _is_behind(self) -> bool:
        """Whether the capture of some camera lags, because the box does not get on."""
        return any(buffer.demand.lags for buffer in self.buffers.values())

    def _delayed(self, supervisor: SourceSupervisor, delay_s: float) -> Callable[[threading.Event], None]:
        """Spread the starts of sources over one hop, so that windows of recordings are not all due at once."""

        def run(cancel: threading.Event) -> None:
            if delay_s:
                self._clock.wait(cancel, delay_s)
            supervisor.run(cancel)

        return run

    def _microphone_push(self, name: str) -> Callable[[MediaItem], None]:
        """Where a microphone's sound goes: to its buffer, and to a packet ring when clips are kept."""
        push, ring = self._microphones[name].push, self._microphone_rings[name]
        if ring is None:
            return push
        feed = PcmPacketFeed(ring, self._geometry.audio.rate_hz)

        def both(item: MediaItem) -> None:
            push(item)
            feed.push(item)

        return both

    def _packet_ring(
        self, *, own_axis: bool = False, sound: PacketRing | None = None, is_fast: bool = False
    ) -> PacketRing | None:
        """A packet ring as configured; None when no clips are kept. ``is_fast``: for a recording that is read faster
        than real time, where evidence may lag further behind in media time."""
        evidence = self._loaded.config.evidence
        if evidence is None:
            return None
        before_s = evidence.before_s + (FAST_PREROLL_S if is_fast else 0.0)
        return PacketRing(before_s, round(evidence.ring_mb * 1e6), own_axis=own_axis, sound=sound)

    def _source_options(self, name: str, camera: CameraConfig) -> SourceOptions:
        """The packet ring and masks of a camera; its main stream is read by a thread of its own."""
        sound = self._microphone_rings.get(camera.microphone)
        is_fast = isinstance(camera.source, FileSourceConfig) and camera.source.pace == "fast"
        ring = sound
        if camera.source is not None:
            ring = self._packet_ring(own_axis=camera.record is not None, sound=sound, is_fast=is_fast)
        if ring is None:
            return SourceOptions(camera.privacy_masks)
        self.packet_rings[name] = ring
        options = SourceOptions(camera.privacy_masks, ring, keep_sound=camera.microphone == "stream")
        if camera.record is None:
            return options
        self._supervisors[f"main:{name}"] = SourceSupervisor(
            self._open_main_stream(name, camera.record, options),
            lambda _item: None,
            self._clock,
            self._metrics,
            slots=self._slots,
        )
        return SourceOptions(camera.privacy_masks)

    def _open_pool(self) -> WorkerPool:
        """The capture workers for this configuration's network cameras, which may be none."""
        config = self._loaded.config
        cameras = sum(isinstance(camera.source, RtspSourceConfig) for camera in config.cameras.values())
        wanted = config.node.capture_workers
        count = worker_count(None if wanted == "auto" else wanted, cameras, core_count())
        if count:
            _log.info("network cameras: %d, read by capture workers: %d", cameras, count)
        return WorkerPool(count)

    def _open_main_stream(self, name: str, config: RtspSourceConfig, options: SourceOptions) -> MediaSource:
        if self._pool.is_used:
            return self._open_in_worker(f"{name}:main", config, options, is_main=True)
        return open_main_stream(name, config, self._geometry, self._clock, self._metrics, options)

    def _open_in_worker(
        self, name: str, config: RtspSourceConfig, options: SourceOptions, *, is_main: bool = False
    ) -> MediaSource:
        """A network camera, or its main stream, that a capture worker reads."""
        opening = Opening(
            name,
            config,
            self._geometry,
            options.masks,
            keep_sound=options.keep_sound,
            has_sink=options.packet_sink is not None,
            on_demand=options.demand is not None,
            is_main=is_main,
            burst_ns=options.burst_ns,
        )
        demand = options.demand if isinstance(options.demand, WorkerDemand) else None
        self._pool.add(name)
        return WorkerSource(opening, self._pool, self._metrics, demand, options.packet_sink)

    def _demand(self, camera: CameraConfig) -> PictureDemand | None:
        """The demand for a camera's pictures; None where all are decoded."""
        if not camera.decodes_on_demand:
            return None
        in_worker = self._pool.is_used and isinstance(camera.source, RtspSourceConfig)
        return WorkerDemand() if in_worker else PictureDemand()

    def _open_source(self, name: str, config: CameraSourceConfig, options: SourceOptions) -> MediaSource:
        if self._pool.is_used and isinstance(config, RtspSourceConfig):
            return self._open_in_worker(name, config, options)
        base = self._loaded.path.parent
        return open_source(name, config, self._geometry, self._clock, self._metrics, base, options)

    def _open_camera(self, name: str, camera: CameraConfig) -> CameraBuffer:
        config = self._loaded.config
        source = None
        options = self._source_options(name, camera)
        ring = self.packet_rings.get(name)
        demand = self._demand(camera)
        if demand is not None:
            options = replace(options, demand=demand, burst_ns=self._burst_ns(camera), burst_turn=self._burst_turn)
        if camera.source is not None:
            source = self._open_source(name, camera.source, options)
        self.live[name] = source is None or source.live
        buffer = CameraBuffer(
            name,
            self._geometry,
            self._clock,
            config.windows,
            config.health,
            self._metrics,
            live=self.live[name],
            video=source is not None,
            audio=camera.microphone != "none",
            microphone=self._microphones.get(camera.microphone),
            sensors={channel: topic.stale_s for channel, topic in camera.sensor_topics().items()},
            wake=self._wake_engine,
            on_epoch=ring.start_epoch if ring is not None else None,
            demand=demand,
        )
        if source is not None:
            self._supervisors[name] = SourceSupervisor(
                source,
                buffer.push,
                self._clock,
                self._metrics,
                opened=lambda video, audio: buffer.expect(video=video, audio=audio),
                ended=buffer.finish,
                slots=self._slots,
            )
        return buffer

    def _burst_ns(self, camera: CameraConfig) -> int:
        """How long a quiet camera's packets may gather: longer with many cameras; not at all where they would be lost
        (UDP) or nothing waits (a recording that is read as fast as it goes)."""
        match camera.source:
            case FileSourceConfig(pace="fast"):
                return 0
            case RtspSourceConfig(transport="udp"):
                return 0
        return FEW_BURST_NS if len(self._loaded.config.cameras) <= FEW_CAMERAS else MANY_BURST_NS

    def _wake_engine(self) -> None:
        self._wake()


def without_letterbox(image: U8, content: Rect) -> U8:
    """The camera's own picture, without the bars of the model's canvas."""
    height, width = image.shape[:2]
    x1, x2 = round(content[0] * width), round(content[2] * width)
    y1, y2 = round(content[1] * height), round(content[3] * height)
    return image[y1:y2, x1:x2] if x2 > x1 and y2 > y1 else image
