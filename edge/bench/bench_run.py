"""The course of `edge bench`: what is measured, in which order. All that is measured is a process of its own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from edge.bench.capacity import Capacity, camera_load, capacity
from edge.bench.clips import BenchClip, looped_clip
from edge.bench.daemon import (
    BenchSetup,
    DaemonMeasurement,
    MetricsScrape,
    SourceSpec,
    floor_ms,
    floor_program,
    recording_source,
)
from edge.bench.live import LiveScene, LiveTimes, SceneCapacity, find_capacity, measure_live
from edge.bench.processes import free_mb, module_command, now_s, pause, program_environment
from edge.engine import runtime_choice
from edge.engine.manifest import DEFAULT_MODEL, find_folder, load_folder
from edge.errors import RuntimeUnavailable

MANY_CAMERAS = 4
MOVING_SHARE = 5 / 24
"""Of the cameras of the mixed scene."""


@dataclass(frozen=True, slots=True)
class BenchPlan:
    """How long and how often; ``cameras`` replaces the search for how many fit, ``full`` is all there is.

    ``trials`` is how many live runs a scene may have at most, each with ``live``.
    """

    rounds: int
    settle_s: float
    look_s: float
    full: bool
    cameras: int | None = None
    trials: int = 4
    live: LiveTimes = field(default_factory=LiveTimes)


@dataclass(slots=True)
class BenchResults:
    """Everything that was measured; None and empty where it was not.

    ``ways`` are the runtimes of each graph that `edge engine choose` measured, ``chosen`` what the daemon takes here.
    """

    ways: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""
    chosen: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    peaks: dict[str, dict[str, float]] = field(default_factory=dict)
    floors_ms: list[float] = field(default_factory=list)
    many: list[DaemonMeasurement] = field(default_factory=list)
    one: DaemonMeasurement | None = None
    still: DaemonMeasurement | None = None
    free_mb: float = 0.0
    moving_holds: Capacity | None = None
    still_holds: Capacity | None = None
    replayed: dict[str, float] = field(default_factory=dict)
    throughput: float = float("nan")
    loaded: DaemonMeasurement | None = None
    scenes: list[SceneCapacity] = field(default_factory=list)


class BenchRun:
    """Runs the plan on ``moving`` and, where there are any, ``still``; ``report`` is told what is being measured.

    Clips of one kind differ in phase alone; cameras take turns of them, and single looks the first.
    """

    def __init__(
        self,
        stage: BenchSetup,
        plan: BenchPlan,
        moving: Sequence[BenchClip],
        still: Sequence[BenchClip],
        report: Callable[[str], None],
    ) -> None:
        self._stage, self._plan, self._report = stage, plan, report
        self._moving, self._still = moving[0], (still[0] if still else None)
        self._phases = (moving, still)
        self.results = BenchResults()

    def run(self) -> BenchResults:
        """All of it."""
        self.results.free_mb = free_mb()
        self._measure_model()
        self._measure_cost()
        self._estimate_capacity()
        if self._plan.full:
            self._measure_speed()
            self._measure_latency()
            self._find_capacities()
        return self.results

    def _measure_model(self) -> None:
        self._measure_runtimes()
        self._report("the model alone, on the runtime that the daemon takes")
        self.results.chosen = run_child("edge.bench.model", "auto", "auto")
        if "refused" in self.results.chosen:
            raise RuntimeUnavailable(self.results.chosen["refused"])
        self._report("what the model asks of the processor, and what the processor can do")
        self.results.asked = run_child("edge.bench.model", "asked")
        self.results.peaks = run_child("edge.bench.peaks")

    def _measure_runtimes(self) -> None:
        """What was measured of the runtimes on this box; measured now, and kept, where nothing was."""
        folder = load_folder(find_folder(DEFAULT_MODEL))
        saved = runtime_choice.read_choice(folder, 1)
        if saved is None and self._plan.full:
            self._report("which runtime is best on this box: edge engine choose, which is kept")
            try:
                run_command(module_command("edge", "engine", "choose"))
            except RuntimeUnavailable as error:
                self._report(f"not measured: {error}")
            saved = runtime_choice.read_choice(folder, 1)
        if saved is not None:
            table, choice = saved
            self.results.ways = [runtime_choice.measurement_json(row, choice, "taken") for row in table.rows]
            self.results.why = runtime_choice.explain_choice(table, choice)

    def _measure_cost(self) -> None:
        """Floor and daemon take turns."""
        plan, path = self._plan, self._moving.path
        for turn in range(plan.rounds):
            self._report(f"{MANY_CAMERAS} cameras, turn {turn + 1} of {plan.rounds}: the floor, then the daemon")
            bare = floor_program(self._stage, [str(path)] * MANY_CAMERAS)
            fps, hop_s = self._moving.fps, self._stage.hop_s
            self.results.floors_ms.append(floor_ms(bare, MANY_CAMERAS, hop_s, fps, plan.settle_s, plan.look_s))
            self.results.many.append(self._measure_daemon(self._moving, MANY_CAMERAS))
        self._report("one camera")
        self.results.one = self._measure_daemon(self._moving, 1)
        if self._still is not None:
            self._report(f"{MANY_CAMERAS} cameras that show nothing moving")
            if plan.full:
                daemon = self._stage.daemon([recording_source(self._still.path)] * MANY_CAMERAS)
                self.results.still = measure_live(daemon, plan.live)
            else:
                self.results.still = self._measure_daemon(self._still, MANY_CAMERAS)

    def _measure_daemon(self, clip: BenchClip, cameras: int, **more: Any) -> DaemonMeasurement:
        daemon = self._stage.daemon([recording_source(clip.path)] * cameras, **more)
        return daemon.measure(self._plan.settle_s, self._plan.look_s)

    def _estimate_capacity(self) -> None:
        """The estimates."""
        results, cores = self.results, os.cpu_count() or 1
        one, many = (
            results.one,
            sorted(results.many, key=lambda measurement: measurement.cpu_ms)[(len(results.many) - 1) // 2],
        )
        if one is None:
            return
        few, more = camera_load(1, one.stages, one.rss_mb), camera_load(MANY_CAMERAS, many.stages, many.rss_mb)
        results.moving_holds = capacity(few, more, cores, results.free_mb)
        if results.still is not None:
            still = camera_load(MANY_CAMERAS, results.still.stages, results.still.rss_mb)
            base = camera_load(0, {}, max(0.0, (4 * one.rss_mb - many.rss_mb) / 3))
            results.still_holds = capacity(base, still, cores, results.free_mb)

    def _measure_speed(self) -> None:
        """Recordings as fast as they go: replay, and the daemon's throughput."""
        kinds = {"everything moving": self._moving, "nothing moving": self._still}
        for name, clip in kinds.items():
            if clip is not None:
                self._report(f"replay, {name}")
                long = looped_clip(clip, 40.0, self._stage.folder / "long.mp4")
                began_s = now_s()
                self._replay(long, self._stage.folder / f"{clip.path.stem}.csv")
                self.results.replayed[name] = long.seconds / (now_s() - began_s)
        self._report("throughput")
        self.results.throughput = self._throughput()

    def _replay(self, clip: BenchClip, scores: Path) -> None:
        command = module_command("edge", "replay", str(clip.path), "--events", os.devnull, "--scores", str(scores))
        run_command(command, self._stage.folder)

    def _throughput(self) -> float:
        """Windows a second through the daemon over those of the runtime alone."""
        long = looped_clip(self._moving, 20.0, self._stage.folder / "long.mp4")
        daemon = self._stage.daemon(
            [recording_source(long.path, pace="fast", loop=False)] * MANY_CAMERAS, evidence=None
        )
        goal = MANY_CAMERAS * int(long.seconds / self._stage.hop_s)
        with daemon.program as program:
            program.wait_ready()
            began_s, done = now_s(), 0.0
            while now_s() - began_s < 120 and done < goal:
                pause(0.1)
                try:
                    done, at_s = MetricsScrape.of(daemon.port).total("edge_windows_total"), now_s()
                except OSError:  # it ended: all is done
                    done, at_s = float(goal), now_s()
        bare = run_child("edge.bench.model", "auto", "auto")
        clock_ms = sum(min(part["clock_ms"], part["full_clock_ms"]) for part in bare["parts"].values())
        return float(done / (at_s - began_s) * clock_ms / 1000)

    def _measure_latency(self) -> None:
        """With events that begin and end all the time."""
        self._report(f"latency with {MANY_CAMERAS} cameras")
        rules = noisy_rules(self._stage.folder / f"{self._moving.path.stem}.csv")
        daemon = self._stage.daemon([recording_source(self._moving.path)] * MANY_CAMERAS, events=rules, evidence=None)
        self.results.loaded = measure_live(daemon, self._plan.live)

    def _find_capacities(self) -> None:
        """How many cameras hold, tried live, by scene; the estimates are where the search begins."""
        plan, moving, still = self._plan, self.results.moving_holds, self.results.still_holds
        starts = (moving.cameras if moving else MANY_CAMERAS, still.cameras if still else 0)
        for scene, start in scenes_of(*self._phases, *starts):
            trials = 1 if plan.cameras else plan.trials
            found = find_capacity(self._stage, scene, plan.cameras or start, trials, plan.live, self._report)
            self.results.scenes.append(found)


def scenes_of(
    moving: Sequence[BenchClip], still: Sequence[BenchClip], moving_holds: int, still_holds: int
) -> list[tuple[LiveScene, int]]:
    """The scenes that the clips allow, each with the number of cameras that the estimates promise."""

    def recordings(clips: Sequence[BenchClip], cameras: int) -> list[SourceSpec]:
        return [recording_source(clips[k % len(clips)].path) for k in range(cameras)]

    def mixed(cameras: int) -> list[SourceSpec]:
        awake = max(1, round(MOVING_SHARE * cameras))
        return recordings(moving, awake) + recordings(still, cameras - awake)

    scenes = [(LiveScene("everything moving", lambda n: recordings(moving, n)), max(1, moving_holds))]
    if still:
        per_camera = MOVING_SHARE / max(1, moving_holds) + (1 - MOVING_SHARE) / max(1, still_holds)
        scenes.insert(0, (LiveScene("nothing moving", lambda n: recordings(still, n)), max(1, still_holds)))
        scenes.insert(1, (LiveScene("five of 24 moving", mixed), max(1, int(1 / per_camera))))
    return scenes


def run_child(name: str, *arguments: str) -> Any:
    """Run a module of this package; the JSON object that it printed. RuntimeUnavailable when it fails."""
    return json.loads(run_command(module_command(name, *arguments)))


def run_command(command: list[str], folder: Path | None = None) -> str:
    """Run to the end; its standard output. RuntimeUnavailable with the end of its log when it fails."""
    done = subprocess.run(command, check=False, cwd=folder, env=program_environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeUnavailable(f"{' '.join(command[1:4])} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return done.stdout


def noisy_rules(scores: Path) -> dict[str, Any]:
    """Rules that make events begin and end all the time, so that latency is measured on many messages.

    Every label's thresholds stand at the median of its ``scores``, a table that `edge replay` wrote.
    """
    with scores.open(newline="") as file:
        rows = list(csv.DictReader(file))
    known = {"file", "t_s", "anomaly", "contribution_video", "contribution_audio"}
    rules: dict[str, Any] = {}
    for label in rows[0].keys() - known:
        values = [float(row[label]) for row in rows if row[label]]
        bound = min(max(round(median(values), 6), 1e-6), 1.0) if values else 0.5
        rules[label] = {"enter": bound, "leave": bound, "min_s": 0, "cooldown_s": 0}
    return rules
