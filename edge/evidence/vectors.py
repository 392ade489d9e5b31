"""What events mean, as numbers: a byte a value on the disk and in memory, compared with a sentence in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.types import F32

MODALITIES = 2  # picture and sound, in the order of `Features.aligned`
I64 = NDArray[np.int64]


def pack(vector: F32) -> bytes:
    """A unit vector f32[D], or f32[2,D] for picture and sound (zeros where one is absent), as int8 with a scale each.

    Layout: for each of 1 or 2 rows a little-endian f32 scale, then D signed bytes; value = scale * byte.
    """
    rows = np.atleast_2d(np.asarray(vector, np.float32))
    if rows.ndim != 2 or len(rows) > MODALITIES or not np.isfinite(rows).all():
        raise InputError(f"a meaning must be f32[D] or f32[2,D] and finite, not {rows.shape}")
    scale = np.abs(rows).max(1, keepdims=True) / np.float32(127)
    steps = np.rint(rows / np.where(scale > 0, scale, 1)).astype(np.int8)
    return bytes([len(rows)]) + b"".join(
        one.tobytes() + step.tobytes() for one, step in zip(scale.astype("<f4"), steps, strict=True)
    )


def unpack(data: bytes) -> F32:
    """f32[1 or 2, D] of what `pack` made; ValueError for anything else."""
    count = data[0] if data else 0
    if count not in {1, MODALITIES} or (len(data) - 1) % count or len(data) - 1 <= 4 * count:
        raise ValueError("not a packed meaning")
    rows = np.frombuffer(data, np.uint8, offset=1).reshape(count, -1)
    scale = rows[:, :4].copy().view("<f4")
    return np.asarray(rows[:, 4:].view(np.int8) * scale, np.float32)


class Meanings:
    """The vectors of many events in memory: int8[m,D] with a scale each. Not thread-safe."""

    BLOCK = 4096

    def __init__(self) -> None:
        self.seq = 0
        self._size = 0
        self._owner: I64 = np.zeros(0, np.int64)
        self._modality = np.zeros(0, np.int8)
        self._scale: F32 = np.zeros(0, np.float32)
        self._steps = np.zeros((0, 0), np.int8)
        self._places: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def add(self, rows: Iterable[tuple[int, int, bytes]]) -> None:
        """Take over (seq, n, packed); a later one of the same event takes the earlier one's place."""
        for seq, n, data in rows:
            self.seq = max(self.seq, seq)
            count, width = data[0], (len(data) - 1) // data[0] - 4
            if self._size == 0:
                self._steps = np.zeros((0, width), np.int8)
            if width != self._steps.shape[1]:
                continue  # of another model: not comparable
            table = np.frombuffer(data, np.uint8, offset=1).reshape(count, -1)
            for place in self._places.pop(n, ()):
                self._owner[place] = -1
            self._places[n] = [self._append(n, modality, table[modality]) for modality in range(count)]

    def closeness(self, vector: F32, ordinary: F32 | None) -> tuple[I64, F32]:
        """Each event's number and how close it comes to ``vector`` [D], by its closer modality.

        With ``ordinary`` [2,2] (mean and spread of the cosine for picture and for sound) in spreads above the mean,
        else the cosine.
        """
        if self._size == 0 or len(vector) != self._steps.shape[1]:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        cosine = np.empty(self._size, np.float32)
        for start in range(0, self._size, self.BLOCK):
            stop = min(start + self.BLOCK, self._size)
            cosine[start:stop] = self._steps[start:stop].astype(np.float32) @ vector
        cosine *= self._scale[: self._size]
        modality, there = self._modality[: self._size], self._scale[: self._size] > 0
        if ordinary is not None:
            cosine = (cosine - ordinary[modality, 0]) / ordinary[modality, 1]
        cosine = np.where(there, cosine, np.float32(-np.inf))
        owner = self._owner[: self._size]
        second = np.zeros(self._size, np.bool_)
        second[1:] = (owner[1:] == owner[:-1]) & (owner[1:] >= 0)
        firsts = np.flatnonzero(~second)
        best = np.maximum.reduceat(cosine, firsts)
        alive = owner[firsts] >= 0
        return owner[firsts][alive], best[alive]

    def _append(self, n: int, modality: int, row: NDArray[np.uint8]) -> int:
        if self._size == len(self._steps):
            more = max(1024, len(self._steps))
            self._steps = np.concatenate([self._steps, np.zeros((more, self._steps.shape[1]), np.int8)])
            self._owner = np.concatenate([self._owner, np.full(more, -1, np.int64)])
            self._modality = np.concatenate([self._modality, np.zeros(more, np.int8)])
            self._scale = np.concatenate([self._scale, np.zeros(more, np.float32)])
        place = self._size
        self._steps[place] = row[4:].view(np.int8)
        self._scale[place] = row[:4].copy().view("<f4")[0]
        self._owner[place], self._modality[place] = n, modality
        self._size += 1
        return place
