"""What lies in the evidence folder, and how old each thing is: from names alone, so that it holds for any file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from edge.evidence.archive.removal import FolderEntry, files_below
from edge.evidence.archive.trace_blocks import day_begin_ns
from edge.types import NS_PER_S

DAY_NS = 86_400 * NS_PER_S
_ASIDE = re.compile(r"^events\.db\.corrupt-(\d+)")


@dataclass(frozen=True, slots=True)
class RetentionItem:
    """What is removed as one: an event's folder, a day's trace or digest, a damaged database that was moved aside.

    ``begin_ns`` is the earliest that anything in it can be of, ``end_ns`` the latest. ``listed`` says whether it is an
    event's folder, of which rows may know.
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
    """All bytes below ``folder``, and the things that may be removed; what belongs to nothing known is only counted."""
    found = list(files_below(folder))
    return sum(file.size for file in found), group_items(found)


def group_items(found: Iterable[FolderEntry]) -> list[RetentionItem]:
    """Files put together to things, oldest first."""
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
    """When a database was last moved aside, from the names in the folder; 0 if never."""
    return max((int(match[1]) for name in names if (match := _ASIDE.match(name))), default=0)


def _belongs(path: str) -> tuple[str, int, int, bool] | None:
    """The path, span and kind of the thing that a file is part of."""
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
