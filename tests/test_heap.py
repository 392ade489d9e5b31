"""How much glibc keeps for a process with many threads."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

MANY_THREADS = """
import ctypes, sys, threading
from edge.heap import limit_heap
if sys.argv[1] == "limited":
    limit_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
together = threading.Barrier(12)
def allocate():
    together.wait()
    for _ in range(200):
        libc.malloc(5000)
    together.wait()
threads = [threading.Thread(target=allocate) for _ in range(12)]
for thread in threads: thread.start()
for thread in threads: thread.join()
out = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, out)
libc.fclose(out)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are glibc's")
def test_threads_share_two_heaps(tmp_path: Path) -> None:
    assert ctypes.CDLL(None).malloc_info
    found = {}
    for how in ("plain", "limited"):
        out = tmp_path / how
        subprocess.run([sys.executable, "-c", MANY_THREADS, how, str(out)], check=True)
        found[how] = out.read_text(encoding="utf-8").count("<heap nr=")
    assert found["limited"] <= 2 < found["plain"]
