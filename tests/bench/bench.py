"""What the daemon costs, holds and adds, as ratios within one run. `scripts/bench` starts it.

Every comparison alternates (floor, daemon, floor, daemon, ...); a ratio is taken within each pair and the median over
the rounds is the figure. Processes are looked at from outside (/proc, the notification socket, /metrics, the broker).
The broker, the RTSP server and this script are not counted.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench_table import Figure, Table, ratios
from measure import Histogram, Program, Scrape, Usage
from stage import EDGE, HERE, Daemon, Stage, broker, floor, make_clip, network_camera, recording, rtsp_server

SETTLE_S = 4.0
SECTIONS = ("cost", "rtsp", "latency", "load", "throughput", "replay")
LATENCY = "edge_end_to_end_seconds"
WINDOWS = "edge_windows_total"
INFERENCE = "edge_infer_seconds"


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often."""

    rounds: int
    seconds: float
    throughput_s: float


@dataclass(frozen=True, slots=True)
class Round:
    """One look at one program."""

    ms_per_camera_s: float
    rss_mb: float
    ready_s: float


@dataclass(frozen=True, slots=True)
class Watched:
    """One look at a daemon, with what its metrics said."""

    load: float
    end_to_end: Histogram
    inference: Histogram
    windows_share: float


def main() -> None:
    """Measure the sections asked for; the table on standard output, and in ``--out``."""
    args = arguments()
    seconds = args.seconds or (8.0 if args.quick else 20.0)
    plan = Plan(args.rounds or (2 if args.quick else 5), seconds, seconds / 3)
    table = Table()
    began_s, load = time.monotonic(), os.getloadavg()[0]
    print(f"load before: {load:.2f} on {os.cpu_count()} cores", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as name:
        folder = Path(name)
        clip, transport = make_clip(args.clip, folder)
        with broker(folder) as port:
            stage = Stage(folder, args.clip, clip, transport, port)
            for section in args.only or SECTIONS:
                globals()[f"measure_{section}"](stage, plan, table)
    text = table.markdown()
    took = (time.monotonic() - began_s) / 60
    summary = f"clip {args.clip}, {plan.rounds} rounds of {plan.seconds:.0f} s, load before {load:.2f}, {took:.0f} min"
    print(f"\n{summary}\n\n{text}")
    if args.out:
        args.out.write_text(f"{summary}\n\n{text}")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="two short rounds each: a look, not a figure to quote")
    parser.add_argument("--rounds", type=int, help="default: 5")
    parser.add_argument("--seconds", type=float, help="of each look; default: 20")
    parser.add_argument("--clip", choices=("720p15", "360p15"), default="720p15")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="default: all")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table here")
    return parser.parse_args()


def measure_cost(stage: Stage, plan: Plan, table: Table) -> None:
    """CPU per camera-second against the floor, memory and start, at one and four cameras playing recordings."""
    for cameras in (1, 4):
        floors, prepared, daemons = [], [], []
        paths = [str(stage.clip)] * cameras
        for _ in range(plan.rounds):
            floors.append(observe(floor(stage, paths), cameras, plan.seconds))
            daemons.append(observe(stage.daemon([recording(stage)] * cameras).program, cameras, plan.seconds))
            prepared.append(observe(floor(stage, paths, "--prepare"), cameras, plan.seconds))
        add_cost(table, f"{stage.kind} recordings", cameras, floors, daemons)
        above = ratios([r.ms_per_camera_s for r in daemons], [r.ms_per_camera_s for r in prepared])
        table.add(Figure(f"  the same over a floor that also scales and resamples, {cameras}", above, "x"))
        bound = 150 + 12 * cameras
        table.add(Figure(f"memory, cameras: {cameras}", [r.rss_mb for r in daemons], "MB", f"<= {bound} MB"))
        table.add(Figure(f"  the floor's memory, cameras: {cameras}", [r.rss_mb for r in floors], "MB"))
        table.add(Figure(f"start to READY, cameras: {cameras}", [r.ready_s for r in daemons], "s", "<= 2 s"))


def measure_rtsp(stage: Stage, plan: Plan, table: Table) -> None:
    """The same against one RTSP server, four connections."""
    with rtsp_server(stage) as port:
        if port is None:
            print("no GStreamer RTSP server here: the section rtsp is left out", file=sys.stderr)
            return
        camera, cameras = network_camera(port), 4
        floors, daemons = [], []
        for _ in range(plan.rounds):
            floors.append(observe(floor(stage, [camera["url"]] * cameras), cameras, plan.seconds))
            daemons.append(observe(stage.daemon([camera] * cameras).program, cameras, plan.seconds))
        add_cost(table, f"{stage.kind} RTSP", cameras, floors, daemons)


def add_cost(table: Table, what: str, cameras: int, floors: list[Round], daemons: list[Round]) -> None:
    """Three lines: ratio, and both sides of it."""
    above, below = [r.ms_per_camera_s for r in daemons], [r.ms_per_camera_s for r in floors]
    goal = "<= 1.10" if cameras == 4 else ""
    table.add(
        Figure(f"cost over the floor, {what}, cameras: {cameras}", ratios(above, below), "x", goal),
        Figure(f"  daemon, {what}, cameras: {cameras}", above, "CPU-ms per camera-second"),
        Figure(f"  floor, {what}, cameras: {cameras}", below, "CPU-ms per camera-second"),
    )


def measure_latency(stage: Stage, plan: Plan, table: Table) -> None:
    """Last media of a window to the broker's acknowledgement, less the model's own time, at one and four cameras."""
    events = restless_events(stage)
    for cameras in (1, 4):
        seen = [watch(stage.daemon([recording(stage)] * cameras, events), cameras, plan.seconds)
                for _ in range(plan.rounds)]  # fmt: skip
        add_latency(table, f"cameras: {cameras}", seen)


def measure_load(stage: Stage, plan: Plan, table: Table) -> None:
    """Latency and windows kept where the box is at about 80 % of its CPU, from one RTSP server."""
    events = restless_events(stage)
    with rtsp_server(stage) as port:
        if port is None:
            print("no GStreamer RTSP server here: the section load is left out", file=sys.stderr)
            return
        camera, cores_there = network_camera(port), os.cpu_count() or 1
        probe = observe(stage.daemon([camera] * 4).program, 4, plan.seconds)
        cameras = max(1, int(0.8 * 1000 * cores_there / probe.ms_per_camera_s))
        seen = [watch(stage.daemon([camera] * cameras, events), cameras, plan.seconds) for _ in range(plan.rounds)]
    share = [100 * w.load / cores_there for w in seen]
    kept = [100 * w.windows_share for w in seen]
    table.add(Figure(f"RTSP cameras that fill about 80 % of the CPU: {cameras}; share used", share, "%"))
    table.add(Figure(f"  due windows scored, cameras: {cameras}", kept, "%", ">= 99 %"))
    add_latency(table, f"cameras: {cameras}", seen, ("<= 5 ms", "<= 20 ms"))


def add_latency(table: Table, what: str, seen: list[Watched], goals: tuple[str, str] = ("", "")) -> None:
    """Added latency: the mean exactly, the quantiles within the buckets of the daemon's histogram."""
    inference = [1000 * w.inference.mean_s for w in seen]
    added = {q: [1000 * (w.end_to_end.quantile_s(q) - w.inference.mean_s) for w in seen] for q in (0.5, 0.99)}
    means = [1000 * w.end_to_end.mean_s - own for w, own in zip(seen, inference, strict=True)]
    messages = f"{sum(int(w.end_to_end.count) for w in seen)} messages"
    table.add(
        Figure(f"one call of the model, {what}", inference, "ms"),
        Figure(f"latency added, mean, {what}", means, "ms", note=messages),
        Figure(f"latency added, p50, {what}", added[0.5], "ms", goals[0]),
        Figure(f"latency added, p99, {what}", added[0.99], "ms", goals[1]),
    )  # fmt: skip


def measure_throughput(stage: Stage, plan: Plan, table: Table) -> None:
    """Windows a second of four recordings read as fast as they go, against the model alone on ready batches."""
    cameras = 4
    bare, through = [], []
    for _ in range(plan.rounds):
        command = [sys.executable, str(HERE / "floor.py"), "--cameras", str(cameras)]
        found = subprocess.run([*command, "--throughput", str(plan.throughput_s)], check=True, capture_output=True)
        bare.append(float(found.stdout))
        through.append(windows_a_second(stage, cameras))
    table.add(
        Figure(f"throughput over the bare runtime, {stage.kind}, recordings: 4", ratios(through, bare), "x", ">= 0.95"),
        Figure("  daemon", through, "windows/s"),
        Figure("  bare runtime, ready inputs, one thread", bare, "windows/s"),
    )


def measure_replay(stage: Stage, plan: Plan, table: Table) -> None:
    """Recorded time over the time `edge replay` takes, its start included, for the clip twice over."""
    speeds = []
    for _ in range(plan.rounds):
        began_s = time.perf_counter()
        run_replay(stage, [stage.clip] * 2, "--events", os.devnull)
        speeds.append(2 * length_s(stage.clip) / (time.perf_counter() - began_s))
    table.add(Figure(f"recorded hours replayed per hour, {stage.kind}", speeds, "x", ">= 20 x"))


def observe(program: Program, cameras: int, seconds: float) -> Round:
    """CPU over ``seconds`` after the program is ready and has settled."""
    with program:
        ready_s = program.wait_ready()
        time.sleep(SETTLE_S)
        before = program.usage()
        time.sleep(seconds)
        after = program.usage()
    return Round(1000 * cores(before, after) / cameras, after.rss_mb, ready_s)


def watch(daemon: Daemon, cameras: int, seconds: float) -> Watched:
    """The same for a daemon, with its latency histograms over that time."""
    with daemon.program as program:
        program.wait_ready()
        time.sleep(SETTLE_S)
        before, scrape = program.usage(), Scrape.of(daemon.port)
        time.sleep(seconds)
        after, later = program.usage(), Scrape.of(daemon.port)
    due = cameras * (after.at_s - before.at_s) / hop_s()
    return Watched(
        cores(before, after),
        later.histogram(LATENCY).since(scrape.histogram(LATENCY)),
        later.histogram(INFERENCE).since(scrape.histogram(INFERENCE)),
        (later.total(WINDOWS) - scrape.total(WINDOWS)) / due,
    )


def windows_a_second(stage: Stage, cameras: int) -> float:
    """Windows the daemon scores in a second, from READY until it has played its recordings once and ended."""
    daemon = stage.daemon([recording(stage, pace="fast", loop=False)] * cameras)
    with daemon.program as program:
        program.wait_ready()
        return cameras * int(length_s(stage.clip) / hop_s()) / program.wait_end(600)


def cores(before: Usage, after: Usage) -> float:
    """CPU-seconds a second."""
    return (after.cpu_s - before.cpu_s) / (after.at_s - before.at_s)


def restless_events(stage: Stage) -> dict[str, Any]:
    """Rules that make events begin and end all the time, so that latency is measured on many messages.

    Every label's thresholds stand at the median of its scores over the clip.
    """
    scores = stage.folder / "scores.csv"
    run_replay(stage, [stage.clip], "--events", os.devnull, "--scores", str(scores))
    with scores.open(newline="") as file:
        rows = list(csv.DictReader(file))
    known = {"file", "t_s", "anomaly", "contribution_video", "contribution_audio"}
    rules: dict[str, Any] = {}
    for label in rows[0].keys() - known:
        middle = statistics.median(float(row[label]) for row in rows if row[label])
        bound = min(max(round(middle, 6), 1e-6), 1.0)
        rules[label] = {"enter": bound, "leave": bound, "min_s": 0, "cooldown_s": 0}
    return rules


def run_replay(stage: Stage, files: list[Path], *more: str) -> None:
    """`edge replay`; its log is shown when it fails."""
    command = [str(EDGE), "replay", *map(str, files), *more]
    done = subprocess.run(command, check=False, cwd=stage.folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"edge replay failed ({done.returncode}):\n{done.stderr[-2000:]}")


def length_s(clip: Path) -> float:
    """The clip's length."""
    show = ["ffprobe", "-v", "error", "-show_format", "-of", "json", str(clip)]
    found = json.loads(subprocess.run(show, check=True, capture_output=True).stdout)
    return float(found["format"]["duration"])


def hop_s() -> float:
    """Seconds between two windows of a camera."""
    from edge.engine.manifest import find_folder, load_folder

    return load_folder(find_folder("fused")).manifest.geometry.hop_s


if __name__ == "__main__":
    main()
