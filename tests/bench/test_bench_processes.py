"""Processes seen from outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge.bench.processes import free_mb, free_port, process_usage, program_environment
from edge.errors import RuntimeUnavailable

pytest.importorskip("psutil")
CHILD = "held = bytearray(50_000_000); sum(range(3_000_000)); print('ready', flush=True); input()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_a_tree_of_processes_is_measured_together() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        before = process_usage(parent.pid)
        assert before.rss_mb > 50, "the child's memory is in it"
        assert 0 < before.pss_mb < before.rss_mb, "shared pages count once"
        assert before.files >= 6, "three of each at least"
        assert before.cpu_s > 0
        parent.communicate(b"\n")
    with pytest.raises(RuntimeUnavailable, match="cannot be measured"):
        process_usage(parent.pid)


def test_measured_programs_keep_their_compiled_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OTHER", "kept")
    found = program_environment()
    assert "PYTHONDONTWRITEBYTECODE" not in found
    assert found["OTHER"] == "kept"


def test_free_memory_is_megabytes() -> None:
    assert 1 < free_mb() < 1e8


@pytest.mark.parametrize(
    ("range_of_clients", "least", "most"), [("32768\t60999", 15_000, 32_767), ("1024\t65535", 15_000, 65_535)]
)
def test_a_free_port_is_none_that_a_client_gets_where_that_leaves_room(
    tmp_path: Path, range_of_clients: str, least: int, most: int
) -> None:
    kernel = tmp_path / "ip_local_port_range"
    kernel.write_text(f"{range_of_clients}\n", encoding="utf-8")
    found = [free_port(kernel) for _ in range(60)]
    assert all(least <= port <= most for port in found)
    assert len(set(found)) > 30
