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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hour import hour
from live_rows import LiveRows, added_goals, beside_another, due, late_goal, mixed, moving_files, moving_network, quiet
from overload import overload
from soak import soak
from testbed import KINDS, SAMPLE, RtspServerMissingError, clip, rtsp_servers

from edge.bench.bench_run import BenchPlan, BenchRun, noisy_rules, run_command
from edge.bench.clips import MOVING, STILL, looped_clip, phased_clips
from edge.bench.daemon import BenchSetup, SourceSpec, embedded_broker, floor_ms, floor_program, recording_source
from edge.bench.figures import Figure, FigureTable, ratios
from edge.bench.live import LiveTimes
from edge.bench.processes import module_command, now_s
from edge.bench.report import MachineInfo, report_text
from edge.engine.manifest import find_folder, load_folder

SECTIONS = ("cost", "start", "replay", "latency", "quiet", "mixed", "moving", "beside", "overload")
GOALS_X = {MOVING: 10, STILL: 25}
TAKEN = 0.5


@dataclass(frozen=True, slots=True)
class Extent:
    """How long, how often, and how many cameras; ``mixed`` is (moving, all), ``trials`` of each search."""

    rounds: int
    look_s: float
    live: LiveTimes
    quiet: tuple[int, ...]
    mixed: tuple[tuple[int, int], ...]
    files: tuple[int, ...]
    rtsp: tuple[int, ...]
    beside: tuple[int, ...]
    trials: int


LIVE = LiveTimes(20.0, 40.0)
EXTENTS = {
    "full": Extent(5, 10.0, LIVE, (1, 4, 12, 16, 20, 48), ((5, 24),), (1, 4, 8, 12, 14, 16), (4, 8, 12), (16, 20), 4),
    "essential": Extent(3, 8.0, LIVE, (4, 16, 48), ((5, 24),), (4, 12, 14), (12,), (16,), 2),
    "quick": Extent(1, 4.0, LiveTimes(8.0, 10.0), (4,), ((1, 4),), (2,), (2,), (2,), 1),
}


def main() -> None:
    """Measure the parts asked for, each printed as soon as it is there."""
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is stopped
    extent = EXTENTS["quick" if args.quick else "essential" if args.essential else "full"]
    sections = args.only or (["hour"] if args.hour else SECTIONS)
    began_s = now_s()
    hop_s = load_folder(find_folder("fused")).manifest.geometry.hop_s
    tell(f"{MachineInfo.current()}\n", args.out)
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as name, embedded_broker() as port:
        setup = BenchSetup(Path(name), port, hop_s)
        for section in sections:
            load = os.getloadavg()[0]
            try:
                told = part(section, setup, extent, (args.hour or 60.0) * 60)
            except RtspServerMissingError:
                told = "No GStreamer RTSP server here: not measured.\n"
            tell(f"## {section}\n\nLoad before: {load:.2f}.\n\n{told}\n", args.out)
    say(f"{(now_s() - began_s) / 60:.0f} min")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--essential", action="store_true", help="fewer numbers of cameras, about half the time")
    parser.add_argument("--quick", action="store_true", help="everything once and short: a look, not to be quoted")
    parser.add_argument(
        "--only", nargs="+", choices=(*SECTIONS, "box", "hour", "soak"), help="default: all but the last three"
    )
    parser.add_argument(
        "--hour",
        nargs="?",
        type=float,
        const=60.0,
        metavar="MINUTES",
        help="growth over an hour, or as long as `soak` takes",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="also add the tables to this file")
    return parser.parse_args()


def part(section: str, setup: BenchSetup, extent: Extent, hour_s: float) -> str:
    """One section, in Markdown."""
    tables: dict[str, Callable[[LiveRows], None]] = {
        "latency": latency,
        "quiet": lambda table: quiet(table, extent.quiet),
        "mixed": lambda table: mixed(table, extent.mixed),
        "moving": lambda table: moving(table, extent),
        "beside": lambda table: beside_another(table, extent.beside, TAKEN),
    }
    if section in tables:
        table = LiveRows(setup, extent.live, say)
        tables[section](table)
        return table.markdown()
    others: dict[str, Callable[[], str]] = {
        "box": lambda: box(setup, extent),
        "cost": lambda: cost(setup, extent),
        "start": lambda: start(setup, extent.rounds),
        "replay": lambda: replay(setup, extent.rounds),
        "overload": lambda: overloads(setup, extent),
        "hour": lambda: hour(setup, hour_s, 12, say),
        "soak": lambda: soak(setup, hour_s, 6, say),
    }
    return others[section]()


def box(setup: BenchSetup, extent: Extent) -> str:
    """What `edge bench` prints, with more turns."""
    plan = BenchPlan(extent.rounds, 2.0, extent.look_s, extent.rounds > 1, trials=extent.trials, live=extent.live)
    about, moving, still = MachineInfo.current(), *(phased_clips(kind, setup.folder) for kind in (MOVING, STILL))
    return report_text(about, moving[0].shown, BenchRun(setup, plan, moving, still, say).run())


def cost(setup: BenchSetup, extent: Extent) -> str:
    """CPU per camera-second against the floor and against one that scales too, by kind of scene."""
    table = FigureTable()
    for kind, cameras in ((MOVING, 1), (MOVING, 4), (SAMPLE, 4), (STILL, 4)):
        shown = clip(kind, setup.folder)
        sources = [recording_source(shown.path)] * cameras
        goal = "<= 1.10" if kind == MOVING else ""
        add_cost(table, setup, extent, f"{KINDS[kind]}, recordings, {cameras}", sources, shown.fps, goal)
    return table.markdown()


def add_cost(
    table: FigureTable, setup: BenchSetup, extent: Extent, what: str, sources: list[SourceSpec], fps: float, goal: str
) -> None:
    """Floor, daemon, and the floor that prepares, in turns; no evidence is kept."""
    given, n = [source["path"] for source in sources], len(sources)
    warm_s, look_s = extent.live.warm_s, extent.look_s
    floors, prepared, daemons = [], [], []
    for turn in range(extent.rounds):
        say(f"cost, {what}, turn {turn + 1}")
        floors.append(floor_ms(floor_program(setup, given), n, setup.hop_s, fps, 3.0, look_s))
        daemons.append(setup.daemon(sources, evidence=None).measure(warm_s, look_s))
        bare = floor_program(setup, given, "--prepare")
        prepared.append(floor_ms(bare, n, setup.hop_s, fps, 3.0, look_s))
    spent = [look.cpu_ms for look in daemons]
    table.add(
        Figure(f"cost over the floor: {what}", ratios(spent, floors), "x", goal),
        Figure("  over a floor that also scales and resamples", ratios(spent, prepared), "x"),
        Figure("  daemon", spent, "CPU-ms per camera-second"),
        Figure("  floor", floors, "CPU-ms per camera-second"),
        Figure("  due windows scored", [100 * look.due_share for look in daemons], "%", ">= 99 %"),
    )


def start(setup: BenchSetup, rounds: int) -> str:
    """From the start of the process to READY, with four cameras."""
    sources = [recording_source(clip(MOVING, setup.folder).path)] * 4
    ready_s, cpu_s = [], []
    for _ in range(rounds):
        with setup.daemon(sources).plain_program() as program:
            ready_s.append(program.wait_ready())
            cpu_s.append(program.usage().cpu_s)
    table = FigureTable()
    table.add(Figure("start to READY, 4 cameras", ready_s, "s", "<= 2"), Figure("  its processor time", cpu_s, "CPU-s"))
    return table.markdown()


def replay(setup: BenchSetup, rounds: int) -> str:
    """Recordings as fast as they go on all cores, and whether one core gives the same bytes."""
    table, seconds = FigureTable(), 60.0
    for kind in (MOVING, STILL):
        path = looped_clip(clip(kind, setup.folder), seconds, setup.folder / f"replay-{kind}.mp4").path
        speeds = []
        for turn in range(rounds):
            say(f"replay, {KINDS[kind]}, turn {turn + 1}")
            began_s = now_s()
            found = replay_bytes(setup, path, [])
            speeds.append(seconds / (now_s() - began_s))
        same = replay_bytes(setup, path, ["taskset", "-c", "0"]) == found
        note = "one core gives the same bytes" if same else "**one core gives other bytes**"
        table.add(Figure(f"replay, {KINDS[kind]}", speeds, "x real time", f">= {GOALS_X[kind]}", note))
    return table.markdown()


def replay_bytes(setup: BenchSetup, path: Path, before: list[str]) -> tuple[bytes, bytes]:
    """The scores and the events of one replay, started with ``before``."""
    scores, events = (setup.folder / name for name in ("scores.csv", "events.jsonl"))
    asked = module_command("edge", "replay", str(path), "--events", str(events), "--scores", str(scores))
    run_command([*before, *asked], setup.folder)
    return scores.read_bytes(), events.read_bytes()


def latency(table: LiveRows) -> None:
    """Four cameras: awake with events all the time, quiet, and waking now and then."""
    folder = table.setup.folder
    with rtsp_servers(MOVING, folder) as awake:
        rules = rules_of(table.setup, clip(MOVING, folder).path)
        table.add("all moves, events all the time, RTSP", awake.cameras(4), [due(), *added_goals()], servers=[awake],
                  events=rules)  # fmt: skip
    with rtsp_servers(SAMPLE, folder) as now_and_then:
        table.add("things move now and then, RTSP", now_and_then.cameras(4), [due(), late_goal()],
                  servers=[now_and_then])  # fmt: skip


def moving(table: LiveRows, extent: Extent) -> None:
    """Everything moves."""
    moving_files(table, extent.files)
    moving_network(table, extent.rtsp)


def overloads(setup: BenchSetup, extent: Extent) -> str:
    """Twice what holds, quiet and moving."""
    starts = {STILL: max(extent.quiet), MOVING: max(extent.rtsp)}
    tables = [overload(setup, kind, n, extent.trials, extent.live, say).markdown() for kind, n in starts.items()]
    return "\n".join(tables)


def rules_of(setup: BenchSetup, path: Path) -> dict[str, object]:
    """Rules that make events begin and end all the time on this clip, so that there are messages to time."""
    scores = setup.folder / f"{path.stem}.csv"
    if not scores.exists():
        say(f"replay of {path.name}")
        run_command(
            module_command("edge", "replay", str(path), "--events", os.devnull, "--scores", str(scores)), setup.folder
        )
    return noisy_rules(scores)


def tell(what: str, out: Path | None) -> None:
    """A part of the result."""
    print(what, flush=True)
    if out:
        with out.open("a", encoding="utf-8") as file:
            print(what, file=file)


def say(what: str) -> None:
    """To people, not into the tables."""
    print(f"… {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
