"""A real RTSP server on loopback: picture and sound on one axis, and every way in which it goes away."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import media
import pytest
from rtsp_parts import PASSWORD, USER, CameraServer, missing
from sim import empty_batch
from test_file import GEOMETRY

from edge.buffer.camera import CameraBuffer
from edge.capture.registry import open_source
from edge.capture.supervisor import SourceSupervisor
from edge.clock import SystemClock
from edge.config.models import HealthConfig, WindowsConfig
from edge.config.sources import RtspSourceConfig
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.status import SourceState
from edge.types import AudioChunk, Frame, Gap, MediaItem, seconds

pytestmark = [pytest.mark.rtsp, pytest.mark.timeout(120)]
WAIT_S = 30.0

if missing():
    pytest.skip(f"needs apt: {missing()}", allow_module_level=True)


def camera(
    server: CameraServer,
    login: str = f"{USER}:{PASSWORD}",
    transport: str = "tcp",
    path: str = "cam",
    read_timeout_s: float = 20,
) -> RtspSourceConfig:
    url = server.url(login, path)
    return RtspSourceConfig(type="rtsp", url=url, transport=transport, open_timeout_s=20, read_timeout_s=read_timeout_s)


def flashing(folder: Path, shift_s: float) -> Path:
    times = [1.1, 3.2, 5.3, 7.4]
    draw, bang = media.flash_and_bang(160, 90, times, shift_s)
    return media.write(folder / f"clip{shift_s}.ts", 8.6, size=(160, 90), fps=25, picture=draw, sound=bang)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {shift_s: flashing(folder, shift_s) for shift_s in (-0.2, 0.0, 0.2)}


@pytest.fixture
def server(clips: dict[float, Path]) -> Iterator[CameraServer]:
    one = CameraServer(clips[0.0])
    one.start()
    yield one
    one.kill()


class Watch:
    """A supervised source on a thread of its own, and what it pushed."""

    def __init__(self, config: RtspSourceConfig) -> None:
        self.metrics = Metrics()
        self.items: list[MediaItem] = []
        source = open_source("yard", config, GEOMETRY, SystemClock(), self.metrics, Path())
        self.supervisor = SourceSupervisor(source, self._push, SystemClock(), self.metrics)
        self.cancel = threading.Event()
        self._changed = threading.Condition()
        self.thread = threading.Thread(target=self.supervisor.run, args=(self.cancel,))

    def _push(self, item: MediaItem) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify()

    def __enter__(self) -> Watch:  # noqa: PYI034 - typing.Self is younger than Python 3.10
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel.set()
        self.supervisor.close()
        self.thread.join(15)
        assert not self.thread.is_alive()

    def until(self, kind: type, n: int = 1, after: int = 0) -> None:
        with self._changed:
            came = self._changed.wait_for(
                lambda: sum(isinstance(item, kind) for item in self.items[after:]) >= n, timeout=WAIT_S
            )
        assert came, f"no {kind.__name__}; {self.supervisor.state} {self.supervisor.detail}"


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_picture_and_sound_come(server: CameraServer, transport: str) -> None:
    with Watch(camera(server, transport=transport)) as watch:
        watch.until(Frame, 8)
        watch.until(AudioChunk, 4)
        assert watch.supervisor.state is SourceState.UP


@pytest.mark.parametrize("shift_s", [-0.2, 0.0, 0.2])
def test_clap_and_flash_is_measured_over_the_network(clips: dict[float, Path], shift_s: float) -> None:
    one, clock, metrics = CameraServer(clips[shift_s]), SystemClock(), Metrics()
    one.start()
    try:
        source = open_source("yard", camera(one), GEOMETRY, clock, metrics, Path())
        buffer = CameraBuffer("yard", GEOMETRY, clock, WindowsConfig(), HealthConfig(), metrics, live=True)
        batch, windows, began_ns = empty_batch(GEOMETRY), 0, clock.mono_ns()
        for item in source.items():
            buffer.push(item)
            windows += buffer.take(batch, 0, clock.mono_ns(), newest=True) is not None
            if seconds(clock.mono_ns() - began_ns) > 7.5:
                source.close()
        assert buffer.status(clock.mono_ns()).av_offset_s == pytest.approx(shift_s, abs=0.04)
        assert windows >= 6
    finally:
        one.kill()


def test_server_killed_and_started_again(server: CameraServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), Watch(camera(server)) as watch:
        watch.until(Frame, 4)
        server.kill()
        watch.until(Gap)
        n = len(watch.items)
        server.start()
        watch.until(Frame, 4, after=n)
        assert watch.supervisor.state is SourceState.UP
        assert watch.metrics.registry.get_sample_value("edge_reconnects_total", {"source": "yard"}) >= 1
    levels = [record.levelno for record in caplog.records if record.name.startswith("edge.")]
    assert levels.count(logging.WARNING) == 1
    assert levels.count(logging.INFO) == 1
    assert "s3cret" not in caplog.text


def test_frozen_server_is_given_up_in_bounded_time(server: CameraServer) -> None:
    with Watch(camera(server, read_timeout_s=2)) as watch:
        watch.until(Frame, 4)
        server.signal(signal.SIGSTOP)
        watch.until(Gap)
        assert watch.supervisor.state is SourceState.LOST
        n = len(watch.items)
        server.signal(signal.SIGCONT)
        watch.until(Frame, 4, after=n)


@pytest.mark.parametrize(
    ("login", "path", "said"),
    [("viewer:wr0ng", "cam", "login"), ("viewer:s3cret", "nope", "path at the end")],
)
def test_refusals_say_what_to_do_and_no_password(
    server: CameraServer, login: str, path: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config = camera(server, login=login, path=path)
    source = open_source("yard", config, GEOMETRY, SystemClock(), Metrics(), Path())
    with pytest.raises(SourceError, match=said) as caught:
        next(iter(source.items()))
    assert login.split(":")[1] not in str(caught.value)
    assert caught.value.__suppress_context__
    assert login.split(":")[1] not in "".join(capfd.readouterr())


def test_nobody_listens() -> None:
    config = RtspSourceConfig(type="rtsp", url="rtsp://viewer:s3cret@127.0.0.1:1/cam", open_timeout_s=3)
    source = open_source("yard", config, GEOMETRY, SystemClock(), Metrics(), Path())
    with pytest.raises(SourceError, match=r"viewer:\*\*\*@127.0.0.1:1/cam.*check the port"):
        next(iter(source.items()))
