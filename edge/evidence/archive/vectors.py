"""The vector index: embeddings of events, one byte a value on disk and in memory, searched in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.types import F32

MODALITIES = 2  # picture and sound, in the order of `Features.aligned`
I64 = NDArray[np.int64]
_ONES = np.array([n.bit_count() for n in range(65536)], np.uint8)


def pack_vector(vector: F32) -> bytes:
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


def unpack_vector(data: bytes) -> F32:
    """f32[1 or 2, D] of what `pack_vector` made; ValueError for anything else."""
    count = data[0] if data else 0
    if count not in {1, MODALITIES} or (len(data) - 1) % count or len(data) - 1 <= 4 * count:
        raise ValueError("not a packed meaning")
    rows = np.frombuffer(data, np.uint8, offset=1).reshape(count, -1)
    scale = rows[:, :4].copy().view("<f4")
    return np.asarray(rows[:, 4:].view(np.int8) * scale, np.float32)


class VectorIndex:
    """The vectors of many events in memory, 220 bytes each: one byte a value, and one sign bit a value for a fast
    first pass. Not thread-safe."""

    MAX_EXACT = 16_384  # up to so many rows are compared by value; of more, those with the nearest sign bits
    SHORTLIST = 6_000  # of each modality

    def __init__(self) -> None:
        self.seq = 0
        self._size = 0
        self._owner: I64 = np.zeros(0, np.int64)
        self._modality = np.zeros(0, np.int8)
        self._scale: F32 = np.zeros(0, np.float32)
        self._steps = np.zeros((0, 0), np.int8)
        self._bits = np.zeros((0, 0), np.uint64)

    def add(self, rows: Sequence[tuple[int, int, bytes]]) -> None:
        """Add (seq, n, packed); a later vector of an event replaces its earlier one."""
        if not rows:
            return
        self.seq = max(self.seq, *(seq for seq, _, _ in rows))
        owners = np.array([n for _, n, _ in rows], np.int64)
        self._owner[: self._size][np.isin(self._owner[: self._size], owners)] = -1
        for size in {len(data) for _, _, data in rows}:
            alike = [(n, data) for _, n, data in rows if len(data) == size]
            count = alike[0][1][0]
            table = np.frombuffer(b"".join(data[1:] for _, data in alike), np.uint8).reshape(len(alike), count, -1)
            width = table.shape[2] - 4
            if self._size == 0:
                self._steps, self._bits = np.zeros((0, width), np.int8), np.zeros((0, -(-width // 64)), np.uint64)
            if width == self._steps.shape[1]:  # else it comes from another model and cannot be compared
                for modality in range(count):
                    self._append(np.array([n for n, _ in alike], np.int64), modality, table[:, modality])

    def closest(self, vector: F32, baseline: F32 | None, allowed: I64 | None, most: int) -> list[tuple[int, float]]:
        """The ``most`` events closest to ``vector`` [D], each by its closer modality, closest first.

        The score is the cosine, or with ``baseline`` [2,2] (its mean and standard deviation for picture and for
        sound) the standard deviations above the mean. ``allowed``: only these events count.
        """
        if self._size == 0 or len(vector) != self._steps.shape[1]:
            return []
        alive = (self._scale[: self._size] > 0) & (self._owner[: self._size] >= 0)
        if allowed is not None:
            alive &= np.isin(self._owner[: self._size], allowed)
        rows = np.flatnonzero(alive)
        if len(rows) > self.MAX_EXACT:
            rows = np.concatenate([self._shortlist(rows[self._modality[rows] == m], vector) for m in range(MODALITIES)])
        near = self._cosine(rows, vector)
        if baseline is not None:
            modality = self._modality[rows]
            near = (near - baseline[modality, 0]) / baseline[modality, 1]
        best: dict[int, float] = {}
        for place in np.argsort(-near, kind="stable")[: MODALITIES * most]:
            best.setdefault(int(self._owner[rows[place]]), float(near[place]))
        return list(best.items())[:most]

    def _cosine(self, rows: I64, vector: F32, block: int = 1024) -> F32:
        found = [self._steps[rows[at : at + block]].astype(np.float32) @ vector for at in range(0, len(rows), block)]
        return np.asarray(np.concatenate([np.zeros(0, np.float32), *found]) * self._scale[rows], np.float32)

    def _shortlist(self, rows: I64, vector: F32) -> I64:
        """The rows whose signs differ least from the vector's (Charikar 2002: the share of differences is the
        angle)."""
        if len(rows) <= self.SHORTLIST:
            return rows
        apart = _count_bits(self._bits[rows] ^ _signs(vector[None])[0])
        return rows[np.argpartition(apart, self.SHORTLIST)[: self.SHORTLIST]]

    def _append(self, owners: I64, modality: int, table: NDArray[np.uint8]) -> None:
        stop = self._size + len(owners)
        if stop > len(self._steps):
            more = max(1024, stop - len(self._steps), len(self._steps) // 2)
            self._steps = np.concatenate([self._steps, np.zeros((more, self._steps.shape[1]), np.int8)])
            self._bits = np.concatenate([self._bits, np.zeros((more, self._bits.shape[1]), np.uint64)])
            self._owner = np.concatenate([self._owner, np.full(more, -1, np.int64)])
            self._modality = np.concatenate([self._modality, np.zeros(more, np.int8)])
            self._scale = np.concatenate([self._scale, np.zeros(more, np.float32)])
        place = slice(self._size, stop)
        self._steps[place] = np.ascontiguousarray(table[:, 4:]).view(np.int8)
        self._bits[place] = _signs(self._steps[place])
        self._scale[place] = np.ascontiguousarray(table[:, :4]).view("<f4")[:, 0]
        self._owner[place], self._modality[place] = owners, modality
        self._size = stop


def _signs(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Whether each value is above 0, as bits u64[n, ceil(D/64)]."""
    packed = np.packbits(values > 0, axis=1)
    padded = np.zeros((len(packed), -(-packed.shape[1] // 8) * 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)


def _count_bits(bits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The number of set bits of each row; numpy has a function for it from 2.0 on."""
    if hasattr(np, "bitwise_count"):
        return np.asarray(np.bitwise_count(bits).sum(1, dtype=np.int64), np.int64)
    return np.asarray(_ONES[np.ascontiguousarray(bits).view(np.uint16)].sum(1), np.int64)
