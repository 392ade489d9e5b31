"""One source kept going."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator

import pytest

from edge.capture.supervisor import OpeningSlots, SourceSupervisor
from edge.clock import VirtualClock
from edge.errors import MediaError, SourceError
from edge.metrics import Metrics
from edge.status import AWAITS_TURN, SourceState
from edge.types import NS_PER_S, Gap, LumaSample, MediaItem


class Scripted:
    """Each opening plays the next act: a number of items, ``step_ns`` apart, then an error or a quiet end."""

    def __init__(
        self,
        acts: list[tuple[int, Exception | None]],
        *,
        live: bool = True,
        clock: VirtualClock | None = None,
        step_ns: int = 0,
        silent_ns: int = 0,
    ) -> None:
        self.name = "gate"
        self.live = live
        self.has_video = self.has_audio = False
        self.closed = 0
        self.clock = clock or VirtualClock()
        self.step_ns, self.silent_ns = step_ns, silent_ns
        self._acts = acts

    def items(self) -> Generator[MediaItem, None, None]:
        n, error = self._acts.pop(0)
        self.has_video = True
        for k in range(n):
            yield LumaSample(k, k, 0.0)
            self.clock.advance(self.step_ns)
        self.clock.advance(self.silent_ns)
        if error is not None:
            raise error

    def close(self) -> None:
        self.closed += 1


def supervise(
    acts: list[tuple[int, Exception | None]],
    *,
    live: bool = True,
    stop_after: int | None = None,
    on_item: Callable[[SourceSupervisor], None] | None = None,
) -> tuple[SourceSupervisor, list[MediaItem], VirtualClock, Metrics, list[tuple[bool, bool]]]:
    clock, metrics, pushed, cancel, opened = VirtualClock(), Metrics(), [], threading.Event(), []

    def push(item: MediaItem) -> None:
        pushed.append(item)
        if on_item is not None:
            on_item(supervisor)
        if stop_after is not None and len(pushed) >= stop_after:
            cancel.set()

    supervisor = SourceSupervisor(
        Scripted(acts, live=live), push, clock, metrics, opened=lambda v, a: opened.append((v, a))
    )
    supervisor.run(cancel)
    return supervisor, pushed, clock, metrics, opened


LOST = SourceError("rtsp://x: the camera ended the stream;\n  it may be restarting")


def test_gap_on_every_break_and_quiet_logging(caplog: pytest.LogCaptureFixture) -> None:
    acts = [(2, LOST), (0, LOST), (0, LOST), (3, None)]
    with caplog.at_level(logging.DEBUG):
        _, pushed, clock, metrics, opened = supervise(acts, stop_after=6)
    kinds = [type(item) for item in pushed]
    assert kinds == [LumaSample, LumaSample, Gap, LumaSample, LumaSample, LumaSample]
    assert [r.levelno for r in caplog.records] == [logging.WARNING, logging.DEBUG, logging.DEBUG, logging.INFO]
    assert 1 + 1.8 + 3.24 <= clock.mono_ns() / NS_PER_S <= 1.5 * (1 + 1.8 + 3.24)
    assert metrics.registry.get_sample_value("edge_reconnects_total", {"source": "gate"}) == 3
    assert opened == [(True, False), (True, False)]


def test_state_says_why_in_one_line() -> None:
    seen: list[tuple[SourceState, str]] = []
    _, *_ = supervise([(1, LOST), (1, None)], stop_after=3, on_item=lambda s: seen.append((s.state, s.detail)))
    gap = (SourceState.LOST, "rtsp://x: the camera ended the stream; it may be restarting")
    assert seen == [(SourceState.UP, ""), gap, (SourceState.UP, "")]
    supervisor, pushed, *_ = supervise([(0, LOST), (0, MediaError("bad file")), (1, None)], live=False)
    assert supervisor.state is SourceState.ENDED
    assert len(pushed) == 1


def test_lost_is_readable_while_it_waits() -> None:
    clock, cancel = VirtualClock(), threading.Event()
    supervisor = SourceSupervisor(Scripted([(0, LOST)]), lambda _: None, clock, Metrics())

    def wait(event: threading.Event, timeout_s: float) -> bool:
        assert supervisor.state is SourceState.LOST
        assert supervisor.detail == "rtsp://x: the camera ended the stream; it may be restarting"
        event.set()
        return True

    clock.wait = wait  # type: ignore[method-assign]
    supervisor.run(cancel)


def test_end_of_a_recording_ends_it_and_tells() -> None:
    ended: list[int] = []
    source = Scripted([(2, None)], live=False)
    supervisor = SourceSupervisor(source, lambda _: None, VirtualClock(), Metrics(), ended=lambda: ended.append(1))
    supervisor.run(threading.Event())
    assert supervisor.state is SourceState.ENDED
    assert ended == [1]
    supervisor.close()
    assert source.closed == 1


def test_a_live_source_that_ends_is_tried_again() -> None:
    _, pushed, *_ = supervise([(1, None), (1, None)], stop_after=3)
    assert [type(item) for item in pushed] == [LumaSample, Gap, LumaSample]


def test_a_bug_passes_through() -> None:
    with pytest.raises(ZeroDivisionError):
        supervise([(1, ZeroDivisionError())])


class Waits(VirtualClock):
    """Time that notes how long was waited."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s: list[float] = []

    def wait(self, cancel: threading.Event, timeout_s: float) -> bool:
        self.waited_s.append(timeout_s)
        return super().wait(cancel, timeout_s)


def waits(acts: list[tuple[int, Exception | None]], *, step_s: float, silent_s: float = 0.0) -> list[float]:
    """How long is waited after each act of a camera; after the last it is stopped."""
    clock, cancel, total = Waits(), threading.Event(), len(acts)
    steps = {"step_ns": round(step_s * NS_PER_S), "silent_ns": round(silent_s * NS_PER_S)}
    source = Scripted([*acts, (1, None)], clock=clock, **steps)

    def push(_item: MediaItem) -> None:
        if len(clock.waited_s) == total:
            cancel.set()

    SourceSupervisor(source, push, clock, Metrics()).run(cancel)
    return clock.waited_s


def test_a_camera_that_drops_every_two_minutes_is_never_left_alone_for_long() -> None:
    delays = waits([(120, LOST)] * 20, step_s=1.0)
    assert len(delays) == 20
    assert all(1.0 <= delay <= 1.5 for delay in delays)


def test_a_camera_that_dies_within_seconds_is_tried_less_and_less() -> None:
    delays = waits([(5, LOST)] * 12, step_s=1.0)
    assert delays == sorted(delays)
    assert delays[-1] == 60.0


def test_a_camera_that_shows_one_picture_and_hangs_does_not_count_as_working() -> None:
    delays = waits([(1, LOST)] * 12, step_s=0.0, silent_s=30.0)
    assert delays[-1] == 60.0


def first_retries(names: list[str]) -> list[float]:
    """When each of some cameras that were lost at once is tried again, seconds after that."""
    tried = []
    for name in names:
        clock, cancel = Waits(), threading.Event()
        source = Scripted([(1, LOST), (1, None)], clock=clock)
        source.name = name

        def push(_item: MediaItem, clock: Waits = clock, cancel: threading.Event = cancel) -> None:
            if clock.waited_s:
                cancel.set()

        SourceSupervisor(source, push, clock, Metrics()).run(cancel)
        tried.append(clock.waited_s[0])
    return tried


def test_cameras_that_were_lost_at_once_are_not_tried_at_once() -> None:
    names = [f"cam{k}" for k in range(48)]
    tried = sorted(first_retries(names))
    assert tried == sorted(first_retries(names)), "the same each time"
    assert tried[0] >= 1.0
    assert tried[-1] <= 1.5
    busiest = max(sum(at <= other < at + 0.05 for other in tried) for at in tried)
    assert busiest <= 12, "of 48"


def test_a_few_sources_open_at_a_time() -> None:
    clock, cancel = VirtualClock(), threading.Event()
    slots = OpeningSlots(clock, 2)
    assert slots.acquire("a", cancel)
    assert slots.acquire("b", cancel)
    assert not slots.try_acquire("c")
    slots.release("a")
    slots.release("a")
    assert slots.acquire("c", cancel)
    assert clock.mono_ns() == 0
    assert not slots.try_acquire("d")


def test_of_many_sources_one_opens_every_so_often() -> None:
    clock, cancel = VirtualClock(), threading.Event()
    slots, opened = OpeningSlots(clock, 4, spacing_s=0.5), list[float]()
    for source in range(12):
        assert slots.acquire(source, cancel)
        opened.append(clock.mono_ns() / NS_PER_S)
        slots.release(source)
    assert opened[:4] == [0.0] * 4
    assert opened[4:] == pytest.approx([0.5 * k for k in range(1, 9)], abs=OpeningSlots.POLL_S)
    clock.advance(60 * NS_PER_S)
    assert all(slots.try_acquire(source) for source in range(4)), "a few that come later need not wait"


def test_while_the_box_is_behind_sources_open_less_often() -> None:
    clock, cancel, opened = VirtualClock(), threading.Event(), list[float]()
    slots = OpeningSlots(clock, 2, spacing_s=0.5, is_behind=lambda: 3 <= len(opened) < 6)
    for source in range(9):
        assert slots.acquire(source, cancel)
        opened.append(clock.mono_ns() / NS_PER_S)
        slots.release(source)
    assert opened == pytest.approx([0, 0, 0.5, 1.0, 3.0, 5.0, 7.0, 7.5, 8.0], abs=0.2)


def test_hosts_that_do_not_answer_keep_the_others_out_for_a_moment_only() -> None:
    clock, cancel = VirtualClock(), threading.Event()
    slots = OpeningSlots(clock, 2)
    assert slots.acquire("dead 1", cancel)
    assert slots.acquire("dead 2", cancel)
    assert slots.acquire("alive", cancel)
    assert OpeningSlots.HOLD_S <= clock.mono_ns() / NS_PER_S <= OpeningSlots.HOLD_S + OpeningSlots.POLL_S + 0.01


def test_waiting_for_a_turn_can_be_cancelled_and_is_told_as_connecting() -> None:
    clock, cancel = VirtualClock(), threading.Event()
    slots = OpeningSlots(clock, 1)
    assert slots.try_acquire("another")
    source = Scripted([(1, None)], clock=clock)
    supervisor = SourceSupervisor(source, lambda _: None, clock, Metrics(), slots=slots)

    def wait(event: threading.Event, _timeout_s: float) -> bool:
        assert (supervisor.state, supervisor.detail) == (
            SourceState.CONNECTING,
            AWAITS_TURN,
        )
        event.set()
        return True

    clock.wait = wait  # type: ignore[method-assign]
    supervisor.run(cancel)
    assert not source.has_video, "it was never opened"


@pytest.mark.parametrize("acts", [[(1, None)], [(0, LOST)]])
def test_a_source_gives_its_turn_back_when_it_delivers_and_when_it_fails(
    acts: list[tuple[int, Exception | None]],
) -> None:
    clock, cancel = VirtualClock(), threading.Event()
    slots = OpeningSlots(clock, 1)
    free: list[bool] = []

    def note(*_: object) -> bool:
        free.append(slots.try_acquire("next"))
        cancel.set()
        return True

    clock.wait = note  # type: ignore[method-assign]
    SourceSupervisor(Scripted(acts, clock=clock), note, clock, Metrics(), slots=slots).run(cancel)
    assert free[0]
