"""Whether a camera's pictures, or its sound, differ by more than noise does from those that were last encoded.

A gate looks at a camera's own windows alone, in their order, so a recording is judged as the live camera was. What
cannot be compared (another epoch, other masks, broken numbers) differs.

What is the same but old is encoded anew, and then either becomes the reference (`set_reference`) or confirms the one
there is (`confirm`), which later windows go on being compared with: many small steps never add up unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from zlib import crc32

import cv2
import numpy as np

from edge.engine.manifest import Geometry
from edge.signal_change import DEFAULT_GATE_LIMITS, MIN_PEAK, BandLevels, BlockMeans, GateLimits, pair_noise
from edge.types import F32, U8, Window

_NOISE_RATE = 0.1  # of the noise by every pair
_STAND_IN_RATE = 0.3  # the same for one picture that stood for several hops


class Comparison(Enum):
    """A window's pictures or sound against the reference: the same, the same as one that is too old, or different."""

    SAME = auto()
    EXPIRED = auto()
    DIFFERENT = auto()


@dataclass(slots=True)
class _PictureReference:
    """The pair that was last encoded: ``blocks`` u8[F,h,w,3], and what was true of it.

    ``newest`` is the pair shown last, of ``pictures``, ``before`` u8[h,w,3] the newer picture of the one before it;
    ``encoded`` are those of which ``blocks`` are the means. It is old ``max_hops`` after ``seq``.
    """

    blocks: U8
    newest: U8
    before: U8
    ok: tuple[bool, ...]
    seq: int
    epoch: int
    noise: float
    moved: int
    max_hops: int
    pictures: tuple[int, ...] = ()
    encoded: tuple[int, ...] = ()


class PictureGate:
    """Block means of every picture against those of the same place in the pair that was last encoded."""

    def __init__(self, geometry: Geometry, limits: GateLimits = DEFAULT_GATE_LIMITS) -> None:
        v = geometry.video
        self._limits = limits
        self._max_hops = max(1, round(limits.pictures_s / geometry.hop_s))
        self._confirmed_hops = max(1, round(limits.confirmed_pictures_s / geometry.hop_s))
        self._linger = round(limits.linger_s / geometry.hop_s)
        self._means = BlockMeans(v.height, v.width, limits)
        self._shape = (v.frames, *self._means.shape)
        self._cameras: dict[str, _PictureReference] = {}

    def compare(self, window: Window, frames: U8) -> Comparison:
        """``frames`` u8[F,H,W,3] against the reference."""
        last = self._cameras.get(window.camera)
        is_new = last is None or last.epoch != window.media_end.epoch or last.ok != window.video_ok
        if last is None:
            last = self._cameras[window.camera] = self._new(window)
        if is_new or not window.pictures or window.pictures != last.pictures:
            for ok, picture, blocks in zip(window.video_ok, frames, last.newest, strict=True):
                if ok:
                    self._means.reduce(picture, blocks)
            if all(window.video_ok):
                self._update_noise(last, is_new=is_new)
            last.pictures = window.pictures
        if is_new:
            return Comparison.DIFFERENT
        if not any(window.video_ok):
            return Comparison.SAME
        if self._moves(window, last):
            last.moved = window.seq
        age, most = window.seq - last.seq, last.max_hops - _stagger(window.camera, last.max_hops)
        lingers = 0 <= window.seq - last.moved <= self._linger and not np.array_equal(last.newest, last.blocks)
        if age <= 0 or lingers:
            return Comparison.DIFFERENT
        return Comparison.EXPIRED if age >= most else Comparison.SAME

    def holds_encoded(self, window: Window) -> bool:
        """Whether the window holds the very pictures that were last encoded: the answer would be the same."""
        last = self._cameras.get(window.camera)
        if last is None or not window.pictures or window.pictures != last.encoded:
            return False
        return last.epoch == window.media_end.epoch and last.ok == window.video_ok

    def set_reference(self, window: Window) -> None:
        """What the camera last showed is what later pictures are compared with."""
        last = self._cameras[window.camera]
        np.copyto(last.blocks, last.newest)
        last.ok, last.seq, last.epoch = window.video_ok, window.seq, window.media_end.epoch
        last.max_hops, last.encoded = self._max_hops, window.pictures

    def confirm(self, window: Window) -> None:
        """The reference still holds at ``window``; the next time it is old after twice as long."""
        last = self._cameras[window.camera]
        last.seq, last.max_hops = window.seq, min(2 * last.max_hops, self._confirmed_hops)

    def forget(self, camera: str) -> None:
        """Start ``camera`` anew."""
        self._cameras.pop(camera, None)

    def _new(self, window: Window) -> _PictureReference:
        blocks, newest, never = np.zeros(self._shape, np.uint8), np.zeros(self._shape, np.uint8), -1 - self._linger
        return _PictureReference(
            blocks, newest, newest[-1].copy(), (), window.seq, window.media_end.epoch, 0.0, never, self._max_hops
        )

    def _update_noise(self, last: _PictureReference, *, is_new: bool) -> None:
        """From the pair, or where one picture stands for both, from the picture before it."""
        newest, other, rate = last.newest[-1], last.newest[0], _NOISE_RATE
        if np.array_equal(newest, other):
            other, rate = last.before, _STAND_IN_RATE
        if not is_new and not np.array_equal(newest, other):
            last.noise += rate * (pair_noise(newest, other) - last.noise)
        np.copyto(last.before, newest)

    def _moves(self, window: Window, last: _PictureReference) -> bool:
        """Whether a picture differs from that of the reference by more than the camera's noise."""
        limit = self._means.limit(last.noise)
        return any(
            self._means.differ(blocks, before, limit)
            for ok, blocks, before in zip(window.video_ok, last.newest, last.blocks, strict=True)
            if ok
        )


def _stagger(camera: str, hops: int) -> int:
    """Up to a quarter less, by the camera's name: cameras that started together do not stay together."""
    return crc32(camera.encode()) % max(1, hops // 4)


_DEAD = -95.0  # dBFS: nothing is there, as above half the rate of a telephone's sound
_EDGE_SLACK = np.float32(12.0)  # dB in the band below: a filter ends there, so few of its bins have sound


@dataclass(slots=True)
class _AudioReference:
    """Rings of the window's hops, newest at ``at``, and the steady window that was last encoded (``level`` None: none).

    ``mean``, ``top``, ``bottom`` f32[hops,bands] in dB; ``peak`` f32[hops]; ``hops`` hops since the media began. It is
    old ``max_hops`` after it was ``encoded``.
    """

    mean: F32
    top: F32
    bottom: F32
    peak: F32
    level: F32
    max_hops: int
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
        self._confirmed_hops = max(1, round(limits.confirmed_sound_s / geometry.hop_s))
        self._hop = min(round(rate * geometry.hop_s), self._samples)
        self._hops = -(-self._samples // self._hop)
        self._spectra = BandLevels(rate, self._hop)
        self._rise, self._fall, self._mean = self._spectra.tolerances(limits)
        self._cameras: dict[str, _AudioReference] = {}

    def compare(self, window: Window, samples: F32) -> Comparison:
        """``samples`` f32[N] against the reference."""
        sound = self._cameras.get(window.camera)
        if sound is None:
            sound = self._cameras[window.camera] = self._new()
        passed = window.seq - sound.seq
        follows = passed > 0 and window.media_end.epoch == sound.epoch and window.audio_ok == sound.ok
        absent = window.audio_ok <= 0
        if not follows or absent:
            sound.hops = 0
        sound.seq, sound.epoch, sound.ok = window.seq, window.media_end.epoch, window.audio_ok
        if absent:
            return Comparison.SAME if follows and sound.encoded >= 0 else Comparison.DIFFERENT
        self._add_hops(sound, samples, passed if follows else 1)
        if sound.hops < self._hops or not sound.steady or window.audio_ok < 1:
            return Comparison.DIFFERENT
        if not self._is_steady(sound, sound.level, sound.loudest):
            return Comparison.DIFFERENT
        return Comparison.EXPIRED if window.seq - sound.encoded >= sound.max_hops else Comparison.SAME

    def set_reference(self, window: Window) -> None:
        """What the camera last let hear is what later sound is compared with."""
        sound = self._cameras[window.camera]
        sound.encoded, sound.max_hops = window.seq, self._max_hops
        sound.steady = False
        if sound.hops >= self._hops:
            np.mean(sound.mean, axis=0, out=sound.level)
            sound.loudest = float(sound.peak.min())  # of hops: a click in one of them is not what the others are like
            sound.steady = self._is_steady(sound, sound.level, sound.loudest)

    def confirm(self, window: Window) -> None:
        """The reference still holds at ``window``; the next time it is old after twice as long."""
        sound = self._cameras[window.camera]
        sound.encoded, sound.max_hops = window.seq, min(2 * sound.max_hops, self._confirmed_hops)

    def forget(self, camera: str) -> None:
        """Start ``camera`` anew."""
        self._cameras.pop(camera, None)

    def _new(self) -> _AudioReference:
        rings = [np.zeros((self._hops, self._spectra.bands), np.float32) for _ in range(3)]
        nothing, level = np.zeros(self._hops, np.float32), np.zeros(self._spectra.bands, np.float32)
        mean, top, bottom = rings
        return _AudioReference(mean, top, bottom, nothing, level, self._max_hops, encoded=-1, seq=-2)

    def _add_hops(self, sound: _AudioReference, samples: F32, passed: int) -> None:
        """The hops since the last window, also those whose windows were not scored, as far as this one holds them."""
        for back in range(min(passed, self._hops) - 1, -1, -1):
            self._add_hop(sound, samples[: len(samples) - back * self._hop])

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
        edge = np.append(level[1:] <= _DEAD, False) * _EDGE_SLACK
        return bool(
            (np.abs(sound.mean - level) <= self._mean).all()
            and (sound.top - level <= self._rise + edge).all()
            and (level - sound.bottom <= self._fall + edge).all()
            and (sound.peak <= self._limits.peak * loudest + MIN_PEAK).all()
        )
