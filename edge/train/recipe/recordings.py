"""Held-out open recordings as rows of features, encoded hop by hop as in service: the material of calibration."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from edge.train import labels as L
from edge.train.data import (
    FIRE_CLIP,
    Wave,
    decode_audio,
    decode_video,
    is_ordinary,
    open_recordings,
    training_sounds,
)
from edge.train.labels import LABEL_NAMES, LABELS, RATE_HZ, SENSORS
from edge.train.nets.heads import HopFeatures
from edge.train.nets.image import pool_cells
from edge.train.nets.network import FusedNet, empty_body_features
from edge.train.recipe.features import FeatureRows
from edge.train.recipe.sounds import unjudged_labels
from edge.train.scenes.backgrounds import fire_clip
from edge.train.scenes.compose import HOPS
from edge.train.scenes.soundbank import SoundBank, background_bed, simulate_microphone

_log = logging.getLogger(__name__)
F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
_FRAMES_PER_HOP: Final = round(L.FPS * L.HOP_S)


@dataclass(slots=True)
class RecordingMedia:
    """One recording: `audio` [n] at 32 kHz or None, `pictures` u8 [m,256,448,3] at 4 a second or None."""

    name: str
    label: str
    audio: F32 | None = None
    pictures: U8 | None = None

    def hops(self, limit: int) -> int:
        """Hops that end inside the recording, at least one."""
        sound = 0 if self.audio is None else int(len(self.audio) / L.RATE_HZ / L.HOP_S)
        picture = 0 if self.pictures is None else len(self.pictures) // _FRAMES_PER_HOP
        return max(1, min(limit, max(sound, picture)))


def window_inputs(media: RecordingMedia, hop: int) -> dict[str, NDArray[Any]]:
    """One row's inputs for the hop that ends at (hop + 1) * HOP_S seconds, without memory."""
    end = (hop + 1) * L.HOP_S
    frames, video_ok = np.full((L.FRAMES, L.HEIGHT, L.WIDTH, 3), L.PAD_VALUE, np.uint8), np.zeros(L.FRAMES, np.float32)
    audio, audio_ok = np.zeros(L.SAMPLES, np.float32), 0.0
    if media.pictures is not None:
        for k in range(L.FRAMES):
            at = _FRAMES_PER_HOP * hop + k
            if at < len(media.pictures):
                frames[k], video_ok[k] = media.pictures[at], 1
    if media.audio is not None:
        last = min(len(media.audio), int(end * L.RATE_HZ))
        first = max(0, int(end * L.RATE_HZ) - L.SAMPLES)
        got = media.audio[first:last]
        tail = int(end * L.RATE_HZ) - last
        audio[L.SAMPLES - tail - len(got) : L.SAMPLES - tail] = got
        audio_ok = len(got) / L.SAMPLES
    zeros = np.zeros(len(L.SENSORS), np.float32)
    return {
        "frames": frames, "video_ok": video_ok, "audio": audio, "audio_ok": np.array(audio_ok, np.float32),
        "sensors": zeros, "sensor_ok": zeros,
    }  # fmt: skip


_ACTIVITY_RATIO: Final = 0.08
"""A hop is judged as the event where its newest second reaches this share of the recording's loudest."""


@dataclass(frozen=True, slots=True)
class LabelledMedia:
    """One recording to play: its event is in the sound, in the picture (`is_visible`) or (label "") absent. It says
    nothing of labels in `unsure`."""

    media: RecordingMedia
    label: str
    is_visible: bool = False
    unsure: tuple[str, ...] = ()


def held_out_recordings(data: Path, packages: Path | None, seed: int = 41) -> list[LabelledMedia]:
    """Every held-out sound as it is and through a worse microphone in a louder place; held-out clips; the held-out
    part of the fire clip with its own sound."""
    rng, takes, empty = np.random.default_rng(seed), [], SoundBank()
    for sound in training_sounds(data, packages):
        if not sound.held_out:
            continue
        whole = np.concatenate([np.zeros(RATE_HZ, np.float32), sound.wave, np.zeros(RATE_HZ // 2, np.float32)])
        unsure = unjudged_labels(sound)
        takes.append(LabelledMedia(RecordingMedia(sound.group, sound.label, whole), sound.label, unsure=unsure))
        around = background_bed(empty, rng, len(whole) / RATE_HZ + 0.1)[: len(whole)]
        loud = float(np.sqrt(np.mean(sound.wave**2))) * 10 ** (-rng.uniform(12, 30) / 20)
        worse = simulate_microphone(whole + around * loud, rng)
        takes.append(LabelledMedia(RecordingMedia(sound.group, sound.label, worse), sound.label, unsure=unsure))
    for r in open_recordings(data):
        if r.kind == "video" and r.held_out:
            pictures = decode_video(r.path, limit_s=80)
            takes += [LabelledMedia(RecordingMedia(r.path.stem, "", None, part), "") for part in _chunks(pictures)]
    house, _ = fire_clip(data, held_out=True)
    if len(house):
        path = next(r.path for r in open_recordings(data) if r.path.stem == FIRE_CLIP)
        own = decode_audio(path)[-int(len(house) / L.FPS * RATE_HZ) :]
        takes.append(LabelledMedia(RecordingMedia(path.stem, "fire", own, house), "fire", is_visible=True))
    return takes


def ordinary_recordings(data: Path) -> list[LabelledMedia]:
    """Open clips (their first minute) and field recordings that trained, without any event of ours: with the
    held-out ones among `held_out_recordings`, what must stay quiet."""
    takes = []
    for r in filter(is_ordinary, open_recordings(data)):
        if r.kind == "video":
            takes += [
                LabelledMedia(RecordingMedia(r.path.stem, "", None, part), "")
                for part in _chunks(decode_video(r.path, 60))
            ]
        else:
            takes.append(LabelledMedia(RecordingMedia(r.path.stem, "", decode_audio(r.path)), ""))
    return takes


def encode_recordings(net: FusedNet, takes: list[LabelledMedia]) -> FeatureRows:
    """Encode takes (at most 32 hops each) into rows, a scene a take."""
    parts, evident, scene, loud = [], [], [], []
    for n, take in enumerate(takes):
        hops = take.media.hops(HOPS)
        inputs = [window_inputs(take.media, h) for h in range(hops)]
        parts.append(_encode_media(net, {k: torch.from_numpy(np.stack([x[k] for x in inputs])) for k in inputs[0]}))
        evident.append(_truth(take, hops))
        audio = take.media.audio
        loud.append(
            torch.ones(hops) if audio is None else torch.from_numpy(_loudness(audio, hops) > _ACTIVITY_RATIO).float()
        )
        scene += [n] * hops
    features = HopFeatures(*(torch.cat([p[i] for p in parts]) for i in range(len(parts[0]))))
    _log.info("recordings: %d, %d hops", len(takes), len(scene))
    names = tuple(take.media.name for take in takes)
    return FeatureRows(features, torch.cat(evident), torch.tensor(scene), names, torch.cat(loud))


def _truth(take: LabelledMedia, hops: int) -> torch.Tensor:
    evident = torch.zeros(hops, 3, len(LABELS))
    for name in take.unsure:
        evident[:, 1, LABEL_NAMES.index(name)] = 0.5
    if not take.label:
        return evident
    c = LABEL_NAMES.index(take.label)
    if take.is_visible:
        evident[:, 0, c], evident[:, :, LABEL_NAMES.index("smoke")] = 1, 0.5
        evident[:, 1, c] = 0.5
        return evident
    wave = take.media.audio
    if wave is not None:
        evident[:, 1, c] = torch.from_numpy(np.where(_loudness(wave, hops) > _ACTIVITY_RATIO, 1.0, 0.5)).float()
    return evident


def _loudness(wave: Wave, hops: int) -> NDArray[np.float64]:
    """RMS of the newest second of each hop over the recording's loudest second."""
    ends = [int((h + 1) * L.HOP_S * RATE_HZ) for h in range(hops)]
    rms = np.array([float(np.sqrt(np.mean(wave[max(0, e - RATE_HZ) : e] ** 2) + 1e-12)) for e in ends])
    return np.asarray(rms / max(float(rms.max()), 1e-6))


def _chunks(pictures: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    size = _FRAMES_PER_HOP * HOPS
    return [pictures[a : a + size] for a in range(0, len(pictures), size) if len(pictures) - a >= 4]


def _encode_media(net: FusedNet, x: dict[str, torch.Tensor]) -> HopFeatures:
    n, empty = len(x["audio_ok"]), torch.zeros(len(x["audio_ok"]), len(SENSORS))
    with torch.no_grad():
        sound = net.audio(x["audio"])
        blank = not bool(x["video_ok"].any())
        kept = slice(0, 1) if blank else slice(0, n)
        seen = net.encode_vision(x["frames"][kept], x["video_ok"][kept])
        times = n if blank else 1
        grid, top = seen.grid.repeat(times, 1, 1, 1), seen.top.repeat(times, 1)
        return HopFeatures(
            pool_cells(grid), top, net.dense(grid, top)[1], seen.objects.repeat(times, 1), *empty_body_features(top),
            sound.embedding, sound.logits, empty, x["video_ok"], x["audio_ok"], empty,
        )  # fmt: skip
