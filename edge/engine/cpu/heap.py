"""The C library's heap, which keeps what loading a model freed."""

from __future__ import annotations

import contextlib
import ctypes


def trim_heap() -> None:
    """Hand freed memory back to the system: tens of MB after a graph was optimised. Only glibc keeps so much."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
