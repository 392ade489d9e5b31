"""The course of `edge bench`: what is measured, in which order. All that is measured is a process of its own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from edge.bench.capacity import Capacity, capacity, load_of
from edge.bench.clips import Clip, fitted
from edge.bench.daemon import Look, Stage, floor, floor_ms, recording
from edge.bench.processes import free_mb, module, now_s, pause
from edge.bench.scrape import Scrape
from edge.engine.choice import chosen
from edge.engine.manifest import find_folder, load_folder
from edge.errors import RuntimeUnavailable

MANY = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often; ``cameras`` replaces the estimate in the last runs, ``full`` is all there is."""

    rounds: int
    settle_s: float
    look_s: float
    full: bool
    cameras: int | None = None


@dataclass(slots=True)
class Found:
    """Everything that was measured; None and empty where it was not.

    ``ways`` are those to run each graph that `edge engine choose` measured, ``chosen`` what the daemon takes here.
    """

    ways: list[dict[str, Any]] = field(default_factory=list)
    why: str = ""
    chosen: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, Any] = field(default_factory=dict)
    peaks: dict[str, dict[str, float]] = field(default_factory=dict)
    floors_ms: list[float] = field(default_factory=list)
    many: list[Look] = field(default_factory=list)
    one: Look | None = None
    still: Look | None = None
    free_mb: float = 0.0
    moving_holds: Capacity | None = None
    still_holds: Capacity | None = None
    replayed: dict[str, float] = field(default_factory=dict)
    throughput: float = float("nan")
    loaded: Look | None = None
    checks: dict[str, Look] = field(default_factory=dict)


class Course:
    """Runs the plan on ``moving`` and, where there is one, ``still``; ``tell`` is told what is being measured."""

    def __init__(self, stage: Stage, plan: Plan, moving: Clip, still: Clip | None, tell: Callable[[str], None]) -> None:
        self._stage, self._plan, self._tell = stage, plan, tell
        self._moving, self._still = moving, still
        self.found = Found()

    def run(self) -> Found:
        """All of it."""
        self.found.free_mb = free_mb()
        self._model()
        self._cost()
        self._holds()
        if self._plan.full:
            self._speed()
            self._checks()
        return self.found

    def _model(self) -> None:
        self._ways()
        self._tell("the model alone, on the runtime that the daemon takes")
        self.found.chosen = child("edge.bench.model", "auto", "auto")
        if "refused" in self.found.chosen:
            raise RuntimeUnavailable(self.found.chosen["refused"])
        self._tell("what the model asks of the processor, and what the processor can do")
        self.found.asked = child("edge.bench.model", "asked")
        self.found.peaks = child("edge.bench.peaks")

    def _ways(self) -> None:
        """What was measured of the ways to run the model on this box; measured now, and kept, where nothing was."""
        folder = load_folder(find_folder("fused"))
        table = chosen.read(folder, 1)
        if table is None and self._plan.full:
            self._tell("which way to run the model is best on this box: edge engine choose, which is kept")
            try:
                run(module("edge", "engine", "choose"))
            except RuntimeUnavailable as error:
                self._tell(f"not measured: {error}")
            table = chosen.read(folder, 1)
        if table is None:
            return
        choice = chosen.decide(table, chosen.parts_of(folder), "auto", chosen.spare_mb())
        if choice is None:
            return
        self.found.ways = [
            {**asdict(row), "how": str(row.how), "taken": choice[row.part] == row.how} for row in table.rows
        ]
        self.found.why = chosen.why(table, choice)

    def _cost(self) -> None:
        """Floor and daemon take turns."""
        plan, path = self._plan, self._moving.path
        for turn in range(plan.rounds):
            self._tell(f"{MANY} cameras, turn {turn + 1} of {plan.rounds}: the floor, then the daemon")
            bare = floor(self._stage, [str(path)] * MANY)
            fps, hop_s = self._moving.fps, self._stage.hop_s
            self.found.floors_ms.append(floor_ms(bare, MANY, hop_s, fps, plan.settle_s, plan.look_s))
            self.found.many.append(self._look(self._moving, MANY))
        self._tell("one camera")
        self.found.one = self._look(self._moving, 1)
        if self._still is not None:
            self._tell(f"{MANY} cameras that show nothing moving")
            self.found.still = self._look(self._still, MANY)

    def _look(self, clip: Clip, cameras: int, **more: Any) -> Look:
        daemon = self._stage.daemon([recording(clip.path)] * cameras, **more)
        return daemon.look(self._plan.settle_s, self._plan.look_s, clip.fps)

    def _holds(self) -> None:
        """The estimates."""
        found, cores = self.found, os.cpu_count() or 1
        one, many = found.one, sorted(found.many, key=lambda look: look.cpu_ms)[(len(found.many) - 1) // 2]
        if one is None:
            return
        few, more = load_of(1, one.stages, one.rss_mb), load_of(MANY, many.stages, many.rss_mb)
        found.moving_holds = capacity(few, more, cores, found.free_mb)
        if found.still is not None:
            still = load_of(MANY, found.still.stages, found.still.rss_mb)
            base = load_of(0, {}, max(0.0, (4 * one.rss_mb - many.rss_mb) / 3))
            found.still_holds = capacity(base, still, cores, found.free_mb)

    def _speed(self) -> None:
        """Recordings as fast as they go: replay, and the daemon's throughput."""
        kinds = {"everything moving": self._moving, "nothing moving": self._still}
        for name, clip in kinds.items():
            if clip is not None:
                self._tell(f"replay, {name}")
                long = fitted(clip, 40.0, self._stage.folder / "long.mp4")
                began_s = now_s()
                self._replay(long, self._stage.folder / f"{clip.path.stem}.csv")
                self.found.replayed[name] = long.seconds / (now_s() - began_s)
        self._tell("throughput")
        self.found.throughput = self._throughput()

    def _replay(self, clip: Clip, scores: Path) -> None:
        command = module("edge", "replay", str(clip.path), "--events", os.devnull, "--scores", str(scores))
        run(command, self._stage.folder)

    def _throughput(self) -> float:
        """Windows a second through the daemon over those of the runtime alone."""
        long = fitted(self._moving, 20.0, self._stage.folder / "long.mp4")
        daemon = self._stage.daemon([recording(long.path, pace="fast", loop=False)] * MANY, evidence=None)
        goal = MANY * int(long.seconds / self._stage.hop_s)
        with daemon.program as program:
            program.wait_ready()
            began_s, done = now_s(), 0.0
            while now_s() - began_s < 120 and done < goal:
                pause(0.1)
                try:
                    done, at_s = Scrape.of(daemon.port).total("edge_windows_total"), now_s()
                except OSError:  # it ended: all is done
                    done, at_s = float(goal), now_s()
        bare = child("edge.bench.model", "auto", "auto")
        clock_ms = sum(min(part["clock_ms"], part["full_clock_ms"]) for part in bare["parts"].values())
        return float(done / (at_s - began_s) * clock_ms / 1000)

    def _checks(self) -> None:
        """As many cameras as were promised, and four fifths of them for the latency."""
        moving, still = self.found.moving_holds, self.found.still_holds
        if moving is None:
            return
        rules = restless(self._stage.folder / f"{self._moving.path.stem}.csv")
        cameras = max(1, int(0.8 / 0.9 * moving.cameras))
        self._tell(f"latency with {cameras} camera{'' if cameras == 1 else 's'}")
        self.found.loaded = self._look(self._moving, cameras, events=rules, evidence=None)
        for name, clip, holds in (("moving", self._moving, moving), ("still", self._still, still)):
            if clip is not None and holds is not None:
                cameras = self._plan.cameras or max(1, holds.cameras)
                self._tell(f"{cameras} camera{'' if cameras == 1 else 's'} at once, {name}")
                self.found.checks[name] = self._look(clip, cameras)


def child(name: str, *arguments: str) -> Any:
    """Run a module of this package; the JSON object that it printed. RuntimeUnavailable when it fails."""
    return json.loads(run(module(name, *arguments)))


def run(command: list[str], folder: Path | None = None) -> str:
    """Run to the end; its standard output. RuntimeUnavailable with the end of its log when it fails."""
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeUnavailable(f"{' '.join(command[1:4])} failed ({done.returncode}):\n{done.stderr[-2000:]}")
    return done.stdout


def restless(scores: Path) -> dict[str, Any]:
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
