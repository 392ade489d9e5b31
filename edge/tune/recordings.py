"""Finds recordings, the camera of each, and the identity of a file."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

from edge.errors import InputError
from edge.replay import camera_name

PICTURES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".ts", ".m4v", ".mpg", ".mpeg", ".3gp", ".flv")
SOUNDS = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac")
MEDIA_SUFFIXES = frozenset((*PICTURES, *SOUNDS))
_PIECE = 1 << 16


def find_recordings(patterns: Sequence[str]) -> list[Path]:
    """The files that paths, folders (searched to the bottom for media) and patterns name, each once, in order.

    InputError when one names nothing.
    """
    found: dict[Path, None] = {}
    for text in patterns:
        files = _files(text)
        if not files:
            raise InputError(f"{text}: no recording there; give files, folders that hold some, or a pattern in quotes")
        found.update(dict.fromkeys(files))
    return list(found)


def _files(text: str) -> list[Path]:
    path = Path(text)
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix.lower() in MEDIA_SUFFIXES and p.is_file())
    if path.is_file():
        return [path]
    return sorted(Path(name) for name in glob.glob(text, recursive=True) if Path(name).is_file())


def camera_of(path: Path, cameras: Collection[str]) -> str:
    """The configured camera whose name is, or begins, the name of the file or of the nearest folder above it
    (``gate-2026-01-31``); else a new name, as in a replay."""
    own = camera_name(path)
    for name in (own, *(folder.name for folder in path.absolute().parents)):
        fits = [camera for camera in cameras if name == camera or name.startswith((f"{camera}-", f"{camera}_"))]
        if fits:
            return max(fits, key=len)
    return own


def length_s(path: Path) -> float:
    """The duration that the container states; 0 when it states none, or cannot be read."""
    import av

    try:
        with av.open(str(path)) as container:
            return (container.duration or 0) / 1e6
    except (av.error.FFmpegError, OSError, ValueError):
        return 0.0


def fingerprint(path: Path) -> str:
    """A digest of size, time of change, and the first and last 64 KiB; InputError when it cannot be read."""
    try:
        facts = path.stat()
        with path.open("rb") as file:
            head = file.read(_PIECE)
            file.seek(max(0, facts.st_size - _PIECE))
            tail = file.read(_PIECE)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    digest = hashlib.blake2b(f"{facts.st_size} {facts.st_mtime_ns} ".encode(), digest_size=12)
    digest.update(head + tail)
    return digest.hexdigest()
