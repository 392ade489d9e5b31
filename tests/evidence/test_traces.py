"""Score traces: what is read is what was written, torn or not, with names that change, day after day."""

from __future__ import annotations

import gc
import itertools
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_times import at

from edge.clock import VirtualClock
from edge.evidence.archive import traces as blocks
from edge.evidence.archive.traces import TraceStore
from edge.types import NS_PER_S, RuleValues

DAY_NS = 86_400 * NS_PER_S
T0 = 1_773_014_400 * NS_PER_S  # 2026-03-09, midnight in UTC


def row(values: dict[str, float | None], camera: str = "gate") -> RuleValues:
    return RuleValues(camera, 0, at(0), values)


ROWS = st.lists(
    st.tuples(
        st.integers(1, 40_000),  # ms since the one before
        st.sampled_from([("a",), ("a", "b"), ("b", "a"), ("c", "a", "b")]),
        st.lists(st.none() | st.floats(0, 1), min_size=3, max_size=3),
    ),
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(2, 9), st.integers(0, 60), st.integers(0, 70_000))
def test_what_is_read_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[int, tuple[str, ...], list[float | None]]],
    per_block: int,
    restart_at: int,
    begin_ms: int,
) -> None:
    folder = tmp_path_factory.mktemp("traces")
    traces = TraceStore(folder, VirtualClock())
    traces.ROWS = per_block  # type: ignore[misc]
    at_ns, written = T0 + DAY_NS - 60 * NS_PER_S, []  # over midnight
    for n, (gap_ms, names, values) in enumerate(made):
        at_ns += gap_ms * 1_000_000
        if n == restart_at:  # killed: nothing is closed in order
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                traces = TraceStore(folder, VirtualClock())
                gc.collect()
        row_values = dict(zip(names, values, strict=False))
        traces.append(row(row_values), at_ns)
        written.append((at_ns, row_values))
    since_ns = T0 + DAY_NS - 60 * NS_PER_S + begin_ms * 1_000_000
    read = traces.read("gate", since_ns, at_ns + 1_000_000)
    wanted = [(t, values) for t, values in written if t >= since_ns]
    assert read.times_ns.tolist() == [t for t, _ in wanted]
    for line, (_, values) in zip(read.values, wanted, strict=True):
        for name, value in zip(read.names, line.tolist(), strict=True):
            given_value = values.get(name)
            assert np.isnan(value) if given_value is None else abs(value - given_value) <= 0.5 / 254 + 1e-6
    traces.close()


def test_a_kill_between_block_and_tail_counts_no_row_twice(tmp_path: Path) -> None:
    traces = TraceStore(tmp_path, VirtualClock())
    for n in range(10):
        traces.append(row({"a": n / 10}), T0 + n * NS_PER_S)
    tail = tmp_path / "traces/gate/2026-03-09.tail"
    kept = tail.read_bytes()
    part = blocks.read_tail(kept)
    assert part is not None
    (tail.with_suffix(".trace")).write_bytes(blocks.pack_block(part))  # the block is there, the tail is not emptied yet
    traces.close()
    again = TraceStore(tmp_path, VirtualClock())
    assert len(again.read("gate", 0, T0 + DAY_NS).times_ns) == 10
    again.append(row({"a": 1.0}), T0 + 11 * NS_PER_S)
    assert len(again.read("gate", 0, T0 + DAY_NS).times_ns) == 11
    again.close()


@pytest.mark.parametrize("suffix", [".tail", ".trace"])
def test_a_torn_end_costs_what_is_torn(tmp_path: Path, suffix: str) -> None:
    whole: bytes | None = None
    for cut in itertools.count():
        folder = tmp_path / f"{suffix}{cut}"
        traces = TraceStore(folder, VirtualClock())
        traces.ROWS = 4  # type: ignore[misc]
        for n in range(10):
            traces.append(row({"a": n / 10, "b": None}), T0 + n * NS_PER_S)
        traces.close()
        path = folder / f"traces/gate/2026-03-09{suffix}"
        whole = whole or path.read_bytes()
        if cut >= len(whole):
            break
        path.write_bytes(whole[: len(whole) - cut])
        read = traces.read("gate", 0, T0 + DAY_NS)
        assert set(read.times_ns.tolist()) <= {T0 + n * NS_PER_S for n in range(10)}
        assert len(read.times_ns) >= (8 if suffix == ".tail" else 2)
        traces.append(row({"a": 1.0, "b": None}), T0 + 60 * NS_PER_S)  # it goes on
        assert traces.read("gate", T0 + 60 * NS_PER_S, T0 + 61 * NS_PER_S).times_ns.tolist() == [T0 + 60 * NS_PER_S]
        traces.close()
    zeroed = blocks.read_tail(whole + bytes(64)) if suffix == ".tail" and whole else None  # as after a power cut
    assert zeroed is None or len(zeroed.times_ms) == 2


def test_a_clock_that_steps_back_keeps_order(tmp_path: Path) -> None:
    traces = TraceStore(tmp_path, VirtualClock())
    for second in (0, 1, 2, -5, -4, 10):
        traces.append(row({"a": 0.5}), T0 + 100 * NS_PER_S + second * NS_PER_S)
    times = traces.read("gate", 0, T0 + DAY_NS).times_ns
    assert (np.diff(times) > 0).all()
    assert len(times) == 6
    traces.close()


def test_a_day_of_eighteen_labels_stays_small(tmp_path: Path) -> None:
    """A twelfth of a day at two windows a second, every value wandering in every window: more than scenes do."""
    traces = TraceStore(tmp_path, VirtualClock())
    rng = np.random.default_rng(1)
    logits = np.full(18, -4.0)
    count = 2 * 7200
    for n in range(count):
        logits += rng.normal(size=18) * 0.3 - 0.1 * (logits + 4)
        values = dict(zip((f"label_{k}" for k in range(18)), (1 / (1 + np.exp(-logits))).tolist(), strict=True))
        traces.append(row(values), T0 + n * 500_000_000 + int(rng.integers(9_000_000)))
    size = sum(path.stat().st_size for path in (tmp_path / "traces/gate").iterdir())
    assert size * 12 <= 3_000_000
    assert traces.days("gate") == ("2026-03-09",)
    assert len(traces.read("gate", T0, T0 + DAY_NS).times_ns) == count
    traces.close()


def test_a_full_disk_costs_rows_not_the_daemon(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "traces").write_text("in the way")
    traces = TraceStore(tmp_path, VirtualClock())
    for n in range(3):
        traces.append(row({"a": 0.5}), T0 + n * NS_PER_S)
    assert len([r for r in caplog.records if "holes" in r.message]) == 1
    traces.close()
