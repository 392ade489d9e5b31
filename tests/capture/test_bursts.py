"""Reading in bursts: when a camera rests, whose turn it is, and when its packets are taken to have arrived."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.capture.bursts import BurstReader, BurstTurn, LiveEdge
from edge.threads import WakeEvent
from edge.types import NS_PER_MS, NS_PER_S

STEP_NS = 66 * NS_PER_MS
START_NS = 7_000 * NS_PER_S  # the source's clock starts elsewhere


class Woken(WakeEvent):
    """Counts rests and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.rests = 0

    def wait(self, timeout_s: float) -> bool:
        self.rests += 1
        return False


def reader(turn: BurstTurn | None = None, burst_ns: int = 400 * NS_PER_MS) -> tuple[BurstReader, Woken]:
    wake = Woken()
    return BurstReader(burst_ns, wake, turn or BurstTurn()), wake


def test_it_rests_when_what_came_was_read() -> None:
    bursts, wake = reader()
    now_ns = 0
    for k in range(200):
        now_ns = max(now_ns, k * STEP_NS)  # every packet is read as it comes
        bursts.arrival(0, START_NS + k * STEP_NS, now_ns)
        bursts.go_on()
    assert wake.rests == 200


def test_it_reads_on_while_packets_wait() -> None:
    bursts, wake = reader()
    for k in range(30):
        bursts.arrival(0, START_NS + k * STEP_NS, k * STEP_NS)
        bursts.go_on()
    rests = wake.rests
    late_ns = 30 * STEP_NS + NS_PER_S
    for k in range(30, 40):  # a second behind
        bursts.arrival(0, START_NS + k * STEP_NS, late_ns)
        assert not bursts.go_on()
    assert wake.rests == rests


def test_without_bursts_it_never_rests() -> None:
    bursts, wake = reader(burst_ns=0)
    for k in range(10):
        bursts.arrival(0, k * STEP_NS, k * STEP_NS)
        assert not bursts.go_on()
    assert wake.rests == 0


@given(st.lists(st.integers(0, 900), min_size=5, max_size=80))
def test_what_lay_unread_is_stamped_as_it_came(delays_ms: list[int]) -> None:
    """However late it is read, arrivals follow the media and are never later than the reading."""
    bursts, _ = reader()
    bursts.arrival(0, START_NS, 0)
    read_ns = 0
    for k, delay_ms in enumerate(delays_ms, 1):
        read_ns = max(read_ns, k * STEP_NS + delay_ms * NS_PER_MS)
        arrival_ns = bursts.arrival(0, START_NS + k * STEP_NS, read_ns)
        assert k * STEP_NS <= arrival_ns <= read_ns
        assert arrival_ns - k * STEP_NS <= k * STEP_NS // 1000 + 1


def test_a_clock_that_is_set_back_starts_anew() -> None:
    bursts, _ = reader()
    bursts.arrival(0, START_NS, 0)
    assert bursts.arrival(0, START_NS - 3600 * NS_PER_S, NS_PER_S) == NS_PER_S


def test_one_reads_at_a_time() -> None:
    turn = BurstTurn()
    assert turn.take()
    taken: list[bool] = []
    waiting = threading.Thread(target=lambda: taken.append(turn.take()))
    waiting.start()
    turn.packets += 1
    turn.give()
    waiting.join()
    assert taken == [True]


def test_first_come_first_served() -> None:
    """A lock alone gives the turn to whoever asks at the right moment; some cameras then wait for many seconds."""
    turn, order = BurstTurn(), list[int]()
    assert turn.take()
    waiting = [threading.Thread(target=lambda n=n: order.append(n) if turn.take() else None) for n in range(5)]
    for n, thread in enumerate(waiting):
        thread.start()
        while turn.waiting <= n:
            turn.packets += 1
    for n in range(len(waiting)):
        turn.packets += 1
        turn.give()
        while len(order) <= n:
            turn.packets += 1
    assert order == [0, 1, 2, 3, 4]
    turn.give()
    assert turn.take(), "it is free again"


def test_a_camera_that_stalls_stops_nobody() -> None:
    turn = BurstTurn()
    assert turn.take()
    assert not turn.take()  # nothing was read meanwhile


def test_pictures_out_of_order_do_not_start_anew() -> None:
    bursts, _ = reader()
    bursts.arrival(0, START_NS, 0)
    assert bursts.arrival(0, START_NS - 200 * NS_PER_MS, NS_PER_S) == -200 * NS_PER_MS


def test_a_small_step_back_of_the_clock_starts_anew() -> None:
    bursts, _ = reader()
    bursts.arrival(0, START_NS, 0)
    assert bursts.arrival(0, START_NS - 2 * NS_PER_S, NS_PER_S) == NS_PER_S
    assert bursts.late_ns == 0


def read_late(bursts: BurstReader, waited_ns: int, packet_ns: int) -> int:
    """Read 200 packets, four seconds late at first, one every ``packet_ns``; how late the last one is, in ns."""
    bursts.arrival(0, START_NS, 0)
    for k in range(1, 200):
        bursts.arrival(0, START_NS + k * STEP_NS, 4 * NS_PER_S + k * packet_ns, waited_ns)
    return bursts.late_ns


def test_a_delay_before_this_box_is_taken_for_the_usual_one() -> None:
    """It reads as fast as packets come, and waits for each: it is not behind, though they come later than they did."""
    bursts, _ = reader()
    assert read_late(bursts, STEP_NS * 9 // 10, STEP_NS) < 10 * NS_PER_MS


def test_a_box_that_is_busy_is_behind_as_long_as_it_lasts() -> None:
    bursts, _ = reader()
    assert read_late(bursts, STEP_NS // 10, STEP_NS) > 3.9 * NS_PER_S


def test_a_reader_that_catches_up_is_behind_until_it_has() -> None:
    bursts, _ = reader()
    assert read_late(bursts, STEP_NS // 2, STEP_NS * 9 // 10) == pytest.approx(4 * NS_PER_S - 20 * STEP_NS, rel=0.01)


def test_the_live_edge_takes_a_second_to_see() -> None:
    edge = LiveEdge()
    found = [edge.is_reached(4 * NS_PER_S, STEP_NS, k * STEP_NS) for k in range(30)]
    assert found.index(True) * STEP_NS >= NS_PER_S


def test_a_recording_is_waited_for_a_burst_at_a_time() -> None:
    bursts, _ = reader()
    waited: list[int] = []

    def pace(pts_ns: int) -> int:
        waited.append(pts_ns)
        return pts_ns

    arrivals = [bursts.pace(k * STEP_NS, pace) for k in range(30)]
    assert len(waited) == 5
    assert all(arrival >= k * STEP_NS for k, arrival in enumerate(arrivals))
    assert arrivals == sorted(arrivals)
    bursts.pace(-100 * NS_PER_S, pace)  # a loop of another clock
    assert len(waited) == 6
