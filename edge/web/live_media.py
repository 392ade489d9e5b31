"""Live spectrograms and JPEG pictures for the page, made on request and once for all viewers.

A spectrogram column is computed, and a picture encoded, by the first request that needs it. Runs on the web server's
threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.types import F32, Box
from edge.web.backend import LiveFrame

COLUMNS_HZ = 20
BANDS = 64
SPAN_S = 4.0
LOWEST_HZ, HIGHEST_HZ = 60.0, 14000.0
FLOOR_DB = -100.0
_FFT = 1024
QUALITY = 82


@dataclass(frozen=True, slots=True)
class SpectrogramColumns:
    """``bands`` u8[n,64]: 0 is -100 dBFS, 255 is 0 dBFS, low bands first; ``levels`` dBFS [n]; ``next`` is the number
    of the next column."""

    bands: NDArray[np.uint8]
    levels: tuple[float, ...]
    next: int


class LiveSpectrogram:
    """``newest_sound(out)`` fills f32[n] with the newest samples and returns the position after them. Thread-safe."""

    def __init__(self, newest_sound: Callable[[F32], int], rate_hz: int) -> None:
        self._sound = newest_sound
        self._hop = rate_hz // COLUMNS_HZ
        self._edges = np.searchsorted(np.fft.rfftfreq(_FFT, 1 / rate_hz), band_edges(rate_hz))
        self._window = np.hanning(_FFT).astype(np.float32)
        self._back = max(_FFT, self._hop)  # samples in a column
        self._samples = np.zeros(round(SPAN_S * rate_hz) + self._back, np.float32)
        self._most = round(SPAN_S * COLUMNS_HZ)
        self._bands: NDArray[np.uint8] = np.zeros((0, BANDS), np.uint8)
        self._levels: tuple[float, ...] = ()
        self._next = 0
        self._lock = threading.Lock()

    def columns(self, after: int) -> SpectrogramColumns:
        """The columns from number ``after`` on, at most those of the last four seconds."""
        with self._lock:
            self._advance()
            wanted = self._next - after if 0 <= after <= self._next else len(self._levels)
            keep = min(len(self._levels), wanted)
            first = len(self._levels) - keep
            return SpectrogramColumns(self._bands[first:], self._levels[first:], self._next)

    def _advance(self) -> None:
        end = self._sound(self._samples)
        newest = end // self._hop
        if newest < self._next:
            self._bands, self._levels, self._next = self._bands[:0], (), newest
        first = max(self._next, newest - self._most, -(-self._back // self._hop) - 1)
        if first >= newest:
            return
        made = [self._column(end, number) for number in range(first, newest)]
        self._bands = np.concatenate([self._bands, np.stack([bands for bands, _ in made])])[-self._most :]
        self._levels = (*self._levels, *(level for _, level in made))[-self._most :]
        self._next = newest

    def _column(self, end: int, number: int) -> tuple[NDArray[np.uint8], float]:
        """Column ``number``: the sound up to its end, which lies ``hop`` samples after its number's place."""
        stop = len(self._samples) - (end - (number + 1) * self._hop)
        part = self._samples[stop - self._back : stop]
        level = float(10 * np.log10(np.mean(np.square(part[-self._hop :])) + 1e-12))
        power = np.square(np.abs(np.fft.rfft(part[-_FFT:] * self._window)) * (4 / _FFT))
        total = np.concatenate([[0.0], np.cumsum(power)])
        low = self._edges[:-1]
        high = np.maximum(self._edges[1:], low + 1)
        band_db = 10 * np.log10(np.maximum(total[high] - total[low], 0) + 1e-12)
        shown = np.clip((band_db - FLOOR_DB) / -FLOOR_DB * 255, 0, 255).astype(np.uint8)
        return shown, round(max(level, FLOOR_DB), 1)


def band_edges(rate_hz: int) -> NDArray[np.float64]:
    """The edges of the bands in Hz [65], evenly spaced in perceived pitch, up to half the rate."""
    return np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, rate_hz / 2.2), BANDS + 1)


@dataclass(frozen=True, slots=True)
class JpegPicture:
    """One encoded picture, its number and the boxes detected in it."""

    number: int
    data: bytes
    boxes: tuple[Box, ...] = ()


class JpegCache:
    """Encodes each picture of ``newest_frame()`` once. Thread-safe."""

    def __init__(self, newest_frame: Callable[[], LiveFrame | None]) -> None:
        self._live_frame = newest_frame
        self._newest: JpegPicture | None = None
        self._lock = threading.Lock()

    def newest(self) -> JpegPicture | None:
        """The newest picture; the last one while the source has none, None before the first."""
        with self._lock:
            frame = self._live_frame()
            if frame is None:
                return self._newest
            newest, boxes = self._newest, tuple(frame.boxes)
            if newest is None or (frame.number, boxes) != (newest.number, newest.boxes):
                self._newest = JpegPicture(frame.number, encode_frame(frame), boxes)
            return self._newest


def encode_frame(frame: LiveFrame) -> bytes:
    """A picture as JPEG."""
    import cv2

    ok, data = cv2.imencode(".jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not ok:
        raise RuntimeError("a picture cannot be encoded as JPEG")
    return bytes(data)
