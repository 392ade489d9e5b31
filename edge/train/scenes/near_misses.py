"""Procedural sounds that are mistaken for events: fireworks, thunder, claps, machines, music, doors, cats, wind.

Every function is `f(rng) -> f32[n]` at 32 kHz mono with a peak of 1, and depends on the generator alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.train.labels import RATE_HZ
from edge.train.scenes.synthesis import Rng, Wave, lowpass, mix_in, normalise_peak, peak, repeat_sound


def fireworks(rng: Rng) -> Wave:
    """Whistles, distant pops and crackle: not a gunshot, not fire."""
    n = int(rng.uniform(3, 6) * RATE_HZ)
    wave = np.zeros(n)
    for _ in range(int(rng.integers(2, 6))):
        at = int(rng.uniform(0, 0.7) * n)
        t = np.arange(int(0.7 * RATE_HZ)) / RATE_HZ
        mix_in(wave, at, 0.15 * np.sin(2 * np.pi * np.cumsum(2000 + 2500 * t) / RATE_HZ) * np.exp(-t))
        m = int(0.9 * RATE_HZ)
        mix_in(wave, at + len(t), lowpass(rng.standard_normal(m), 900) * np.exp(-np.arange(m) / 6000) * 3)
        crackle = rng.standard_normal(m) * (rng.random(m) < 0.004)
        mix_in(wave, at + len(t) + 6000, lowpass(crackle, 6000) * 2)
    return normalise_peak(wave)


def thunder(rng: Rng) -> Wave:
    """A rolling low rumble with a slow onset."""
    n = int(rng.uniform(4, 8) * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    roll = 0.4 + np.abs(lowpass(rng.standard_normal(n), 3)) * 30
    return normalise_peak(
        lowpass(rng.standard_normal(n), rng.uniform(80, 250)) * roll * np.minimum(1, t / 0.6) * np.exp(-t / 3)
    )


def claps(rng: Rng) -> Wave:
    """Hand claps: 2 ms bursts around 1 to 3 kHz."""

    def clap() -> NDArray[np.float64]:
        return lowpass(rng.standard_normal(2400), rng.uniform(1500, 5000)) * np.exp(-np.arange(2400) / 160)

    return repeat_sound(rng, clap, int(rng.integers(2, 12)), rng.uniform(0.2, 0.5))


def clatter(rng: Rng) -> Wave:
    """Metal or crockery put down: a few inharmonic rings between 600 Hz and 6 kHz."""

    def hit() -> NDArray[np.float64]:
        t = np.arange(int(0.4 * RATE_HZ)) / RATE_HZ
        parts = [np.sin(2 * np.pi * f * t) * np.exp(-t / rng.uniform(0.02, 0.12)) for f in rng.uniform(600, 6000, 5)]
        return np.asarray(np.sum(parts, 0)) * rng.uniform(0.3, 1)

    return repeat_sound(rng, hit, int(rng.integers(2, 10)), rng.uniform(0.05, 0.4))


def music(rng: Rng) -> Wave:
    """Plucked chords on a pentatonic scale: tonal, and no alarm."""
    wave = np.zeros(8 * RATE_HZ)
    scale = rng.uniform(110, 260) * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
    step = rng.uniform(0.2, 0.6)
    for n in range(int(8 / step)):
        t = np.arange(int(1.2 * RATE_HZ)) / RATE_HZ
        for f in rng.choice(scale, 2):
            mix_in(
                wave,
                int(n * step * RATE_HZ),
                sum(np.sin(2 * np.pi * f * k * t) / k**1.5 for k in range(1, 6)) * np.exp(-t * 3),
            )
    return normalise_peak(wave)


def chime(rng: Rng) -> Wave:
    """A doorbell, phone or microwave: one to four soft tones, not a repeating alarm."""
    wave = np.zeros(3 * RATE_HZ)
    for n in range(int(rng.integers(1, 5))):
        t = np.arange(int(0.6 * RATE_HZ)) / RATE_HZ
        mix_in(wave, int(n * 0.35 * RATE_HZ), np.sin(2 * np.pi * rng.uniform(400, 2200) * t) * np.exp(-t * 5))
    return normalise_peak(wave)


def jackhammer(rng: Rng) -> Wave:
    """Blows 12 to 30 times a second for seconds, each a burst with a ringing chisel, over a motor: no machine gun."""
    rate, n = rng.uniform(12, 30), int(rng.uniform(2, 5) * RATE_HZ)
    t = np.arange(int(0.12 * RATE_HZ)) / RATE_HZ
    ring = np.sum([np.sin(2 * np.pi * f * t) for f in rng.uniform(700, 5000, 4)], 0) * np.exp(
        -t / rng.uniform(0.005, 0.03)
    )
    wave = lowpass(rng.standard_normal(n), rng.uniform(200, 2500)) * rng.uniform(0.2, 1.5)
    for k in range(int(n / RATE_HZ * rate)):
        burst = lowpass(rng.standard_normal(len(t)), rng.uniform(2000, 9000)) * np.exp(-t / rng.uniform(0.006, 0.025))
        at = int((k + rng.uniform(-0.08, 0.08)) / rate * RATE_HZ)
        mix_in(wave, max(0, at), (burst / peak(burst) + ring * rng.uniform(0, 0.5)) * rng.uniform(0.7, 1))
    return normalise_peak(wave)


def engine(rng: Rng) -> Wave:
    """A motor that idles or revs: pulses 15 to 60 times a second, their harmonics, and rattle."""
    n = int(rng.uniform(3, 6) * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    f = rng.uniform(15, 60) * (1 + rng.uniform(0, 0.6) * np.sin(2 * np.pi * t / rng.uniform(1, 6)) ** 2)
    phase = 2 * np.pi * np.cumsum(f) / RATE_HZ
    tone = np.sum([np.sin(k * phase + rng.uniform(0, 6)) / k ** rng.uniform(0.3, 1.2) for k in range(1, 16)], 0)
    rattle = lowpass(rng.standard_normal(n), rng.uniform(500, 4000)) * (1 + np.sin(phase))
    return normalise_peak(tone / peak(tone) + rng.uniform(0.1, 0.8) * rattle / peak(rattle))


def slams(rng: Rng) -> Wave:
    """Doors, lids and boxes that fall shut, in a room: a dull blow with a short tail; no shot."""

    def slam() -> NDArray[np.float64]:
        t = np.arange(int(0.6 * RATE_HZ)) / RATE_HZ
        blow = lowpass(rng.standard_normal(len(t)), rng.uniform(300, 1800)) * np.exp(-t / rng.uniform(0.01, 0.05))
        room = lowpass(rng.standard_normal(len(t)), rng.uniform(200, 1500)) * np.exp(-t / rng.uniform(0.06, 0.3))
        return np.asarray(blow / peak(blow) + rng.uniform(0.05, 0.4) * room / peak(room))

    return repeat_sound(rng, slam, int(rng.choice([1, 1, 2])), rng.uniform(0.4, 1.2))


def hammering(rng: Rng) -> Wave:
    """A hammer on wood or metal, once or twice a second: blows that ring, further apart than knocks."""

    def blow() -> NDArray[np.float64]:
        t = np.arange(int(0.35 * RATE_HZ)) / RATE_HZ
        modes = [np.sin(2 * np.pi * f * t) * np.exp(-t / d) for f, d in
                 zip(rng.uniform(400, 6000, 5), rng.uniform(0.01, 0.15, 5), strict=True)]  # fmt: skip
        click = rng.standard_normal(len(t)) * np.exp(-t / 0.003)
        return np.asarray(np.sum(modes, 0) + 2 * click) * rng.uniform(0.7, 1)

    return repeat_sound(rng, blow, int(rng.integers(2, 7)), rng.uniform(0.35, 0.9))


def meows(rng: Rng) -> Wave:
    """One to four meows: a voiced glide up and down while the mouth opens and shuts; no crying child."""

    def meow() -> NDArray[np.float64]:
        t = np.arange(int(rng.uniform(0.4, 1.1) * RATE_HZ)) / RATE_HZ
        x = t / t[-1]
        f0 = rng.uniform(380, 700) * (0.8 + 0.4 * np.sin(np.pi * x ** rng.uniform(0.5, 1.2)) - rng.uniform(0, 0.3) * x)
        phase, opened = 2 * np.pi * np.cumsum(f0) / RATE_HZ, np.sin(np.pi * x ** rng.uniform(0.6, 1.4))
        first, second = 450 + rng.uniform(500, 900) * opened, 2600 - rng.uniform(600, 1300) * x
        wave = np.zeros(len(t))
        for k in range(1, 14):
            gain = np.exp(-(((k * f0 - first) / 350) ** 2)) + 0.5 * np.exp(-(((k * f0 - second) / 500) ** 2)) + 0.03
            wave += np.sin(k * phase) * gain
        return np.asarray(wave * np.minimum(1, np.minimum(x / 0.1, (1 - x) / 0.3)))

    return repeat_sound(rng, meow, int(rng.integers(1, 5)), rng.uniform(0.8, 1.6))


def wind_at_microphone(rng: Rng) -> Wave:
    """Wind in gusts, or hands, at the microphone: loud rumble, dull thumps, and clipping now and then; no fire."""
    n = int(rng.uniform(3, 6) * RATE_HZ)
    gusts = np.abs(lowpass(rng.standard_normal(n), rng.uniform(0.5, 4)))
    wave = lowpass(rng.standard_normal(n), rng.uniform(40, 400)) * (0.1 + gusts / peak(gusts))
    wave = wave / peak(wave)
    for _ in range(int(rng.integers(0, 12))):
        m = int(rng.uniform(0.03, 0.25) * RATE_HZ)
        thump = lowpass(rng.standard_normal(m), rng.uniform(80, 1200)) * np.exp(-np.arange(m) / (m / 4))
        mix_in(wave, int(rng.uniform(0, 1) * n), thump / peak(thump) * rng.uniform(0.1, 1))
    wave = np.clip(wave * rng.uniform(0.7, 2.5), -1, 1) + rng.standard_normal(n) * 10 ** -rng.uniform(2, 4)
    return normalise_peak(wave)


NEAR_MISSES: Final = (
    fireworks, thunder, claps, clatter, music, chime, jackhammer, engine, slams, hammering, meows, wind_at_microphone,
)  # fmt: skip
