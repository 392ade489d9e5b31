"""From two looks at the daemon to how many cameras fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bench.capacity import USABLE, CameraLoad, camera_load, capacity


def load(
    cameras: int, cpu: float = 100.0, engine: float = 20.0, base_cpu: float = 0.0, rss: float = 17.0
) -> CameraLoad:
    total = base_cpu + cpu * cameras
    return CameraLoad(cameras, total, engine * cameras, (cpu - engine) * cameras, 150 + rss * cameras)


def test_the_processor_ends_it_and_its_larger_part_is_named() -> None:
    held = capacity(load(1), load(4), cores=2, free_mb=20_000)
    assert (held.cameras, held.limit) == (18, "decoding")
    assert capacity(load(1, engine=60), load(4, engine=60), 4, 20_000, engine_threads=4).limit == "the model"


def test_one_thread_of_the_engine_can_end_it() -> None:
    held = capacity(load(1, cpu=120, engine=100), load(4, cpu=120, engine=100), cores=16, free_mb=20_000)
    assert held.cameras == 9
    assert "thread" in held.limit


def test_memory_can_end_it() -> None:
    held = capacity(load(1), load(4), cores=64, free_mb=(150 + 17 * 5.5) / USABLE)
    assert (held.cameras, held.limit) == (5, "memory")


@given(
    cpu=st.floats(20, 500),
    base=st.floats(0, 100),
    share=st.floats(0.05, 0.9),
    cores=st.integers(1, 64),
)
def test_what_is_promised_fits(cpu: float, base: float, share: float, cores: int) -> None:
    few, more = (load(n, cpu, cpu * share, base) for n in (1, 4))
    held = capacity(few, more, cores, free_mb=10_000, engine_threads=1)
    at = load(held.cameras, cpu, cpu * share, base)
    assert held.cameras == 0 or at.cpu_ms <= USABLE * 1000 * cores + 1e-6
    assert held.cameras == 0 or at.engine_ms <= USABLE * 1000 + 1e-6
    assert held.cameras == 0 or at.rss_mb <= USABLE * 10_000 + 1e-6


def test_a_cost_that_does_not_grow_between_two_short_looks_is_all_the_cameras() -> None:
    noisy = capacity(load(1, cpu=300), load(4, cpu=70), cores=2, free_mb=20_000)
    assert noisy.bounds["processor"] == pytest.approx(1800 / 70)


def test_a_load_is_made_of_stages() -> None:
    made = camera_load(4, {"vision": 25.0, "detect": 5.0, "decode": 15.0, "publish": 5.0}, 200.0)
    assert (made.cpu_ms, made.engine_ms, made.decoding_ms) == pytest.approx((200.0, 120.0, 60.0))
