"""Recordings made by libav for the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

Picture = Callable[[float], np.ndarray]


def moving(width: int, height: int) -> Picture:
    """A bright square that moves over a gradient; the top left corner is red, the top right one green."""
    base = np.zeros((height, width, 3), np.uint8)
    base[:, :, 2] = np.linspace(20, 200, width).astype(np.uint8)
    base[: height // 4, : width // 4] = (220, 20, 20)
    base[: height // 4, -(width // 4) :] = (20, 220, 20)

    def picture(t: float) -> np.ndarray:
        image = base.copy()
        x = round(t * 40) % max(1, width - 20)
        image[height // 2 : height // 2 + 20, x : x + 20] = 255
        return image

    return picture


def tone(t: np.ndarray) -> np.ndarray:
    """440 Hz at -6 dBFS."""
    return 0.5 * np.sin(2 * np.pi * 440 * t)


def flash_and_bang(width: int, height: int, at_s: Sequence[float], bang_s: float) -> tuple[Picture, Callable]:
    """Pictures that flash and sound that bangs, the sound ``bang_s`` after the picture."""

    def picture(t: float) -> np.ndarray:
        is_lit = any(0 <= t - at < 0.15 for at in at_s)
        image = np.full((height, width, 3), 235 if is_lit else 40, np.uint8)
        image[: height // 2, : round(t * 10) % width] //= 2
        return image

    def sound(t: np.ndarray) -> np.ndarray:
        wave = 0.003 * np.sin(2 * np.pi * 300 * t)
        for at in at_s:
            after = t - at - bang_s
            wave += np.where(after >= 0, 0.8 * np.exp(-np.clip(after, 0, 1) / 0.02) * np.sin(9000 * after), 0.0)
        return wave

    return picture, sound


def write(
    path: Path,
    seconds: float = 3.0,
    *,
    size: tuple[int, int] | None = (320, 180),
    fps: Fraction | int = 15,
    times: Sequence[float] | None = None,
    picture: Picture | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    rate: int | None = 48000,
    layout: str = "stereo",
    sound: Callable[[np.ndarray], np.ndarray] = tone,
    audio_codec: str = "aac",
    audio_jump: tuple[float, float] | None = None,
    key_every: int = 30,
) -> Path:
    """Write a recording; ``times`` are the pictures' own times (VFR, jumps), ``size`` or ``rate`` None leave one out.

    ``audio_jump`` = (at, by): sound from ``at`` seconds on is stamped ``by`` seconds later.
    """
    with av.open(str(path), "w") as out:
        video = audio = None
        if size is not None:
            video = out.add_stream(
                codec, rate=Fraction(fps), options={"g": str(key_every), "preset": "ultrafast", "bf": "0"}
            )
            video.width, video.height, video.pix_fmt = *size, pixels
            video.codec_context.time_base = Fraction(1, 90000)
        if rate is not None:
            audio = out.add_stream(audio_codec, rate=rate, layout=layout)
        blocks = _sound(audio, seconds, rate, layout, sound, audio_jump) if audio is not None else iter(())
        waiting = next(blocks, None)
        if video is not None:
            draw = picture or moving(*size)
            stamps = times if times is not None else [k / float(fps) for k in range(round(seconds * float(fps)))]
            for k, t in enumerate(stamps):
                while waiting is not None and waiting[0] <= k / float(fps):
                    out.mux(audio.encode(waiting[1]))
                    waiting = next(blocks, None)
                frame = av.VideoFrame.from_ndarray(draw(t), format="rgb24").reformat(format=pixels)
                frame.pts, frame.time_base = round(t * 90000), Fraction(1, 90000)
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        while waiting is not None:
            out.mux(audio.encode(waiting[1]))
            waiting = next(blocks, None)
        if audio is not None:
            out.mux(audio.encode(None))
    return path


def _sound(
    audio: av.AudioStream,
    seconds: float,
    rate: int,
    layout: str,
    sound: Callable[[np.ndarray], np.ndarray],
    jump: tuple[float, float] | None,
) -> Iterator[tuple[float, av.AudioFrame]]:
    """Blocks of sound by the second at which each begins."""
    n = 1024
    for first in range(0, round(seconds * rate), n):
        wave = sound(np.arange(first, first + n) / rate).astype(np.float32)
        planes = np.tile(wave, (1 if layout == "mono" else 2, 1))
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        late = jump[1] if jump and first / rate >= jump[0] else 0.0
        frame.pts = first + round(late * rate)
        yield first / rate, frame
