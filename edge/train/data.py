"""The open data: the recordings under `<data>/open`, their splits, sounds of Debian packages, and decoding.

Reads `manifest.csv`; only rows of the tier `open` whose own licence is one of `_LICENCES` are returned. Splits are by
source: ESC-10 by its official folds (5 is held out), videos by clip, the rest by a hash of the recording. Pictures are
scaled by the service's own code.

Packages with openly licensed sounds are Freedoom, Fluid's SoundFont and Endless Sky, under a `root` that is `/` where
they are installed, or a folder into which they were unpacked. Missing packages are left out.
"""

from __future__ import annotations

import csv
import os
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.capture.picture import FrameScaler, pixel_aspect
from edge.engine.manifest import VideoGeometry
from edge.errors import InputError
from edge.train.labels import FPS, FRAMES, HEIGHT, PAD_VALUE, RATE_HZ, WIDTH

Wave = NDArray[np.float32]
U8 = NDArray[np.uint8]
VIDEO_GEOMETRY: Final = VideoGeometry(fps=FPS, frames=FRAMES, width=WIDTH, height=HEIGHT, pad=PAD_VALUE)

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
    wanted = {n for names in _ENDLESS_SKY.values() for n in names}
    return {p.stem: decode_audio(p) for p in sorted(folder.glob("*.wav")) if p.stem in wanted}


def _resample(wave: Wave, rate: int) -> Wave:
    import soxr

    return np.asarray(soxr.resample(wave, rate, RATE_HZ), dtype=np.float32)


_SOUND_LABELS: Final = {
    "dog": "dog_bark", "crackling_fire": "fire", "crying_baby": "crying_baby", "gun_shot": "gunshot",
    "explosion": "explosion", "glass_breaking": "glass_break", "scream": "scream", "knock": "door_knock",
}  # fmt: skip
_UNSURE_SOUNDS: Final = {
    "shot_like": ("gunshot", "explosion"), "explosion_like": ("gunshot", "explosion"), "bullet_fly": ("gunshot",),
    "ricochet": ("gunshot",), "rocket": ("explosion",), "rubble": ("explosion",), "rumble": ("explosion",),
    "crash": ("glass_break", "explosion"), "ice_crack": ("glass_break",), "glass_hit": ("glass_break",),
    "death_cry": ("scream",), "grunt_pain": ("scream",), "screech": ("scream",), "creature_voice": ("scream",),
    "fire_whoosh": ("fire", "explosion"), "match_ignite": ("fire",), "fuse": ("fire",), "sizzle": ("fire",),
    "wolf": ("dog_bark",), "wood_impact": ("door_knock",), "hammering": ("door_knock",), "woodpecker": ("door_knock",),
    "bell": ("alarm",), "gun_handling": ("door_knock",), "fireworks": ("explosion",),
}  # fmt: skip
"""What a file name leaves open: for these labels of ours such a sound is neither an event nor its absence."""
_LICENCES: Final = re.compile(r"\b(CC0|CC BY(?![- ]?(NC|ND|SA))|ODbL|Apache|BSD|MIT)\b")
_HELD_CLIPS: Final = ("opencv_vtest", "intel_preview_people-detection", "intel_preview_worker-zone-detection")
FIRE_CLIP: Final = "fire_furg_house6"
FIRE_TRAINS_S: Final = 18
FIRE_HELD_S: Final = 19
"""The open fire clip is one recording, so split by time: what is before the first second trains, what comes after the
other is held out."""
_SILENT: Final = 1e-3
_BLOWS: Final = ("door_knock", "explosion", "gunshot")
_HELD_PERSON: Final = "gmdcsa24:subject3"


@dataclass(frozen=True, slots=True)
class OpenRecording:
    """One open file. `label` is ours or ""; of the labels in `unsure` it is neither an example nor a counterexample;
    `held_out` ones calibrate and stop training, and never train."""

    path: Path
    kind: str
    label: str
    group: str
    held_out: bool
    source: str
    unsure: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DecodedSound:
    """A decoded open sound, 32 kHz mono; the rest as in `OpenRecording`."""

    wave: Wave
    label: str
    kind: str
    held_out: bool
    unsure: tuple[str, ...] = ()
    group: str = ""


def find_data_root(argument: str | None) -> Path:
    """The data folder: the argument, or EDGE_DATA."""
    root = argument or os.environ.get("EDGE_DATA", "")
    if not root:
        raise InputError("say where the data is: --data DIR or EDGE_DATA=DIR")
    return Path(root)


def is_permitted_licence(licence: str) -> bool:
    """Whether a recording under this licence may train what ships: CC0, CC BY, ODbL, Apache, BSD or MIT."""
    return _LICENCES.search(licence) is not None


def open_recordings(root: Path) -> list[OpenRecording]:
    """Every open recording of `<root>/manifest.csv` whose licence permits training."""
    with open(root / "manifest.csv", encoding="utf-8") as f:
        rows = [row for row in csv.DictReader(f) if row["tier"] == "open" and is_permitted_licence(row["licence"])]
    result = []
    for row in rows:
        path, video = root / row["file"], row["file"].endswith(".mp4")
        stem = path.stem
        if row["dataset"] == "ESC-10":
            held = row["split"] == "fold5"
        elif video:
            held = stem in _HELD_CLIPS or row["group"] == _HELD_PERSON
        else:
            held = zlib.crc32((row["group"] or stem).encode()) % 5 == 0
        label = ("fall" if row["label"] == "fall" else "") if video else _SOUND_LABELS.get(row["label"], "")
        unsure = () if video else _UNSURE_SOUNDS.get(row["label"], ())
        kind = "video" if video else "audio"
        result.append(OpenRecording(path, kind, label, row["group"] or stem, held, row["dataset"], unsure))
    return result


def is_ordinary(recording: OpenRecording) -> bool:
    """Whether it trains and shows none of the labels: what must stay quiet when scores are calibrated."""
    if recording.held_out or recording.path.stem == FIRE_CLIP:
        return False
    return recording.kind == "video" or not (recording.label or recording.unsure or recording.source == "ESC-10")


def training_sounds(root: Path, packages: Path | None) -> list[DecodedSound]:
    """All open sounds decoded, with those of the Debian packages under `packages` where it is given."""
    files = [r for r in open_recordings(root) if r.kind == "audio"]
    sounds = [DecodedSound(decode_audio(r.path), r.label, r.path.stem, r.held_out, r.unsure, r.group) for r in files]
    if packages is not None:
        sounds += [DecodedSound(x.wave, x.label, x.name, x.held_out, (), x.name) for x in packaged_sounds(packages)]
    return sounds


def clip_sounds(root: Path) -> list[DecodedSound]:
    """The sound tracks of open clips: the fire clip, split by time as its pictures are, and rooms in which people live
    and fall; a fall may sound like a blow."""
    sounds = []
    for r in open_recordings(root):
        wave = decode_audio(r.path) if r.kind == "video" else np.zeros(0, np.float32)
        if r.path.stem == FIRE_CLIP:
            parts = ((wave[: FIRE_TRAINS_S * RATE_HZ], False), (wave[FIRE_HELD_S * RATE_HZ :], True))
            sounds += [DecodedSound(part, "fire", r.path.stem, held, (), r.group) for part, held in parts if len(part)]
        elif float(np.abs(wave).max(initial=0.0)) > _SILENT:
            unsure = _BLOWS if r.label == "fall" else ()
            sounds.append(DecodedSound(wave, "", r.path.stem, r.held_out, unsure, r.group))
    return sounds


def decode_audio(path: Path, rate_hz: int = RATE_HZ) -> Wave:
    """A file's sound, mono f32 [n] at ``rate_hz``; empty where the file has none."""
    import av

    parts: list[Wave] = [np.zeros(0, np.float32)]
    with av.open(str(path), metadata_errors="replace") as container:
        if container.streams.audio:
            resampler = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
            for frame in (*container.decode(container.streams.audio[0]), None):
                parts += [np.asarray(out.to_ndarray()[0], np.float32) for out in resampler.resample(frame)]
    return np.concatenate(parts)


def decode_video(path: Path, limit_s: float = 1e9) -> U8:
    """A clip's pictures at the model's rate on its canvas, u8 [n,256,448,3] RGB, by pts; scaled as in service."""
    import av

    scaler, pictures, due = FrameScaler(VIDEO_GEOMETRY), [], 0.0
    with av.open(str(path), metadata_errors="ignore") as container:
        stream = container.streams.video[0]
        first = None
        for frame in container.decode(stream):
            t = float(frame.time or 0.0)
            first = t if first is None else first
            if t - first + 1e-6 < due:
                continue
            if t - first > limit_s:
                break
            pictures.append(scaler.scale(frame, pixel_aspect(frame)).copy())
            due += 1.0 / FPS
    return np.stack(pictures)


def read_photo(path: Path) -> U8:
    """A picture file on the model's canvas, u8 [256,448,3] RGB, scaled as in service; ValueError where it cannot be
    read."""
    import av
    import cv2

    picture = cv2.imread(str(path))
    if picture is None:
        raise ValueError(f"{path}: no picture")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8), format="rgb24")
    return FrameScaler(VIDEO_GEOMETRY).scale(frame)
