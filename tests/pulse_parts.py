"""A private PulseAudio whose microphone is a FIFO that the tests talk into, heard through the real PortAudio."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.clock import SystemClock
from edge.types import NS_PER_S, seconds

RATE = 16000
CLOCK = SystemClock()


def missing() -> str:
    if shutil.which("pulseaudio") is None or shutil.which("pactl") is None:
        return "pulseaudio pulseaudio-utils libasound2-plugins"
    try:
        import sounddevice  # noqa: F401
    except OSError:
        return "libportaudio2"
    return ""


TONE = (16384 * np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE)).astype("<i2")
"""One second at 1 kHz; goes on without a step when repeated."""


class Server:
    """The sound server, and who talks into its microphone at real time: ``wave`` (s16, 16 kHz), over and over."""

    def __init__(self, folder: Path, wave: NDArray[np.int16] = TONE) -> None:
        self.folder = folder
        self._wave = wave
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
            block = self._wave.take(range(k * n, (k + 1) * n), mode="wrap")
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


@contextlib.contextmanager
def serving(folder: Path, wave: NDArray[np.int16] = TONE) -> Iterator[Server]:
    """A running server that this process and its children hear as the default input."""
    folder.chmod(0o700)
    before = {name: os.environ.get(name) for name in ("HOME", "PULSE_SERVER", "PULSE_RUNTIME_PATH")}
    os.environ |= {"HOME": str(folder), "PULSE_SERVER": f"unix:{folder}/native", "PULSE_RUNTIME_PATH": str(folder)}
    one = Server(folder, wave)
    one.start()
    try:
        yield one
    finally:
        one.hush()
        one.kill()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
