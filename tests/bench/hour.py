"""Hours of mixed cameras: the slope of memory with its standard error, open files, threads, windows that were lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan, sqrt

from testbed import SAMPLE, clip, rtsp_servers

from edge.bench.clips import MOVING, STILL
from edge.bench.daemon import DROPS, LEFT_OUT, WINDOWS, BenchSetup, MeasuredDaemon, MetricsScrape, recording_source
from edge.bench.figures import markdown_table
from edge.bench.processes import now_s, pause

SAMPLE_EVERY_S = 15.0
SETTLED_S = 20.0
WARM_S = 600.0
MEAN_S = 300.0
"""Memory's ups and downs of seconds are no independent errors: the line is laid through means of five minutes."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A line by least squares: its slope a unit of x, and the standard error of the slope (NaN of two points)."""

    slope: float
    error: float

    @property
    def is_zero(self) -> bool:
        """Whether 0 lies within two standard errors, or the line falls."""
        return self.slope <= 2 * self.error


def linear_trend(x: Sequence[float], y: Sequence[float]) -> Trend:
    """The line through the points; a slope of 0 of fewer than two."""
    n = len(x)
    if n < 2:
        return Trend(0.0, nan)
    mean_x, mean_y = sum(x) / n, sum(y) / n
    spread = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread
    if n < 3:
        return Trend(slope, nan)
    rest = sum((b - mean_y - slope * (a - mean_x)) ** 2 for a, b in zip(x, y, strict=True))
    return Trend(slope, sqrt(rest / (n - 2) / spread))


def means(x: Sequence[float], y: Sequence[float], width: float) -> tuple[list[float], list[float]]:
    """Means of both over stretches of ``width`` of x; ``x`` ascends."""
    groups: dict[int, list[tuple[float, float]]] = {}
    for a, b in zip(x, y, strict=True):
        groups.setdefault(int((a - x[0]) // width), []).append((a, b))
    pairs = [[sum(values) / len(values) for values in zip(*group, strict=True)] for group in groups.values()]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


@dataclass(frozen=True, slots=True)
class HourMark:
    """What the program holds ``at_s`` seconds after READY."""

    at_s: float
    rss_mb: float
    files: int
    threads: int


@dataclass(frozen=True, slots=True)
class HourWatch:
    """``first`` and ``last`` are metrics, ``scraped_s`` apart."""

    marks: Sequence[HourMark]
    first: MetricsScrape
    last: MetricsScrape
    scraped_s: float


def hour(setup: BenchSetup, seconds: float, quiet: int, say: Callable[[str], None]) -> str:
    """``quiet`` still cameras and two moving ones over RTSP, and a recording in which things move now and then."""
    with rtsp_servers(STILL, setup.folder) as still, rtsp_servers(MOVING, setup.folder, 2) as moving:
        recording = recording_source(clip(SAMPLE, setup.folder).path)
        sources = [*still.cameras(quiet), *moving.cameras(2), recording]
        seen = watch(setup.daemon(sources, evidence={"keep_free_gb": 0}), seconds, say)
    shown = f"{quiet} still and 2 moving over RTSP, 1 recording; evidence kept"
    return hour_table(seen, shown, len(sources), setup.hop_s)


def no_use() -> None:
    """Nobody uses the daemon that is watched."""


def watch(
    daemon: MeasuredDaemon, seconds: float, say: Callable[[str], None], use: Callable[[], None] = no_use
) -> HourWatch:
    """Run it and look every `SAMPLE_EVERY_S`; ``use`` is called after each look."""
    marks: list[HourMark] = []
    with daemon.plain_program() as program:
        program.wait_ready()
        began_s = now_s()
        pause(SETTLED_S)
        first_s, first = now_s(), MetricsScrape.of(daemon.port)
        while now_s() - began_s < seconds:
            pause(SAMPLE_EVERY_S)
            usage = program.usage()
            marks.append(HourMark(usage.at_s - began_s, usage.rss_mb, usage.files, usage.threads))
            if len(marks) % 20 == 0:
                say(f"{marks[-1].at_s / 60:.0f} min: {usage.rss_mb:.0f} MB")
            use()
        return HourWatch(marks, first, MetricsScrape.of(daemon.port), now_s() - first_s)


def hour_table(seen: HourWatch, shown: str, cameras: int, hop_s: float) -> str:
    """The figures."""
    marks, whole_s = seen.marks, seen.marks[-1].at_s
    warm = [mark for mark in marks if mark.at_s >= min(WARM_S, whole_s / 3)]
    held = " / ".join(f"{mark.rss_mb:.0f} MB" for mark in (marks[0], warm[0], marks[-1]))
    scored, lost, left_out = (seen.last.total(name) - seen.first.total(name) for name in (WINDOWS, DROPS, LEFT_OUT))
    share = 100 * scored * hop_s / (cameras * seen.scraped_s)
    rows = [
        ["watched", f"{whole_s / 60:.0f} min: {shown}", ""],
        ["memory after the start, after warming up, at the end", held, ""],
        _growth("memory", "MB", warm, [mark.rss_mb for mark in warm]),
        _growth("open files", "files", warm, [mark.files for mark in warm]),
        _growth("threads", "threads", warm, [mark.threads for mark in warm]),
        ["due windows scored", f"{share:.2f} %", f">= 99 %: {_met(share >= 99)}"],
        ["lost at all places, left out by longer hops", f"{lost:.0f}, {left_out:.0f}", ""],
        ["open files after warming up, at the end", f"{warm[0].files} / {marks[-1].files}", ""],
        ["threads after warming up, at the end", f"{warm[0].threads} / {marks[-1].threads}", ""],
    ]  # fmt: skip
    return markdown_table(["figure", "", "goal"], rows)


def _growth(what: str, unit: str, warm: Sequence[HourMark], held: Sequence[float]) -> list[str]:
    """A row of the table: the line through means of `MEAN_S`, or of a twelfth of a short watch."""
    trend = linear_trend(*means([mark.at_s for mark in warm], held, min(MEAN_S, warm[-1].at_s / 12)))
    slope, error = 3600 * trend.slope, 3600 * trend.error
    told = f"{slope:+.1f} {unit} an hour, standard error {error:.1f}"
    return [f"slope of {what} after warming up", told, f"0: {_met(trend.is_zero)}"]


def _met(holds: bool) -> str:
    return "met" if holds else "**missed**"
