"""The bytes of traces: blocks of finished rows, and the tail of rows since. Pure functions; no file is opened here.

Block: ``T1``, u32 length and u32 CRC-32 of what follows, i64 first and i64 last time in ms, then zlib of: u16 length of
the names as JSON, the names, u32 rows, times as u32 differences in ms [n], values u8[k,n].
Tail: ``T0``, i64 time in ms, u16 length of the names as JSON, u32 CRC-32 of both, the names; then rows of one byte
0xA5, u32 ms since that time, u8[k]. Of a value 255 is "nothing", the others are n / 254.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
from numpy.typing import NDArray

from edge.types import F32, NS_PER_MS, NS_PER_S, U8

STEPS, NO_VALUE = 254, 255
_BLOCK, _SPAN, _TAIL = struct.Struct("<2sII"), struct.Struct("<qq"), struct.Struct("<2sqHI")
_ROW = 0xA5


@dataclass(frozen=True, slots=True)
class TraceBlock:
    """Rows with the same names: ``times_ms`` i64[n], ``steps`` u8[n,k]."""

    names: tuple[str, ...]
    times_ms: NDArray[np.int64]
    steps: U8


def as_values(steps: U8) -> F32:
    """0..1, NaN for nothing."""
    values: F32 = steps.astype(np.float32) / np.float32(STEPS)
    values[steps == NO_VALUE] = np.nan
    return values


def pack_block(part: TraceBlock) -> bytes:
    """A block of ascending rows."""
    names = json.dumps(part.names).encode()
    deltas = np.diff(part.times_ms, prepend=part.times_ms[:1]).astype("<u4")
    raw = b"".join(
        (
            struct.pack("<H", len(names)) + names + struct.pack("<I", len(deltas)),
            deltas.tobytes(),
            np.ascontiguousarray(part.steps.T).tobytes(),
        )
    )
    body = _SPAN.pack(int(part.times_ms[0]), int(part.times_ms[-1])) + zlib.compress(raw, 6)
    return _BLOCK.pack(b"T1", len(body), zlib.crc32(body)) + body


def read_blocks(data: bytes, since_ns: int, until_ns: int) -> list[TraceBlock]:
    """The blocks that touch a span; what a kill or a bad disk left unreadable ends the list."""
    found = []
    for start, stop in _spans(data):
        first_ms, last_ms = _SPAN.unpack_from(data, start)
        if first_ms * NS_PER_MS < until_ns and (last_ms + 1) * NS_PER_MS > since_ns:
            found.append(_unpacked(first_ms, zlib.decompress(data[start + _SPAN.size : stop])))
    return found


def intact_size(data: bytes) -> int:
    """Up to where a file of blocks is whole."""
    return max((stop for _, stop in _spans(data)), default=0)


def tail_header(base_ms: int, names: Sequence[str]) -> bytes:
    """How a tail begins."""
    text = json.dumps(names).encode()
    return _TAIL.pack(b"T0", base_ms, len(text), zlib.crc32(struct.pack("<q", base_ms) + text)) + text


def tail_row(ms: int, steps: Sequence[int]) -> bytes:
    """One row of a tail, ``ms`` after its beginning."""
    return struct.pack("<BI", _ROW, ms) + bytes(steps)


def read_tail(data: bytes) -> TraceBlock | None:
    """The whole rows of a tail; None when it has none. A torn or zeroed end is left out."""
    if len(data) < _TAIL.size:
        return None
    sign, base_ms, size, crc = _TAIL.unpack_from(data)
    text = data[_TAIL.size : _TAIL.size + size]
    if sign != b"T0" or len(text) < size or zlib.crc32(struct.pack("<q", base_ms) + text) != crc:
        return None
    names = tuple(json.loads(text))
    width = 5 + len(names)
    count = (len(data) - _TAIL.size - size) // width
    rows = np.frombuffer(data, np.uint8, count * width, _TAIL.size + size).reshape(count, width)
    whole = rows[:, 0] == _ROW
    count = count if whole.all() else int(np.argmin(whole))
    times = rows[:count, 1:5].copy().view("<u4")[:, 0].astype(np.int64) + base_ms
    return TraceBlock(names, times, rows[:count, 5:].copy()) if count else None


def day_begin_ns(day: str) -> int:
    """The first instant of a day (UTC) written as 2026-01-31; 0 for anything else."""
    try:
        return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone.utc).timestamp()) * NS_PER_S
    except ValueError:
        return 0


def _spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the bodies of whole blocks begin and end."""
    at = 0
    while at + _BLOCK.size <= len(data):
        sign, size, crc = _BLOCK.unpack_from(data, at)
        start, stop = at + _BLOCK.size, at + _BLOCK.size + size
        if sign != b"T1" or size < _SPAN.size or stop > len(data) or zlib.crc32(data[start:stop]) != crc:
            return
        yield start, stop
        at = stop


def _unpacked(first_ms: int, raw: bytes) -> TraceBlock:
    (size,) = struct.unpack_from("<H", raw)
    names = tuple(json.loads(raw[2 : 2 + size]))
    (count,) = struct.unpack_from("<I", raw, 2 + size)
    at = 6 + size
    deltas = np.frombuffer(raw, "<u4", count, at)
    steps = np.frombuffer(raw, np.uint8, count * len(names), at + 4 * count).reshape(len(names), count)
    return TraceBlock(names, np.cumsum(deltas, dtype=np.int64) + first_ms, np.ascontiguousarray(steps.T))
