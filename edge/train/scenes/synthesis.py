"""Procedural sounds of events: alarms, sirens, impulses, glass, knocks, screams; and background noise.

Every function is `f(rng) -> f32[n]` at 32 kHz mono with a peak of 1, and depends on the generator alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.train.labels import RATE_HZ

Wave = NDArray[np.float32]
Rng = np.random.Generator


def beeps(
    frequency_hz: float, on_s: float, off_s: float, count: int, pause_s: float, cycles: int, square: bool
) -> Wave:
    """`cycles` groups of `count` tones, `on_s` long and `off_s` apart, with `pause_s` after a group's last tone."""
    t = np.arange(int(on_s * RATE_HZ)) / RATE_HZ
    tone = np.sin(2 * np.pi * frequency_hz * t)
    tone = np.tanh(4 * tone) if square else tone + 0.2 * np.sin(6 * np.pi * frequency_hz * t)
    edge = np.minimum(1, np.minimum(np.arange(len(t)), np.arange(len(t))[::-1]) / (0.003 * RATE_HZ))
    tone = tone * edge
    group: list[NDArray[np.float64]] = []
    for n in range(count):
        gap = off_s if n + 1 < count else pause_s
        group += [tone, np.zeros(int(gap * RATE_HZ))]
    return normalise_peak(np.tile(np.concatenate(group), cycles))


def temporal_three(rng: Rng) -> Wave:
    """Smoke alarm, ISO 8201: three 0.5 s tones 0.5 s apart, then 1.5 s of silence; 3.1 kHz or a 520 Hz square."""
    low = rng.random() < 0.25
    return beeps(520.0 if low else rng.uniform(2800, 3400), 0.5, 0.5, 3, 1.5, 4, low)


def temporal_four(rng: Rng) -> Wave:
    """Carbon monoxide alarm, NFPA 720: four 0.1 s tones 0.1 s apart, then 5 s of silence."""
    return beeps(rng.uniform(2800, 3400), 0.1, 0.1, 4, 5.0, 3, False)


def bell_or_buzzer(rng: Rng) -> Wave:
    """A fire bell, or a continuous two-tone or fast-sweeping sounder (EN 54-3 style)."""
    t = np.arange(int(rng.uniform(4, 10) * RATE_HZ)) / RATE_HZ
    kind = rng.integers(3)
    if kind == 0:
        strike = np.exp(-((t * rng.uniform(9, 16)) % 1.0) * 3)
        modes = [
            np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) / (i + 1) for i, f in enumerate(rng.uniform(900, 6000, 6))
        ]
        return normalise_peak(strike * np.sum(modes, 0))
    if kind == 1:
        f = np.where((t * rng.uniform(1, 4)) % 1 < 0.5, rng.uniform(700, 900), rng.uniform(950, 1200))
    else:
        f = 800 + 400 * ((t * rng.uniform(3, 7)) % 1.0)
    return normalise_peak(np.tanh(3 * np.sin(2 * np.pi * np.cumsum(f) / RATE_HZ)))


def siren(rng: Rng) -> Wave:
    """Wail, yelp or two-tone, with a Doppler drift, harmonics and slow fading."""
    t = np.arange(int(rng.uniform(5, 12) * RATE_HZ)) / RATE_HZ
    kind = rng.integers(3)
    low, high = rng.uniform(450, 700), rng.uniform(1000, 1600)
    if kind == 0:
        sweep = 0.5 - 0.5 * np.cos(2 * np.pi * t / rng.uniform(3.5, 7))
    elif kind == 1:
        sweep = 0.5 - 0.5 * np.cos(2 * np.pi * t * rng.uniform(2.5, 4))
    else:
        sweep = ((t * rng.uniform(0.8, 1.4)) % 1.0 < 0.5).astype(float)
        low, high = rng.uniform(400, 480), rng.uniform(550, 700)
    f = (low + (high - low) * sweep) * (1 + rng.uniform(-0.04, 0.04) * np.tanh((t - t.mean()) / 2))
    phase = 2 * np.pi * np.cumsum(f) / RATE_HZ
    wave = sum(np.sin(k * phase) / k ** rng.uniform(0.8, 1.6) for k in range(1, 7))
    return normalise_peak(wave * (0.6 + 0.4 * np.sin(2 * np.pi * t / rng.uniform(5, 15) + rng.uniform(0, 6))))


def gunshot(rng: Rng) -> Wave:
    """One to six shots: an N-wave, a decaying broadband crack and a darker tail of reflections."""
    return repeat_sound(rng, lambda: _shot(rng), int(rng.choice([1, 1, 2, 3, 4, 6])), rng.uniform(0.09, 0.6))


def explosion(rng: Rng) -> Wave:
    """A pressure step, a long low rumble and falling debris."""
    n = int(rng.uniform(2.0, 4.0) * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    rumble = lowpass(rng.standard_normal(n), rng.uniform(60, 220)) * np.exp(-t * rng.uniform(1.0, 2.5)) * 6
    crack = lowpass(rng.standard_normal(n), rng.uniform(1500, 6000)) * np.exp(-t * rng.uniform(6, 14))
    debris = lowpass(rng.standard_normal(n), 7000) * (rng.random(n) < 0.002) * np.exp(-t) * 3
    return normalise_peak(np.tanh(2 * (rumble / peak(rumble) + 0.8 * crack / peak(crack)) + 0.2 * debris))


def glass(rng: Rng) -> Wave:
    """A blow, then some tens of shards: short bursts of inharmonic modes between 2 and 14 kHz."""
    n = int(rng.uniform(0.8, 2.0) * RATE_HZ)
    wave = np.zeros(n)
    mix_in(wave, 0, lowpass(rng.standard_normal(1600), 4000) * np.exp(-np.arange(1600) / 300))
    mix_in(wave, 0, rng.standard_normal(6000) * np.exp(-np.arange(6000) / rng.uniform(600, 2000)) * 0.8)
    for _ in range(int(rng.integers(25, 80))):
        m = int(rng.uniform(0.02, 0.2) * RATE_HZ)
        t = np.arange(m) / RATE_HZ
        modes = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in rng.uniform(2000, 14000, 4))
        mix_in(
            wave, int(n * rng.beta(1.0, 3.5)), modes * np.exp(-t / rng.uniform(0.005, 0.06)) * rng.uniform(0.03, 0.3)
        )
    return normalise_peak(wave)


def knocks(rng: Rng) -> Wave:
    """Two to five raps on a door: strongly damped panel modes at 90 to 700 Hz and a dull burst."""
    modes = [(f, rng.uniform(0.004, 0.02)) for f in rng.uniform(90, 700, 4)]
    dull = rng.uniform(500, 2500)

    def rap() -> NDArray[np.float64]:
        t = np.arange(int(0.2 * RATE_HZ)) / RATE_HZ
        body = np.sum([np.sin(2 * np.pi * f * t) * np.exp(-t / d) for f, d in modes], 0)
        burst = lowpass(rng.standard_normal(len(t)), dull) * np.exp(-t / 0.012)
        return np.asarray(body / peak(body) + 1.2 * burst / peak(burst)) * rng.uniform(0.7, 1)

    return repeat_sound(rng, rap, int(rng.integers(2, 6)), rng.uniform(0.15, 0.4))


def scream(rng: Rng) -> Wave:
    """A voiced cry: a raised, shaken fundamental through three formants, with roughness and breath."""
    n = int(rng.uniform(0.8, 2.5) * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    x = t / t[-1]
    arc = rng.uniform(0.75, 0.95) + 0.5 * np.sin(np.pi * x ** rng.uniform(0.5, 1.5)) - rng.uniform(0, 0.35) * x
    f0 = rng.uniform(450, 900) * arc * (1 + 0.02 * lowpass(rng.standard_normal(n), 30) * 8)
    phase = 2 * np.pi * np.cumsum(f0) / RATE_HZ
    formants = [(rng.uniform(750, 1100), 250), (rng.uniform(1300, 2000), 350), (rng.uniform(2700, 3500), 500)]
    wave = np.zeros(n)
    for k in range(1, 14):
        gain = sum(np.exp(-(((k * f0 - f) / w) ** 2)) for f, w in formants) + 0.05
        wave += np.sin(k * phase) * gain
    rough = 1 + rng.uniform(0.1, 0.6) * np.sin(2 * np.pi * rng.uniform(30, 120) * t)
    breath = rng.standard_normal(n) * rng.uniform(0.05, 0.3)
    envelope = np.minimum(1, np.minimum(x / 0.06, (1 - x) / 0.2))
    return normalise_peak((wave * rough + breath) * envelope)


def noise_bed(rng: Rng, seconds: float) -> Wave:
    """Stationary coloured noise, sometimes with mains hum: a quiet room, a fan, distant traffic. Peak 1."""
    n = int(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    f = np.fft.rfftfreq(n, 1 / RATE_HZ)
    spectrum *= (np.maximum(f, 20) / 100) ** -rng.uniform(0.2, 1.2) / (1 + (f / rng.uniform(1500, 16000)) ** 4)
    wave = np.fft.irfft(spectrum, n)
    if rng.random() < 0.4:
        t = np.arange(n) / RATE_HZ
        wave = wave / peak(wave) + 0.1 * sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5))
    return normalise_peak(wave)


EVENTS: Final[dict[str, tuple[Callable[[Rng], Wave], ...]]] = {
    "explosion": (explosion,), "gunshot": (gunshot,), "glass_break": (glass,), "scream": (scream,),
    "alarm": (temporal_three, temporal_three, temporal_four, bell_or_buzzer), "siren": (siren,),
    "door_knock": (knocks,),
}  # fmt: skip


def _shot(rng: Rng) -> NDArray[np.float64]:
    n = int(rng.uniform(0.3, 0.9) * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    crack = lowpass(rng.standard_normal(n), rng.uniform(3000, 14000)) * np.exp(-t / rng.uniform(0.004, 0.02))
    tail = lowpass(rng.standard_normal(n), rng.uniform(400, 2000)) * np.exp(-t / rng.uniform(0.06, 0.25))
    return np.asarray(np.tanh(3 * (crack / peak(crack) + rng.uniform(0.2, 0.6) * tail / peak(tail))))


def repeat_sound(rng: Rng, make: Callable[[], NDArray[np.float64]], count: int, gap_s: float) -> Wave:
    """What is made, ``count`` times about ``gap_s`` apart; peak 1."""
    parts = [make() for _ in range(count)]
    starts = [int(n * gap_s * rng.uniform(0.9, 1.1) * RATE_HZ) for n in range(count)]
    wave = np.zeros(max(s + len(p) for s, p in zip(starts, parts, strict=True)))
    for start, part in zip(starts, parts, strict=True):
        mix_in(wave, start, part)
    return normalise_peak(wave)


def mix_in(wave: NDArray[np.float64], at: int, part: NDArray[np.float64]) -> None:
    """Mix a part in place, cut at the end."""
    part = part[: max(0, len(wave) - at)]
    wave[at : at + len(part)] += part


def lowpass(x: NDArray[np.float64], cut_hz: float) -> NDArray[np.float64]:
    """Second-order roll-off in the frequency domain."""
    f = np.fft.rfftfreq(len(x), 1 / RATE_HZ)
    return np.asarray(np.fft.irfft(np.fft.rfft(x) / (1 + (f / cut_hz) ** 2), len(x)))


def peak(x: NDArray[np.float64]) -> float:
    """The largest magnitude, never 0."""
    return float(np.abs(x).max()) + 1e-9


def normalise_peak(x: NDArray[np.float64]) -> Wave:
    """With a peak of 1."""
    return np.asarray(x / peak(x), dtype=np.float32)
