"""The whole machine under measurement: who takes its processors' time, and what ends how much it holds. Linux only."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import Self

from edge.bench.processes import now_s

STAT = Path("/proc/stat")
FULL = 0.85
"""Of the processors, of the engine's one thread, of memory: from here on what comes unevenly comes late."""
TAKEN_AWAY = 0.1
"""Of the processors: from here on what others or the host take is named as what ends it."""


@dataclass(frozen=True, slots=True)
class ProcessorTimes:
    """CPU-seconds of all processors since the start of the machine, at ``at_s`` (monotonic).

    ``busy_s`` ran programs and the kernel, ``steal_s`` were due to this machine and given to another by its host.
    """

    at_s: float
    busy_s: float
    steal_s: float

    @classmethod
    def current(cls, stat: Path = STAT) -> Self:
        """Read them now: the first line of ``/proc/stat`` (see ``man 5 proc_stat``)."""
        line = stat.read_text(encoding="utf-8").partition("\n")[0].split()[1:]
        user, nice, system, _idle, _iowait, irq, soft_irq, steal = (int(ticks) for ticks in (*line, *"00000000")[:8])
        hz = os.sysconf("SC_CLK_TCK")
        return cls(now_s(), (user + nice + system + irq + soft_irq) / hz, steal / hz)


@dataclass(frozen=True, slots=True)
class MachineLoad:
    """Who took the machine's ``cores`` over one look, each in cores: this daemon, other programs, the host.

    ``engine`` and ``decoding`` are parts of ``daemon``; ``memory`` is the daemon's share of what was free before.
    """

    cores: int
    daemon: float
    others: float
    steal: float
    engine: float
    decoding: float
    memory: float

    @property
    def taken(self) -> float:
        """Share of the processors that nobody else could have."""
        return (self.daemon + self.others + self.steal) / self.cores


def machine_load(
    before: ProcessorTimes,
    after: ProcessorTimes,
    *,
    daemon: float,
    engine: float = 0.0,
    decoding: float = 0.0,
    memory: float = 0.0,
    cores: int | None = None,
) -> MachineLoad:
    """Between two readings, while a daemon used ``daemon`` cores."""
    took_s = after.at_s - before.at_s
    busy, steal = ((b - a) / took_s for a, b in ((before.busy_s, after.busy_s), (before.steal_s, after.steal_s)))
    others = max(0.0, busy - daemon)
    return MachineLoad(cores or os.cpu_count() or 1, daemon, others, max(0.0, steal), engine, decoding, memory)


def limiting_resource(load: MachineLoad) -> str:
    """What ends how many cameras the machine holds, of a look in which windows were lost."""
    if load.memory >= FULL:
        return "memory"
    if load.taken >= FULL:
        if load.steal >= TAKEN_AWAY * load.cores and load.steal >= load.others:
            return "the host, which gives the processors to other machines (steal)"
        if load.others >= max(TAKEN_AWAY * load.cores, load.daemon):
            return "other programs"
        part = "decoding" if load.decoding >= load.engine else "the model"
        return f"the processor; most of it goes to {part}"
    if load.engine >= FULL:
        return "the engine, on its one thread"
    return f"threads that wait for each other: {load.daemon:.2f} of {load.cores} cores are used"


def room_left(load: MachineLoad) -> float:
    """How many times as much the machine would hold, by the first of processor, engine and memory that is full.

    At most 4: a look at little says little about much.
    """
    available = max(0.1, load.cores - load.others - load.steal)
    used = max(load.daemon / available, load.engine, load.memory) / FULL
    return min(4.0, 1 / max(used, 1e-6))
