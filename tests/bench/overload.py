"""More cameras than the machine holds, over RTSP: what is still scored, how late, what grows, how soon it is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from testbed import rtsp_servers

from edge.bench.daemon import WINDOWS, BenchSetup, DaemonReading, MeasuredDaemon
from edge.bench.figures import Figure, FigureTable, quantile
from edge.bench.live import LiveScene, LiveTimes, find_capacity, measure_live
from edge.bench.processes import now_s, pause

STEP_S = 4.0
GIVEN_UP_S = 60.0
NORMAL_SHARE, LEAST_SHARE, NORMAL_WAIT_S = 0.97, 0.9, 1.0
"""Of the windows of the cameras that are left, on average and in a step, and how long they may wait: then all is as
before."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What one step after the load fell showed: seconds since then, share of due windows, p99 of the wait."""

    after_s: float
    due_share: float
    wait_s: float


def back_to_normal_s(steps: list[Recovery]) -> float:
    """Seconds from the fall of the load to the begin of the first step from which on the share is normal; NaN where
    there is none. A single step may have less, because windows are scored on the other side of the line to the next."""
    normal, shares = float("nan"), list[float]()
    for step in reversed(steps):
        if step.due_share < LEAST_SHARE or not step.wait_s <= NORMAL_WAIT_S:
            break
        shares.append(step.due_share)
        if sum(shares) / len(shares) >= NORMAL_SHARE:
            normal = max(0.0, step.after_s - STEP_S)
    return normal


def overload(
    setup: BenchSetup, kind: str, start: int, runs: int, times: LiveTimes, say: Callable[[str], None]
) -> FigureTable:
    """Find how many cameras of ``kind`` hold, play twice as many, then stop half of their servers."""
    with rtsp_servers(kind, setup.folder, 2) as stay, rtsp_servers(kind, setup.folder, 2) as leave:
        scene = LiveScene(f"{kind}, RTSP", stay.cameras)
        found = find_capacity(setup, scene, start, runs, times, say)
        n = max(1, found.held)
        say(f"{kind}, RTSP: {2 * n} cameras, twice what holds")
        at_capacity = [look.scored_hz for look in found.looks if look.cameras == n]
        if not at_capacity:
            daemon = setup.daemon(stay.cameras(n), evidence=None)
            at_capacity = [measure_live(daemon, times).scored_hz]
        daemon = setup.daemon(stay.cameras(n) + leave.cameras(n), evidence=None)
        with daemon.program as program:
            program.wait_ready()
            daemon.wait_connected()
            pause(times.warm_s)
            first = daemon.read()
            pause(times.look_s)
            second = daemon.read()
            look = daemon.measurement([first, second])
            say("half of the servers stop")
            leave.stop()
            steps = watch_recovery(daemon, second, n, setup.hop_s)
    table = FigureTable()
    grown = second.usage.rss_mb - first.usage.rss_mb
    table.add(
        Figure(f"cameras that hold, {kind}, RTSP", [float(n)], "", "", found.limit),
        Figure(f"{2 * n} cameras: windows scored, of those at {n}", [look.scored_hz / at_capacity[-1]], "x", ">= 0.9"),
        Figure("  windows wait for the model, p99", [quantile(look.queue_s, 0.99)], "s", "<= 2"),
        Figure("  latency added, p99", [quantile(look.added_s, 0.99)], "s", "<= 2", f"{len(look.added_s)} messages"),
        Figure("  due windows scored", [100 * look.due_share], "%"),
        Figure("  lost, as the daemon counts it", [look.lost], "windows and pictures"),
        Figure(f"  memory grows over {times.look_s:g} s", [grown], "MB", "<= 10"),
        Figure(f"{n} cameras left: back to normal after", [back_to_normal_s(steps)], "s", "<= 30"),
    )
    return table


def watch_recovery(daemon: MeasuredDaemon, before: DaemonReading, cameras: int, hop_s: float) -> list[Recovery]:
    """Steps after the load fell, until five in a row are normal or `GIVEN_UP_S` is over."""
    began_s, steps = now_s(), list[Recovery]()
    while now_s() - began_s < GIVEN_UP_S:
        pause(STEP_S)
        after = daemon.read()
        took_s = after.usage.at_s - before.usage.at_s
        scored = after.scrape.total(WINDOWS) - before.scrape.total(WINDOWS)
        waits = after.answer["queue_s"]
        steps.append(Recovery(now_s() - began_s, scored * hop_s / (cameras * took_s), quantile(waits, 0.99)))
        before = after
        if len(steps) >= 5 and back_to_normal_s(steps) <= steps[-5].after_s - STEP_S:
            break
    return steps
