"""Writes files completely or not at all: beside their place, synced to disk, and only then renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from edge.errors import SinkError

PARTIAL = ".part"
"""Suffix of a file's name while it is being written."""


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to, which replaces it at the end of the block.

    File and folder are synced, so that neither a kill nor a power cut leaves a partial file under the name. When the
    block fails, ``path`` stays as it was. OSError when the disk fails; a missing folder is created.
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
    """Replace ``path`` by ``content`` (text as UTF-8); SinkError, which says what to do, when the disk fails."""
    try:
        with atomic_path(path) as partial:
            partial.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise SinkError(f"{path}: cannot be written ({error.strerror or error}); {advice}") from error


def partial_of(path: Path) -> Path:
    """The temporary path of ``path`` while it is being written."""
    return path.with_name(path.name + PARTIAL)


def put_in_place(partial: Path, path: Path) -> None:
    """Onto the disk, then under its name; OSError when the disk refuses."""
    sync_file(partial)
    partial.replace(path)
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Have a file's content and size on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_partial(folder: Path) -> int:
    """Delete the temporary files of a killed process below ``folder``, as far as the disk allows; how many."""
    count = 0
    with contextlib.suppress(OSError):
        for path in folder.rglob(f"*{PARTIAL}") if folder.is_dir() else ():
            path.unlink(missing_ok=True)
            count += 1
    return count
