"""What `edge bench` says: tables in Markdown, then the answer in words; and all of it as one JSON object."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

from edge.bench.bench_run import MANY_CAMERAS, BenchResults
from edge.bench.capacity import Capacity
from edge.bench.daemon import DaemonMeasurement
from edge.bench.figures import Figure, FigureTable, format_number, markdown_table, none_for_nan, quantile, ratios
from edge.bench.live import SceneCapacity
from edge.bench.stopwatch import STAGES

GIGA = 1e9
REPLAY_GOALS = {"everything moving": 10, "nothing moving": 25}
LIVE_HEAD = (
    "scene", "cameras", "due windows scored", "lost", "left out by longer hops", "CPU-ms per camera-second",
    "cores used", "of others, of the host", "memory", "waiting for the model, p50 / p99", "added, p50 / p99",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MachineInfo:
    """The machine, and how busy it was before."""

    processor: str
    cores: int
    memory_gb: float
    load: float

    @classmethod
    def current(cls) -> MachineInfo:
        """This machine."""
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cls(_processor(), os.cpu_count() or 1, pages / 1e9, os.getloadavg()[0])

    def __str__(self) -> str:
        busy = "" if self.load < 0.3 else " **The box is not quiet: figures of time are worse than they need be.**"
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_gb:.0f} GB, Python {platform.python_version()}; "
            f"load before: {self.load:.2f}.{busy}"
        )


def report_text(box: MachineInfo, clip: str, found: BenchResults) -> str:
    """The report."""
    parts = [
        str(box),
        f"Cameras: {clip}.",
        "### What runs the model\n\n" + modes_section(found),
        "### One row of the model, by part\n\n" + parts_section(found) + "\n" + peaks_summary(found),
        "### Figures\n\n" + figure_table(found).markdown(),
        "### Where the time goes\n\n" + stages_section(found),
        *live_section(found),
        "### The answer\n\n" + "\n".join(conclusions(found)),
    ]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def as_json(box: MachineInfo, clip: str, found: BenchResults) -> dict[str, Any]:
    """The same for programs."""
    report: dict[str, Any] = _without_nan(
        {
            "box": asdict(box),
            "clip": clip,
            "figures": figure_table(found).as_json(),
            "answer": list(conclusions(found)),
            "measured": asdict(found),
        }
    )
    return report


def modes_section(found: BenchResults) -> str:
    """What runs here, and what every runtime measured of each graph or why it cannot be taken."""
    chosen = found.chosen
    summary = "Not measured.\n"
    if chosen:
        summary = (
            f"The daemon takes **{chosen['runtime']} {chosen['version']} on {chosen['device']}, "
            f"{chosen['precision']}**: "
            f"{format_number(chosen['row_ms'])} CPU-ms a row, {format_number(chosen['full_ms'])} of 8 at once, "
            f"{format_number(chosen['load_s'])} CPU-s to load. {found.why}\n"
        )
    if not found.ways:
        return summary
    rows = [
        [way["part"], way["how"], nan, nan, nan, f"no: {way['fault'][:160]}"]
        if way["fault"]
        else [way["part"], way["how"], way["cpu_ms"], way["wall_ms"], way["memory_mb"], "taken" * way["taken"]]
        for way in found.ways
    ]
    return summary + "\n" + markdown_table(["part", "runtime", "CPU-ms a row", "ms by the clock", "MB", ""], rows)


def parts_section(found: BenchResults) -> str:
    """Each part's cost against what its operations would take at the peak that was measured."""
    rows, peak = [], _peak(found)
    for part, timed in found.chosen.get("parts", {}).items():
        asked = found.asked.get(part, {})
        operations, best = asked.get("operations", nan), min(timed["best_ms"], timed["full_ms"])
        least_ms = 1000 * operations / peak if peak else nan
        nodes = list(asked.get("ms_by_kind", {}).items())[:3]
        most = ", ".join(f"{name} {ms / asked['ms']:.0%}" for name, ms in nodes)
        share = f"{100 * least_ms / best:.0f} %" if peak and operations == operations else ""  # noqa: PLR0124 - NaN
        rows.append([part, timed["row_ms"], timed["full_ms"], operations / GIGA, least_ms, share, most])
    head = [
        "part",
        "CPU-ms a row",
        "of 8 at once, each",
        "10^9 operations",
        "ms at that peak",
        "reached",
    ]
    return markdown_table([*head, "most time in (fp32, ONNX Runtime)"], rows)


def peaks_summary(found: BenchResults) -> str:
    """The peaks and what showed them."""
    lines = []
    for kind, by in found.peaks.items():
        name, value = next(iter(by.items()))
        unit = "GB/s" if kind == "copy" else "GFLOP/s"
        lines.append(f"{kind} {value / GIGA:.0f} {unit} ({name})")
    return f"Peaks of one thread, the best of the probes: {'; '.join(lines)}. The true peaks may be higher.\n"


def figure_table(found: BenchResults) -> FigureTable:
    """The first table of what speed means here."""
    table = FigureTable()
    daemons = [measurement.cpu_ms for measurement in found.many]
    table.add(
        Figure(
            f"cost over the floor, {MANY_CAMERAS} cameras, all moving", ratios(daemons, found.floors_ms), "x", "<= 1.10"
        ),
        Figure("  daemon", daemons, "CPU-ms per camera-second"),
        Figure("  floor: paced decoding and the bare runtime", found.floors_ms, "CPU-ms per camera-second"),
        Figure("  due windows scored", [100 * look.due_share for look in found.many], "%", ">= 99 %"),
    )
    if found.still is not None:
        table.add(Figure("  daemon, nothing moving", [found.still.cpu_ms], "CPU-ms per camera-second"))
    if found.one is not None:
        table.add(Figure("  daemon, one camera, moving", [found.one.cpu_ms], "CPU-ms per camera-second"))
    table.add(Figure("throughput over the bare runtime, recordings, all moving", [found.throughput], "x"))
    if found.loaded is not None:
        table.add(*_latency(f"{found.loaded.cameras} cameras, all moving", found.loaded))
    ready = [look.ready_s for look in (*found.many, *([found.one] if found.one else []))]
    table.add(Figure("start to READY", ready, "s", "<= 2 s"))
    ready_cpu = [look.ready_cpu_s for look in (*found.many, *([found.one] if found.one else []))]
    table.add(Figure("  its processor time", ready_cpu, "CPU-s"))
    for cameras, looks in ((1, [found.one]), (MANY_CAMERAS, found.many)):
        memory = [look.rss_mb for look in looks if look is not None]
        table.add(Figure(f"memory, cameras: {cameras}", memory, "MB", f"<= {150 + 12 * cameras} MB"))
    for name, speed in found.replayed.items():
        goal = f">= {REPLAY_GOALS[name]} x" if name in REPLAY_GOALS else ""
        table.add(Figure(f"recorded hours replayed an hour, {name}", [speed], "x", goal))
    return table


def stages_section(found: BenchResults) -> str:
    """CPU-ms per camera-second by stage, for both kinds of scene."""
    kinds = [("all moving", found.many[-1] if found.many else None), ("nothing moving", found.still)]
    measurements = [(name, measurement) for name, measurement in kinds if measurement is not None]
    rows: list[list[object]] = []
    for stage in STAGES:
        cells: list[object] = []
        for _, look in measurements:
            spent = look.stages.get(stage, 0.0)
            cells.extend((f"{100 * spent / look.cpu_ms:.1f} %" if spent else "", spent))
        if any(look.stages.get(stage) for _, look in measurements):
            rows.append([stage, *cells])
    head = [
        cell for name, _ in measurements for cell in (f"{MANY_CAMERAS} cameras, {name}", "CPU-ms per camera-second")
    ]
    reuse = "; ".join(f"{name}: {_encoded_text(look)}" for name, look in measurements if look.encoded)
    return markdown_table(["stage", *head], rows) + (f"\nEncoded anew: {reuse}.\n" if reuse else "")


def live_section(found: BenchResults) -> list[str]:
    """Every live run, by scene; nothing where there were none."""
    rows = [live_cells(scene.scene, look) for scene in found.scenes for look in scene.looks]
    return ["### Live cameras\n\n" + markdown_table(LIVE_HEAD, rows)] if rows else []


def live_cells(scene: str, look: DaemonMeasurement) -> list[object]:
    """One look at live cameras as a row below `LIVE_HEAD`."""
    lost = ", ".join(f"{n:.0f} {place}" for place, n in look.drops.items()) or "0"
    beside = f"{look.load.others:.2f}, {look.load.steal:.2f}"
    waits = [quantile_pair(values) for values in (look.queue_s, look.added_s)]
    share, left_out = f"{100 * look.due_share:.1f} %", f"{look.left_out:.0f}"
    cameras = str(look.cameras) + ("" if look.connected >= look.cameras else f", {look.connected} connected")
    return [scene, cameras, share, lost, left_out, look.live_ms, look.cores, beside, f"{look.rss_mb:.0f} MB",
            *waits]  # fmt: skip


def quantile_pair(values: Sequence[float]) -> str:
    """The median and the 99th percentile of seconds, in ms; empty of nothing."""
    return f"{1000 * quantile(values, 0.5):.0f} / {1000 * quantile(values, 0.99):.0f} ms" if values else ""


def conclusions(found: BenchResults) -> Iterator[str]:
    """In words."""
    for scene in found.scenes:
        yield _held_text(scene)
    if not found.scenes:
        for name, holds in (("everything moving", found.moving_holds), ("nothing moving", found.still_holds)):
            if holds is not None:
                yield _estimate_text(holds, name)
    operations = sum(part["operations"] for part in found.asked.values())
    peak = _peak(found)
    least_ms = 1000 * operations / peak if peak else 0.0
    row_ms = found.chosen.get("row_ms", nan)
    if least_ms:
        yield (
            f"How far from the machine's limit: a row has {format_number(operations / GIGA)} x 10^9 "
            f"operations, at the peaks "
            f"{format_number(least_ms)} ms; it takes {format_number(row_ms)} ms, so "
            f"{100 * least_ms / row_ms:.0f} % is reached."
        )


def _held_text(found: SceneCapacity) -> str:
    """By live runs."""
    held = f"**{found.held}** camera{'' if found.held == 1 else 's'}"
    if found.failed is None:
        return f"This box holds at least {held} with {found.scene}; more were not tried."
    look = next((look for look in found.looks if look.cameras == found.failed), None)
    share = "" if look is None else f" ({100 * look.due_share:.1f} % of due windows)"
    limit = f"; what ends it: {found.limit}" if found.limit else ""
    held = held if found.held else "no cameras"
    return f"This box holds {held} with {found.scene}, and not {found.failed}{share}{limit}."


def _estimate_text(holds: Capacity, scene: str) -> str:
    bounds = ", ".join(f"{name} {format_number(n)}" for name, n in holds.bounds.items())
    return (
        f"This box holds about **{holds.cameras}** cameras with {scene}, by straight lines through two short looks; "
        f"the limit is {holds.limit} (by each limit alone: {bounds})."
    )


def _encoded_text(measurement: DaemonMeasurement) -> str:
    names = {"vision": "pictures", "audio": "sound"}
    return ", ".join(
        f"{names.get(part, part)} in {100 * n:.0f} % of windows" for part, n in measurement.encoded.items()
    )


def _latency(what: str, measurement: DaemonMeasurement) -> list[Figure]:
    """Latency added, as the daemon counts it: without the model's own time; every message was looked at."""
    added = [1000 * quantile(measurement.added_s, q) for q in (0.5, 0.99)]
    note = f"{len(measurement.added_s)} messages"
    return [
        Figure(f"latency added, p50, {what}", [added[0]], "ms", "<= 15 ms", note),
        Figure(f"latency added, p99, {what}", [added[1]], "ms", "<= 60 ms"),
        Figure(
            f"  one call of the model, rows as they came, {what}", [1000 * median(measurement.infer_s or [nan])], "ms"
        ),
        Figure(f"  due windows scored, {what}", [100 * measurement.due_share], "%", ">= 99 %"),
    ]


def _peak(found: BenchResults) -> float:
    """The operations a second that the model is held against; 0 where none were found, or it runs on no CPU."""
    on_cpu = found.chosen.get("device", "cpu") == "cpu"
    return max(found.peaks.get("fp32", {}).values(), default=0.0) if on_cpu else 0.0


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(one) for one in value]
    return none_for_nan(value) if isinstance(value, float) else value
