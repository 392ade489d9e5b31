"""The figures of docs/measurements/benchmarks.md, part by part, as Markdown. `scripts/bench` starts it.

Comparisons take turns (floor, daemon, floor, daemon, ...); a ratio is taken within each turn, and the median over the
turns is the figure. Processes are looked at from outside; the broker, the RTSP server and this script are not counted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from testbed import KINDS, SAMPLE, clip, network_camera, rtsp_server

from edge.bench.bench_run import BenchPlan, BenchRun, noisy_rules, run_command
from edge.bench.clips import MOVING, STILL
from edge.bench.daemon import (
    BenchSetup,
    DaemonMeasurement,
    SourceSpec,
    embedded_broker,
    floor_ms,
    floor_program,
    recording_source,
)
from edge.bench.figures import Figure, FigureTable, markdown_table, quantile, ratios
from edge.bench.processes import module_command, now_s, pause
from edge.bench.report import MachineInfo, report_text
from edge.engine.manifest import find_folder, load_folder
from edge.errors import EdgeError

SECTIONS = ("box", "cost", "files", "rtsp")
ESSENTIAL = ("box", "files", "rtsp")
HOPELESS = 0.7
SAMPLE_EVERY_S = 15.0
WARM_S = 600.0


@dataclass(frozen=True, slots=True)
class Times:
    """How long, how often, and how many cameras."""

    rounds: int
    settle_s: float
    look_s: float
    files: tuple[int, ...]
    rtsp: tuple[int, ...]


TIMES = {
    "full": Times(3, 3.0, 10.0, (1, 2, 4, 8, 16, 24), (1, 4, 8, 16, 24)),
    "essential": Times(3, 3.0, 8.0, (4, 8, 16, 24), (4, 12, 24)),
    "quick": Times(1, 1.0, 3.0, (1, 2), (2,)),
}


def main() -> None:
    """Measure the parts asked for, each printed as soon as it is there."""
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    times = TIMES["quick" if args.quick else "essential" if args.essential else "full"]
    sections = args.only or (["hour"] if args.hour else ESSENTIAL if args.essential else SECTIONS)
    began_s = now_s()
    hop_s = load_folder(find_folder("fused")).manifest.geometry.hop_s
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as name, embedded_broker() as port:
        stage = BenchSetup(Path(name), port, hop_s)
        parts: dict[str, Callable[[], str]] = {
            "box": lambda: box(stage, times),
            "cost": lambda: cost(stage, times),
            "files": lambda: scaling(stage, times, over_network=False),
            "rtsp": lambda: scaling(stage, times, over_network=True),
            "hour": lambda: hour(stage, (args.hour or 60.0) * 60),
        }
        for section in sections:
            told = f"## {section}\n\nLoad before: {os.getloadavg()[0]:.2f}.\n\n{parts[section]()}\n"
            print(told, flush=True)
            if args.out:
                with args.out.open("a", encoding="utf-8") as file:
                    print(told, file=file)
    say(f"{(now_s() - began_s) / 60:.0f} min")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--essential", action="store_true", help="what docs/measurements/benchmarks.md shows, under 12 minutes"
    )
    parser.add_argument("--quick", action="store_true", help="everything once and short: a look, not to be quoted")
    parser.add_argument("--only", nargs="+", choices=(*SECTIONS, "hour"), help="default: all but the hour")
    parser.add_argument("--hour", nargs="?", type=float, const=60.0, metavar="MINUTES", help="growth over an hour")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also add the tables to this file")
    return parser.parse_args()


def box(stage: BenchSetup, times: Times) -> str:
    """What `edge bench` prints, with more turns."""
    plan = BenchPlan(times.rounds, times.settle_s, times.look_s, times.rounds > 1)
    about, moving, still = MachineInfo.current(), clip(MOVING, stage.folder), clip(STILL, stage.folder)
    return report_text(about, moving.shown, BenchRun(stage, plan, moving, still, say).run())


def cost(stage: BenchSetup, times: Times) -> str:
    """CPU per camera-second against the floor and against one that scales too, by kind of scene and cameras."""
    table = FigureTable()
    for kind, cameras in ((MOVING, 1), (MOVING, 4), (SAMPLE, 4), (STILL, 4)):
        shown = clip(kind, stage.folder)
        sources = [recording_source(shown.path)] * cameras
        add_cost(table, stage, times, f"{KINDS[kind]}, recordings, {cameras}", sources, shown.fps)
    shown = clip(SAMPLE, stage.folder)
    with rtsp_server(shown) as port:
        if port is not None:
            add_cost(table, stage, times, f"{KINDS[SAMPLE]}, RTSP, 4", [network_camera(port)] * 4, shown.fps)
    return table.markdown()


def add_cost(
    table: FigureTable, stage: BenchSetup, times: Times, what: str, sources: list[SourceSpec], fps: float
) -> None:
    """Floor, daemon, and the floor that prepares, in turns."""
    given, n = [source.get("path") or source["url"] for source in sources], len(sources)
    floors, prepared, daemons = [], [], []
    for turn in range(times.rounds):
        say(f"cost, {what}, turn {turn + 1}")
        floors.append(floor_ms(floor_program(stage, given), n, stage.hop_s, fps, times.settle_s, times.look_s))
        live = sources[0]["type"] != "file"
        daemons.append(stage.daemon(sources).measure(times.settle_s, times.look_s, None if live else fps))
        bare = floor_program(stage, given, "--prepare")
        prepared.append(floor_ms(bare, n, stage.hop_s, fps, times.settle_s, times.look_s))
    spent = [look.cpu_ms for look in daemons]
    table.add(
        Figure(f"cost over the floor: {what}", ratios(spent, floors), "x", "<= 1.10"),
        Figure("  over a floor that also scales and resamples", ratios(spent, prepared), "x"),
        Figure("  daemon", spent, "CPU-ms per camera-second"),
        Figure("  floor", floors, "CPU-ms per camera-second"),
        Figure("  due windows scored", [100 * look.due_share for look in daemons], "%", ">= 99 %"),
        Figure("  memory", [look.rss_mb for look in daemons], "MB", f"<= {150 + 12 * n} MB"),
    )


def scaling(stage: BenchSetup, times: Times, *, over_network: bool) -> str:
    """More and more cameras: windows scored, drops, latency, memory, CPU."""
    rows: list[list[object]] = []
    for kind in (SAMPLE, STILL) if over_network else (MOVING, SAMPLE, STILL):
        shown = clip(kind, stage.folder)
        rules = rules_of(stage, shown.path)
        if not over_network:
            rows += climb(stage, times, kind, times.files, [recording_source(shown.path)], rules, shown.fps)
            continue
        with rtsp_server(shown) as port:
            if port is None:
                return "No GStreamer RTSP server here: not measured.\n"
            rows += climb(stage, times, kind, times.rtsp, [network_camera(port)], rules)
    head = [
        "scene",
        "cameras",
        "due windows scored",
        "lost",
        "left out by longer hops",
        "pictures encoded",
        "added p50",
        "added p99",
        "memory",
    ]
    return markdown_table([*head, "CPU-ms per camera-second", "cores used"], rows)


def climb(
    stage: BenchSetup,
    times: Times,
    kind: str,
    counts: tuple[int, ...],
    one: list[SourceSpec],
    rules: dict[str, object],
    fps: float | None = None,
) -> Iterator[list[object]]:
    """One row a number of cameras, until the box is hopelessly behind."""
    for cameras in counts:
        say(f"scaling, {KINDS[kind]}, {one[0]['type']}, {cameras} cameras")
        try:
            look = stage.daemon(one * cameras, events=rules, evidence=None).measure(times.settle_s, times.look_s, fps)
        except EdgeError as error:
            say(str(error))
            return
        yield row(KINDS[kind], look)
        if look.due_share < HOPELESS:
            return


def row(scene: str, look: DaemonMeasurement) -> list[object]:
    """One look as a row of the table."""
    lost = ", ".join(f"{n:.0f} {place}" for place, n in look.drops.items()) or "0"
    anew = f"{100 * look.encoded['vision']:.0f} %" if "vision" in look.encoded else ""
    longer = f"{look.left_out:.0f}"
    late = [f"{1000 * quantile(look.added_s, q):.0f} ms" if look.added_s else "" for q in (0.5, 0.99)]
    cost_ms = [f"{look.rss_mb:.0f} MB", look.cpu_ms, look.cores]
    return [scene, look.cameras, f"{100 * look.due_share:.1f} %", lost, longer, anew, *late, *cost_ms]


def rules_of(stage: BenchSetup, path: Path) -> dict[str, object]:
    """Rules that make events begin and end all the time on this clip, so that there are messages to time."""
    scores = stage.folder / f"{path.stem}.csv"
    if not scores.exists():
        say(f"replay of {path.name}")
        run_command(
            module_command("edge", "replay", str(path), "--events", os.devnull, "--scores", str(scores)), stage.folder
        )
    return noisy_rules(scores)


def hour(stage: BenchSetup, seconds: float) -> str:
    """Four cameras for long: memory's slope after the first minutes, open files, windows scored."""
    shown, n = clip(SAMPLE, stage.folder), 4
    with rtsp_server(shown) as port:
        network = [network_camera(port)] * 2 if port is not None else []
        sources = [*[recording_source(shown.path)] * (n - len(network)), *network]
        daemon = stage.daemon(sources, evidence={"keep_free_gb": 0})
        marks: list[tuple[float, float, int]] = []
        with daemon.program as program:
            program.wait_ready()
            began_s = now_s()
            while now_s() - began_s < seconds:
                pause(SAMPLE_EVERY_S)
                now = program.usage()
                marks.append((now.at_s - began_s, now.rss_mb, now.files))
    warm = [mark for mark in marks if mark[0] >= min(WARM_S, seconds / 3)]
    growth = slope([mark[0] for mark in warm], [mark[1] for mark in warm]) * 3600
    held = " / ".join(f"{mark[1]:.0f} MB" for mark in (marks[0], warm[0], marks[-1]))
    rows = [
        ["watched", f"{marks[-1][0] / 60:.0f} min, {n} cameras, {len(network)} of them RTSP"],
        ["memory after the start, after warming up, at the end", held],
        ["slope of memory after warming up", f"{growth:+.1f} MB an hour"],
        ["open files after warming up, at the end", f"{warm[0][2]} / {marks[-1][2]}"],
    ]
    return markdown_table(["", ""], rows)


def slope(x: list[float], y: list[float]) -> float:
    """Least squares; 0 of a single point."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread if spread else 0.0


def say(what: str) -> None:
    """To people, not into the tables."""
    print(f"… {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
