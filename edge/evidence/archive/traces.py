"""Score traces of each camera and day: compact, append-only, readable while they are written.

``traces/<camera>/<day>.trace`` holds finished blocks of a few minutes, compressed by columns; ``<day>.tail`` the rows
since. A block is appended before the tail is emptied, so a kill loses at most the row that was being written; rows in
both are read once. Days are UTC. Values have 255 steps, times whole milliseconds.

Block: ``T1``, u32 length and u32 CRC-32 of what follows, i64 first and i64 last time in ms, then zlib of: u16 length of
the names as JSON, the names, u32 rows, times as u32 differences in ms [n], values u8[k,n].
Tail: ``T0``, i64 time in ms, u16 length of the names as JSON, u32 CRC-32 of both, the names; then rows of one byte
0xA5, u32 ms since that time, u8[k]. Of a value 255 is "nothing", the others are n / 254.
"""

from __future__ import annotations

import json
import logging
import math
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.clock import Clock, iso8601
from edge.errors import InputError
from edge.types import F32, NS_PER_MS, NS_PER_S, U8, RuleValues

log = logging.getLogger(__name__)
STEPS, NO_VALUE = 254, 255
_BLOCK, _SPAN, _TAIL = struct.Struct("<2sII"), struct.Struct("<qq"), struct.Struct("<2sqHI")
_ROW = 0xA5
FOLDER, BLOCKS, TAIL = "traces", ".trace", ".tail"
DAY_NS = 86_400 * NS_PER_S


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
    """The blocks that overlap a span, up to the first that cannot be read."""
    found = []
    for start, stop in _spans(data):
        first_ms, last_ms = _SPAN.unpack_from(data, start)
        if first_ms * NS_PER_MS < until_ns and (last_ms + 1) * NS_PER_MS > since_ns:
            found.append(_unpacked(first_ms, zlib.decompress(data[start + _SPAN.size : stop])))
    return found


def intact_size(data: bytes) -> int:
    """The size up to which a file of blocks is intact."""
    return max((stop for _, stop in _spans(data)), default=0)


def tail_header(base_ms: int, names: Sequence[str]) -> bytes:
    """The header of a tail."""
    text = json.dumps(names).encode()
    return _TAIL.pack(b"T0", base_ms, len(text), zlib.crc32(struct.pack("<q", base_ms) + text)) + text


def tail_row(ms: int, steps: Sequence[int]) -> bytes:
    """One row of a tail, ``ms`` after its beginning."""
    return struct.pack("<BI", _ROW, ms) + bytes(steps)


def read_tail(data: bytes) -> TraceBlock | None:
    """The complete rows of a tail; None when it has none. A torn or zeroed end is left out."""
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
    """The first instant of a day (UTC) written as 2026-01-31; 0 for any other text."""
    try:
        return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=timezone.utc).timestamp()) * NS_PER_S
    except ValueError:
        return 0


def _spans(data: bytes) -> Iterator[tuple[int, int]]:
    """Where the bodies of intact blocks begin and end."""
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


@dataclass(frozen=True, slots=True)
class ScoreTrace:
    """``times_ns`` i64[n] wall times, ascending; ``names`` [k]; ``values`` f32[n,k], NaN for no value."""

    times_ns: NDArray[np.int64]
    names: tuple[str, ...]
    values: F32


class TraceStore:
    """The traces below ``folder`` (``data_dir/evidence``). `append` on one thread; `read` anywhere, also in another
    process."""

    ROWS = 600  # of a block: five minutes of half seconds

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder / FOLDER
        self._clock = clock
        self._open: dict[str, _OpenTail] = {}
        self._has_warned = False

    def append(self, values: RuleValues, wall_ns: int) -> None:
        """Add one window's values at ``wall_ns``. On a full disk they are lost, and that is logged once."""
        names = tuple(values.values)
        if not names:
            return
        try:
            tail = self._tail(values.camera, wall_ns, names)
            tail.append(wall_ns, [_step(values.values[name]) for name in names])
            if tail.rows >= self.ROWS:
                tail.flush_block()
        except OSError as error:
            self._open.pop(values.camera, None)
            if not self._has_warned:
                log.warning("%s: cannot be written (%s); score traces have holes", self._folder, error.strerror)
            self._has_warned = True
        else:
            self._has_warned = False

    def read(self, camera: str, since_ns: int, until_ns: int) -> ScoreTrace:
        """The rows in ``since_ns`` <= t < ``until_ns``; empty when there are none."""
        parts: list[TraceBlock] = []
        for day in self.days(camera):
            begin_ns = day_begin_ns(day)
            if begin_ns < until_ns and begin_ns + 2 * DAY_NS > since_ns:
                parts += self._parts(camera, day, since_ns, until_ns)
        return _merged(parts, since_ns, until_ns)

    def days(self, camera: str) -> tuple[str, ...]:
        """The days (UTC, such as 2026-01-31) that have rows, in order."""
        folder = self._folder / _safe(camera)
        if not folder.is_dir():
            return ()
        return tuple(sorted({path.stem for path in folder.iterdir() if path.suffix in {BLOCKS, TAIL}}))

    def close(self) -> None:
        """Close the files. Optional: rows are written as they come."""
        for tail in self._open.values():
            tail.close()
        self._open.clear()

    def _tail(self, camera: str, wall_ns: int, names: tuple[str, ...]) -> _OpenTail:
        day = iso8601(wall_ns)[:10]
        tail = self._open.get(camera)
        if tail is None or tail.day != day or not tail.path.exists():
            if tail is not None and tail.path.exists():
                tail.flush_block()
            if tail is not None:
                tail.close()
            folder = self._folder / _safe(camera)
            folder.mkdir(parents=True, exist_ok=True)
            self._finish_earlier(folder, day)
            tail = self._open[camera] = _OpenTail(folder, day)
        if not tail.takes(names, wall_ns):
            tail.begin(names, wall_ns)
        return tail

    def _finish_earlier(self, folder: Path, day: str) -> None:
        """Turn the tails of earlier days, left by a kill, into blocks."""
        for path in folder.glob(f"*{TAIL}"):
            if path.stem != day and path.stat().st_size:
                _OpenTail(folder, path.stem).flush_block(last=True)

    def _parts(self, camera: str, day: str, since_ns: int, until_ns: int) -> list[TraceBlock]:
        base = self._folder / _safe(camera) / day
        tail = read_tail(
            _bytes(base.with_name(day + TAIL))
        )  # before the blocks: rows that leave it meanwhile are then in a block
        found = read_blocks(_bytes(base.with_name(day + BLOCKS)), since_ns, until_ns)
        return [*found, tail] if tail is not None else found


class _OpenTail:
    """The rows of one camera and day that are not in a block yet."""

    def __init__(self, folder: Path, day: str) -> None:
        self.day = day
        self.path = folder / (day + TAIL)
        self._blocks = folder / (day + BLOCKS)
        self._file = self.path.open("ab", buffering=0)
        self.rows = 0
        self._names: tuple[str, ...] = ()
        self._base_ms = self._last_ms = 0
        if self.path.stat().st_size:
            self.flush_block()

    def takes(self, names: tuple[str, ...], wall_ns: int) -> bool:
        """Whether a row with these names can follow at this time."""
        ms = wall_ns // NS_PER_MS
        return self.rows > 0 and names == self._names and self._last_ms <= ms < self._base_ms + 2**32

    def begin(self, names: tuple[str, ...], wall_ns: int) -> None:
        """Flush the rows as a block, and begin a tail with these names."""
        if self.rows:
            self.flush_block()
        self._names, self._base_ms = names, wall_ns // NS_PER_MS
        self._file.write(tail_header(self._base_ms, names))

    def append(self, wall_ns: int, steps: Sequence[int]) -> None:
        """Write one row, in one write."""
        self._last_ms = wall_ns // NS_PER_MS
        self._file.write(tail_row(self._last_ms - self._base_ms, steps))
        self.rows += 1

    def flush_block(self, *, last: bool = False) -> None:
        """Append the rows as a block, then empty the tail."""
        part = read_tail(_bytes(self.path))
        if part is not None and len(part.times_ms):
            with self._blocks.open("r+b" if self._blocks.exists() else "w+b") as file:
                file.seek(intact_size(_bytes(self._blocks)))
                file.write(pack_block(part))
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
        self._file.truncate(0)
        self.rows = 0
        if last:
            self.close()
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        self._file.close()


def _merged(parts: Sequence[TraceBlock], since_ns: int, until_ns: int) -> ScoreTrace:
    """Blocks with different names merged into one table, ascending, each time once."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    place = {name: n for n, name in enumerate(names)}
    times = np.concatenate([part.times_ms for part in parts]) if parts else np.zeros(0, np.int64)
    values = np.full((len(times), len(names)), np.nan, np.float32)
    row = 0
    for part in parts:
        columns = [place[name] for name in part.names]
        values[row : row + len(part.times_ms), columns] = as_values(part.steps)
        row += len(part.times_ms)
    times, first = np.unique(times, return_index=True)
    inside = (times * NS_PER_MS >= since_ns) & (times * NS_PER_MS < until_ns)
    return ScoreTrace(times[inside] * NS_PER_MS, names, values[first][inside])


def _step(value: float | None) -> int:
    return NO_VALUE if value is None or math.isnan(value) else round(min(1.0, max(0.0, value)) * STEPS)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _safe(camera: str) -> str:
    if not camera or "/" in camera or camera.startswith("."):
        raise InputError(f"{camera!r}: not the name of a camera")
    return camera
