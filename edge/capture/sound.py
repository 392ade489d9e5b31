"""Decoded sound: mono, at the model's rate, on the stream's own media clock. Runs on the capture thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.types import F32, NS_PER_MS, NS_PER_S, AudioChunk

TOLERANCE_NS = 20 * NS_PER_MS
"""How far pts may stray from the count of samples before they are believed: containers round to 1 ms or more."""

_FULL_SCALE = {"u1": 128.0, "i2": 32768.0, "i4": 2147483648.0}


class Resampler:
    """Blocks of mono sound at any rate to chunks at one rate.

    The filter (libsoxr, high quality) keeps time: output sample k lies at the anchor plus k / rate. Its output only
    comes later than its input, by under 0.1 s, which pts account for.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._in_hz = 0
        self._filter: Any = None
        self._anchor_ns: int | None = None
        self._n_in = 0
        self._n_out = 0

    @property
    def next_ns(self) -> int | None:
        """Where the next input sample belongs by the count of samples; None before the first."""
        return None if self._anchor_ns is None else self._anchor_ns + self._n_in * NS_PER_S // max(1, self._in_hz)

    def push(self, samples: F32, in_hz: int, pts_ns: int | None, arrival_ns: int) -> list[AudioChunk]:
        """Add f32[n] of which the first sample lies at ``pts_ns`` (None: after the last one)."""
        chunks: list[AudioChunk] = []
        expected = self.next_ns
        pts_ns = pts_ns if pts_ns is not None else (expected or 0)
        if expected is None or in_hz != self._in_hz or abs(pts_ns - expected) > TOLERANCE_NS:
            chunks += self.flush(arrival_ns)
            self._start(in_hz, pts_ns)
        self._n_in += len(samples)
        out = samples if self._filter is None else self._filter.resample_chunk(samples)
        return chunks + self._chunk(out, arrival_ns)

    def flush(self, arrival_ns: int) -> list[AudioChunk]:
        """What the filter still holds; the next block anchors anew."""
        if self._anchor_ns is None or self._filter is None or not self._n_in:
            self._anchor_ns = None
            return []
        tail = self._filter.resample_chunk(np.zeros(0, np.float32), last=True)
        chunks = self._chunk(tail, arrival_ns)
        self._filter.clear()
        self._anchor_ns = None
        return chunks

    def _start(self, in_hz: int, pts_ns: int) -> None:
        if in_hz != self._in_hz:
            import soxr

            same = in_hz == self._rate_hz
            self._filter = None if same else soxr.ResampleStream(in_hz, self._rate_hz, 1, quality="HQ")
            self._in_hz = in_hz
        self._anchor_ns, self._n_in, self._n_out = pts_ns, 0, 0

    def _chunk(self, samples: F32, arrival_ns: int) -> list[AudioChunk]:
        if not len(samples) or self._anchor_ns is None:
            return []
        pts_ns = self._anchor_ns + self._n_out * NS_PER_S // self._rate_hz
        self._n_out += len(samples)
        return [AudioChunk(pts_ns, arrival_ns, samples)]


def to_mono(frame: Any) -> F32:
    """``av.AudioFrame`` of any format -> f32[n] in -1..1, the mean of its channels."""
    data = frame.to_ndarray()
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        data = data.reshape(-1, channels).T
    scale = _FULL_SCALE.get(data.dtype.str[1:], 1.0)
    mono = data[0].astype(np.float32) if channels == 1 else data.mean(axis=0, dtype=np.float32)
    if scale != 1.0:
        if scale == 128.0:
            mono -= 128.0
        mono /= np.float32(scale)
    return np.ascontiguousarray(mono, dtype=np.float32)
