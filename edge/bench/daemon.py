"""One daemon under measurement: its configuration, its broker, and one look at it.

The daemon's own `/metrics` page, as numbers.
"""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from edge.bench.capacity import DECODING, ENGINE
from edge.bench.machine import MachineLoad, ProcessorTimes, machine_load
from edge.bench.processes import MeasuredProgram, ProcessUsage, free_mb, free_port, module_command, now_s, pause
from edge.bench.stopwatch import time_by_stage
from edge.errors import InputError, RuntimeUnavailable


class MetricsScrape:
    """One reading of a ``/metrics`` page."""

    def __init__(self, text: str) -> None:
        self._samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    @classmethod
    def of(cls, port: int) -> MetricsScrape:
        """Read the page of the daemon that listens there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return cls(answer.read().decode())

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all label values that match."""
        return sum(s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items())

    def by(self, name: str, label: str) -> dict[str, float]:
        """The sums of a metric by the values of one label."""
        sums: dict[str, float] = {}
        for s in self._samples:
            if s.name == name and label in s.labels:
                sums[s.labels[label]] = sums.get(s.labels[label], 0.0) + s.value
        return sums

    def delta(self, before: MetricsScrape, name: str, label: str) -> dict[str, float]:
        """By how much `by` has grown since ``before`` was read."""
        earlier = before.by(name, label)
        return {value: n - earlier.get(value, 0.0) for value, n in self.by(name, label).items()}

    def labels(self, name: str) -> dict[str, str]:
        """The labels of the first sample of a metric; empty where there is none."""
        return next((dict(s.labels) for s in self._samples if s.name == name), {})


WINDOWS, DROPS, ENCODED = "edge_windows_total", "edge_drops_total", "edge_encoded_total"
LEFT_OUT, SOURCE_UP = "edge_windows_left_out_total", "edge_source_up"
LATENCIES = ("end_to_end_s", "added_s", "infer_s", "wait_s", "queue_s")
SourceSpec = dict[str, Any]
CONNECT_S = 120.0


@dataclass(frozen=True, slots=True)
class BenchSetup:
    """Where daemons play: a scratch folder, the broker's port (None: events go nowhere), and settings of the model."""

    folder: Path
    broker: int | None
    hop_s: float
    model: Mapping[str, Any] = field(default_factory=dict)

    def daemon(self, sources: Sequence[SourceSpec], **settings: Any) -> MeasuredDaemon:
        """A daemon with these sources as cameras and further ``settings`` of config.yaml, not yet started."""
        return MeasuredDaemon(self, sources, settings)


@dataclass(frozen=True, slots=True)
class DaemonMeasurement:
    """One look at a daemon that plays ``cameras``. Latencies and calls of the model as they were observed.

    ``stages`` is CPU-ms per camera-second of media, by stage: recordings wait on a box that is too busy and lose
    nothing, so what was spent on them is counted by windows.
    ``due_share`` is windows scored by windows due at the model's hop, ``left_out`` those that a longer hop left out;
    ``drops`` what was lost by place; ``encoded`` the share of windows whose pictures (`vision`) and sound (`audio`)
    were encoded anew, empty where the model is one graph.

    ``live_ms`` is CPU-ms per camera-second by the clock, of the whole process tree, which is what live cameras cost;
    ``scored_hz`` windows scored a second, of all cameras; ``wait_s`` from the end of a window to the media that
    completed it, ``queue_s`` from there to the model's turn; ``connected`` is how many sources delivered at the end.
    """

    cameras: int
    rss_mb: float
    pss_mb: float
    ready_s: float
    ready_cpu_s: float
    cores: float
    due_share: float
    left_out: float
    drops: Mapping[str, float]
    stages: Mapping[str, float]
    encoded: Mapping[str, float]
    end_to_end_s: Sequence[float]
    added_s: Sequence[float]
    infer_s: Sequence[float]
    wait_s: Sequence[float]
    queue_s: Sequence[float]
    scored_hz: float
    connected: int
    load: MachineLoad
    runtime: Mapping[str, str]

    @property
    def live_ms(self) -> float:
        """CPU-ms per camera-second, by the clock."""
        return 1000 * self.cores / self.cameras

    @property
    def lost(self) -> float:
        """Things dropped, at all places."""
        return sum(self.drops.values())

    @property
    def cpu_ms(self) -> float:
        """All stages together."""
        return sum(self.stages.values())


@dataclass(frozen=True, slots=True)
class DaemonReading:
    """A running daemon at one moment: what its stopwatch says, its metrics, its usage, and the machine's."""

    answer: Mapping[str, Any]
    scrape: MetricsScrape
    usage: ProcessUsage
    machine: ProcessorTimes


class MeasuredDaemon:
    """`edge run` under the stopwatch, on a configuration of its own, which is written to ``config``."""

    def __init__(self, stage: BenchSetup, sources: Sequence[SourceSpec], settings: Mapping[str, Any]) -> None:
        self.port = free_port()
        self._stage, self._cameras = stage, len(sources)
        self._folder = stage.folder / "daemon"
        self._free_mb = free_mb()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        config = {
            "node": {"id": "bench", "site": "bench", "data_dir": "var"},
            "model": dict(stage.model),
            "cameras": {f"cam{index}": {"source": source} for index, source in enumerate(sources)},
            "mqtt": None if stage.broker is None else {"url": f"mqtt://127.0.0.1:{stage.broker}"},
            "metrics": {"listen": f"127.0.0.1:{self.port}"},
            **settings,
        }
        self.config = self._folder / "config.yaml"
        self.config.write_text(json.dumps(config, indent=1))  # JSON is YAML
        self.program = MeasuredProgram(module_command("edge.bench.stopwatch", "config.yaml"), self._folder)

    def plain_program(self) -> MeasuredProgram:
        """`edge run` itself on the same configuration: for looks of hours, whose latencies nobody takes."""
        return MeasuredProgram(module_command("edge", "run", "-c", "config.yaml"), self._folder)

    def measure(self, settle_s: float, seconds: float) -> DaemonMeasurement:
        """Start it, let it settle, watch it for ``seconds``, stop it; its cameras are recordings."""
        with self.program as program:
            program.wait_ready()
            ready_cpu_s = program.usage().cpu_s
            pause(settle_s)
            before = self.read()
            pause(seconds)
            return self.measurement([before, self.read()], ready_cpu_s, is_recording=True)

    def wait_connected(self) -> None:
        """Wait until every source delivers, at most `CONNECT_S`: many cameras connect one after another."""
        until_s = now_s() + CONNECT_S
        while self.read().scrape.total(SOURCE_UP) < self._cameras and now_s() < until_s:
            pause(1.0)

    def read(self) -> DaemonReading:
        """Read the running daemon; the reading has the latencies observed since the one before."""
        answer = self.program.query()
        try:
            scrape = MetricsScrape.of(self.port)
        except OSError as error:
            self.program.usage()  # says so where it ended
            raise RuntimeUnavailable(f"the daemon's metrics cannot be read: {error}") from error
        return DaemonReading(answer, scrape, self.program.usage(), ProcessorTimes.current())

    def measurement(
        self, readings: Sequence[DaemonReading], ready_cpu_s: float = float("nan"), *, is_recording: bool = False
    ) -> DaemonMeasurement:
        """From the first of the readings to the last, which follow each other without others in between."""
        before, after = readings[0], readings[-1]
        later, scrape = after.scrape, before.scrape
        took_s, cores = after.usage.at_s - before.usage.at_s, after.usage.cores_since(before.usage)
        scored = later.total(WINDOWS) - scrape.total(WINDOWS)
        due_share = scored * self._stage.hop_s / (self._cameras * took_s)
        spent = time_by_stage(before.answer["stages"], after.answer["stages"])
        workers_s = max(0.0, cores * took_s - sum(spent.values()))  # what capture workers beside the process took
        observed = {name: [value for r in readings[1:] for value in r.answer[name]] for name in LATENCIES}
        return DaemonMeasurement(
            cameras=self._cameras,
            rss_mb=after.usage.rss_mb,
            pss_mb=after.usage.pss_mb,
            ready_s=self.program.ready_s,
            ready_cpu_s=ready_cpu_s,
            cores=cores,
            due_share=due_share,
            left_out=later.total(LEFT_OUT) - scrape.total(LEFT_OUT),
            drops={place: n for place, n in later.delta(scrape, DROPS, "place").items() if n},
            stages={
                stage: 1000 * s / (self._cameras * took_s) / (_progress(stage, due_share) if is_recording else 1.0)
                for stage, s in spent.items()
            },
            encoded={part: n / max(scored, 1.0) for part, n in later.delta(scrape, ENCODED, "part").items()},
            scored_hz=scored / took_s,
            connected=round(later.total(SOURCE_UP)),
            load=machine_load(
                before.machine,
                after.machine,
                daemon=cores,
                engine=sum(spent.get(stage, 0.0) for stage in ENGINE) / took_s,
                decoding=(sum(spent.get(stage, 0.0) for stage in DECODING) + workers_s) / took_s,
                memory=after.usage.rss_mb / max(1.0, self._free_mb),
            ),
            runtime=later.labels("edge_runtime_info"),
            **observed,
        )


def _progress(stage: str, windows: float) -> float:
    """How far the work of a stage has come, by the windows that were due; a share that is tiny says nothing any more.

    By windows, not by pictures: of a quiet camera few pictures are decoded.
    """
    return max(0.05, windows if stage in DECODING or stage in ENGINE else 1.0)


def recording_source(path: Path, *, pace: str = "live", loop: bool = True) -> SourceSpec:
    """A recording as a camera."""
    return {"type": "file", "path": str(path), "pace": pace, "loop": loop}


def floor_program(stage: BenchSetup, sources: Sequence[str], *more: str) -> MeasuredProgram:
    """The floor program on these sources, one a camera."""
    folder = stage.folder / "floor"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source_args = [part for source in sources for part in ("--source", source)]
    return MeasuredProgram(module_command("edge.bench.floor", *source_args, *more), folder)


def floor_ms(
    program: MeasuredProgram, cameras: int, hop_s: float, fps: float, settle_s: float, seconds: float
) -> float:
    """CPU-ms per camera-second of a floor program, which it starts and stops; counted as a `DaemonMeasurement`
    counts."""
    with program:
        program.wait_ready()
        pause(settle_s)
        before = program.query()
        pause(seconds)
        grown = {key: value - before[key] for key, value in program.query().items()}
    decoding = (grown["cpu_s"] - grown["calls_s"]) / max(1.0, grown["pictures"] / fps)
    return float(1000 * (decoding + grown["calls_s"] / (cameras * max(1, grown["hops"]) * hop_s)))


@contextmanager
def embedded_broker() -> Iterator[int | None]:
    """The port of a broker of our own in a process of its own; None where the extra `broker` is not installed."""
    from edge.publish.broker import EmbeddedBroker

    port = free_port()
    try:
        broker = EmbeddedBroker(f"127.0.0.1:{port}")
    except InputError:
        yield None
        return
    broker.start()
    try:
        yield port
    finally:
        broker.stop()
