"""Plays media through the exported graph as the daemon does: hop by hop, with memory, many rows a call."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.learn import labels as L
from edge.learn.train.graphs import open_session

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
_ASKED: Final = ("logits", "contribution", "token", "tags")


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


@dataclass(slots=True)
class Answers:
    """What the graph said over a recording: `logits` [H,C], `contribution` [H,C,3] and the best `tags` [527]."""

    media: RecordingMedia
    logits: list[F32] = field(default_factory=list)
    contribution: list[F32] = field(default_factory=list)
    tags: F32 = field(default_factory=lambda: np.zeros(L.TAGS, np.float32))

    def score(self, label: str) -> float:
        """The highest log-odds of a label."""
        return float(np.stack(self.logits)[:, L.LABEL_NAMES.index(label)].max())


def play(
    path: Path, media: list[RecordingMedia], batch: int = 8, limit: int = 40, threads: int = 2, session: Any = None
) -> list[Answers]:
    """Every recording from its first hop, in lock step over `batch` rows; results in the order given."""
    session = session or open_session(path, threads)
    answers = []
    order = sorted(range(len(media)), key=lambda n: media[n].hops(limit))
    for start in range(0, len(order), batch):
        answers += _together(session, [media[n] for n in order[start : start + batch]], limit)
    places = {id(a.media): a for a in answers}
    return [places[id(m)] for m in media]


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


def _together(session: Any, media: list[RecordingMedia], limit: int) -> list[Answers]:
    answers = [Answers(m) for m in media]
    lengths = [m.hops(limit) for m in media]
    memory = np.zeros((len(media), L.MEMORY, L.TOKEN_DIM), np.float32)
    memory_ok = np.zeros((len(media), L.MEMORY), np.float32)
    for hop in range(max(lengths)):
        alive = [n for n, length in enumerate(lengths) if hop < length]
        rows = [window_inputs(media[n], hop) for n in alive]
        feed = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        feed |= {"memory": memory[alive], "memory_ok": memory_ok[alive]}
        logits, contribution, token, tags = session.run(list(_ASKED), feed)
        for k, n in enumerate(alive):
            answers[n].logits.append(logits[k])
            answers[n].contribution.append(contribution[k])
            answers[n].tags = np.maximum(answers[n].tags, tags[k])
            memory[n] = np.concatenate([memory[n, 1:], token[k : k + 1]])
            memory_ok[n] = np.concatenate([memory_ok[n, 1:], np.ones(1, np.float32)])
    return answers
