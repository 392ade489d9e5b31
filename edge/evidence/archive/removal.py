"""Removing below a folder and nowhere else: no symbolic link is followed, neither on the way nor inside.

Every step is relative to an open folder (``dir_fd``), so that swapping a folder for a link meanwhile leads nowhere.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """One plain file below a folder: its path there, and its size."""

    path: str
    size: int


def remove(folder: Path, path: str) -> bool:
    """Remove a file or a whole folder at ``path`` below ``folder``, then parents that are empty by it.

    True when it is gone (also when it never was there); False when a link stands in the way or the system refuses.
    """
    parts = safe_parts(path)
    if not parts:
        return False
    with contextlib.ExitStack() as stack:
        try:
            at = [_opened(stack, os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))]
            for part in parts[:-1]:
                at.append(_opened(stack, os.open(part, _FOLDER, dir_fd=at[-1])))
            _remove_at(at[-1], parts[-1])
        except (FileNotFoundError, NotADirectoryError):
            return _is_gone(folder, parts)
        except OSError:
            return False
        for parent, name in reversed(list(zip(at, parts[:-1], strict=False))):
            try:
                os.rmdir(name, dir_fd=parent)
            except OSError:
                break
    return True


def safe_parts(path: str) -> tuple[str, ...]:
    """The names of a path that leads below a folder; empty for one that may lead elsewhere, absolute ones above all.

    An absolute name given to the system with an open folder ignores the folder, so that not one may pass.
    """
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\0" in path or any("/" in part or part in {"", ".", ".."} for part in parts):
        return ()
    return parts


def files_below(folder: Path, under: str = "") -> Iterator[FolderEntry]:
    """Every plain file below ``folder/under``; links are neither followed nor told. Vanishing files are left out."""
    try:
        entries = sorted(os.scandir(folder / under), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = f"{under}/{entry.name}" if under else entry.name
        with contextlib.suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                yield from files_below(folder, path)
            elif entry.is_file(follow_symlinks=False):
                found = entry.stat(follow_symlinks=False)
                yield FolderEntry(path, found.st_size)


def _remove_at(parent: int, name: str) -> None:
    if safe_parts(name) != (name,):  # a second lock: the system ignores ``parent`` for an absolute name
        raise OSError(f"{name!r}: not a name in a folder")
    try:
        os.unlink(name, dir_fd=parent)  # a link goes itself, not what it leads to
    except (IsADirectoryError, PermissionError):
        inner = os.open(name, _FOLDER, dir_fd=parent)
        try:
            for below in os.listdir(inner):
                _remove_at(inner, below)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=parent)


def _is_gone(folder: Path, parts: tuple[str, ...]) -> bool:
    """Whether a missing part, and not a link or file in the way, is why it could not be reached."""
    here = folder
    for part in parts:
        here = here / part
        if here.is_symlink() or (here != folder.joinpath(*parts) and here.is_file()):
            return False
    return not here.exists()


def _opened(stack: contextlib.ExitStack, fd: int) -> int:
    stack.callback(os.close, fd)
    return fd
