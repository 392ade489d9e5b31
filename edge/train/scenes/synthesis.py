"""Procedural sounds: alarms, sirens, impulses, glass, knocks, screams, and what is mistaken for them.

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
    return _normalise_peak(np.tile(np.concatenate(group), cycles))


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
        return _normalise_peak(strike * np.sum(modes, 0))
    if kind == 1:
        f = np.where((t * rng.uniform(1, 4)) % 1 < 0.5, rng.uniform(700, 900), rng.uniform(950, 1200))
    else:
        f = 800 + 400 * ((t * rng.uniform(3, 7)) % 1.0)
    return _normalise_peak(np.tanh(3 * np.sin(2 * np.pi * np.cumsum(f) / RATE_HZ)))


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
    return _normalise_peak(wave * (0.6 + 0.4 * np.sin(2 * np.pi * t / rng.uniform(5, 15) + rng.uniform(0, 6))))


def gunshot(rng: Rng) -> Wave:
    """One to six shots: an N-wave, a decaying broadband crack and a darker tail of reflections."""
    return _repeat(rng, lambda: _shot(rng), int(rng.choice([1, 1, 2, 3, 4, 6])), rng.uniform(0.09, 0.6))


def explosion(rng: Rng) -> Wave:
    """A pressure step, a long low rumble and falling debris."""
    n = int(rng.uniform(2.0, 4.0) * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    rumble = _lowpass(rng.standard_normal(n), rng.uniform(60, 220)) * np.exp(-t * rng.uniform(1.0, 2.5)) * 6
    crack = _lowpass(rng.standard_normal(n), rng.uniform(1500, 6000)) * np.exp(-t * rng.uniform(6, 14))
    debris = _lowpass(rng.standard_normal(n), 7000) * (rng.random(n) < 0.002) * np.exp(-t) * 3
    return _normalise_peak(np.tanh(2 * (rumble / _peak(rumble) + 0.8 * crack / _peak(crack)) + 0.2 * debris))


def glass(rng: Rng) -> Wave:
    """A blow, then some tens of shards: short bursts of inharmonic modes between 2 and 14 kHz."""
    n = int(rng.uniform(0.8, 2.0) * RATE_HZ)
    wave = np.zeros(n)
    _mix_in(wave, 0, _lowpass(rng.standard_normal(1600), 4000) * np.exp(-np.arange(1600) / 300))
    _mix_in(wave, 0, rng.standard_normal(6000) * np.exp(-np.arange(6000) / rng.uniform(600, 2000)) * 0.8)
    for _ in range(int(rng.integers(25, 80))):
        m = int(rng.uniform(0.02, 0.2) * RATE_HZ)
        t = np.arange(m) / RATE_HZ
        modes = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in rng.uniform(2000, 14000, 4))
        _mix_in(
            wave, int(n * rng.beta(1.0, 3.5)), modes * np.exp(-t / rng.uniform(0.005, 0.06)) * rng.uniform(0.03, 0.3)
        )
    return _normalise_peak(wave)


def knocks(rng: Rng) -> Wave:
    """Two to five raps on a door: strongly damped panel modes at 90 to 700 Hz and a dull burst."""
    modes = [(f, rng.uniform(0.004, 0.02)) for f in rng.uniform(90, 700, 4)]
    dull = rng.uniform(500, 2500)

    def rap() -> NDArray[np.float64]:
        t = np.arange(int(0.2 * RATE_HZ)) / RATE_HZ
        body = np.sum([np.sin(2 * np.pi * f * t) * np.exp(-t / d) for f, d in modes], 0)
        burst = _lowpass(rng.standard_normal(len(t)), dull) * np.exp(-t / 0.012)
        return np.asarray(body / _peak(body) + 1.2 * burst / _peak(burst)) * rng.uniform(0.7, 1)

    return _repeat(rng, rap, int(rng.integers(2, 6)), rng.uniform(0.15, 0.4))


def scream(rng: Rng) -> Wave:
    """A voiced cry: a raised, shaken fundamental through three formants, with roughness and breath."""
    n = int(rng.uniform(0.8, 2.5) * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    x = t / t[-1]
    arc = rng.uniform(0.75, 0.95) + 0.5 * np.sin(np.pi * x ** rng.uniform(0.5, 1.5)) - rng.uniform(0, 0.35) * x
    f0 = rng.uniform(450, 900) * arc * (1 + 0.02 * _lowpass(rng.standard_normal(n), 30) * 8)
    phase = 2 * np.pi * np.cumsum(f0) / RATE_HZ
    formants = [(rng.uniform(750, 1100), 250), (rng.uniform(1300, 2000), 350), (rng.uniform(2700, 3500), 500)]
    wave = np.zeros(n)
    for k in range(1, 14):
        gain = sum(np.exp(-(((k * f0 - f) / w) ** 2)) for f, w in formants) + 0.05
        wave += np.sin(k * phase) * gain
    rough = 1 + rng.uniform(0.1, 0.6) * np.sin(2 * np.pi * rng.uniform(30, 120) * t)
    breath = rng.standard_normal(n) * rng.uniform(0.05, 0.3)
    envelope = np.minimum(1, np.minimum(x / 0.06, (1 - x) / 0.2))
    return _normalise_peak((wave * rough + breath) * envelope)


def fireworks(rng: Rng) -> Wave:
    """Whistles, distant pops and crackle: not a gunshot, not fire."""
    n = int(rng.uniform(3, 6) * RATE_HZ)
    wave = np.zeros(n)
    for _ in range(int(rng.integers(2, 6))):
        at = int(rng.uniform(0, 0.7) * n)
        t = np.arange(int(0.7 * RATE_HZ)) / RATE_HZ
        _mix_in(wave, at, 0.15 * np.sin(2 * np.pi * np.cumsum(2000 + 2500 * t) / RATE_HZ) * np.exp(-t))
        m = int(0.9 * RATE_HZ)
        _mix_in(wave, at + len(t), _lowpass(rng.standard_normal(m), 900) * np.exp(-np.arange(m) / 6000) * 3)
        crackle = rng.standard_normal(m) * (rng.random(m) < 0.004)
        _mix_in(wave, at + len(t) + 6000, _lowpass(crackle, 6000) * 2)
    return _normalise_peak(wave)


def thunder(rng: Rng) -> Wave:
    """A rolling low rumble with a slow onset."""
    n = int(rng.uniform(4, 8) * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    roll = 0.4 + np.abs(_lowpass(rng.standard_normal(n), 3)) * 30
    return _normalise_peak(
        _lowpass(rng.standard_normal(n), rng.uniform(80, 250)) * roll * np.minimum(1, t / 0.6) * np.exp(-t / 3)
    )


def claps(rng: Rng) -> Wave:
    """Hand claps: 2 ms bursts around 1 to 3 kHz."""

    def clap() -> NDArray[np.float64]:
        return _lowpass(rng.standard_normal(2400), rng.uniform(1500, 5000)) * np.exp(-np.arange(2400) / 160)

    return _repeat(rng, clap, int(rng.integers(2, 12)), rng.uniform(0.2, 0.5))


def clatter(rng: Rng) -> Wave:
    """Metal or crockery put down: a few inharmonic rings between 600 Hz and 6 kHz."""

    def hit() -> NDArray[np.float64]:
        t = np.arange(int(0.4 * RATE_HZ)) / RATE_HZ
        parts = [np.sin(2 * np.pi * f * t) * np.exp(-t / rng.uniform(0.02, 0.12)) for f in rng.uniform(600, 6000, 5)]
        return np.asarray(np.sum(parts, 0)) * rng.uniform(0.3, 1)

    return _repeat(rng, hit, int(rng.integers(2, 10)), rng.uniform(0.05, 0.4))


def music(rng: Rng) -> Wave:
    """Plucked chords on a pentatonic scale: tonal, and no alarm."""
    wave = np.zeros(8 * RATE_HZ)
    scale = rng.uniform(110, 260) * 2 ** (np.array([0, 2, 4, 7, 9, 12, 14, 16]) / 12)
    step = rng.uniform(0.2, 0.6)
    for n in range(int(8 / step)):
        t = np.arange(int(1.2 * RATE_HZ)) / RATE_HZ
        for f in rng.choice(scale, 2):
            _mix_in(
                wave,
                int(n * step * RATE_HZ),
                sum(np.sin(2 * np.pi * f * k * t) / k**1.5 for k in range(1, 6)) * np.exp(-t * 3),
            )
    return _normalise_peak(wave)


def chime(rng: Rng) -> Wave:
    """A doorbell, phone or microwave: one to four soft tones, not a repeating alarm."""
    wave = np.zeros(3 * RATE_HZ)
    for n in range(int(rng.integers(1, 5))):
        t = np.arange(int(0.6 * RATE_HZ)) / RATE_HZ
        _mix_in(wave, int(n * 0.35 * RATE_HZ), np.sin(2 * np.pi * rng.uniform(400, 2200) * t) * np.exp(-t * 5))
    return _normalise_peak(wave)


def jackhammer(rng: Rng) -> Wave:
    """Blows 12 to 30 times a second for seconds, each a burst with a ringing chisel, over a motor: no machine gun."""
    rate, n = rng.uniform(12, 30), int(rng.uniform(2, 5) * RATE_HZ)
    t = np.arange(int(0.12 * RATE_HZ)) / RATE_HZ
    ring = np.sum([np.sin(2 * np.pi * f * t) for f in rng.uniform(700, 5000, 4)], 0) * np.exp(
        -t / rng.uniform(0.005, 0.03)
    )
    wave = _lowpass(rng.standard_normal(n), rng.uniform(200, 2500)) * rng.uniform(0.2, 1.5)
    for k in range(int(n / RATE_HZ * rate)):
        burst = _lowpass(rng.standard_normal(len(t)), rng.uniform(2000, 9000)) * np.exp(-t / rng.uniform(0.006, 0.025))
        at = int((k + rng.uniform(-0.08, 0.08)) / rate * RATE_HZ)
        _mix_in(wave, max(0, at), (burst / _peak(burst) + ring * rng.uniform(0, 0.5)) * rng.uniform(0.7, 1))
    return _normalise_peak(wave)


def engine(rng: Rng) -> Wave:
    """A motor that idles or revs: pulses 15 to 60 times a second, their harmonics, and rattle."""
    n = int(rng.uniform(3, 6) * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    f = rng.uniform(15, 60) * (1 + rng.uniform(0, 0.6) * np.sin(2 * np.pi * t / rng.uniform(1, 6)) ** 2)
    phase = 2 * np.pi * np.cumsum(f) / RATE_HZ
    tone = np.sum([np.sin(k * phase + rng.uniform(0, 6)) / k ** rng.uniform(0.3, 1.2) for k in range(1, 16)], 0)
    rattle = _lowpass(rng.standard_normal(n), rng.uniform(500, 4000)) * (1 + np.sin(phase))
    return _normalise_peak(tone / _peak(tone) + rng.uniform(0.1, 0.8) * rattle / _peak(rattle))


def slams(rng: Rng) -> Wave:
    """Doors, lids and boxes that fall shut, in a room: a dull blow with a short tail; no shot."""

    def slam() -> NDArray[np.float64]:
        t = np.arange(int(0.6 * RATE_HZ)) / RATE_HZ
        blow = _lowpass(rng.standard_normal(len(t)), rng.uniform(300, 1800)) * np.exp(-t / rng.uniform(0.01, 0.05))
        room = _lowpass(rng.standard_normal(len(t)), rng.uniform(200, 1500)) * np.exp(-t / rng.uniform(0.06, 0.3))
        return np.asarray(blow / _peak(blow) + rng.uniform(0.05, 0.4) * room / _peak(room))

    return _repeat(rng, slam, int(rng.choice([1, 1, 2])), rng.uniform(0.4, 1.2))


def hammering(rng: Rng) -> Wave:
    """A hammer on wood or metal, once or twice a second: blows that ring, further apart than knocks."""

    def blow() -> NDArray[np.float64]:
        t = np.arange(int(0.35 * RATE_HZ)) / RATE_HZ
        modes = [np.sin(2 * np.pi * f * t) * np.exp(-t / d) for f, d in
                 zip(rng.uniform(400, 6000, 5), rng.uniform(0.01, 0.15, 5), strict=True)]  # fmt: skip
        click = rng.standard_normal(len(t)) * np.exp(-t / 0.003)
        return np.asarray(np.sum(modes, 0) + 2 * click) * rng.uniform(0.7, 1)

    return _repeat(rng, blow, int(rng.integers(2, 7)), rng.uniform(0.35, 0.9))


def noise_bed(rng: Rng, seconds: float) -> Wave:
    """Stationary coloured noise, sometimes with mains hum: a quiet room, a fan, distant traffic. Peak 1."""
    n = int(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    f = np.fft.rfftfreq(n, 1 / RATE_HZ)
    spectrum *= (np.maximum(f, 20) / 100) ** -rng.uniform(0.2, 1.2) / (1 + (f / rng.uniform(1500, 16000)) ** 4)
    wave = np.fft.irfft(spectrum, n)
    if rng.random() < 0.4:
        t = np.arange(n) / RATE_HZ
        wave = wave / _peak(wave) + 0.1 * sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5))
    return _normalise_peak(wave)


EVENTS: Final[dict[str, tuple[Callable[[Rng], Wave], ...]]] = {
    "explosion": (explosion,), "gunshot": (gunshot,), "glass_break": (glass,), "scream": (scream,),
    "alarm": (temporal_three, temporal_three, temporal_four, bell_or_buzzer), "siren": (siren,),
    "door_knock": (knocks,),
}  # fmt: skip
NEGATIVES: Final = (fireworks, thunder, claps, clatter, music, chime, jackhammer, engine, slams, hammering)


def _shot(rng: Rng) -> NDArray[np.float64]:
    n = int(rng.uniform(0.3, 0.9) * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    crack = _lowpass(rng.standard_normal(n), rng.uniform(3000, 14000)) * np.exp(-t / rng.uniform(0.004, 0.02))
    tail = _lowpass(rng.standard_normal(n), rng.uniform(400, 2000)) * np.exp(-t / rng.uniform(0.06, 0.25))
    return np.asarray(np.tanh(3 * (crack / _peak(crack) + rng.uniform(0.2, 0.6) * tail / _peak(tail))))


def _repeat(rng: Rng, make: Callable[[], NDArray[np.float64]], count: int, gap_s: float) -> Wave:
    parts = [make() for _ in range(count)]
    starts = [int(n * gap_s * rng.uniform(0.9, 1.1) * RATE_HZ) for n in range(count)]
    wave = np.zeros(max(s + len(p) for s, p in zip(starts, parts, strict=True)))
    for start, part in zip(starts, parts, strict=True):
        _mix_in(wave, start, part)
    return _normalise_peak(wave)


def _mix_in(wave: NDArray[np.float64], at: int, part: NDArray[np.float64]) -> None:
    """Mix a part in place, cut at the end."""
    part = part[: max(0, len(wave) - at)]
    wave[at : at + len(part)] += part


def _lowpass(x: NDArray[np.float64], cut_hz: float) -> NDArray[np.float64]:
    """Second-order roll-off in the frequency domain."""
    f = np.fft.rfftfreq(len(x), 1 / RATE_HZ)
    return np.asarray(np.fft.irfft(np.fft.rfft(x) / (1 + (f / cut_hz) ** 2), len(x)))


def _peak(x: NDArray[np.float64]) -> float:
    return float(np.abs(x).max()) + 1e-9


def _normalise_peak(x: NDArray[np.float64]) -> Wave:
    return np.asarray(x / _peak(x), dtype=np.float32)
