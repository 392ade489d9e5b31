"""One daemon under measurement: its configuration, its broker, and one look at it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.bench.processes import Program, Usage, free_port, module, pause
from edge.bench.scrape import Scrape
from edge.bench.stopwatch import shares
from edge.errors import InputError, RuntimeUnavailable

END_TO_END, ADDED, INFERENCE = "edge_end_to_end_seconds", "edge_added_seconds", "edge_infer_seconds"
WINDOWS, DROPS, ENCODED = "edge_windows_total", "edge_drops_total", "edge_encoded_total"
LEFT_OUT = "edge_windows_left_out_total"
Source = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where daemons play: a scratch folder, the broker's port (None: events go nowhere), and settings of the model."""

    folder: Path
    broker: int | None
    hop_s: float
    model: Mapping[str, Any] = field(default_factory=dict)

    def daemon(self, sources: Sequence[Source], **settings: Any) -> Daemon:
        """A daemon with these sources as cameras and further ``settings`` of config.yaml, not yet started."""
        return Daemon(self, sources, settings)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a daemon that plays ``cameras``. Latencies and calls of the model as they were observed.

    ``cpu_ms`` is CPU-ms per camera-second of media: recordings wait on a box that is too busy, and lose nothing.
    ``due_share`` is windows scored by windows due at the model's hop, ``left_out`` those that a longer hop left out;
    ``drops`` what was lost by place; ``stages`` CPU shares;
    ``encoded`` the share of windows whose pictures (`see`) and sound (`hear`) were encoded anew, empty where the model
    is one graph.
    """

    cameras: int
    cpu_ms: float
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
    runtime: Mapping[str, str]


class Daemon:
    """`edge run` under the stopwatch, on a configuration of its own."""

    def __init__(self, stage: Stage, sources: Sequence[Source], settings: Mapping[str, Any]) -> None:
        self.port = free_port()
        self._stage, self._cameras = stage, len(sources)
        self._recorded = all(source["type"] == "file" for source in sources)
        folder = stage.folder / "daemon"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        config = {
            "node": {"id": "bench", "site": "bench", "data_dir": "var"},
            "model": dict(stage.model),
            "cameras": {f"cam{index}": {"source": source} for index, source in enumerate(sources)},
            "mqtt": None if stage.broker is None else {"url": f"mqtt://127.0.0.1:{stage.broker}"},
            "metrics": {"listen": f"127.0.0.1:{self.port}"},
            **settings,
        }
        (folder / "config.yaml").write_text(json.dumps(config, indent=1))  # JSON is YAML
        self.program = Program(module("edge.bench.watched", "config.yaml"), folder)

    def look(self, settle_s: float, seconds: float) -> Look:
        """Start it, let it settle, watch it for ``seconds``, stop it."""
        with self.program as program:
            ready_s, ready_cpu_s = program.wait_ready(), program.usage().cpu_s
            pause(settle_s)
            asked, scrape, before = program.ask(), self._scrape(), program.usage()
            pause(seconds)
            after, later, answer = program.usage(), self._scrape(), program.ask()
        took_s, cores = after.at_s - before.at_s, after.cores_since(before)
        scored = later.total(WINDOWS) - scrape.total(WINDOWS)
        due_share = scored * self._stage.hop_s / (self._cameras * took_s)
        played = due_share if self._recorded and due_share > 0 else 1.0
        return Look(
            cameras=self._cameras,
            cpu_ms=1000 * cores / (self._cameras * played),
            rss_mb=after.rss_mb,
            pss_mb=after.pss_mb,
            ready_s=ready_s,
            ready_cpu_s=ready_cpu_s,
            cores=cores,
            due_share=due_share,
            left_out=later.total(LEFT_OUT) - scrape.total(LEFT_OUT),
            drops={place: n for place, n in later.grown(scrape, DROPS, "place").items() if n},
            stages=shares(asked["stages"], answer["stages"]),
            encoded={part: n / max(scored, 1.0) for part, n in later.grown(scrape, ENCODED, "part").items()},
            end_to_end_s=answer[END_TO_END],
            added_s=answer[ADDED],
            infer_s=answer[INFERENCE],
            runtime=later.labels("edge_runtime_info"),
        )

    def _scrape(self) -> Scrape:
        try:
            return Scrape.of(self.port)
        except OSError as error:
            self.program.usage()  # says so where it ended
            raise RuntimeUnavailable(f"the daemon's metrics cannot be read: {error}") from error


def recording(path: Path, *, pace: str = "live", loop: bool = True) -> Source:
    """A recording as a camera."""
    return {"type": "file", "path": str(path), "pace": pace, "loop": loop}


def floor(stage: Stage, sources: Sequence[str], *more: str) -> Program:
    """The floor program on these sources, one a camera."""
    folder = stage.folder / "floor"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    given = [part for source in sources for part in ("--source", source)]
    return Program(module("edge.bench.floor", *given, *more), folder)


def floor_ms(program: Program, cameras: int, hop_s: float, settle_s: float, seconds: float) -> tuple[float, Usage]:
    """CPU-ms per camera-second of a floor program, and what it holds at the end; starts and stops it."""
    with program:
        program.wait_ready()
        pause(settle_s)
        before, hops = program.usage(), program.ask()["hops"]
        pause(seconds)
        after, hops = program.usage(), program.ask()["hops"] - hops
    return 1000 * (after.cpu_s - before.cpu_s) / (cameras * max(1, hops) * hop_s), after


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
