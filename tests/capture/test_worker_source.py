"""A camera that a capture worker reads gives what it gives when it is read here; its end and the worker's are told."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import cast

import media
import numpy as np
import pytest
from test_file import GEOMETRY

from edge.capture.base import MediaSource, SourceOptions
from edge.capture.bursts import BurstTurn
from edge.capture.registry import open_source
from edge.capture.worker.camera_reader import CameraReader, SourceOpener
from edge.capture.worker.messages import COMMAND_BYTES, Opening, framed, pack
from edge.capture.worker.pool import WorkerPool, WorkerProcess, worker_count
from edge.capture.worker.source import WorkerDemand, WorkerSource
from edge.clock import Clock, SystemClock, VirtualClock
from edge.config.sources import FileSourceConfig, RtspSourceConfig
from edge.demand import DecodeState, PictureDemand, WakeReason
from edge.errors import MediaError, SourceError
from edge.metrics import Metrics
from edge.types import AudioChunk, Frame, MediaItem, Packet

CONFIG = RtspSourceConfig(type="rtsp", url="rtsp://127.0.0.1:9/cam", open_timeout_s=1)


@dataclass
class Sink:
    """Notes what packets came, and between which items."""

    seen: list[object] = field(default_factory=list)

    def begin(self, template: bytes) -> None:
        self.seen.append(template)

    def push(self, packet: Packet) -> None:
        self.seen.append(packet)


class ThreadedWorker:
    """A worker that is threads of this process, which read from ``open_source``."""

    crashed_by = None

    def __init__(self, open_source: SourceOpener) -> None:
        self._open_source = open_source
        self.readers: list[CameraReader] = []
        self.threads: list[str] = []
        self.far_end: socket.socket | None = None

    def open(self, opening: Opening) -> socket.socket:
        ours, theirs = socket.socketpair()
        reader = CameraReader(opening, theirs.dup(), VirtualClock(), BurstTurn(), self._open_source)
        self.readers.append(reader)
        self.far_end = theirs
        threading.Thread(target=self._serve, args=(reader, theirs), daemon=True).start()
        threading.Thread(target=reader.run, daemon=True).start()
        return ours

    def note_thread(self, ident: int, camera: str) -> None:
        assert ident
        self.threads.append(camera)

    def note_processor(self, processor_ns: int) -> None:
        assert processor_ns >= 0

    def why_ended(self) -> str:
        return "it ended"

    def _serve(self, reader: CameraReader, commands: socket.socket) -> None:
        while len(data := commands.recv(COMMAND_BYTES)) == COMMAND_BYTES:
            reader.command(data)
        reader.close()
        commands.close()


class OnePlace(WorkerPool):
    """A pool whose every camera is read by ``worker``."""

    def __init__(self, worker: ThreadedWorker) -> None:
        super().__init__(1)
        self._worker = worker

    def worker_of(self, camera: str) -> WorkerProcess:
        return cast("WorkerProcess", self._worker)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "not within 20 s"
        time.sleep(0.01)


def recording(path: Path) -> SourceOpener:
    config = FileSourceConfig(type="file", path=path, pace="fast")

    def opened(opening: Opening, clock: Clock, metrics: Metrics, options: SourceOptions) -> MediaSource:
        return open_source(opening.name, config, opening.geometry, clock, metrics, path.parent, options)

    return opened


def comparable(item: MediaItem) -> tuple[object, ...]:
    """An item by value: what it says of pixels and samples, and when. Arrivals are those of another thread."""
    match item:
        case Frame():
            return "frame", item.pts_ns, item.content, item.image.tobytes()
        case AudioChunk():
            return "sound", item.pts_ns, item.samples.tobytes()
    return type(item).__name__, getattr(item, "pts_ns", None), getattr(item, "count", None)


def totals(metrics: Metrics) -> dict[str, float]:
    """Every counter that counts something."""
    return {
        f"{sample.name}{sample.labels}": sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.value and sample.name.endswith("_total")
    }


@pytest.mark.parametrize("on_demand", [False, True])
@pytest.mark.parametrize("jump_s", [0.0, 700.0])
def test_a_camera_gives_what_it_gives_when_it_is_read_here(tmp_path: Path, on_demand: bool, jump_s: float) -> None:
    path = tmp_path / "clip.ts"
    times = [12.3 + k / 25 + (jump_s if k >= 40 else 0.0) for k in range(100)]
    media.write(path, 4.0, fps=Fraction(25), times=times)
    here, there = Metrics(), Metrics()
    sinks = Sink(), Sink()
    options = SourceOptions((), sinks[0], demand=PictureDemand() if on_demand else None)
    opening = Opening("yard", CONFIG, GEOMETRY, has_sink=True, on_demand=on_demand)
    expected = [comparable(i) for i in recording(path)(opening, VirtualClock(), here, options).items()]
    demand = WorkerDemand() if on_demand else None
    source = WorkerSource(opening, OnePlace(ThreadedWorker(recording(path))), there, demand, sinks[1])
    got = [comparable(item) for item in source.items()]
    assert len(got) > 50
    assert got == expected
    assert len(sinks[1].seen) > 100
    assert sinks[1].seen[0] == sinks[0].seen[0]
    assert [p.data for p in sinks[1].seen[1:]] == [p.data for p in sinks[0].seen[1:]]
    assert (source.has_video, source.has_audio) == (True, True)
    assert totals(there) == totals(here)


class Scripted:
    """A source that yields what it is told to, then waits until it is closed, or raises."""

    name, live, has_video, has_audio = "yard", True, True, False

    def __init__(self, options: SourceOptions, error: Exception | None = None) -> None:
        self._closed = threading.Event()
        self._options, self._error = options, error

    def items(self) -> Iterator[MediaItem]:
        demand = self._options.demand
        if demand is not None:
            demand.packet_ns, demand.lags = 77, True
        yield AudioChunk(1, 2, np.zeros(4, np.float32))
        if self._error is not None:
            raise self._error
        assert self._closed.wait(20)

    def close(self) -> None:
        self._closed.set()


def scripted(error: Exception | None = None) -> SourceOpener:
    return lambda _opening, _clock, _metrics, options: Scripted(options, error)


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (SourceError("the camera refuses the login"), SourceError, "refuses the login"),
        (MediaError("no such stream"), SourceError, "no such stream"),
        (ZeroDivisionError("a bug"), RuntimeError, "ZeroDivisionError: a bug"),
    ],
)
def test_errors_of_the_camera_are_raised_here(error: Exception, raised: type[Exception], said: str) -> None:
    source = WorkerSource(Opening("yard", CONFIG, GEOMETRY), OnePlace(ThreadedWorker(scripted(error))), Metrics())
    items = source.items()
    assert isinstance(next(items), AudioChunk)
    with pytest.raises(raised, match=said):
        next(items)


def test_demand_goes_there_and_progress_comes_back() -> None:
    worker, demand = ThreadedWorker(scripted()), WorkerDemand()
    demand.attend(2, is_limited=True)
    demand.want(WakeReason.EVENT, 1 << 50)
    source = WorkerSource(Opening("yard", CONFIG, GEOMETRY, on_demand=True), OnePlace(worker), Metrics(), demand)
    items = source.items()
    next(items)
    assert (demand.packet_ns, demand.lags) == (77, True)
    there = worker.readers[0].demand
    assert there is not None
    wait_until(lambda: there.latest() == (WakeReason.EVENT, 1 << 50))
    assert (there.key_stride, there.is_limited) == (2, True)
    demand.attend(1, is_limited=False)
    demand.want(WakeReason.PAGE, 1 << 51)
    wait_until(lambda: there.latest() == (WakeReason.PAGE, 1 << 51))
    assert (there.key_stride, there.is_limited) == (1, False)
    source.close()
    assert list(items) == []
    assert (demand.lags, demand.status.state) == (False, DecodeState.AWAKE)


def test_a_stream_that_breaks_off_is_an_error_to_be_tried_again() -> None:
    worker = ThreadedWorker(scripted())
    items = WorkerSource(Opening("yard", CONFIG, GEOMETRY), OnePlace(worker), Metrics()).items()
    next(items)
    assert worker.far_end is not None
    worker.far_end.shutdown(socket.SHUT_RDWR)
    with pytest.raises(SourceError, match="it ended"):
        next(items)


@pytest.mark.parametrize(
    "data",
    [
        framed(b"nonsense"),
        framed(pack((), [("registry", (), "inc", 1.0)], None, 0)),
        framed(pack((), [("frames", ("too", "many"), "inc", 1.0)], None, 0)),
        b"\xff" * 8,
    ],
)
def test_nonsense_from_a_worker_is_an_error_to_be_tried_again(data: bytes) -> None:
    worker = ThreadedWorker(scripted())
    items = WorkerSource(Opening("yard", CONFIG, GEOMETRY), OnePlace(worker), Metrics()).items()
    next(items)
    assert worker.far_end is not None
    worker.far_end.sendall(data)
    with pytest.raises(SourceError, match="nonsense"):
        next(items)


def test_a_worker_that_is_killed_is_started_again() -> None:
    pool = WorkerPool(1)
    pool.add("yard")
    source = WorkerSource(Opening("yard", CONFIG, GEOMETRY), pool, Metrics())
    try:
        with pytest.raises(SourceError, match="nothing listens there"):
            next(source.items())
        spent_ns, worker = pool.processor_ns, pool.worker_of("yard")
        assert spent_ns > 0
        os.kill(worker.pid, signal.SIGKILL)
        assert "capture worker 1, which reads it, ended (SIGKILL); it is started again" in worker.why_ended()
        assert worker.crashed_by is None
        with pytest.raises(SourceError, match="nothing listens there"):
            next(source.items())
        assert pool.worker_of("yard").pid != worker.pid
        assert pool.processor_ns > spent_ns
    finally:
        pool.close()


CRASHING = """
import ctypes, sys, threading
import numpy as np
from edge.capture.worker.__main__ import main
from edge.types import AudioChunk

class Camera:
    live, has_video, has_audio = True, False, True
    def __init__(self, name):
        self.name, self.closed = name, threading.Event()
    def items(self):
        yield AudioChunk(1, 2, np.zeros(4, np.float32))
        while self.name == "bad" or not self.closed.wait(0.01):
            ctypes.string_at(0) if self.name == "bad" else None
            yield AudioChunk(3, 4, np.zeros(4, np.float32))
    def close(self):
        self.closed.set()

main(sys.argv[1:], lambda opening, *_: Camera(opening.name))
"""


def test_a_camera_that_crashes_its_worker_is_named_and_read_apart_from_then_on(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(CRASHING, encoding="utf-8")
    pool = WorkerPool(1, [sys.executable, str(program)])
    for name in ("good", "bad"):
        pool.add(name)
    good, bad = (WorkerSource(Opening(name, CONFIG, GEOMETRY), pool, Metrics()) for name in ("good", "bad"))
    try:
        items = good.items()
        next(items)
        shared = pool.worker_of("good")
        for camera in (bad, good):
            with pytest.raises(
                SourceError, match=r"ended \(SIGSEGV\) because of the stream of bad; it is started again"
            ):
                list(camera.items() if camera is bad else items)
        items = good.items()
        next(items)
        assert pool.worker_of("bad").pid != pool.worker_of("good").pid != shared.pid
        with pytest.raises(SourceError, match="the capture worker of bad, which reads it, ended"):
            list(bad.items())
        assert isinstance(next(items), AudioChunk), "the other camera is not disturbed again"
        good.close()
        list(items)
    finally:
        pool.close()


def test_how_many_workers_there_are() -> None:
    assert [worker_count(None, n, cores=4) for n in (0, 1, 56, 57, 112, 113)] == [0, 0, 0, 2, 2, 3]
    assert worker_count(None, 200, cores=1) == 0
    assert [worker_count(1, n, cores=4) for n in (0, 1, 200)] == [0, 1, 1]
    assert worker_count(0, 200, cores=4) == 0
    assert worker_count(8, 3, cores=4) == 3


def test_a_real_clock_is_the_same_in_every_process() -> None:
    """Arrivals are times of CLOCK_MONOTONIC, which all processes of a machine share."""
    assert abs(SystemClock().mono_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)) < 10**9
