"""Sets the durations in an MP4 file's edit lists, to the nearest tick, so that players stop at the clip's end.

A muxer can hide media before the beginning (the pictures since the last key picture) but not media after the end (a
picture that an earlier one refers to, the rest of a block of sound). The boxes are those of ISO/IEC 14496-12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge.errors import SinkError
from edge.types import NS_PER_S

_HEAD = 8
_FOLDERS = (b"moov", b"trak", b"edts")


@dataclass(frozen=True, slots=True)
class _Mp4Box:
    """A box inside another: its content begins at ``body``; ``wide`` when its times have 8 bytes."""

    kind: bytes
    body: int
    end: int
    wide: bool


def set_shown_duration(path: Path, length_ns: int) -> None:
    """Make the file end ``length_ns`` after its beginning; shorter tracks stay. SinkError when it is no MP4."""
    with path.open("r+b") as file:
        place, size = _moov(file, path)
        file.seek(place)
        moov = bytearray(file.read(size))
        _shorten(moov, length_ns)
        file.seek(place)
        file.write(moov)


def _moov(file: BinaryIO, path: Path) -> tuple[int, int]:
    """Position and size of the box with all times."""
    place = 0
    while head := file.read(_HEAD):
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        if kind == b"moov":
            return place, size
        if size < _HEAD:
            break
        place += size
        file.seek(place)
    raise SinkError(f"{path}: was not written as an MP4 file; is the disk full?")


def _shorten(moov: bytearray, length_ns: int) -> None:
    boxes = list(_boxes(moov, 0, len(moov)))
    whole = next(box for box in boxes if box.kind == b"mvhd")
    scale = int.from_bytes(moov[whole.body + (20 if whole.wide else 12) :][:4], "big")
    most = round(length_ns * scale / NS_PER_S)
    longest, track = 0, whole
    for box in boxes:
        if box.kind == b"tkhd":
            track = box
        elif box.kind == b"elst":
            length = _shorten_edits(moov, box, most)
            longest = max(longest, length)
            _put(moov, track.body + (28 if track.wide else 20), length, track.wide)
    _put(moov, whole.body + (24 if whole.wide else 16), longest, whole.wide)


def _shorten_edits(moov: bytearray, box: _Mp4Box, most: int) -> int:
    """Shorten a track's edits to ``most`` ticks in total; their new total."""
    each, total = (20 if box.wide else 12), 0
    for i in range(int.from_bytes(moov[box.body + 4 : box.body + 8], "big")):
        at = box.body + 8 + i * each
        length = min(int.from_bytes(moov[at : at + (8 if box.wide else 4)], "big"), most - total)
        _put(moov, at, length, box.wide)
        total += length
    return total


def _boxes(data: bytearray, first: int, last: int) -> Iterator[_Mp4Box]:
    at = first
    while at + _HEAD <= last:
        size, kind = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8])
        if size < _HEAD:
            return
        yield _Mp4Box(kind, at + _HEAD, at + size, data[at + _HEAD] == 1)
        if kind in _FOLDERS:
            yield from _boxes(data, at + _HEAD, at + size)
        at += size


def _put(data: bytearray, at: int, value: int, wide: bool) -> None:
    size = 8 if wide else 4
    data[at : at + size] = value.to_bytes(size, "big")
