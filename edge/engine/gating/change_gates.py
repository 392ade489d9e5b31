"""Whether a camera's pictures differ from those that were last encoded by more than noise does.

A judge looks at a camera's own windows alone, in their order, so a recording is judged as the live camera was. What
cannot be compared (another epoch, other masks, broken numbers) differs.

What still counts as the same picture and the same sound.

Whether a camera's sound differs from what was last encoded by more than noise does.

A judge looks at a camera's own windows alone, in their order, so a recording is judged as the live camera was. What
cannot be compared (another epoch, other masks, broken numbers) differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

import cv2
import numpy as np

from edge.engine.manifest import Geometry
from edge.types import F32, U8, Window


@dataclass(frozen=True, slots=True)
class GateLimits:
    """What still counts as the same. Grey levels are of 0..255 of any colour, levels of sound in dB.

    A block of 8 x 8 pixels may move by ``noise`` standard deviations of the camera's own noise, within ``low`` and
    ``high``, one of 32 x 32 by ``wide``; after more than that all pictures are encoded for ``linger_s``, so that what
    moves slowly is seen moving. A band of the sound may stray by ``sound`` of the deviations that Gaussian
    noise has in one short spectrum, by ``hop`` of those of its average over a hop, and by ``level`` at least; its
    loudest sample may be ``peak`` times as loud. After ``pictures_s`` and ``sound_s`` a part is encoded anyway, and
    while a label that it evidences is between its thresholds or within ``doubt`` of the way from them to 0 and 1.
    """

    noise: float = 6.0
    low: float = 4.0
    high: float = 8.0
    wide: float = 2.0
    sound: float = 5.0
    hop: float = 4.5
    level: float = 1.0
    peak: float = 1.5
    linger_s: float = 1.5
    pictures_s: float = 8.0
    sound_s: float = 2.0
    doubt: float = 0.5


DEFAULT_GATE_LIMITS = GateLimits()


_BLOCK = 8
_WIDE = 4  # blocks
_STILL_SHARE = 0.75  # share of a pair's smallest differences that its noise is taken from
_STILL_MEAN = 0.5147  # mean of those of |N(0, 1)|
_SAMPLED = 11  # every so many values, prime to rows and colours
_NOISE_RATE = 0.1  # of the noise by every pair


@dataclass(slots=True)
class _PictureReference:
    """The pair that was last encoded: ``blocks`` u8[F,h,w,3], and what was true of it."""

    blocks: U8
    ok: tuple[bool, ...]
    seq: int
    epoch: int
    noise: float
    moved: int


class PictureGate:
    """Block means of every picture against those of the same place in the pair that was last encoded."""

    def __init__(self, geometry: Geometry, limits: GateLimits = DEFAULT_GATE_LIMITS) -> None:
        v = geometry.video
        self._limits = limits
        self._max_hops = max(1, round(limits.pictures_s / geometry.hop_s))
        self._linger = round(limits.linger_s / geometry.hop_s)
        shapes = [(max(1, v.height // n), max(1, v.width // n)) for n in (2, 4, _BLOCK, _BLOCK * _WIDE)]
        self._half, self._quarter = (np.empty((*shape, 3), np.uint8) for shape in shapes[:2])
        self._blocks = np.empty((v.frames, *shapes[2], 3), np.uint8)
        self._moved = np.empty((*shapes[2], 3), np.float32)
        self._wide = np.empty((*shapes[3], 3), np.float32)
        self._cameras: dict[str, _PictureReference] = {}

    def has_changed(self, window: Window, frames: U8) -> bool:
        """Whether ``frames`` u8[F,H,W,3] must be encoded; `set_reference` has to be told when they were."""
        for ok, picture, blocks in zip(window.video_ok, frames, self._blocks, strict=True):
            if ok:
                self._reduce(picture, blocks)
        last = self._cameras.get(window.camera)
        if last is None or last.epoch != window.media_end.epoch or last.ok != window.video_ok:
            return True
        if not any(window.video_ok):
            return False
        if all(window.video_ok) and len(self._blocks) > 1:
            last.noise += _NOISE_RATE * (self._noise() - last.noise)
        limit = min(max(self._limits.noise * last.noise, self._limits.low), self._limits.high)
        if any(
            self._block_changed(blocks, before, limit)
            for ok, blocks, before in zip(window.video_ok, self._blocks, last.blocks, strict=True)
            if ok
        ):
            last.moved = window.seq
        age = window.seq - last.seq
        is_old = not 0 < age < self._max_hops - _stagger(window.camera, self._max_hops)
        return is_old or 0 <= window.seq - last.moved <= self._linger

    def set_reference(self, window: Window) -> None:
        """What `has_changed` was last asked about is what later pictures are compared with."""
        last = self._cameras.get(window.camera)
        if last is None:
            last = _PictureReference(
                np.zeros_like(self._blocks), window.video_ok, window.seq, window.media_end.epoch, 0.0, -1 - self._linger
            )
            self._cameras[window.camera] = last
        np.copyto(last.blocks, self._blocks)
        last.ok, last.seq, last.epoch = window.video_ok, window.seq, window.media_end.epoch

    def forget(self, camera: str) -> None:
        """Start ``camera`` anew."""
        self._cameras.pop(camera, None)

    def _reduce(self, picture: U8, blocks: U8) -> None:
        """Halved three times: ten times as fast as at once."""
        for image, out in ((picture, self._half), (self._half, self._quarter), (self._quarter, blocks)):
            cv2.resize(image, out.shape[1::-1], dst=out, interpolation=cv2.INTER_AREA)

    def _block_changed(self, blocks: U8, before: U8, limit: float) -> bool:
        if cv2.norm(blocks, before, cv2.NORM_INF) > limit:
            return True
        cv2.subtract(blocks, before, dst=self._moved, dtype=cv2.CV_32F)
        cv2.resize(self._moved, self._wide.shape[1::-1], dst=self._wide, interpolation=cv2.INTER_AREA)
        return bool(cv2.norm(self._wide, cv2.NORM_INF) > self._limits.wide)

    def _noise(self) -> float:
        """Standard deviation of what differs between the pair's last two pictures, without the quarter that moves."""
        newest, before = (self._blocks[i].reshape(-1)[::_SAMPLED].astype(np.float32) for i in (-1, -2))
        apart = np.sort(np.abs(newest - before))
        return float(apart[: max(1, int(_STILL_SHARE * len(apart)))].mean()) / _STILL_MEAN


def _stagger(camera: str, hops: int) -> int:
    """Up to a quarter less, by the camera's name: cameras that started together do not stay together."""
    return crc32(camera.encode()) % max(1, hops // 4)


@dataclass(slots=True)
class _AudioReference:
    """Rings of the window's hops, newest at ``at``, and the steady window that was last encoded (``level`` None: none).

    ``mean``, ``top``, ``bottom`` f32[hops,bands] in dB; ``peak`` f32[hops]; ``hops`` hops since the media began.
    """

    mean: F32
    top: F32
    bottom: F32
    peak: F32
    level: F32
    loudest: float = 0.0
    steady: bool = False
    hops: int = 0
    ok: float = -1.0
    seq: int = 0
    encoded: int = 0
    epoch: int = 0


class AudioGate:
    """Levels of bands in short overlapping spectra: a window that holds the same steady sound as the last encoded one.

    An event in a window is no steady sound, so that window and all that follow are encoded until it has left, and the
    first without it as well.
    """

    def __init__(self, geometry: Geometry, limits: GateLimits = DEFAULT_GATE_LIMITS) -> None:
        rate, self._samples = geometry.audio.rate_hz, geometry.audio.samples
        self._limits = limits
        self._max_hops = max(1, round(limits.sound_s / geometry.hop_s))
        self._hop = min(round(rate * geometry.hop_s), self._samples)
        self._hops = -(-self._samples // self._hop)
        self._spectra = _BandLevels(rate, self._hop)
        self._rise, self._fall, self._mean = self._spectra.tolerances(limits)
        self._cameras: dict[str, _AudioReference] = {}

    def has_changed(self, window: Window, samples: F32) -> bool:
        """Whether ``samples`` f32[N] must be encoded; `set_reference` has to be told when they were."""
        sound = self._cameras.get(window.camera)
        if sound is None:
            sound = self._cameras[window.camera] = self._new()
        follows = window.seq == sound.seq + 1 and window.media_end.epoch == sound.epoch and window.audio_ok == sound.ok
        absent = window.audio_ok <= 0
        if not follows or absent:
            sound.hops = 0
        sound.seq, sound.epoch, sound.ok = window.seq, window.media_end.epoch, window.audio_ok
        if absent:
            return not (follows and sound.encoded >= 0)
        self._add_hop(sound, samples)
        if sound.hops < self._hops or not sound.steady or window.audio_ok < 1:
            return True
        return window.seq - sound.encoded >= self._max_hops or not self._is_steady(sound, sound.level, sound.loudest)

    def set_reference(self, window: Window) -> None:
        """What `has_changed` was last asked about for this camera is what later sound is compared with."""
        sound = self._cameras[window.camera]
        sound.encoded = window.seq
        sound.steady = False
        if sound.hops >= self._hops:
            np.mean(sound.mean, axis=0, out=sound.level)
            sound.loudest = float(sound.peak.min())  # of hops: a click in one of them is not what the others are like
            sound.steady = self._is_steady(sound, sound.level, sound.loudest)

    def forget(self, camera: str) -> None:
        """Start ``camera`` anew."""
        self._cameras.pop(camera, None)

    def _new(self) -> _AudioReference:
        rings = [np.zeros((self._hops, self._spectra.bands), np.float32) for _ in range(3)]
        nothing, level = np.zeros(self._hops, np.float32), np.zeros(self._spectra.bands, np.float32)
        return _AudioReference(rings[0], rings[1], rings[2], nothing, level, encoded=-1, seq=-2)

    def _add_hop(self, sound: _AudioReference, samples: F32) -> None:
        at = sound.hops % self._hops
        levels = self._spectra.levels(samples)
        np.add.reduce(levels, axis=0, out=sound.mean[at])
        sound.mean[at] /= len(levels)
        np.maximum.reduce(levels, axis=0, out=sound.top[at])
        np.minimum.reduce(levels, axis=0, out=sound.bottom[at])
        sound.peak[at] = cv2.norm(samples[-self._hop :], cv2.NORM_INF)
        sound.hops += 1

    def _is_steady(self, sound: _AudioReference, level: F32, loudest: float) -> bool:
        """NaN compares as false: broken sound is never steady."""
        return bool(
            (np.abs(sound.mean - level) <= self._mean).all()
            and (sound.top - level <= self._rise).all()
            and (level - sound.bottom <= self._fall).all()
            and (sound.peak <= self._limits.peak * loudest + MIN_PEAK).all()
        )


MIN_PEAK = 1e-4  # -80 dBFS: peaks below it are nobody's event
_FLOOR = 1e-10  # -100 dBFS in a band
_SPECTRA_A_S = 32
_RATIO = 1.25  # of one band's edge to the last one's
_LEAST_BINS = 3
_OVERLAP = 0.75  # independent spectra among half-overlapping ones with Hann's window
_BIN = 1.5  # bins that one with Hann's window covers, as noise goes


class _BandLevels:
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
        self._cut = np.empty((self._count, self._n), np.float32)
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
        cut, power = self._cut[:count], self._power[:count]
        np.multiply(frames, self._window, out=cut)
        cv2.dft(cut, dst=self._spectrum[:count], flags=cv2.DFT_ROWS)
        np.square(self._spectrum[:count], out=cut)
        np.add.reduceat(cut, self._starts, axis=1, out=power)
        power *= self._scale
        power += _FLOOR
        np.log10(power, out=power)
        power *= 10
        return power

    def tolerances(self, limits: GateLimits) -> tuple[F32, F32, F32]:
        """How far Gaussian noise rises and falls in one spectrum, and strays on average over a hop, in dB by band.

        The power of m bins is chi-square with 2m degrees (Wilson and Hilferty's approximation of its quantiles).
        """
        degrees = np.maximum(2.0, 2.0 * self._bins / _BIN)
        spread = np.sqrt(2 / (9 * degrees))
        rise = 30 * np.log10(1 - 2 / (9 * degrees) + limits.sound * spread)
        fall = -30 * np.log10(np.maximum(1 - 2 / (9 * degrees) - limits.sound * spread, 1e-2))
        deviation = 10 / np.log(10) * np.sqrt(2 / degrees + 2 / degrees**2)  # of the logarithm, to second order
        mean = limits.hop * deviation / np.sqrt(max(1.0, _OVERLAP * self._count)) * np.sqrt(1.25)
        return tuple(np.maximum(t, limits.level).astype(np.float32) for t in (rise, fall, mean))


def _edges(bins: int) -> list[int]:
    edges = [1]
    while edges[-1] < bins:
        edges.append(max(edges[-1] + _LEAST_BINS, round(edges[-1] * _RATIO)))
    if len(edges) > 2 and edges[-1] > bins:
        edges.pop()
    return [*edges[:-1], bins + 1]
