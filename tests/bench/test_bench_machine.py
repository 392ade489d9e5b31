"""Who takes the processors of a machine, and what ends how much it holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.bench.machine import MachineLoad, ProcessorTimes, limiting_resource, machine_load, room_left


def load(
    daemon: float = 1.8,
    others: float = 0.0,
    steal: float = 0.0,
    engine: float = 0.4,
    decoding: float = 1.0,
    memory: float = 0.1,
) -> MachineLoad:
    return MachineLoad(2, daemon, others, steal, engine, decoding, memory)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (load(), "decoding"),
        (load(engine=0.8, decoding=0.5), "the model"),
        (load(daemon=1.2, engine=0.9), "one thread"),
        (load(daemon=1.2, steal=0.6), "steal"),
        (load(daemon=0.8, others=1.1), "other programs"),
        (load(daemon=1.1, others=0.7), "decoding"),
        (load(daemon=1.13), "1.13 of 2 cores"),
        (load(memory=0.9), "memory"),
    ],
)
def test_what_ends_it_is_named(seen: MachineLoad, said: str) -> None:
    assert said in limiting_resource(seen)


def test_processor_times_are_read_by_column(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 10 50 900 7 3 2 40 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    hz, seen = os.sysconf("SC_CLK_TCK"), ProcessorTimes.current(stat)
    assert (seen.busy_s * hz, seen.steal_s * hz) == pytest.approx((165, 40))


def test_an_old_kernel_knows_no_steal(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 10 50 900\n")
    assert ProcessorTimes.current(stat).steal_s == 0


def test_what_is_not_the_daemons_is_others() -> None:
    seen = machine_load(ProcessorTimes(0.0, 5.0, 1.0), ProcessorTimes(10.0, 20.0, 2.0), daemon=1.2, cores=2)
    assert (seen.others, seen.steal) == pytest.approx((0.3, 0.1))
    assert seen.taken == pytest.approx(0.8)


def test_room_is_what_the_fullest_resource_leaves() -> None:
    assert room_left(load(daemon=0.85, engine=0.1)) == pytest.approx(2.0)
    assert room_left(load(daemon=0.5, engine=0.85)) == pytest.approx(1.0)
    assert room_left(load(daemon=0.01, engine=0.01, memory=0.01)) == 4.0, "a look at little says little about much"
