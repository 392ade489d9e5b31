"""The disk of the simulation: every call that changes a file below a folder may fail, or be the last one.

``fault_disk.c`` stands before the C library's calls (LD_PRELOAD): whatever writes is under it, SQLite, Python, libav.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from enum import IntFlag
from pathlib import Path

SOURCE = Path(__file__).with_name("fault_disk.c")


class DiskFault(IntFlag):
    """What a disk does wrong."""

    FULL = 1
    READ_ONLY = 2
    BAD_WRITE = 4
    BAD_SYNC = 8
    BAD_READ = 16


def build_library(folder: Path) -> Path:
    """Compile the library into ``folder``; RuntimeError without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("the simulation needs a C compiler: apt install gcc, or scripts/setup test")
    library = folder / "fault_disk.so"
    flags = ["-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl", "-lpthread"]
    subprocess.run([compiler, *flags], check=True)
    return library


def preloaded_environment(library: Path) -> dict[str, str]:
    """The environment of a process whose disk is simulated, and that does the same each time."""
    return {**os.environ, "LD_PRELOAD": str(library), "PYTHONHASHSEED": "0"}


def memory_folder() -> Path:
    """A new folder in memory where there is one: real syncs would take most of the time."""
    shared = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="edge-simulation-", dir=shared if os.access(shared, os.W_OK) else None))


class FaultDisk:
    """The disk below ``folder``, which exists. One at a time in a process that the library was loaded before."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self._library = ctypes.CDLL(os.environ.get("LD_PRELOAD", ""))
        self._library.fault_disk_calls.restype = ctypes.c_long
        self._library.fault_disk_watch(os.fsencode(folder))
        self._library.fault_disk_seed(ctypes.c_uint64(seed))

    def set_faults(self, faults: DiskFault, chance: float = 1.0) -> None:
        """From now on calls fail in these ways, each with this chance."""
        self._library.fault_disk_faults(int(faults), round(1000 * chance))

    def die_after(self, calls: int) -> None:
        """The process ends in the middle of its ``calls``-th call from now on that changes a file, at least 1."""
        self._library.fault_disk_die_after(ctypes.c_long(max(1, calls)))

    def let_live(self) -> None:
        """The process does not end in the middle of a call after all."""
        self._library.fault_disk_die_after(ctypes.c_long(0))

    def die(self) -> None:
        """The process ends now."""
        self._library.fault_disk_die()

    @property
    def is_dead(self) -> bool:
        """Whether the process has ended: nothing that it does reaches the disk any more."""
        return bool(self._library.fault_disk_is_dead())

    @property
    def calls(self) -> int:
        """How many calls wanted to change a file so far."""
        return int(self._library.fault_disk_calls())

    def revive(self) -> None:
        """A new process: the system kept what the last one wrote, synced or not."""
        self._library.fault_disk_revive()

    def cut_power(self, kept: float) -> None:
        """A new process after a power cut: each write that was not synced survives with the chance ``kept``."""
        self._library.fault_disk_power_cut(round(1000 * kept))

    def forget_changes(self) -> None:
        """What lies on the disk now is what is synced, whatever was before."""
        self._library.fault_disk_watch(os.fsencode(self.folder))

    def close(self) -> None:
        """Follow no more files."""
        self._library.fault_disk_watch(b"")


def is_preloaded() -> bool:
    """Whether this process has the library before the C library."""
    return "fault_disk" in os.environ.get("LD_PRELOAD", "")
