"""Files of evidence: written aside, brought onto the disk, and only then under their name."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from edge.errors import SinkError

ASIDE = ".part"
"""What the name of a file ends in while it is being written."""


def put(path: Path, data: bytes) -> None:
    """Write ``data`` whole or not at all; SinkError when the disk refuses."""
    aside = beside(path)
    try:
        aside.write_bytes(data)
        put_in_place(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise SinkError(f"{path}: cannot be written ({error.strerror}); make room or check the disk") from error


def beside(path: Path) -> Path:
    """Where ``path`` is while it is being written."""
    return path.with_name(path.name + ASIDE)


def put_in_place(aside: Path, path: Path) -> None:
    """Onto the disk, then under its name: a power cut leaves no half file with it."""
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    aside.replace(path)


def remove_leftovers(folder: Path) -> int:
    """Delete what a process that was killed was writing below ``folder``, as far as the disk lets; how many files."""
    count = 0
    with contextlib.suppress(OSError):
        for path in folder.rglob(f"*{ASIDE}") if folder.is_dir() else ():
            path.unlink(missing_ok=True)
            count += 1
    return count
