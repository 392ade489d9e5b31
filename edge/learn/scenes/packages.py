"""Openly licensed sounds inside Debian packages: Freedoom's, Fluid's effects, Endless Sky's explosions.

`root` is `/` where the packages are installed, or a folder they were unpacked into. What is not there is left out.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.learn.labels import RATE_HZ

Wave = NDArray[np.float32]

_WAD: Final = "usr/share/games/doom/freedoom2.wad"
_SOUNDFONT: Final = "usr/share/sounds/sf2/FluidR3_GS.sf2"
_SKY: Final = "usr/share/games/endless-sky/sounds"
_FREEDOOM: Final = {
    "gunshot": ("DSPISTOL", "DSSHOTGN", "DSDSHTGN"),
    "explosion": ("DSBAREXP",),
    "scream": ("DSPLDETH", "DSPDIEHI"),
    "": ("DSDOROPN", "DSDORCLS", "DSSWTCHN", "DSSTNMOV", "DSMETAL", "DSPUNCH", "DSITEMUP", "DSWPNUP", "DSSAWIDL",
         "DSPSTART", "DSOOF"),
}  # fmt: skip
_FLUID: Final = {
    "gunshot": ("Gun",),
    "explosion": ("Explosion",),
    "scream": ("Scream",),
    "": ("River", "Car Crash1", "Telephone 2", "Heli", "Wind Chime", "Thunder(L)", "Laugh", "train", "FootStep",
         "Punch", "Car Pass", "Door", "Bird2(L)", "Noise", "Car Stop", "doorcreak", "Car Start", "SeattleRain...(L)",
         "Applause", "Sea Shore", "Slap", "Gallops", "HeartBeat", "bubbles"),
}  # fmt: skip
_ENDLESS_SKY: Final = {
    "explosion": ("explosion tiny", "explosion small", "explosion medium", "explosion large", "final explosion small",
                  "final explosion medium", "final explosion large", "rocket"),
    "siren": ("alarm",),
    "": ("landing", "takeoff", "crunch"),
}  # fmt: skip
"""Those of its sounds that its copyright file calls public domain; two others there are CC BY-SA and not used."""


@dataclass(frozen=True, slots=True)
class PackagedSound:
    """A sound of a package: 32 kHz mono, its label of ours or "", and whether it is held out (by its name)."""

    wave: Wave
    label: str
    name: str
    held_out: bool


def packaged_sounds(root: Path) -> list[PackagedSound]:
    """All sounds of the packages that are under `root`."""
    lumps: dict[str, Wave] = {}
    labels: dict[str, str] = {}
    for read, path, names in (
        (wad_sounds, root / _WAD, _FREEDOOM),
        (soundfont_sounds, root / _SOUNDFONT, _FLUID),
        (_folder_sounds, root / _SKY, _ENDLESS_SKY),
    ):
        if not path.exists():
            continue
        sounds = read(path)
        for label, wanted in names.items():
            for name in wanted:
                if name in sounds:
                    lumps[name], labels[name] = sounds[name], label
    return [PackagedSound(lumps[n], labels[n], n, zlib.crc32(n.encode()) % 4 == 0) for n in lumps]


def wad_sounds(path: Path) -> dict[str, Wave]:
    """The DMX sound lumps of a Doom WAD, resampled to 32 kHz (format: u16 3, u16 rate, u32 n, n u8 samples)."""
    data = path.read_bytes()
    count, directory = struct.unpack("<ii", data[4:12])
    found: dict[str, Wave] = {}
    for n in range(count):
        at, size, raw = struct.unpack("<ii8s", data[directory + 16 * n : directory + 16 * n + 16])
        name = raw.rstrip(b"\0").decode("ascii", "replace")
        if not name.startswith("DS") or size < 64:
            continue
        kind, rate, length = struct.unpack("<HHI", data[at : at + 8])
        if kind != 3:
            continue
        samples = np.frombuffer(data[at + 24 : at + 8 + length - 16], np.uint8).astype(np.float32) / 128.0 - 1.0
        found[name] = _resample(samples, rate)
    return found


def soundfont_sounds(path: Path) -> dict[str, Wave]:
    """The 16-bit samples of a SoundFont 2 file by name (RIFF; `smpl` holds the samples, `shdr` 46-byte headers)."""
    data = path.read_bytes()
    parts: dict[bytes, tuple[int, int]] = {}
    for kind, at, size in _chunks(data, 12, len(data)):
        if kind == b"LIST":
            parts |= {k: (a, s) for k, a, s in _chunks(data, at + 4, at + size)}
    samples, (headers, length) = parts[b"smpl"][0], parts[b"shdr"]
    found: dict[str, Wave] = {}
    for at in range(headers, headers + length - 46, 46):
        raw, begin, end, _, _, rate = struct.unpack("<20sIIIII", data[at : at + 40])
        steps = np.frombuffer(data[samples + 2 * begin : samples + 2 * end], np.int16)
        wave = steps.astype(np.float32) / np.float32(32768)
        if len(wave) > rate // 10:
            found[raw.split(b"\0")[0].decode("latin-1")] = _resample(wave, rate)
    return found


def _chunks(data: bytes, at: int, end: int) -> list[tuple[bytes, int, int]]:
    """RIFF chunks between two offsets: id, offset of the body, size."""
    found = []
    while at + 8 <= end:
        size = struct.unpack("<I", data[at + 4 : at + 8])[0]
        found.append((data[at : at + 4], at + 8, size))
        at += 8 + size + (size & 1)
    return found


def _folder_sounds(folder: Path) -> dict[str, Wave]:
    from edge.learn.data import decode_sound

    wanted = {n for names in _ENDLESS_SKY.values() for n in names}
    return {p.stem: decode_sound(p) for p in sorted(folder.glob("*.wav")) if p.stem in wanted}


def _resample(wave: Wave, rate: int) -> Wave:
    import soxr

    return np.asarray(soxr.resample(wave, rate, RATE_HZ), dtype=np.float32)
