"""What a profile holds, version by version, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.errors import InputError
from edge.profile import ProfileFolder, Version

_WORDS = {"normal": "what is normal", "null": "false alarm rates of quiet time"}


def listing(path: Path) -> list[str]:
    """A line a version, oldest first, the current one marked; InputError where there is no profile."""
    folder = ProfileFolder(path)
    current = folder.existing()
    return [_line(version, current.number) for version in folder.versions()]


def roll_back(path: Path) -> list[str]:
    """Make the version before the current one current and say so; InputError when there is none."""
    folder = ProfileFolder(path)
    before = folder.existing()
    now = folder.rollback()
    return [
        f"{path}: version {before.number} -> {now.number}; nothing is deleted. Restart a running daemon to use it.",
        _line(now, now.number),
    ]


def _line(version: Version, current: int) -> str:
    mark = "*" if version.number == current else " "
    parts = ", ".join(_told(version, name) for name in version.parts())
    when = version.notes.get("at")
    return f"{mark} {version.number:4d}  {when or '':20}  {parts or 'empty'}  (model {version.model})"


def _told(version: Version, name: str) -> str:
    """A part in words: what was learned, and of what."""
    told = _WORDS.get(name, name)
    try:
        part = version.part(name)
    except InputError:
        return f"{told} (damaged)"
    facts: Mapping[str, Any] = part.facts if part is not None else {}
    of = {"events": facts.get("head", {}).get("labels"), "normal": facts.get("cameras")}.get(name)
    return f"{told} ({', '.join('all cameras' if one == '*' else str(one) for one in of)})" if of else told
