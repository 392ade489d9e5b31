"""Live cameras by scene: quiet, mixed and moving, over RTSP and from recordings, alone and beside another program.

The broker, the RTSP servers and this script are not counted; what the servers take is a column of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from testbed import RtspServers, other_program, rtsp_servers

from edge.bench.clips import MOVING, STILL, phased_clips
from edge.bench.daemon import BenchSetup, DaemonMeasurement, SourceSpec, recording_source
from edge.bench.figures import markdown_table, quantile
from edge.bench.live import HELD, LiveTimes, measure_live
from edge.bench.processes import now_s
from edge.bench.report import LIVE_HEAD, live_cells

GROUP_S = 2.0
HEAD = (*LIVE_HEAD, "late by, p50 / most", "RTSP servers, cores", "goals")


@dataclass(frozen=True, slots=True)
class LiveGoal:
    """A bound on one figure of a look: ``text`` says it with its unit."""

    text: str
    figure: Callable[[DaemonMeasurement], float]
    most: float

    def verdict(self, look: DaemonMeasurement) -> str:
        """Met or missed."""
        return f"{self.text}: {'met' if self.figure(look) <= self.most else '**missed**'}"


def due() -> LiveGoal:
    """Of the windows that are due."""
    return LiveGoal(">= 99 % of windows", lambda look: -look.due_share, -HELD)


def cost_goal(most_ms: float) -> LiveGoal:
    """Of the process tree."""
    return LiveGoal(f"<= {most_ms:g} CPU-ms", lambda look: look.live_ms, most_ms)


def memory_goal(awake: int, quiet: int) -> LiveGoal:
    """150 MB and what each camera may take."""
    most = 150 + 12 * awake + 5 * quiet
    return LiveGoal(f"<= {most} MB", lambda look: look.rss_mb, most)


def late_goal() -> LiveGoal:
    """One group of pictures and half a second."""
    most_s = GROUP_S + 0.5
    return LiveGoal(f"late by <= {most_s:g} s", lambda look: max(look.wait_s, default=0.0), most_s)


def added_goals() -> tuple[LiveGoal, LiveGoal]:
    """Of messages, without the model's own time."""
    return (
        LiveGoal("p50 <= 15 ms", lambda look: 1000 * quantile(look.added_s, 0.5), 15.0),
        LiveGoal("p99 <= 60 ms", lambda look: 1000 * quantile(look.added_s, 0.99), 60.0),
    )


@dataclass(slots=True)
class LiveRows:
    """Looks at live cameras, as a table."""

    setup: BenchSetup
    times: LiveTimes
    say: Callable[[str], None]
    rows: list[list[object]] = field(default_factory=list)

    def add(
        self,
        scene: str,
        sources: Sequence[SourceSpec],
        goals: Sequence[LiveGoal],
        *,
        servers: Sequence[RtspServers] = (),
        beside: float = 0.0,
        **settings: Any,
    ) -> DaemonMeasurement:
        """One look at ``sources``, with another program beside that takes ``beside`` of a core."""
        self.say(f"{scene}: {len(sources)}")
        with other_program(beside):
            began_s, before_s = now_s(), sum(group.cpu_s() for group in servers)
            daemon = self.setup.daemon(sources, **{"evidence": None, **settings})
            look = measure_live(daemon, self.times)
            served = (sum(group.cpu_s() for group in servers) - before_s) / (now_s() - began_s)
        late = f"{quantile(look.wait_s, 0.5):.2f} / {max(look.wait_s, default=0.0):.2f} s"
        told = "; ".join(goal.verdict(look) for goal in goals)
        self.rows.append([*live_cells(scene, look), late, served if servers else None, told])
        return look

    def markdown(self) -> str:
        """The table."""
        return markdown_table(HEAD, self.rows)


def quiet(table: LiveRows, counts: Sequence[int]) -> None:
    """Nothing moves, over RTSP. A server that all clients have left at once does not always serve the next ones."""
    for n in counts:
        goals = [due(), cost_goal(20), memory_goal(0, n), late_goal()]
        with rtsp_servers(STILL, table.setup.folder) as still:
            table.add("nothing moves, RTSP", still.cameras(n), goals, servers=[still])


def mixed(table: LiveRows, pairs: Sequence[tuple[int, int]]) -> None:
    """Some of all move, over RTSP: (moving, all)."""
    with rtsp_servers(STILL, table.setup.folder) as still, rtsp_servers(MOVING, table.setup.folder) as moving:
        for awake, n in pairs:
            cameras = moving.cameras(awake) + still.cameras(n - awake)
            goals = [due(), memory_goal(awake, n - awake)]
            table.add(f"{awake} of {n} move, RTSP", cameras, goals, servers=[still, moving])


def moving_files(table: LiveRows, counts: Sequence[int]) -> None:
    """Everything moves, from recordings at their own pace."""
    clips = phased_clips(MOVING, table.setup.folder)
    for n in counts:
        sources = [recording_source(clips[k % len(clips)].path) for k in range(n)]
        table.add("all moves, recordings", sources, [due(), memory_goal(n, 0)])


def moving_network(table: LiveRows, counts: Sequence[int]) -> None:
    """Everything moves, over RTSP."""
    for n in counts:
        with rtsp_servers(MOVING, table.setup.folder) as moving:
            table.add("all moves, RTSP", moving.cameras(n), [due(), memory_goal(n, 0)], servers=[moving])


def beside_another(table: LiveRows, counts: Sequence[int], share: float) -> None:
    """Nothing moves, over RTSP, while another program takes part of a core."""
    scene = f"nothing moves, RTSP, {share:g} of a core taken beside"
    for n in counts:
        with rtsp_servers(STILL, table.setup.folder) as still:
            table.add(scene, still.cameras(n), [due()], servers=[still], beside=share)
