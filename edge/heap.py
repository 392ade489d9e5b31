"""What glibc keeps of the memory that was freed. Nothing happens on other C libraries."""

from __future__ import annotations

import contextlib
import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_ARENAS, _LARGE_BYTES = 2, 256 << 10


def trim_heap() -> None:
    """Hand freed memory back to the system: tens of MB after a graph was optimised. Only glibc keeps so much."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def limit_heap() -> None:
    """Make glibc give back what was freed: two heaps for all threads, and large blocks by themselves.

    To be called before threads start (``man 3 mallopt``).
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
