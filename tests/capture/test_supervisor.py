"""One source kept going."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator

import pytest

from edge.capture.supervisor import SourceSupervisor
from edge.clock import VirtualClock
from edge.errors import MediaError, SourceError
from edge.metrics import Metrics
from edge.status import SourceState
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
    assert clock.mono_ns() == pytest.approx((1 + 1.8 + 3.24) * NS_PER_S)
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
    assert waits([(120, LOST)] * 20, step_s=1.0) == [1.0] * 20


def test_a_camera_that_dies_within_seconds_is_tried_less_and_less() -> None:
    delays = waits([(5, LOST)] * 12, step_s=1.0)
    assert delays == sorted(delays)
    assert delays[-1] == 60.0


def test_a_camera_that_shows_one_picture_and_hangs_does_not_count_as_working() -> None:
    delays = waits([(1, LOST)] * 12, step_s=0.0, silent_s=30.0)
    assert delays[-1] == 60.0
