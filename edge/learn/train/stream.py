"""Plays media through the exported graph as the daemon does: hop by hop, with memory, many rows a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.learn import labels as L

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


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
        sight = 0 if self.pictures is None else len(self.pictures) // 2
        return max(1, min(limit, max(sound, sight)))


def window_inputs(media: RecordingMedia, hop: int) -> dict[str, NDArray[Any]]:
    """One row's inputs for the hop that ends at (hop + 1) / 2 seconds, without memory."""
    end = (hop + 1) * L.HOP_S
    frames, video_ok = np.full((L.FRAMES, L.HEIGHT, L.WIDTH, 3), L.PAD_VALUE, np.uint8), np.zeros(L.FRAMES, np.float32)
    audio, audio_ok = np.zeros(L.SAMPLES, np.float32), 0.0
    if media.pictures is not None:
        for k in range(L.FRAMES):
            at = 2 * hop + k
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
