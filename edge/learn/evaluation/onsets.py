"""When something is heard in a recording, and recordings made here in which that is known to the sample."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.learn.evaluation.recordings import RecordingResult

F32 = NDArray[np.float32]

RATE_HZ: Final = 16000
FRAME_S: Final = 0.05
ACTIVITY_RATIO: Final = 0.1
"""A frame is active when its root mean square is at least this share of the loudest one's."""
LEAD_S: Final = 3.0
TAIL_S: Final = 3.0
_NOISE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class OnsetLatency:
    """How long after the sound began the event of its label was told, in media time; None where it was not."""

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


def decode_mono(path: Path, rate_hz: int = RATE_HZ) -> F32:
    """A recording's sound, mono; empty where it has none."""
    import av

    parts: list[F32] = []
    with av.open(str(path), metadata_errors="replace") as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
        for frame in container.decode(container.streams.audio[0]):
            parts += [np.asarray(out.to_ndarray()[0], np.float32) for out in resampler.resample(frame)]
        parts += [np.asarray(out.to_ndarray()[0], np.float32) for out in resampler.resample(None)]
    return np.concatenate([*parts, np.zeros(0, np.float32)])


def pad_to_onset(path: Path, out: Path) -> float:
    """Write ``out`` (WAV): near silence, then the recording from where it is first active on, then near silence again.

    The onset, in seconds. Made by this code from a real recording: its figures are reported apart.
    """
    sound = decode_mono(path)
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
    """From ``onset_s`` to the first telling of ``label`` after it; None when it never came."""
    delays = [b.reported_s - onset_s for b in result.events if b.label == label and b.reported_s >= onset_s]
    return min(delays) if delays else None
