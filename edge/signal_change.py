"""How much a camera's pictures and sound change: block means of pictures, band levels of sound, and the limits within
which they count as the same.

Used where pictures are decoded on demand and where the model's parts are run on demand, so that both agree.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.types import F32, U8


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What still counts as the same. Grey levels are of 0..255 of any colour, levels of sound in dB.

    A block of 8 x 8 pixels may move by ``noise`` standard deviations of the camera's own noise, within ``low`` and
    ``high``, one of 32 x 32 by ``wide``; after more than that all pictures are encoded for ``linger_s``, so that what
    moves slowly is seen moving. A band of the sound may rise by ``sound`` of the deviations that Gaussian noise has in
    one short spectrum, and stray by ``hop`` of those of its average over a hop, by ``level`` at least, and by what a
    codec does to noise: ``codec`` more in one spectrum and half of it on average. It may fall by ``dropout`` more in
    one spectrum: a codec leaves out bands that it cannot afford, and an event adds sound. Its loudest sample may be
    ``peak`` times as loud. After ``pictures_s`` and ``sound_s`` a part is encoded anyway, and while a label that it
    evidences is between its thresholds or within ``doubt`` of the way from them to 0 and 1.

    What was encoded for its age alone is dropped for what is kept where no probability moves by more than
    ``probability``, the embedding (of length 1) by no more than ``embedding``, and no label comes into doubt. Each time
    that this holds, the part is next encoded after twice as long, up to ``confirmed_pictures_s`` and
    ``confirmed_sound_s``.
    """

    noise: float = 6.0
    low: float = 4.0
    high: float = 8.0
    wide: float = 2.0
    sound: float = 6.0
    hop: float = 4.5
    level: float = 1.0
    codec: float = 1.0
    dropout: float = 12.0
    peak: float = 1.5
    linger_s: float = 1.5
    pictures_s: float = 8.0
    sound_s: float = 2.0
    doubt: float = 0.5
    probability: float = 0.02
    embedding: float = 0.05
    confirmed_pictures_s: float = 16.0
    confirmed_sound_s: float = 8.0


DEFAULT_GATE_LIMITS = GateLimits()


_BLOCK = 8
_WIDE = 4  # blocks
_STILL_SHARE = 0.75  # share of a pair's smallest differences that its noise is taken from
_STILL_MEAN = 0.5147  # mean of those of |N(0, 1)|
_SAMPLED = 11  # every so many values, prime to rows and colours


class BlockMeans:
    """Means of 8 x 8 pixels of pictures of one size, and whether they moved; scratch is made once, so one thread."""

    def __init__(self, height: int, width: int, limits: GateLimits = DEFAULT_GATE_LIMITS) -> None:
        shapes = [(max(1, height // n), max(1, width // n)) for n in (2, 4, _BLOCK, _BLOCK * _WIDE)]
        self._limits = limits
        self._half, self._quarter = (np.empty((*shape, 3), np.uint8) for shape in shapes[:2])
        self.shape = (*shapes[2], 3)
        """Of one picture's means: [h,w,3]."""
        self._moved = np.empty(self.shape, np.float32)
        self._wide = np.empty((*shapes[3], 3), np.float32)

    def reduce(self, picture: U8, blocks: U8) -> None:
        """Write the means of ``picture`` u8[H,W,3] into ``blocks`` u8[h,w,3].

        Halved three times: ten times as fast as at once.
        """
        for image, out in ((picture, self._half), (self._half, self._quarter), (self._quarter, blocks)):
            cv2.resize(image, out.shape[1::-1], dst=out, interpolation=cv2.INTER_AREA)

    def limit(self, noise: float) -> float:
        """Grey levels by which one block may differ under ``noise`` (a standard deviation of block means)."""
        return min(max(self._limits.noise * noise, self._limits.low), self._limits.high)

    def differ(self, blocks: U8, before: U8, limit: float) -> bool:
        """Whether a block differs by more than ``limit``, or 4 x 4 of them together by more than `GateLimits.wide`."""
        if cv2.norm(blocks, before, cv2.NORM_INF) > limit:
            return True
        cv2.subtract(blocks, before, dst=self._moved, dtype=cv2.CV_32F)
        cv2.resize(self._moved, self._wide.shape[1::-1], dst=self._wide, interpolation=cv2.INTER_AREA)
        return bool(cv2.norm(self._wide, cv2.NORM_INF) > self._limits.wide)


def pair_noise(newest: U8, before: U8) -> float:
    """Standard deviation of what differs between two pictures' block means, without the quarter that moves."""
    one, other = (blocks.reshape(-1)[::_SAMPLED].astype(np.float32) for blocks in (newest, before))
    apart = np.sort(np.abs(one - other))
    return float(apart[: max(1, int(_STILL_SHARE * len(apart)))].mean()) / _STILL_MEAN


MIN_PEAK = 1e-4  # -80 dBFS: peaks below it are nobody's event
_FLOOR = 1e-10  # -100 dBFS in a band
_SPECTRA_A_S = 32
_RATIO = 1.25  # of one band's edge to the last one's
_LEAST_BINS = 3
_TOGETHER = 8  # spectra that are computed at a time: little scratch, and it stays in the CPU's caches
_OVERLAP = 0.75  # independent spectra among half-overlapping ones with Hann's window
_BIN = 1.5  # bins that one with Hann's window covers, as noise goes


class BandLevels:
    """Band levels of the newest hop; all scratch is made once."""

    def __init__(self, rate_hz: int, hop: int) -> None:
        self._n = max(8, 2 * (rate_hz // (2 * _SPECTRA_A_S)))
        self._step = self._n // 2
        self._count = max(1, hop // self._step)
        self._window = np.hanning(self._n + 1)[:-1].astype(np.float32)
        edges = _edges(self._n // 2)
        self._starts = np.array([2 * edge - 1 for edge in edges[:-1]])  # packed as Re0 Re1 Im1 Re2 Im2 ...
        self._bins = np.diff(edges)
        self._scale = np.float32(2.0 / (self._n * float(np.square(self._window).sum())))
        self._cut = np.empty((min(self._count, _TOGETHER), self._n), np.float32)
        self._spectrum = np.empty_like(self._cut)
        self._power = np.empty((self._count, self.bands), np.float32)

    @property
    def bands(self) -> int:
        """How many there are."""
        return len(self._starts)

    def levels(self, samples: F32) -> F32:
        """dBFS f32[spectra,bands] of the newest hop, valid until the next call; ``samples`` contiguous."""
        have = min(len(samples), self._step * (self._count + 1))
        count = max(1, (have - self._n) // self._step + 1)
        at = len(samples) - have
        item = samples.itemsize
        frames: F32 = np.ndarray(
            (count, self._n), np.float32, samples, at * item, (self._step * item, item)
        )  # half-overlapping; a tenth of sliding_window_view's time
        power = self._power[:count]
        for first in range(0, count, _TOGETHER):
            some = frames[first : first + _TOGETHER]
            cut, spectrum = self._cut[: len(some)], self._spectrum[: len(some)]
            np.multiply(some, self._window, out=cut)
            cv2.dft(cut, dst=spectrum, flags=cv2.DFT_ROWS)
            np.square(spectrum, out=cut)
            np.add.reduceat(cut, self._starts, axis=1, out=power[first : first + _TOGETHER])
        power *= self._scale
        power += _FLOOR
        np.log10(power, out=power)
        power *= 10
        return power

    def tolerances(self, limits: GateLimits) -> tuple[F32, F32, F32]:
        """How far coded Gaussian noise rises and falls in one spectrum, and strays on average over a hop: dB by band.

        The power of m bins is chi-square with 2m degrees (Wilson and Hilferty's approximation of its quantiles).
        """
        degrees = np.maximum(2.0, 2.0 * self._bins / _BIN)
        spread = np.sqrt(2 / (9 * degrees))
        rise = 30 * np.log10(1 - 2 / (9 * degrees) + limits.sound * spread)
        fall = -30 * np.log10(np.maximum(1 - 2 / (9 * degrees) - limits.sound * spread, 1e-2))
        deviation = 10 / np.log(10) * np.sqrt(2 / degrees + 2 / degrees**2)  # of the logarithm, to second order
        mean = limits.hop * deviation / np.sqrt(max(1.0, _OVERLAP * self._count)) * np.sqrt(1.25)
        allowed = ((rise, limits.codec), (fall, limits.dropout), (mean, limits.codec / 2))
        return tuple((np.maximum(noise, limits.level) + codec).astype(np.float32) for noise, codec in allowed)


class SoundOnset:
    """Whether the newest sound rises, in any band, above what the last while had; it adapts to what is always loud."""

    _FADE_DB = 0.5  # a hop
    _INAUDIBLE_DB = -85.0

    def __init__(self, rate_hz: int, hop: int, rise_db: float = 6.0) -> None:
        """A hop is ``hop`` samples; ``rise_db`` is what counts as a rise."""
        self._levels = BandLevels(rate_hz, hop)
        self._rise_db = rise_db
        self._samples = np.zeros(hop, np.float32)
        self._count = 0
        self._usual: F32 | None = None

    def rises(self, samples: F32) -> bool:
        """Add f32[n]; looked at half a hop or more at a time."""
        kept = samples[-len(self._samples) :]
        n = min(len(kept), len(self._samples) - self._count)
        self._samples[self._count : self._count + n] = kept[:n]
        self._count += n
        if 2 * self._count < len(self._samples):
            return False
        has_risen = self._look(self._samples[: self._count])
        rest = kept[n:]
        self._samples[: len(rest)] = rest
        self._count = len(rest)
        return has_risen

    def _look(self, samples: F32) -> bool:
        top = np.maximum(self._levels.levels(samples).max(axis=0), self._INAUDIBLE_DB)
        if self._usual is None:
            self._usual = top
            return False
        has_risen = bool((top > self._usual + self._rise_db).any())
        np.maximum(self._usual - self._FADE_DB, top, out=self._usual)
        return has_risen


def _edges(bins: int) -> list[int]:
    edges = [1]
    while edges[-1] < bins:
        edges.append(max(edges[-1] + _LEAST_BINS, round(edges[-1] * _RATIO)))
    if len(edges) > 2 and edges[-1] > bins:
        edges.pop()
    return [*edges[:-1], bins + 1]
