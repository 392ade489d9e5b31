"""Whether a camera's sound differs from what was last encoded by more than noise does.

A judge looks at a camera's own windows alone, in their order, so a recording is judged as the live camera was. What
cannot be compared (another epoch, other masks, broken numbers) differs.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edge.engine.gating.limits import DEFAULT_GATE_LIMITS, GateLimits
from edge.engine.manifest import Geometry
from edge.types import F32, Window


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
