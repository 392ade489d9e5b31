"""Recordings made from real ones so that the truth is known: sound with an exact onset, clips with quiet around them.

Data sets are cut to what happens, but most cameras show nothing new most of the time. A padded clip holds its first
picture, plays, and holds its last picture. All pictures get a sensor's noise and pass through H.264 at a low bit rate;
near silence with a little hum lies under the sound.
"""

from __future__ import annotations

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from edge.train.data import decode_audio
from edge.train.evaluation.recordings import RecordingResult
from edge.types import F32, U8

RATE_HZ: Final = 16000
FRAME_S: Final = 0.05
ACTIVITY_RATIO: Final = 0.1
"""A frame is active when its root mean square is at least this share of the loudest one's."""
LEAD_S: Final = 3.0
TAIL_S: Final = 3.0
_NOISE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class OnsetLatency:
    """Media time from the onset of the sound to the report of its event; None without an event."""

    label: str
    path: str
    seconds: float | None


def active_spans(samples: F32, rate_hz: int = RATE_HZ) -> list[tuple[float, float]]:
    """Stretches of ``samples`` that are active, in seconds; pauses under 0.2 s do not end one."""
    size = round(FRAME_S * rate_hz)
    frames = len(samples) // size
    if frames == 0:
        return [(0.0, len(samples) / rate_hz)] if len(samples) else []
    level = np.sqrt((samples[: frames * size].reshape(frames, size).astype(np.float64) ** 2).mean(1))
    spans: list[tuple[float, float]] = []
    for k in np.flatnonzero(level >= ACTIVITY_RATIO * level.max()):
        begin, end = k * FRAME_S, (k + 1) * FRAME_S
        if spans and begin - spans[-1][1] < 0.2 + 1e-9:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((begin, end))
    return spans


def pad_to_onset(path: Path, out: Path) -> float:
    """Write ``out`` (WAV): near silence, then the recording from where it is first active on, then near silence again.

    The onset, in seconds. Made by this code from a real recording: its figures are reported apart.
    """
    sound = decode_audio(path, RATE_HZ)
    spans = active_spans(sound)
    start = round(spans[0][0] * RATE_HZ) if spans else 0
    rng = np.random.default_rng(7)
    lead, tail = (rng.normal(0, _NOISE, round(s * RATE_HZ)).astype(np.float32) for s in (LEAD_S, TAIL_S))
    whole = np.clip(np.concatenate([lead, sound[start:], tail]), -1, 1)
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((whole * 32767).astype("<i2").tobytes())
    return LEAD_S


def onset_latency(result: RecordingResult, label: str, onset_s: float) -> float | None:
    """From ``onset_s`` to the first event of ``label`` reported after it; None without one."""
    delays = [b.reported_s - onset_s for b in result.events if b.label == label and b.reported_s >= onset_s]
    return min(delays) if delays else None


WIDTH, HEIGHT, FPS = 640, 360, 12
PADDED_RATE_HZ: Final = 32_000
NOISE_SIGMAS: Final = (0.0, 1.0, 2.0, 4.0)
_GOP_S: Final = 4
_MARGIN: Final = 32


@dataclass(frozen=True, slots=True)
class QuietPadding:
    """``hold_s`` of quiet before and after at most ``play_s`` of the clip; ``bit_rate`` in bits a second."""

    hold_s: float = 10.0
    play_s: float = 10.0
    bit_rate: int = 400_000


def pad_with_quiet(source: Path, out: Path, padding: QuietPadding) -> None:
    """Write ``out`` (mp4); grey levels of noise are drawn by the name of ``source`` from `NOISE_SIGMAS`. MediaError
    when ``source`` cannot be read."""
    import av

    rng = np.random.default_rng(crc32(source.name.encode()))
    sigma = NOISE_SIGMAS[int(rng.integers(len(NOISE_SIGMAS)))]
    pictures = _pictures(source, padding.play_s)
    sound = decode_audio(source, PADDED_RATE_HZ)[: round(padding.play_s * PADDED_RATE_HZ)]
    played_s = max(len(pictures) / FPS, len(sound) / PADDED_RATE_HZ)
    with av.open(str(out), "w") as target:
        streams = []
        if pictures:
            video: Any = target.add_stream("libx264", rate=FPS)
            video.width, video.height, video.pix_fmt, video.bit_rate = WIDTH, HEIGHT, "yuv420p", padding.bit_rate
            video.options = {"preset": "ultrafast", "g": str(_GOP_S * FPS), "bf": "0", "threads": "1"}
            streams.append((video, _video_frames(pictures, padding, played_s, sigma, rng)))
        if len(sound):
            audio: Any = target.add_stream("aac", rate=PADDED_RATE_HZ, layout="mono")
            audio.bit_rate = 64_000
            streams.append((audio, _audio_frames(sound, padding, played_s, rng)))
        for stream, frames in streams:
            for frame in frames:
                target.mux(stream.encode(frame))
            target.mux(stream.encode(None))


def _pictures(source: Path, limit_s: float) -> list[U8]:
    """RGB at `FPS`, letterboxed nowhere: squeezed to `WIDTH` x `HEIGHT` as cheap cameras do."""
    import av

    found: list[U8] = []
    with av.open(str(source), metadata_errors="replace") as container:
        if not container.streams.video:
            return found
        for frame in container.decode(video=0):
            at_s = float(frame.time or 0.0)
            while len(found) <= at_s * FPS and len(found) < limit_s * FPS:
                found.append(frame.to_ndarray(format="rgb24", width=WIDTH, height=HEIGHT, interpolation="AREA"))
            if at_s > limit_s:
                break
    return found


def _video_frames(
    pictures: list[U8], padding: QuietPadding, played_s: float, sigma: float, rng: np.random.Generator
) -> Iterator[Any]:
    import av

    bank = [
        rng.normal(0, sigma, (HEIGHT + _MARGIN, WIDTH + _MARGIN, 3)).astype(np.float32)
        for _ in range(3 if sigma else 0)
    ]
    before, total = round(padding.hold_s * FPS), round((2 * padding.hold_s + played_s) * FPS)
    for i in range(total):
        picture = pictures[min(max(i - before, 0), len(pictures) - 1)]
        if bank:
            y, x = rng.integers(0, _MARGIN, 2)
            noise = bank[int(rng.integers(len(bank)))][y : y + HEIGHT, x : x + WIDTH]
            picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = i, Fraction(1, FPS)
        yield frame


def _audio_frames(sound: F32, padding: QuietPadding, played_s: float, rng: np.random.Generator) -> Iterator[Any]:
    import av

    before = round(padding.hold_s * PADDED_RATE_HZ)
    whole: NDArray[np.float64] = rng.normal(0, 6e-4, 2 * before + round(played_s * PADDED_RATE_HZ))
    whole += 4e-4 * np.sin(2 * np.pi * 100 * np.arange(len(whole)) / PADDED_RATE_HZ)
    whole[before : before + len(sound)] += sound
    for at in range(0, len(whole), 1024):
        frame = av.AudioFrame.from_ndarray(whole[None, at : at + 1024].astype(np.float32), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = PADDED_RATE_HZ, at, Fraction(1, PADDED_RATE_HZ)
        yield frame
