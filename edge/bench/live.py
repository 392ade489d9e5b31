"""Live cameras under measurement: a warm-up in which they fall quiet, then a look, by scene and number of cameras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge.bench.daemon import BenchSetup, DaemonMeasurement, MeasuredDaemon, SourceSpec
from edge.bench.machine import limiting_resource, room_left
from edge.bench.processes import pause
from edge.bench.search import CapacitySearch
from edge.errors import RuntimeUnavailable

HELD = 0.99
"""Share of due windows that must be scored: what a machine holds."""
DOUBTFUL = 0.96
"""From here up to `HELD` a look is doubled: a camera's windows may come in bunches, and a look cuts one in two."""
HOPELESS = 0.85
SLICE_S = 20.0


@dataclass(frozen=True, slots=True)
class LiveTimes:
    """Seconds from when all cameras deliver to the look, and of the look."""

    warm_s: float = 20.0
    look_s: float = 40.0


@dataclass(frozen=True, slots=True)
class LiveScene:
    """Cameras of a kind: ``sources`` gives those of a machine with so many."""

    name: str
    sources: Callable[[int], Sequence[SourceSpec]]


@dataclass(slots=True)
class SceneCapacity:
    """How many cameras of a scene the machine holds, and every trial in order."""

    scene: str
    held: int = 0
    failed: int | None = None
    looks: list[DaemonMeasurement] = field(default_factory=list)

    @property
    def limit(self) -> str:
        """What ends it, by the smallest number that did not hold; empty where all that were tried did."""
        look = next((look for look in self.looks if look.cameras == self.failed), None)
        return "" if look is None else limiting_resource(look.load)


def measure_live(daemon: MeasuredDaemon, times: LiveTimes) -> DaemonMeasurement:
    """Start it, wait, watch it in slices, stop it. A look at a machine that is far behind ends early; one that is
    near `HELD` and below takes twice as long."""
    with daemon.program as program:
        program.wait_ready()
        ready_cpu_s = program.usage().cpu_s
        daemon.wait_connected()
        pause(times.warm_s)
        readings, left_s, doubled = [daemon.read()], times.look_s, False
        while left_s > 0:
            pause(min(SLICE_S, left_s))
            left_s -= SLICE_S
            readings.append(daemon.read())
            look = daemon.measurement(readings, ready_cpu_s)
            if look.due_share < HOPELESS:
                break
            if left_s <= 0 and not doubled and DOUBTFUL <= look.due_share < HELD:
                left_s, doubled = times.look_s, True
        return look


def find_capacity(
    setup: BenchSetup, scene: LiveScene, start: int, runs: int, times: LiveTimes, report: Callable[[str], None]
) -> SceneCapacity:
    """How many cameras of ``scene`` hold, by at most ``runs`` live runs, the first with ``start``."""
    search, found = CapacitySearch(start, runs), SceneCapacity(scene.name)
    while (cameras := search.next()) is not None:
        report(f"{scene.name}: {cameras} camera{'' if cameras == 1 else 's'}")
        try:
            look = measure_live(setup.daemon(scene.sources(cameras), evidence=None), times)
        except RuntimeUnavailable as error:
            report(f"not held: {error}")
            search.add(cameras, held=False, expected=cameras / 2)
            continue
        found.looks.append(look)
        held = look.due_share >= HELD
        factor = room_left(look.load) if held else min(look.due_share, 0.97)
        search.add(cameras, held=held, expected=cameras * factor)
    found.held, found.failed = search.held, search.failed
    return found
