"""When the capture of a camera lags, and when it leaves out what it cannot catch up with."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import av
from capture.test_on_demand import GEOMETRY, START_S, made, passes

from edge.capture.base import SourceOptions
from edge.capture.decode import ContainerDecoder
from edge.capture.lag import CaptureLag
from edge.clock import VirtualClock
from edge.demand import PictureDemand
from edge.metrics import Metrics
from edge.types import NS_PER_MS, NS_PER_S, AudioChunk, Frame, Gap

START_MS = 5_000_000


def noted(late_ms: Iterable[int], every_ms: int = 100) -> list[tuple[bool, bool]]:
    """For each of some packets whether the camera lags, and whether the packet is left out."""
    demand = PictureDemand()
    lag, found = CaptureLag(demand), list[tuple[bool, bool]]()
    for k, late in enumerate(late_ms):
        lag.note(late * NS_PER_MS, (START_MS + k * every_ms) * NS_PER_MS)
        assert demand.lag_ns in {0, late * NS_PER_MS}
        found.append((demand.lags, lag.discards))
    return found


def test_only_a_lag_that_lasts_is_one() -> None:
    assert not any(lags for lags, _ in noted(range(3000, 300, -300))), "a stall of the network, soon read"
    assert noted([1500] * 15 + [500, 1500]) == [(False, False)] * 10 + [(True, False)] * 5 + [(False, False)] * 2


def test_a_backlog_is_left_out_until_the_newest_media_is_reached() -> None:
    behind = [1000 + 100 * k for k in range(21)]
    found = noted([*behind, *range(2800, 0, -200)])
    assert [left_out for _, left_out in found] == [False] * 20 + [True] * 14 + [False]


def test_after_a_long_wait_for_its_turn_a_camera_lags_at_once() -> None:
    demand = PictureDemand()
    lag = CaptureLag(demand)
    lag.note(0, START_MS * NS_PER_MS)
    lag.note_rest(4_500 * NS_PER_MS)
    lag.note(4 * NS_PER_S, (START_MS + 4_500) * NS_PER_MS)
    assert (demand.lags, lag.discards) == (True, True)
    lag.note_rest(490 * NS_PER_MS)
    lag.note(200 * NS_PER_MS, (START_MS + 5_000) * NS_PER_MS)
    assert (demand.lags, lag.discards) == (False, False)


def test_a_stall_of_the_network_after_a_rest_is_no_lag() -> None:
    demand = PictureDemand()
    lag = CaptureLag(demand)
    lag.note_rest(400 * NS_PER_MS)
    for k in range(10):
        lag.note((5_000 - 400 * k) * NS_PER_MS, (START_MS + 6_000 + 10 * k) * NS_PER_MS)
        assert (demand.lags, lag.discards) == (False, False)


def test_a_new_connection_begins_without_a_lag() -> None:
    demand = PictureDemand()
    lag = CaptureLag(demand)
    for k in range(3):
        lag.note(5 * NS_PER_S, k * NS_PER_S)
    assert (demand.lags, lag.discards) == (True, True)
    lag.restart()
    assert (demand.lags, demand.lag_ns, lag.discards) == (False, 0, False)


def test_a_box_that_does_not_get_on_leaves_out_media_and_goes_on_with_the_newest(tmp_path: Path) -> None:
    """A second of sound takes two seconds between the tenth and the thirtieth second."""
    clock, metrics, demand = VirtualClock(), Metrics(), PictureDemand()
    decoder = ContainerDecoder("cam", GEOMETRY, clock, metrics, SourceOptions(demand=demand))
    heard_s, shown_s, late_s, gaps = list[float](), list[float](), list[float](), 0
    with av.open(str(made(tmp_path / "moves.mp4", 50, passes(0, 50)))) as container:
        for item in decoder.items(container, threading.Event()):
            gaps += isinstance(item, Gap)
            if isinstance(item, Frame):
                shown_s.append(item.pts_ns / NS_PER_S - START_S)
            if isinstance(item, AudioChunk):
                heard_s.append(item.pts_ns / NS_PER_S - START_S)
                clock.advance_to(max(clock.mono_ns(), item.pts_ns - START_S * NS_PER_S))
                clock.advance(NS_PER_S if 10 <= heard_s[-1] < 30 else 0)
                late_s.append(clock.mono_ns() / NS_PER_S - heard_s[-1])
    left_out = metrics.registry.get_sample_value("edge_drops_total", {"source": "cam", "place": "late"})
    assert left_out is not None
    assert left_out > 100
    assert gaps == 0, "what follows is on the same axis, after a hole"
    assert heard_s == sorted(heard_s)
    assert shown_s == sorted(shown_s)
    assert max(late_s) < 6
    assert late_s[-1] < 1
    assert len([t for t in heard_s if 10 <= t < 30]) >= 15, "it hears what it can"
    assert len([t for t in shown_s if t >= 40]) >= 40
