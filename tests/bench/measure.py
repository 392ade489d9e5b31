"""What the benchmarks read from outside a process: CPU time, memory, systemd notifications, Prometheus metrics.

Linux only (/proc). Nothing here looks inside the program measured.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from prometheus_client.parser import text_string_to_metric_families
from typing_extensions import Self

TICKS = os.sysconf("SC_CLK_TCK")
NEVER_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Usage:
    """A process tree's CPU-seconds so far and its resident memory in MB, at ``at_s`` (monotonic)."""

    at_s: float
    cpu_s: float
    rss_mb: float


class Program:
    """A program under measurement, started with a systemd notification socket; stopped on leaving the context."""

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
        self._started_s = time.monotonic()
        self._process = subprocess.Popen(
            self._command,
            stdout=self._out,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env={**os.environ, **self._env, "NOTIFY_SOCKET": path},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()
        self._socket.close()
        (self._folder / "notify").unlink(missing_ok=True)

    def wait_ready(self) -> float:
        """Seconds from start to READY=1."""
        deadline_s = self._started_s + NEVER_READY_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            self._socket.settimeout(0.5)
            try:
                message = self._socket.recv(8192)
            except TimeoutError:
                continue
            if b"READY=1" in message.split(b"\n"):
                self.ready_s = time.monotonic() - self._started_s
                self._socket.close()
                return self.ready_s
        raise SystemExit(f"{self._command[0]} did not become ready:\n{self.log.read_text()[-2000:]}")

    def wait_end(self, timeout_s: float) -> float:
        """Seconds from now until the program ends by itself with exit code 0."""
        began_s = time.monotonic()
        if self._process.wait(timeout_s) != 0:
            raise SystemExit(f"{self._command[0]} failed:\n{self.log.read_text()[-2000:]}")
        return time.monotonic() - began_s

    def usage(self) -> Usage:
        """CPU and memory now; SystemExit when the program has ended."""
        if self._process.poll() is not None:
            raise SystemExit(f"{self._command[0]} ended ({self._process.returncode}):\n{self.log.read_text()[-2000:]}")
        pids = tree(self._process.pid)
        return Usage(time.monotonic(), sum(map(cpu_s, pids)), sum(map(rss_mb, pids)))


def tree(pid: int) -> list[int]:
    """``pid`` and all its descendants."""
    children = [child for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return [pid, *(p for child in children for p in tree(int(child)))]


def cpu_s(pid: int) -> float:
    """CPU-seconds of all threads of a process, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int) -> float:
    """Resident memory in MB (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


@dataclass(frozen=True, slots=True)
class Histogram:
    """A Prometheus histogram: cumulative counts by upper bound."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]
    total_s: float

    @property
    def count(self) -> float:
        """How many were observed."""
        return self.counts[-1] if self.counts else 0.0

    @property
    def mean_s(self) -> float:
        """Their exact mean; NaN where there were none."""
        return self.total_s / self.count if self.count else float("nan")

    def since(self, before: Histogram) -> Histogram:
        """What was observed after ``before`` was read."""
        if not before.counts:
            return self
        counts = tuple(a - b for a, b in zip(self.counts, before.counts, strict=True))
        return Histogram(self.bounds, counts, self.total_s - before.total_s)

    def quantile_s(self, q: float) -> float:
        """A quantile, linear within its bucket as Prometheus does it; NaN where nothing was observed."""
        rank = q * self.count
        low, below = 0.0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if count >= rank and count > below:
                return low if bound == float("inf") else low + (bound - low) * (rank - below) / (count - below)
            low, below = bound, count
        return float("nan")


class Scrape:
    """One reading of a ``/metrics`` page."""

    def __init__(self, text: str) -> None:
        self._samples = [s for family in text_string_to_metric_families(text) for s in family.samples]

    @classmethod
    def of(cls, port: int) -> Scrape:
        """Read the page of the daemon that listens there."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return cls(answer.read().decode())

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all label values that match."""
        return sum(s.value for s in self._samples if s.name == name and labels.items() <= s.labels.items())

    def histogram(self, name: str) -> Histogram:
        """A histogram, summed over its labels."""
        sums: dict[float, float] = {}
        for s in self._samples:
            if s.name == f"{name}_bucket":
                bound = float(s.labels["le"])
                sums[bound] = sums.get(bound, 0.0) + s.value
        bounds = tuple(sorted(sums))
        return Histogram(bounds, tuple(sums[b] for b in bounds), self.total(f"{name}_sum"))


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
