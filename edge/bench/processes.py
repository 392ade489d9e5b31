"""Programs under measurement, seen from outside: CPU time, memory, systemd notifications, a line of questions.

Linux only.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from edge.clock import SystemClock
from edge.errors import RuntimeUnavailable
from edge.types import seconds

NEVER_READY_S = 120.0
_CLOCK = SystemClock()
CLIENT_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LEAST_PORT, _PORTS = 15_000, 65_536


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """A process tree's CPU-seconds so far and its memory in MB (10^6 bytes) at ``at_s`` (monotonic).

    ``rss_mb`` counts pages that processes share once for each, ``pss_mb`` once for all.
    """

    at_s: float
    cpu_s: float
    rss_mb: float
    pss_mb: float
    files: int
    threads: int

    def cores_since(self, before: ProcessUsage) -> float:
        """CPU-seconds a second since ``before``."""
        return (self.cpu_s - before.cpu_s) / (self.at_s - before.at_s)


class MeasuredProgram:
    """A program under measurement, started with a systemd notification socket; stopped on leaving the context.

    RuntimeUnavailable, with the end of its log, when it fails.
    """

    def __init__(self, command: Sequence[str], folder: Path, *, env: Mapping[str, str] | None = None) -> None:
        self._command = list(command)
        self._folder = folder
        self._env = dict(env or {})
        self.ready_s = float("nan")
        self.log = folder / "program.log"

    def __enter__(self) -> Self:
        path = str(self._folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._out = self.log.open("wb")
        self._started_s = now_s()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._out,
            cwd=self._folder,
            env={**program_environment(), **self._env, "NOTIFY_SOCKET": path},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._out.close()
        self._socket.close()
        (self._folder / "notify").unlink(missing_ok=True)

    def wait_ready(self) -> float:
        """Seconds from start to READY=1."""
        deadline_s = self._started_s + NEVER_READY_S
        while now_s() < deadline_s and self._process.poll() is None:
            self._socket.settimeout(0.5)
            try:
                message = self._socket.recv(8192)
            except TimeoutError:
                continue
            if b"READY=1" in message.split(b"\n"):
                self.ready_s = now_s() - self._started_s
                self._socket.close()  # nobody reads the rest, and a full socket must not hold it up
                return self.ready_s
        raise self._failed("did not become ready")

    def query(self) -> dict[str, Any]:
        """An empty line in, one JSON object out: what the program says of itself."""
        if self._process.stdin is None or self._process.stdout is None:
            raise self._failed("takes no questions")
        try:
            self._process.stdin.write(b"\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as error:
            raise self._failed("does not answer") from error
        return answer

    def usage(self) -> ProcessUsage:
        """CPU and memory now."""
        if self._process.poll() is not None:
            raise self._failed(f"ended ({self._process.returncode})")
        return process_usage(self._process.pid)

    def _failed(self, what: str) -> RuntimeUnavailable:
        return RuntimeUnavailable(f"{' '.join(self._command[:4])} {what}:\n{self.log.read_text()[-2000:]}")


def module_command(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this program."""
    return [sys.executable, "-m", name, *arguments]


def program_environment() -> dict[str, str]:
    """This process's environment, but with compiled modules kept, as an installed program's are: where Python is told
    to write none, compiling takes a third of a start."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def process_usage(pid: int) -> ProcessUsage:
    """CPU, memory, files and threads of a process and its descendants, now; RuntimeUnavailable when it has ended."""
    import psutil

    cpu_s, rss, pss, files, threads = 0.0, 0, 0, 0, 0
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
        for process in processes:
            with process.oneshot():
                times, memory = process.cpu_times(), process.memory_full_info()
                cpu_s += times.user + times.system + times.children_user + times.children_system
                rss += memory.rss
                pss += memory.pss
                files += process.num_fds()
                threads += process.num_threads()
    except psutil.Error as error:
        raise RuntimeUnavailable(f"process {pid} cannot be measured: {error}") from error
    return ProcessUsage(now_s(), cpu_s, rss / 1e6, pss / 1e6, files, threads)


def free_mb() -> float:
    """Memory of the machine that programs could still take, in MB."""
    import psutil

    return float(psutil.virtual_memory().available) / 1e6


def free_port(client_ports: Path = CLIENT_PORTS) -> int:
    """A TCP port of loopback that nobody listens on now.

    It lies below the range that the kernel gives to clients (``client_ports``), where that leaves room, so that no
    connection takes it before its user does.
    """
    first_of_clients = int(client_ports.read_text(encoding="utf-8").split()[0])
    end = first_of_clients if first_of_clients >= 2 * _LEAST_PORT else _PORTS
    while True:
        port = _LEAST_PORT + secrets.randbelow(end - _LEAST_PORT)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def now_s() -> float:
    """Monotonic time."""
    return seconds(_CLOCK.mono_ns())


def pause(s: float) -> None:
    """Let time pass."""
    _CLOCK.wait(threading.Event(), s)
