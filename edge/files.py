"""Files that are written whole or not at all: beside their place, onto the disk, and only then under their name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edge.errors import SinkError

PARTIAL = ".part"
"""What the name of a file ends in while it is being written."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to, which takes its place at the end of the block.

    File and folder are synced, so that neither a kill nor a power cut leaves a half file under the name. When the
    block fails, ``path`` stays as it was. OSError when the disk refuses; the folder is made where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        yield partial
        put_in_place(partial, path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, content: bytes | str, advice: str = "make room or check the disk") -> None:
    """Replace ``path`` by ``content`` (text as UTF-8); SinkError that says what to do when the disk refuses."""
    try:
        with atomic_path(path) as partial:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise SinkError(f"{path}: cannot be written ({error.strerror or error}); {advice}") from error


def partial_of(path: Path) -> Path:
    """Where ``path`` is while it is being written."""
    return path.with_name(path.name + PARTIAL)


def put_in_place(partial: Path, path: Path) -> None:
    """Onto the disk, then under its name; OSError when the disk refuses."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_partial(folder: Path) -> int:
    """Delete what a process that was killed was writing below ``folder``, as far as the disk lets; how many files."""
    count = 0
    with contextlib.suppress(OSError):
        for path in folder.rglob(f"*{PARTIAL}") if folder.is_dir() else ():
            path.unlink(missing_ok=True)
            count += 1
    return count
