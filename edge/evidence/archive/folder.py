"""Lists and removes files below the evidence folder and nowhere else; no symbolic link is followed.

Every step is relative to an open folder (``dir_fd``), so that swapping a folder for a link meanwhile has no effect.
The age of each item follows from names alone, so that it is known for any file.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from edge.evidence.archive.traces import day_begin_ns
from edge.types import NS_PER_S

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
DAY_NS = 86_400 * NS_PER_S
_ASIDE = re.compile(r"^events\.db\.corrupt-(\d+)")


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """One plain file below a folder: its path there, and its size."""

    path: str
    size: int


def remove(folder: Path, path: str) -> bool:
    """Remove a file or a whole folder at ``path`` below ``folder``, then parents that this left empty.

    True when it is gone (also when it never existed); False when a link is in the way or the system refuses.
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
    """The parts of a path below a folder; empty for a path that may lead elsewhere, such as an absolute one.

    The system ignores the open folder for an absolute name, so none may pass.
    """
    parts = PurePosixPath(path).parts
    if path.startswith("/") or "\0" in path or any("/" in part or part in {"", ".", ".."} for part in parts):
        return ()
    return parts


def files_below(folder: Path, under: str = "") -> Iterator[FolderEntry]:
    """Every plain file below ``folder/under``. Links are not followed or listed; vanishing files are left out."""
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
    if safe_parts(name) != (name,):  # checked again: the system ignores ``parent`` for an absolute name
        raise OSError(f"{name!r}: not a name in a folder")
    try:
        os.unlink(name, dir_fd=parent)  # removes a link itself, not its target
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


@dataclass(frozen=True, slots=True)
class RetentionItem:
    """A unit of removal: an event's folder, a day's trace or digest, or a damaged database that was put aside.

    Its content is from ``begin_ns`` at the earliest to ``end_ns`` at the latest. ``is_event``: it is an event's
    folder, whose files may have rows.
    """

    path: str
    begin_ns: int
    end_ns: int
    size: int
    files: tuple[str, ...]
    is_event: bool


@dataclass(slots=True)
class _ItemFiles:
    size: int = 0
    files: list[str] = field(default_factory=list)


def list_items(folder: Path) -> tuple[int, list[RetentionItem]]:
    """The bytes of all files below ``folder``, and the items that may be removed; unknown files are only counted."""
    found = list(files_below(folder))
    return sum(file.size for file in found), group_items(found)


def group_items(found: Iterable[FolderEntry]) -> list[RetentionItem]:
    """Files grouped into items, oldest first."""
    piles: dict[tuple[str, int, int, bool], _ItemFiles] = {}
    for file in found:
        key = _belongs(file.path)
        if key is not None:
            pile = piles.setdefault(key, _ItemFiles())
            pile.size += file.size
            pile.files.append(file.path)
    made = [
        RetentionItem(path, begin_ns, end_ns, pile.size, tuple(pile.files), is_event)
        for (path, begin_ns, end_ns, is_event), pile in piles.items()
    ]
    return sorted(made, key=lambda thing: (thing.begin_ns, thing.path))


def last_damage_ns(names: Iterable[str]) -> int:
    """When a database was last put aside, from the names in the folder; 0 if never."""
    return max((int(match[1]) for name in names if (match := _ASIDE.match(name))), default=0)


def _belongs(path: str) -> tuple[str, int, int, bool] | None:
    """The path, span and kind of the item that a file belongs to."""
    parts = path.split("/")
    if aside := _ASIDE.match(parts[0]):
        return path, int(aside[1]), int(aside[1]), False
    if parts[0] in {"traces", "digests"}:
        begin_ns = day_begin_ns(parts[-1][:10])
        return (path, begin_ns, begin_ns + DAY_NS, False) if begin_ns else None
    begin_ns = day_begin_ns(parts[0])
    if begin_ns and len(parts) > 1:
        return "/".join(parts[:3]), begin_ns, begin_ns + DAY_NS, True
    return None
