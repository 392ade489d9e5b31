"""Ordinary sound of every kind, two seconds at a time: what a prompt's evidence is compared with.

Only open recordings and what the code makes. No label is used: a prompt's null is what its evidence is over all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.learn.data import decode_sound, open_recordings
from edge.learn.labels import RATE_HZ, SAMPLES
from edge.learn.scenes import synth
from edge.learn.scenes.packages import packaged_sounds, soundfont_sounds
from edge.learn.scenes.soundbank import crop_loudest, simulate_microphone, synthetic_speech

Wave = NDArray[np.float32]
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
        """``count`` windows f32[64000], as recorded and as heard: half of them through a poor microphone in a room,
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
    """Everything open under ``data`` and ``packages`` (`edge.learn.scenes.packages`), and what the code makes."""
    rng = np.random.default_rng(seed)
    decoded = []
    for recording in open_recordings(data):
        try:
            decoded.append(decode_sound(recording.path))
        except ValueError:
            continue
    effects = [sound.wave for sound in packaged_sounds(packages)]
    font = packages / _SOUNDFONT
    notes = list(soundfont_sounds(font).values()) if font.exists() else []
    recipes = [*(recipe for made in synth.EVENTS.values() for recipe in made), *synth.NEGATIVES]
    made = [recipe(rng) for recipe in recipes for _ in range(6)]
    noise = [synth.noise_bed(rng, 3.0) for _ in range(24)] + [np.zeros(SAMPLES, np.float32)] * 2
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
