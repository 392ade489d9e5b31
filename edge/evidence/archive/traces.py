"""What every rule looked at, kept for each camera and day: compact, append-only, readable while it is written.

``traces/<camera>/<day>.trace`` holds finished blocks of a few minutes, compressed by columns; ``<day>.tail`` the rows
since. A block is appended before the tail is emptied, so a kill at any point loses at most the row that was being
written; rows that are in both are read once. Days are UTC. Values have 255 steps, times whole milliseconds.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.clock import Clock, iso8601
from edge.errors import InputError
from edge.evidence.archive import trace_blocks as blocks
from edge.types import F32, NS_PER_MS, NS_PER_S, RuleValues

log = logging.getLogger(__name__)

FOLDER, BLOCKS, TAIL = "traces", ".trace", ".tail"
DAY_NS = 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True)
class ScoreTrace:
    """``times_ns`` i64[n] wall times, ascending; ``names`` [k]; ``values`` f32[n,k], NaN where nothing could tell."""

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
        """Add one window's values at ``wall_ns``. A full disk loses them, and says so once."""
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
        """What was kept of ``since_ns`` <= t < ``until_ns``; empty where nothing was."""
        parts: list[blocks.TraceBlock] = []
        for day in self.days(camera):
            begin_ns = blocks.day_begin_ns(day)
            if begin_ns < until_ns and begin_ns + 2 * DAY_NS > since_ns:
                parts += self._parts(camera, day, since_ns, until_ns)
        return _merged(parts, since_ns, until_ns)

    def days(self, camera: str) -> tuple[str, ...]:
        """The days (UTC, as in 2026-01-31) of which there is something, in order."""
        folder = self._folder / _safe(camera)
        if not folder.is_dir():
            return ()
        return tuple(sorted({path.stem for path in folder.iterdir() if path.suffix in {BLOCKS, TAIL}}))

    def close(self) -> None:
        """Nothing is lost without it: rows are written as they come."""
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
        """Days that a kill left with a tail become blocks."""
        for path in folder.glob(f"*{TAIL}"):
            if path.stem != day and path.stat().st_size:
                _OpenTail(folder, path.stem).flush_block(last=True)

    def _parts(self, camera: str, day: str, since_ns: int, until_ns: int) -> list[blocks.TraceBlock]:
        base = self._folder / _safe(camera) / day
        tail = blocks.read_tail(
            _bytes(base.with_name(day + TAIL))
        )  # first: what leaves it meanwhile is in a block then
        found = blocks.read_blocks(_bytes(base.with_name(day + BLOCKS)), since_ns, until_ns)
        return [*found, tail] if tail is not None else found


class _OpenTail:
    """The rows of one camera's day that are not in a block yet."""

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
        """Whether a row of these names at this time can follow."""
        ms = wall_ns // NS_PER_MS
        return self.rows > 0 and names == self._names and self._last_ms <= ms < self._base_ms + 2**32

    def begin(self, names: tuple[str, ...], wall_ns: int) -> None:
        """What was there becomes a block; what follows has these names."""
        if self.rows:
            self.flush_block()
        self._names, self._base_ms = names, wall_ns // NS_PER_MS
        self._file.write(blocks.tail_header(self._base_ms, names))

    def append(self, wall_ns: int, steps: Sequence[int]) -> None:
        """One row, in one write."""
        self._last_ms = wall_ns // NS_PER_MS
        self._file.write(blocks.tail_row(self._last_ms - self._base_ms, steps))
        self.rows += 1

    def flush_block(self, *, last: bool = False) -> None:
        """Append the rows as a block, then empty the tail."""
        part = blocks.read_tail(_bytes(self.path))
        if part is not None and len(part.times_ms):
            with self._blocks.open("r+b" if self._blocks.exists() else "w+b") as file:
                file.seek(blocks.intact_size(_bytes(self._blocks)))
                file.write(blocks.pack_block(part))
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


def _merged(parts: Sequence[blocks.TraceBlock], since_ns: int, until_ns: int) -> ScoreTrace:
    """Parts with names of their own as one table, ascending, each time once."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    place = {name: n for n, name in enumerate(names)}
    times = np.concatenate([part.times_ms for part in parts]) if parts else np.zeros(0, np.int64)
    values = np.full((len(times), len(names)), np.nan, np.float32)
    row = 0
    for part in parts:
        columns = [place[name] for name in part.names]
        values[row : row + len(part.times_ms), columns] = blocks.as_values(part.steps)
        row += len(part.times_ms)
    times, first = np.unique(times, return_index=True)
    inside = (times * NS_PER_MS >= since_ns) & (times * NS_PER_MS < until_ns)
    return ScoreTrace(times[inside] * NS_PER_MS, names, values[first][inside])


def _step(value: float | None) -> int:
    return blocks.NO_VALUE if value is None or math.isnan(value) else round(min(1.0, max(0.0, value)) * blocks.STEPS)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _safe(camera: str) -> str:
    if not camera or "/" in camera or camera.startswith("."):
        raise InputError(f"{camera!r}: not the name of a camera")
    return camera
