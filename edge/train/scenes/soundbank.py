"""Sounds by label and split, the mixing of one labelled sound track from them, and background sound.

Background sound of every kind, two seconds at a time, gives the distribution with which a prompt's evidence is
compared. It comes from open recordings and from synthesis; no label is used.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from edge.train.data import (
    DecodedSound,
    Wave,
    decode_audio,
    open_recordings,
    packaged_sounds,
    soundfont_sounds,
    training_sounds,
)
from edge.train.labels import LABEL_NAMES, RATE_HZ, SAMPLES
from edge.train.scenes import synthesis
from edge.train.scenes.near_misses import NEAR_MISSES

_log = logging.getLogger(__name__)
KIND_SHARES: Final = {
    "recordings": 0.34,
    "effects": 0.1,
    "instruments": 0.13,
    "made": 0.12,
    "talk": 0.09,
    "noise": 0.07,
}
"""How often each kind is drawn; the rest are mixtures of two of any kind."""
_SOUNDFONT: Final = "usr/share/sounds/sf2/FluidR3_GS.sf2"


@dataclass(frozen=True, slots=True)
class BackgroundSounds:
    """Whole sounds by kind."""

    kinds: dict[str, list[Wave]]

    def pairs(self, count: int, seed: int) -> Iterator[tuple[Wave, Wave]]:
        """``count`` windows f32[64000], as recorded and as received: half of them through a poor microphone in a room,
        at any level."""
        rng = np.random.default_rng(seed)
        for _ in range(count):
            clean = self._draw(rng)
            if rng.random() > sum(KIND_SHARES.values()):
                clean = clean + self._draw(rng) * 10 ** rng.uniform(-0.8, 0.2)
            degraded = simulate_microphone(clean, rng) if rng.random() < 0.5 else clean
            level = 10 ** rng.uniform(-1.7, -0.1)
            yield scaled_to_peak(clean, level), scaled_to_peak(degraded, level)

    def _draw(self, rng: np.random.Generator) -> Wave:
        names = [name for name in KIND_SHARES if self.kinds.get(name)]
        weights = np.array([KIND_SHARES[name] for name in names])
        kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        waves = self.kinds[kind]
        wave = waves[int(rng.integers(len(waves)))]
        if kind == "instruments":
            wave = synthesise_phrase(wave, rng)
        if len(wave) > SAMPLES and rng.random() < 0.4:
            at = int(rng.integers(0, len(wave) - SAMPLES))
            return wave[at : at + SAMPLES]
        return crop_loudest(wave, SAMPLES, rng)


def scaled_to_peak(wave: Wave, peak: float) -> Wave:
    """The wave with this peak; what is nearly silent stays so."""
    gain = min(peak / (float(np.abs(wave).max()) + 1e-6), 50.0)
    return np.asarray(np.clip(wave * gain, -1, 1), np.float32)


def load_background_sounds(data: Path, packages: Path, seed: int = 3) -> BackgroundSounds:
    """Everything open under ``data`` and ``packages`` (`edge.train.data`), and what the code makes."""
    rng = np.random.default_rng(seed)
    decoded = []
    for recording in open_recordings(data):
        wave = decode_audio(recording.path)
        if len(wave):
            decoded.append(wave)
    effects = [sound.wave for sound in packaged_sounds(packages)]
    font = packages / _SOUNDFONT
    notes = list(soundfont_sounds(font).values()) if font.exists() else []
    recipes = [*(recipe for made in synthesis.EVENTS.values() for recipe in made), *NEAR_MISSES]
    made = [recipe(rng) for recipe in recipes for _ in range(6)]
    noise = [synthesis.noise_bed(rng, 3.0) for _ in range(24)] + [np.zeros(SAMPLES, np.float32)] * 2
    talk = synthetic_speech(held_out=False) + synthetic_speech(held_out=True)
    return BackgroundSounds(
        {"recordings": decoded, "effects": effects, "instruments": notes, "made": made, "talk": talk, "noise": noise}
    )


def synthesise_phrase(note: Wave, rng: np.random.Generator) -> Wave:
    """A few notes or chords of one instrument's sample, at pitches of a scale: music, roughly."""
    import soxr

    out = np.zeros(SAMPLES, np.float32)
    at = 0
    scale = [0, 2, 4, 5, 7, 9, 12]
    while at < SAMPLES:
        step = int(rng.uniform(0.15, 0.8) * RATE_HZ)
        for _ in range(int(rng.integers(1, 4))):
            ratio = 2 ** ((int(rng.choice(scale)) - 6) / 12)
            pitched = np.asarray(soxr.resample(note[: 2 * step], RATE_HZ, RATE_HZ / ratio), np.float32)
            part = pitched[: SAMPLES - at]
            out[at : at + len(part)] += part
        at += step
    return out


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
    for label, recipes in synthesis.EVENTS.items():
        made = [recipes[n % len(recipes)](rng) for n in range(count)]
        bank.events[label] = [*bank.events.get(label, []), *made]
    for recipe in NEAR_MISSES:
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
        wave = synthesis.noise_bed(rng, seconds)
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
    elif not sound.unsure:
        bank.others.append(wave)
        if len(wave) > 4 * RATE_HZ and float(np.sqrt(np.mean(wave**2))) > 0.05:
            bank.real_beds.append(wave)
