"""What a profile holds, version by version, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.errors import InputError
from edge.profile import ProfileFolder, ProfileVersion

_WORDS = {"normal": "what is normal", "null": "false alarm rates of quiet time"}


def version_lines(path: Path) -> list[str]:
    """A line a version, oldest first, the current one marked; InputError where there is no profile."""
    folder = ProfileFolder(path)
    current = folder.require_current()
    return [_version_line(version, current.number) for version in folder.versions()]


def roll_back(path: Path) -> list[str]:
    """Make the version before the current one current and say so; InputError when there is none."""
    folder = ProfileFolder(path)
    before = folder.require_current()
    now = folder.rollback()
    return [
        f"{path}: version {before.number} -> {now.number}; nothing is deleted. Restart a running daemon to use it.",
        _version_line(now, now.number),
    ]


def _version_line(version: ProfileVersion, current: int) -> str:
    mark = "*" if version.number == current else " "
    parts = ", ".join(_part_text(version, name) for name in version.parts())
    when = version.notes.get("at")
    return f"{mark} {version.number:4d}  {when or '':20}  {parts or 'empty'}  (model {version.model})"


def _part_text(version: ProfileVersion, name: str) -> str:
    """A part in words: what was learned, and of what."""
    text = _WORDS.get(name, name)
    try:
        part = version.part(name)
    except InputError:
        return f"{text} (damaged)"
    facts: Mapping[str, Any] = part.facts if part is not None else {}
    of = {"events": facts.get("head", {}).get("labels"), "normal": facts.get("cameras")}.get(name)
    return f"{text} ({', '.join('all cameras' if one == '*' else str(one) for one in of)})" if of else text
