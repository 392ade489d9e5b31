"""Measures the a/v offset: a sharp flash and a sharp onset of sound close to it are taken as one event."""

from __future__ import annotations

import statistics
from collections import deque

import numpy as np

from edge.types import F32, NS_PER_S, seconds

_PAIR_NS = NS_PER_S // 2
_REFRACTORY_NS = NS_PER_S
_LAST = 7
_FLASH_STEP = 24.0  # luma, 0..255, above the brightest of the recent pictures
_RECENT_PICTURES = 8
_BLOCK_S = 0.005
_ONSET_RATIO = 8.0
_ONSET_MIN_PEAK = 0.05
_RISE = 0.3


class FlashDetector:
    """Detects sharp jumps of mean luma at the full frame rate; returns the pts of the first bright picture."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_RECENT_PICTURES)
        self._last_ns: int | None = None

    def push(self, pts_ns: int, luma: float) -> int | None:
        """Add a decoded picture; its pts when it is the first of a flash."""
        is_flash = len(self._recent) >= 3 and luma - max(self._recent) >= _FLASH_STEP
        self._recent.append(luma)
        if not is_flash or (self._last_ns is not None and 0 <= pts_ns - self._last_ns < _REFRACTORY_NS):
            return None
        self._last_ns = pts_ns
        return pts_ns


class OnsetDetector:
    """Detects onsets: a block of 5 ms far above what came before; returns the pts of its rise."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._n = max(1, round(rate_hz * _BLOCK_S))
        self._background = 0.0
        self._seen = 0
        self._last_ns: int | None = None

    def push(self, pts_ns: int, samples: F32) -> list[int]:
        """Add a chunk; the pts of the onsets in it."""
        blocks = len(samples) // self._n
        if not blocks:
            return []
        sound = samples[: blocks * self._n].reshape(blocks, self._n)
        peaks = np.maximum(sound.max(axis=1), -sound.min(axis=1))
        background, onsets = self._background, []
        for i, peak in enumerate(peaks.tolist()):
            if peak > _ONSET_MIN_PEAK and peak > _ONSET_RATIO * background and self._seen + i > 20:
                first = int(np.argmax(np.abs(sound[i]) > _RISE * peak))
                at_ns = pts_ns + (i * self._n + first) * NS_PER_S // self.rate_hz
                if self._last_ns is None or not 0 <= at_ns - self._last_ns < _REFRACTORY_NS:
                    onsets.append(at_ns)
                    self._last_ns = at_ns
            background += (peak - background) * (0.2 if peak > background else 0.02)
        self._background = background
        self._seen += blocks
        return onsets


class AvOffsetEstimator:
    """Pairs flashes with onsets on one axis; either alone is ignored."""

    def __init__(self) -> None:
        self._flashes: deque[int] = deque(maxlen=8)
        self._onsets: deque[int] = deque(maxlen=8)
        self._offsets_ns: deque[int] = deque(maxlen=_LAST)

    @property
    def offset_s(self) -> float | None:
        """Median of the last few pairs, positive when sound comes after the picture; None before the first."""
        return seconds(round(statistics.median(self._offsets_ns))) if self._offsets_ns else None

    def add_flash(self, t_ns: int) -> None:
        """Add a flash at ``t_ns`` on the common axis."""
        self._flashes.append(t_ns)
        self._pair()

    def add_onset(self, t_ns: int) -> None:
        """Add an onset at ``t_ns`` on the common axis."""
        self._onsets.append(t_ns)
        self._pair()

    def restart(self) -> None:
        """Drop what waits for its pair: the axis broke."""
        self._flashes.clear()
        self._onsets.clear()

    def _pair(self) -> None:
        near = [(abs(b - f), f, b) for f in self._flashes for b in self._onsets if abs(b - f) <= _PAIR_NS]
        if not near:
            return
        _, flash_ns, bang_ns = min(near)
        self._flashes.remove(flash_ns)
        self._onsets.remove(bang_ns)
        self._offsets_ns.append(bang_ns - flash_ns)
