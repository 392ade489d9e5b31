"""The mel spectrogram of a clip's sound, with axes of time and pitch and the event's span, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import MediaError
from edge.evidence.clips.source import ClipAudio
from edge.evidence.clips.speech_mute import Span
from edge.types import F32, NS_PER_S, U8, seconds

F64 = NDArray[np.float64]
WIDTH, HEIGHT = 800, 200
"""Of the spectrogram itself, in pixels; the axes come around it."""
_LEFT, _TOP, _BELOW, _RIGHT = 46, 22, 24, 10
_BANDS = 100
_FLOOR_DB, _CEILING_DB = -92.0, -18.0  # of a band, against full scale: a quiet room to a near shout
_GROUND, _INK, _DIM = (18, 20, 26), (225, 228, 234), (120, 126, 138)
_MARK = (255, 196, 0)


@dataclass(frozen=True, slots=True)
class SpectrogramMarks:
    """Marks on the sound's own axis: the event's ``span``, and the parts that were muted (``silent``)."""

    span: Span
    silent: Sequence[Span] = ()


def render_spectrogram(sound: ClipAudio, marks: SpectrogramMarks) -> bytes:
    """PNG of ``sound``; 0 s on its axis is the event's beginning. MediaError when the sound is too short."""
    import cv2

    if sound.samples.shape[1] < sound.rate_hz // 10:
        raise MediaError("too little sound for a spectrogram")
    image = np.empty((HEIGHT + _TOP + _BELOW, WIDTH + _LEFT + _RIGHT, 3), np.uint8)
    image[:] = _GROUND
    levels = (mel_levels(sound) - _FLOOR_DB) / (_CEILING_DB - _FLOOR_DB)
    grey = np.round(np.clip(levels[::-1], 0, 1) * 255).astype(np.uint8)
    grey = cv2.resize(grey, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    image[_TOP : _TOP + HEIGHT, _LEFT : _LEFT + WIDTH] = cv2.applyColorMap(grey, cv2.COLORMAP_MAGMA)[:, :, ::-1]
    _silence(image, sound, marks.silent)
    _time_axis(image, sound, marks.span)
    _pitch_axis(image, sound.rate_hz)
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 7])
    if not done:
        raise MediaError("a spectrogram could not be encoded")
    return bytes(data.tobytes())


def mel_levels(sound: ClipAudio) -> F32:
    """f32[100,columns] in dB against a full-scale sine: Hann windows of 50 ms, powers summed in mel bands up to half
    the rate or 16 kHz. ``mel = 2595 log10(1 + f / 700)`` (O'Shaughnessy 1987)."""
    mono = sound.samples.mean(axis=0, dtype=np.float32)
    size = 1 << max(6, int(np.ceil(np.log2(sound.rate_hz * 0.05))))
    columns = min(WIDTH, max(1, len(mono) * 4 // size))
    padded = np.pad(mono, size // 2)
    starts = np.linspace(0, len(padded) - size, columns).astype(np.int64)
    window = np.hanning(size).astype(np.float32)
    weights = _bands(sound.rate_hz, size)
    made = np.empty((_BANDS, columns), np.float32)
    for i in range(0, columns, 64):
        blocks = np.stack([padded[a : a + size] for a in starts[i : i + 64]]) * window
        power = np.abs(np.fft.rfft(blocks, axis=1)) ** 2 * (4 / window.sum() ** 2)
        made[:, i : i + 64] = 10 * np.log10(power @ weights.T + 1e-12).T
    return made


def _bands(rate_hz: int, size: int) -> F32:
    """Triangles f32[bands,size/2+1] over the bins; a band narrower than a bin takes the nearest one."""
    edges = _hertz(np.linspace(_mel(30.0), _mel(_highest(rate_hz)), _BANDS + 2))
    bins = np.fft.rfftfreq(size, 1 / rate_hz)
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    weights = np.maximum(0, np.minimum((bins - low) / (mid - low), (high - bins) / (high - mid)))
    empty = np.flatnonzero(weights.sum(axis=1) == 0)
    weights[empty, np.abs(bins - mid[empty]).argmin(axis=1)] = 1.0
    return np.asarray(weights, np.float32)


def _highest(rate_hz: int) -> float:
    return min(rate_hz / 2, 16_000.0)


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: F64) -> F64:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))


def _x(sound: ClipAudio, t_ns: int) -> int:
    length_ns = int(sound.samples.shape[1]) * NS_PER_S // sound.rate_hz
    share = (t_ns - sound.begin_ns) / max(1, length_ns)
    return _LEFT + round(min(max(share, 0.0), 1.0) * (WIDTH - 1))


def _silence(image: U8, sound: ClipAudio, spans: Sequence[Span]) -> None:
    for begin_ns, end_ns in spans:
        x1, x2 = _x(sound, begin_ns), _x(sound, end_ns)
        image[_TOP : _TOP + HEIGHT, x1 : x2 + 1] = (34, 37, 45)
        words = "speech left out"
        if x2 - x1 > 110:
            _draw_text(image, words, ((x1 + x2) // 2 - 50, _TOP + HEIGHT // 2), _DIM)


def _time_axis(image: U8, sound: ClipAudio, span: Span) -> None:
    import cv2

    length_s = sound.samples.shape[1] / sound.rate_hz
    step_s: int = next((s for s in (1, 2, 5, 10, 20, 30, 60) if length_s / s <= 12), 120)
    first_s = seconds(sound.begin_ns - span[0])
    for k in range(int(np.ceil(first_s / step_s)), int((first_s + length_s) // step_s) + 1):
        x = _x(sound, span[0] + k * step_s * NS_PER_S)
        cv2.line(image, (x, _TOP + HEIGHT), (x, _TOP + HEIGHT + 4), _DIM, 1)
        _draw_text(image, f"{k * step_s:+d} s" if k else "0 s", (x - 12, _TOP + HEIGHT + 17), _INK)
    x1, x2 = _x(sound, span[0]), max(_x(sound, span[1]), _x(sound, span[0]) + 2)
    cv2.rectangle(image, (x1, _TOP - 7), (x2, _TOP - 3), _MARK, cv2.FILLED)
    for x in (x1, x2):
        cv2.line(image, (x, _TOP - 3), (x, _TOP + HEIGHT - 1), _MARK, 1)
    _draw_text(image, "event", (min(x1, _LEFT + WIDTH - 40), _TOP - 9), _MARK)


def _pitch_axis(image: U8, rate_hz: int) -> None:
    import cv2

    low, high = _mel(30.0), _mel(_highest(rate_hz))
    for hertz, words in ((100, "100"), (500, "500"), (1000, "1k"), (2000, "2k"), (4000, "4k"), (8000, "8k")):
        if hertz >= _highest(rate_hz):
            break
        y = _TOP + round((1 - (_mel(hertz) - low) / (high - low)) * (HEIGHT - 1))
        cv2.line(image, (_LEFT - 4, y), (_LEFT - 1, y), _DIM, 1)
        _draw_text(image, words, (_LEFT - 8 - 8 * len(words), y + 4), _INK)
    _draw_text(image, "Hz", (4, _TOP - 6), _DIM)


def _draw_text(image: U8, text: str, place: tuple[int, int], ink: tuple[int, int, int]) -> None:
    import cv2

    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.38, ink, 1, cv2.LINE_AA)
