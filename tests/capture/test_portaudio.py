"""The microphone through the real PortAudio, ALSA and PulseAudio; the microphone itself is a FIFO."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from test_file import GEOMETRY

from edge.capture import devices
from edge.capture.registry import open_microphone
from edge.clock import SystemClock
from edge.config.sources import DeviceMicrophone
from edge.errors import SourceError
from edge.metrics import Metrics
from edge.types import NS_PER_S, AudioChunk, Gap, Item, seconds

pytestmark = [pytest.mark.portaudio, pytest.mark.timeout(120)]
RATE = 16000
CLOCK = SystemClock()


def _missing() -> str:
    if shutil.which("pulseaudio") is None or shutil.which("pactl") is None:
        return "pulseaudio pulseaudio-utils libasound2-plugins"
    try:
        import sounddevice  # noqa: F401
    except OSError:
        return "libportaudio2"
    return ""


if _missing():
    pytest.skip(f"needs apt: {_missing()}", allow_module_level=True)


class Server:
    """A private PulseAudio whose microphone is a FIFO, and who talks into it: 1 kHz at real time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.fifo = folder / "mic.fifo"
        self.process: subprocess.Popen[bytes] | None = None
        self._talking = threading.Event()
        self._voice = threading.Thread(target=self._talk, daemon=True)
        (folder / "server.pa").write_text(
            f"load-module module-native-protocol-unix auth-anonymous=1 socket={folder}/native\n"
            f"load-module module-pipe-source source_name=mic file={self.fifo} format=s16le rate={RATE} channels=1\n"
            "set-default-source mic\n"
        )
        (folder / ".asoundrc").write_text("pcm.!default { type pulse }\nctl.!default { type pulse }\n")

    def start(self) -> None:
        self.fifo.unlink(missing_ok=True)
        (self.folder / "native").unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                *("pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disallow-exit"),
                "--disable-shm=yes",
                "--log-target=stderr",
                "-F",
                str(self.folder / "server.pa"),
            ],
            env=os.environ | {"PULSE_RUNTIME_PATH": str(self.folder)},
            stderr=subprocess.DEVNULL,
        )
        for _ in range(200):
            if subprocess.run(["pactl", "info"], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.05)
        else:
            pytest.fail("pulseaudio did not come up")
        if not self._voice.is_alive():
            self._voice.start()

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def hush(self) -> None:
        self._talking.set()

    def _talk(self) -> None:
        """20 ms at a time on an absolute schedule; a full pipe drops the block, as a sound card would."""
        fifo, n, k, began = -1, RATE // 50, 0, CLOCK.mono_ns()
        while not self._talking.wait(max(0.0, seconds(began + k * NS_PER_S // 50 - CLOCK.mono_ns()))):
            block = (16384 * np.sin(2 * np.pi * 1000 * np.arange(k * n, (k + 1) * n) / RATE)).astype("<i2")
            k += 1
            try:
                if fifo < 0:
                    fifo = os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK)
                    fcntl.fcntl(fifo, 1031, 4096)  # F_SETPIPE_SZ: 128 ms of backlog at most
                os.write(fifo, block.tobytes())
            except BlockingIOError:
                pass
            except OSError:
                if fifo >= 0:
                    os.close(fifo)
                fifo = -1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pulse")
    folder.chmod(0o700)
    before = {name: os.environ.get(name) for name in ("HOME", "PULSE_SERVER", "PULSE_RUNTIME_PATH")}
    os.environ |= {"HOME": str(folder), "PULSE_SERVER": f"unix:{folder}/native", "PULSE_RUNTIME_PATH": str(folder)}
    one = Server(folder)
    one.start()
    yield one
    one.hush()
    one.kill()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


def listen(s: float, metrics: Metrics | None = None, **config: object) -> list[Item]:
    """All items of ``s`` seconds."""
    source = open_microphone("hall", DeviceMicrophone(type="device", **config), GEOMETRY, CLOCK, metrics or Metrics())
    items: list[Item] = []
    for item in source.items():
        items.append(item)
        if item.arrival_ns - items[0].arrival_ns > s * NS_PER_S:
            source.close()
    return items


@pytest.mark.parametrize("rate_hz", [None, 16000, 44100])
def test_tone_and_count_of_samples(server: Server, rate_hz: int | None) -> None:
    metrics = Metrics()
    items = listen(5.0, metrics, rate_hz=rate_hz)
    assert not [item for item in items if isinstance(item, Gap)]
    chunks = [item for item in items if isinstance(item, AudioChunk)]
    n, took_s = sum(len(c.samples) for c in chunks[1:]), seconds(chunks[-1].arrival_ns - chunks[0].arrival_ns)
    assert n / 32000 == pytest.approx(took_s, abs=0.25)
    assert metrics.registry.get_sample_value("edge_drops_total", {"source": "hall", "place": "samples"}) == 0
    for a, b in pairwise(chunks):
        assert b.pts_ns - a.pts_ns == pytest.approx(len(a.samples) * NS_PER_S / 32000, abs=1_000_000)
    heard = np.concatenate([c.samples for c in chunks])[32000 : 3 * 32000]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard))))
    assert spectrum.argmax() * 32000 / len(heard) == pytest.approx(1000, abs=1)
    assert np.abs(heard).max() == pytest.approx(0.5, abs=0.05)


def test_microphones_are_listed(server: Server) -> None:
    listen(0.2)
    assert any(found.name in {"pulse", "default"} for found in devices.microphones())


def test_no_such_input_names_those_there_are(server: Server) -> None:
    with pytest.raises(SourceError, match=r"no input 'Nonesuch'; there is: .*(pulse|default)"):
        listen(1.0, name="Nonesuch")


def test_killed_server_is_an_error_and_a_new_one_is_heard(server: Server) -> None:
    source = open_microphone("hall", DeviceMicrophone(type="device"), GEOMETRY, CLOCK, Metrics())
    items = source.items()
    for _ in range(10):
        next(items)
    server.kill()
    began_ns = CLOCK.mono_ns()
    with pytest.raises(SourceError, match="sound server"):
        for _ in items:
            pass
    assert seconds(CLOCK.mono_ns() - began_ns) < 10
    with pytest.raises(SourceError, match="microphone hall"):
        next(iter(source.items()))
    server.start()
    items = source.items()
    for _ in range(10):
        assert isinstance(next(items), AudioChunk)
    source.close()
    assert len(list(items)) < 10


def test_stalled_server_is_given_up_in_bounded_time(server: Server) -> None:
    source = open_microphone("hall", DeviceMicrophone(type="device"), GEOMETRY, CLOCK, Metrics())
    items = source.items()
    for _ in range(10):
        next(items)
    server.freeze()
    began_ns = CLOCK.mono_ns()
    try:
        with pytest.raises(SourceError, match="hangs"):
            for _ in items:
                pass
        assert seconds(CLOCK.mono_ns() - began_ns) < 10, "neither read nor close may hang with the server"
    finally:
        server.thaw()
    heard: list[Item] = []
    for _ in range(20):
        try:
            heard = listen(0.5)
            break
        except SourceError:
            time.sleep(0.5)
    assert heard
