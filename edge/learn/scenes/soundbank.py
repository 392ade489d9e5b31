"""Sounds by label and split, and the mixing of one labelled sound track from them."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from edge.learn.data import DecodedSound, Wave, training_sounds
from edge.learn.labels import LABEL_NAMES, RATE_HZ
from edge.learn.scenes import synth

_log = logging.getLogger(__name__)
_SPEECH: Final = (
    "good morning, how are you today", "could you bring the ladder to the back door please",
    "the delivery arrived at half past nine", "and now the weather forecast for tomorrow", "hello, is anybody there",
    "no, put it over there, next to the shelf", "we will be closing in ten minutes", "one two three four five",
)  # fmt: skip


@dataclass(slots=True)
class SoundBank:
    """Event sounds by label and other sounds, of one split."""

    events: dict[str, list[Wave]] = field(default_factory=dict)
    others: list[Wave] = field(default_factory=list)
    real_beds: list[Wave] = field(default_factory=list)

    def draw_event(self, label: str, rng: np.random.Generator) -> Wave:
        """A random event sound of this label."""
        options = self.events[label]
        return options[int(rng.integers(len(options)))]

    def draw_other(self, rng: np.random.Generator) -> Wave:
        """A random sound that is none of our events."""
        return self.others[int(rng.integers(len(self.others)))]


def build_sound_bank(data: Path, packages: Path | None, held_out: bool, count: int, seed: int) -> SoundBank:
    """Real open sounds of the split and `count` synthesised ones a recipe, from the seed."""
    bank = SoundBank()
    for sound in training_sounds(data, packages):
        if sound.held_out == held_out:
            _add_sound(bank, sound)
    rng = np.random.default_rng(seed + (1_000_003 if held_out else 0))
    for label, recipes in synth.EVENTS.items():
        made = [recipes[n % len(recipes)](rng) for n in range(count)]
        bank.events[label] = [*bank.events.get(label, []), *made]
    for recipe in synth.NEGATIVES:
        bank.others += [recipe(rng) for _ in range(max(4, count // 3))]
    bank.others += synthetic_speech(held_out)
    _log.info("sounds: %s, %d others", {k: len(v) for k, v in bank.events.items()}, len(bank.others))
    return bank


def synthetic_speech(held_out: bool) -> list[Wave]:
    """Synthetic talk as a hard negative for screams, where espeak-ng is installed; else nothing."""
    import shutil
    import subprocess

    import soxr

    if shutil.which("espeak-ng") is None:
        return []
    voices = ("en-us+f3", "de+m2") if held_out else ("en-gb", "en-us+f4", "fr+f2", "en+m7")
    waves = []
    for n, text in enumerate(_SPEECH):
        command = ["espeak-ng", "-v", voices[n % len(voices)], "-s", str(140 + 12 * n), "--stdout", text]
        raw = subprocess.run(command, check=True, capture_output=True).stdout
        rate = int.from_bytes(raw[24:28], "little")
        samples = np.frombuffer(raw[44:], np.int16).astype(np.float32) / 32768
        waves.append(np.asarray(soxr.resample(samples, rate, RATE_HZ), dtype=np.float32))
    return waves


def background_bed(bank: SoundBank, rng: np.random.Generator, seconds: float) -> Wave:
    """A background of that length at an RMS of 1: coloured noise, or a real one looped."""
    n = int(seconds * RATE_HZ)
    if bank.real_beds and rng.random() < 0.4:
        wave = bank.real_beds[int(rng.integers(len(bank.real_beds)))]
        wave = np.resize(wave, n)
    else:
        wave = synth.noise_bed(rng, seconds)
    return wave / (float(np.sqrt(np.mean(wave**2))) + 1e-9)


def simulate_microphone(wave: Wave, rng: np.random.Generator) -> Wave:
    """A microphone's view: room, band limit (half are 8 kHz wide, as 16 kHz sources are), gain, clipping."""
    n = len(wave)
    size = -(-n // 16000) * 16000 + RATE_HZ // 2  # a length that Fourier transforms like
    spectrum = np.fft.rfft(wave, size)
    if rng.random() < 0.4:
        t = np.arange(RATE_HZ // 2) / RATE_HZ
        room = rng.standard_normal(len(t)) * np.exp(-t / rng.uniform(0.03, 0.25)) * rng.uniform(0.01, 0.08)
        room[0] = 1.0
        spectrum = spectrum * np.fft.rfft(room, size)
    f = np.fft.rfftfreq(size, 1 / RATE_HZ)
    if rng.random() < 0.65:
        cut = 7600.0 if rng.random() < 0.6 else rng.uniform(3500, 14000)
        spectrum = spectrum / (1 + (f / cut) ** 16)
    if rng.random() < 0.3:
        spectrum = spectrum * (f / (f + rng.uniform(30, 250)))
    out = np.fft.irfft(spectrum, size)[:n]
    peak = float(np.abs(out).max()) + 1e-9
    out = out / peak * 10 ** rng.uniform(-2.2, 0.1)
    return np.clip(out + rng.standard_normal(n) * 10 ** rng.uniform(-5.5, -3.5), -1, 1).astype(np.float32)


def crop_loudest(wave: Wave, n: int, rng: np.random.Generator) -> Wave:
    """n samples that hold the loudest half second; shorter sounds are placed in silence."""
    if len(wave) < n:
        out = np.zeros(n, np.float32)
        at = int(rng.integers(0, n - len(wave) + 1))
        out[at : at + len(wave)] = wave
        return out
    step = RATE_HZ // 4
    energy = np.convolve((wave**2)[: len(wave) // step * step].reshape(-1, step).sum(1), np.ones(2), "same")
    centre = int(np.argmax(energy * rng.uniform(0.7, 1, len(energy)))) * step
    at = int(np.clip(centre - rng.uniform(0.2, 0.8) * n, 0, len(wave) - n))
    return wave[at : at + n]


def _add_sound(bank: SoundBank, sound: DecodedSound) -> None:
    peak = float(np.abs(sound.wave).max()) + 1e-9
    wave = (sound.wave / peak).astype(np.float32)
    if sound.label in LABEL_NAMES:
        bank.events.setdefault(sound.label, []).append(wave)
    else:
        bank.others.append(wave)
        if len(wave) > 4 * RATE_HZ and float(np.sqrt(np.mean(wave**2))) > 0.05:
            bank.real_beds.append(wave)
