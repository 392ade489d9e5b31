"""Decoded sound: mono, at the model's rate, on the stream's own media clock. Runs on the capture thread."""

from __future__ import annotations

from typing import Any

import numpy as np

from edge.types import F32, NS_PER_MS, NS_PER_S, AudioChunk

TOLERANCE_NS = 20 * NS_PER_MS
"""Difference between pts and the count of samples up to which the count is used: containers round to 1 ms or more."""

_FULL_SCALE = {"u1": 128.0, "i2": 32768.0, "i4": 2147483648.0}


class Resampler:
    """Resamples blocks of mono sound at any rate to chunks at one rate.

    The filter (libsoxr, high quality) keeps time: output sample k lies at the anchor plus k / rate. Its output is
    delayed by less than 0.1 s, which pts account for.
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
        """The pts of the next input sample by the count of samples; None before the first."""
        return None if self._anchor_ns is None else self._anchor_ns + self._n_in * NS_PER_S // max(1, self._in_hz)

    @property
    def lag_ns(self) -> int:
        """Length of the input that is still in the filter."""
        return self._n_in * NS_PER_S // max(1, self._in_hz) - self._n_out * NS_PER_S // self._rate_hz

    def push(self, samples: F32, in_hz: int, pts_ns: int | None, arrival_ns: int) -> list[AudioChunk]:
        """Add f32[n] whose first sample lies at ``pts_ns`` (None: after the last one); the finished chunks."""
        chunks: list[AudioChunk] = []
        expected = self.next_ns
        pts_ns = pts_ns if pts_ns is not None else (expected or 0)
        if expected is None or in_hz != self._in_hz or abs(pts_ns - expected) > TOLERANCE_NS:
            chunks += self.flush(arrival_ns)
            self._start(in_hz, pts_ns)
        self._n_in += len(samples)
        out = samples.copy() if self._filter is None else self._filter.resample_chunk(samples)
        return chunks + self._chunk(out, arrival_ns)

    def flush(self, arrival_ns: int) -> list[AudioChunk]:
        """The rest of the filter's output; the next block sets a new anchor."""
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


class AudioBlockAssembler:
    """Assembles decoded blocks into about one mono block a hop, because each block has a fixed cost.

    A block is complete when it reaches past the end of a window, with the resampler's lag; so windows do not wait for
    it. Windows end at ``origin_ns + k * hop_ns``; ``lag_ns`` is the resampler's lag.
    """

    def __init__(self, hop_ns: int) -> None:
        self._hop_ns = hop_ns
        self._mono: F32 = np.zeros(0, np.float32)
        self._n = 0
        self._rate_hz = 0
        self._start_ns = 0
        self.origin_ns: int | None = None
        self.lag_ns = 0

    @property
    def rate_hz(self) -> int:
        """Sample rate of the block that is being assembled."""
        return self._rate_hz

    def due_ns(self, start_ns: int) -> int | None:
        """The pts up to which a block that starts at ``start_ns`` is assembled; None when one was begun, or without
        a grid."""
        if self._n or self.origin_ns is None:
            return None
        reach_ns = self.origin_ns + self.lag_ns
        return reach_ns + ((start_ns - reach_ns) // self._hop_ns + 1) * self._hop_ns

    def fits(self, rate_hz: int, pts_ns: int) -> bool:
        """Whether a block continues the assembled one; if not, call `take` first."""
        if not self._n:
            return True
        expected_ns = self._start_ns + self._n * NS_PER_S // self._rate_hz
        return rate_hz == self._rate_hz and abs(pts_ns - expected_ns) <= TOLERANCE_NS

    def add(self, frame: Any, pts_ns: int) -> bool:
        """Add an ``av.AudioFrame``; whether the block is complete."""
        rate_hz, n = int(frame.sample_rate), int(frame.samples)
        if not self._n:
            self._start_ns, self._rate_hz = pts_ns, rate_hz
        self.origin_ns = pts_ns if self.origin_ns is None else self.origin_ns
        if self._n + n > len(self._mono):
            room = max(self._n + n, rate_hz * self._hop_ns * 2 // NS_PER_S)
            self._mono = np.concatenate((self._mono[: self._n], np.zeros(room - self._n, np.float32)))
        mix_to_mono(frame, self._mono[self._n : self._n + n])
        self._n += n
        start_ns, end_ns = self._start_ns, self._start_ns + self._n * NS_PER_S // rate_hz
        reach_ns = self.origin_ns + self.lag_ns
        return (end_ns - reach_ns) // self._hop_ns > (start_ns - reach_ns) // self._hop_ns

    def take(self) -> tuple[F32, int]:
        """The assembled block f32[n], valid until the next `add`, and the pts of its first sample."""
        block, self._n = self._mono[: self._n], 0
        return block, self._start_ns


def mix_to_mono(frame: Any, out: F32) -> None:
    """Write the mean of the channels of an ``av.AudioFrame`` of any format into f32[n] in -1..1."""
    channels = len(frame.layout.channels)
    if frame.format.name == "fltp" and channels <= 2:
        planes: Any = frame.planes
        first = np.frombuffer(planes[0], np.float32, len(out))
        if channels == 1:
            out[:] = first
        else:
            np.add(first, np.frombuffer(planes[1], np.float32, len(out)), out=out)
            out *= np.float32(0.5)
        return
    data = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, channels).T
    np.mean(data, axis=0, dtype=np.float32, out=out)
    scale = _FULL_SCALE.get(data.dtype.str[1:], 1.0)
    if scale == 128.0:
        out -= np.float32(128.0)
    out /= np.float32(scale)
