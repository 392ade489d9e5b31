"""The preview decides as the detector does on the same values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_times import at
from numpy.typing import NDArray

from edge.clock import VirtualClock
from edge.config import parse
from edge.detect.detector import Detector
from edge.detect.limits import EventLimits, LimitKind
from edge.engine.manifest import Manifest, find_folder, load_folder
from edge.errors import InputError
from edge.status import HoldReason
from edge.tune.preview import PreviewEvent, preview_threshold
from edge.types import Event, Phase, Scores, nanoseconds

HOP_NS = 500_000_000


@dataclass(frozen=True)
class Trace:
    times_ns: NDArray[np.int64]
    names: tuple[str, ...]
    values: NDArray[np.float32]


def limits(
    enter: float,
    leave: float,
    min_s: float = 0.0,
    merge_s: float = 0.0,
    cooldown_s: float = 0.0,
    most: int | None = None,
    *,
    limit: LimitKind = LimitKind.HARD,
) -> EventLimits:
    times = (nanoseconds(min_s), nanoseconds(cooldown_s), nanoseconds(merge_s))
    return EventLimits(enter, leave, *times, most, limit)


def trace_of(values: list[float | None]) -> Trace:
    column = np.array([np.nan if v is None else v for v in values], np.float32)[:, None]
    return Trace((1 + np.arange(len(values), dtype=np.int64)) * HOP_NS, ("dog_bark",), column)


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_folder(find_folder("fused")).manifest


def live(manifest: Manifest, trace: Trace, rule: str) -> tuple[list[PreviewEvent], dict[HoldReason, int]]:
    """The same values through the detector itself: its events, and what it held back."""
    config = parse(f"cameras: {{a: {{source: {{type: file, path: x}}}}}}\nevents: {{dog_bark: {rule}}}").config
    detector = Detector(config, manifest, VirtualClock())
    events: list[Event] = []
    for k, value in enumerate(trace.values[:, 0]):
        is_there = not np.isnan(value)
        t = int(trace.times_ns[k])
        events += detector.scores(
            Scores(
                "a",
                k,
                t,
                at(t),
                {"dog_bark": float(value)},
                {},
                np.zeros(0, np.float32),
                (),
                {},
                1.0,
                False,
                is_there,
                "",
            )
        )
    events += detector.end_all("end", 0)
    ended = [
        PreviewEvent(e.begin_ns, e.end_ns, e.peak) for e in events if e.phase is Phase.END and e.end_ns is not None
    ]
    return ended, {reason: count for (_, label, reason), count in detector.held_ever().items() if label == "dog_bark"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([None, 0.1, 0.45, 0.55, 0.7, 0.95]), st.integers(1, 30)), max_size=25),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.sampled_from([0.0, 1.0, 10.0]),
    st.sampled_from([0.0, 3.0]),
    st.sampled_from([None, 1, 2]),
)
def test_equal_to_the_detector(
    manifest: Manifest,
    runs: list[tuple[float | None, int]],
    min_s: float,
    cooldown_s: float,
    merge_s: float,
    most: int | None,
) -> None:
    trace = trace_of([value for value, count in runs for _ in range(count)])
    rule = f"{{enter: 0.6, leave: 0.5, min_s: {min_s}, cooldown_s: {cooldown_s}, merge_s: {merge_s}"
    rule += f", most_per_hour: {most}}}" if most else "}"
    chosen = limits(
        0.6, 0.5, min_s, merge_s, cooldown_s, most or 12, limit=LimitKind.HARD if most else LimitKind.REPETITIONS
    )
    found, live_events, held = preview_threshold(trace, "dog_bark", chosen), *live(manifest, trace, rule)
    assert list(found.events) == live_events
    assert found.held == held, "what would have been held back is what was"


def test_limits_that_cannot_hold_are_refused() -> None:
    trace = trace_of([0.1, 0.9])
    with pytest.raises(InputError, match="no trace of 'cat'"):
        preview_threshold(trace, "cat", limits(0.6, 0.4))
    with pytest.raises(InputError, match="limits"):
        preview_threshold(trace, "dog_bark", limits(0.4, 0.6))


def test_an_empty_trace_has_no_events() -> None:
    assert preview_threshold(trace_of([]), "dog_bark", limits(0.6, 0.4)).events == ()


def test_what_would_have_been_held_back_is_counted_by_what_held_it() -> None:
    """Two windows are too short, three come within the cooldown, the fourth is beyond the limit, one joins another."""
    high, low = [0.9] * 4, [0.1] * 4
    values: list[float | None] = [0.9, 0.9, *low, *high, 0.1, *high, *low, *high, *[0.1] * 30, *high, *low]
    found = preview_threshold(trace_of(values), "dog_bark", limits(0.6, 0.4, 1.0, 1.0, 6.0, 1))
    assert len(found.events) == 1
    assert found.held == {
        HoldReason.WAITING: 1,
        HoldReason.MERGED: 1,
        HoldReason.COOLDOWN: 1,
        HoldReason.RATE_LIMITED: 1,
    }
