"""Which recorded windows ranges are found on and answers are compared on: few, and as different as there are.

A window here is a row of the whole graph's inputs, memory included, with what the fp32 graphs said to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge.engine.contract import Array
from edge.types import F32

BLOCK: Final = 10
HELD_OUT: Final = 3
"""Of each `BLOCK` windows of a recording the last `HELD_OUT` are for comparing, the others for calibrating: neighbours
share most of their sound, so that they are split in blocks."""
_CELLS: Final = 8
_BANDS: Final = 8
_DARK: Final = 8


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """One window: the graph's inputs by name, each with one row, and the label log-odds of the fp32 graph [C]."""

    inputs: Mapping[str, Array]
    logits: F32


class DiverseSampler:
    """Keeps at most ``most`` rows, those farthest from each other: a new one takes the place of one of the nearest two,
    where it is farther from all others than they are (greedy k-centre, Gonzalez 1985, on a stream)."""

    def __init__(self, most: int) -> None:
        if most < 2:
            raise ValueError(f"most is {most}; at least 2")
        self._most = most
        self._rows: list[CalibrationRow] = []
        self._descriptors: list[F32] = []
        self._near: F32 = np.full((most, most), np.inf, np.float32)

    def offer(self, row: CalibrationRow) -> bool:
        """Whether ``row`` is kept for now."""
        descriptor = row_descriptor(row.inputs)
        away = np.array([np.linalg.norm(descriptor - other) for other in self._descriptors], np.float32)
        if len(self._rows) < self._most:
            self._put(len(self._rows), row, descriptor, away)
            return True
        nearest = self._near.min(axis=1)
        later = int(max(np.argsort(nearest, kind="stable")[:2]))
        if np.delete(away, later).min() <= nearest[later]:
            return False
        self._put(later, row, descriptor, away)
        return True

    @property
    def rows(self) -> list[CalibrationRow]:
        """What is kept."""
        return list(self._rows)

    def _put(self, at: int, row: CalibrationRow, descriptor: F32, away: F32) -> None:
        if at == len(self._rows):
            self._rows.append(row)
            self._descriptors.append(descriptor)
        else:
            self._rows[at], self._descriptors[at] = row, descriptor
        n = len(away)
        self._near[at, :n] = away
        self._near[:n, at] = away
        self._near[at, at] = np.inf


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Windows for finding ranges, and others for comparing answers."""

    calibrate: list[CalibrationRow]
    compare: list[CalibrationRow]


def split_recordings(recordings: Iterable[Iterable[CalibrationRow]], most: int) -> CalibrationSet:
    """At most ``most`` diverse windows for calibrating and half as many for comparing, of all recordings."""
    calibrate, compare = DiverseSampler(most), DiverseSampler(max(2, most // 2))
    for rows in recordings:
        for at, row in enumerate(rows):
            (compare if at % BLOCK >= BLOCK - HELD_OUT else calibrate).offer(row)
    return CalibrationSet(calibrate.rows, compare.rows)


def with_missing_inputs(rows: Iterable[CalibrationRow], every: int = 16) -> Iterator[Mapping[str, Array]]:
    """The inputs of ``rows``, and of each ``every``-th again dark, silent, or without its picture, in turns: ranges
    must hold there too."""
    for at, row in enumerate(rows):
        yield row.inputs
        if at % every == 0:
            yield _without_input(row.inputs, at // every % 3)


def row_descriptor(inputs: Mapping[str, Array]) -> F32:
    """What a row looks and sounds like in about a hundred numbers of 0 to 1: mean colour of the picture's cells, what
    changed, loudness by stretches of the window, and what is there."""
    frames = np.asarray(inputs["frames"][0], np.float32)[:, ::4, ::4] / 255
    f, h, w, c = frames.shape
    rows, columns = max(1, h // _CELLS), max(1, w // _CELLS)
    cut = frames[:, : h // rows * rows, : w // columns * columns]
    cells = cut.reshape(f, h // rows, rows, w // columns, columns, c).mean(axis=(2, 4))
    changed = np.abs(cells[-1] - cells[0]).mean(-1)
    sound = np.asarray(inputs["audio"][0], np.float32)
    loud = np.array([np.sqrt((part * part).mean()) if part.size else 0.0 for part in np.array_split(sound, _BANDS)])
    level = 1 + np.log10(np.maximum(loud, 1e-5)) / 5
    present = np.concatenate([np.ravel(inputs["video_ok"][0]), np.ravel(inputs["audio_ok"][0])])
    return np.concatenate([cells[-1].mean(-1).ravel(), 2 * changed.ravel(), level, present]).astype(np.float32)


def _without_input(inputs: Mapping[str, Array], kind: int) -> dict[str, Array]:
    changed = dict(inputs)
    if kind == 0:
        changed["frames"] = inputs["frames"] // _DARK
    elif kind == 1:
        changed["audio"] = np.zeros_like(inputs["audio"])
    else:
        changed["frames"] = np.zeros_like(inputs["frames"])
        changed["video_ok"] = np.zeros_like(inputs["video_ok"])
    return changed
