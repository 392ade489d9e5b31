"""Composes recordings with placed events: a still scene with a sensor's noise, real pictures and sounds in it, H.264
and AAC in an MPEG transport stream whose clock begins anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.train.data import decode_audio
from edge.train.evaluation.placed_trials import FPS, PlacedRecording, PlacedTrial
from edge.train.evaluation.synthetic import active_spans
from edge.types import F32, U8

HISS: Final = 0.002
"""Of full scale (-54 dBFS): the room and the microphone."""
BIT_RATES: Final = {360: 600_000, 720: 2_000_000}
_CHUNK: Final = 1024
_MARGIN: Final = 64
_GAMMA, _GAIN = 1.6, 0.35  # of a dark scene: luma to gain * luma ** gamma, colours fade with it


def compose_recording(recording: PlacedRecording, scene: Path, out: Path) -> None:
    """Write ``out`` (an MPEG transport stream): everything that is placed, in ``scene``. libav's errors when a source
    cannot be read."""
    import av

    with av.open(str(out), "w", format="mpegts") as target:
        video, audio = _video_stream(target, recording), target.add_stream("aac", rate=recording.rate_hz, layout="mono")
        audio.bit_rate = 48_000
        sounds, heard_s = _sound_frames(recording), 0.0
        for k, picture in enumerate(_pictures(recording, scene)):
            while heard_s < recording.sound_first_s + (k + 1) / FPS and (frame := next(sounds, None)) is not None:
                heard_s += frame.samples / recording.rate_hz
                target.mux(audio.encode(frame))
            frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
            frame.time_base = Fraction(1, 90_000)
            frame.pts = round((recording.start_s + recording.sound_first_s) * 90_000) + k * 90_000 // FPS
            target.mux(video.encode(frame))
        for stream in (video, audio):
            target.mux(stream.encode(None))


def _video_stream(target: Any, recording: PlacedRecording) -> Any:
    stream = target.add_stream("libx264", rate=FPS)
    stream.width, stream.height, stream.pix_fmt = recording.width, recording.height, "yuv420p"
    stream.time_base = Fraction(1, 90_000)
    group = round(recording.group_s * FPS)
    params = f"keyint={group}:min-keyint={group}:scenecut=0:bframes={recording.b_frames}:b-adapt=0:threads=1"
    if recording.rate_control == "CBR":
        stream.bit_rate = BIT_RATES[recording.height]
        kbit = stream.bit_rate // 1000
        params += f":nal-hrd=cbr:vbv-maxrate={kbit}:vbv-bufsize={kbit}"
    else:
        params += ":crf=27"
    stream.options = {"preset": "ultrafast", "x264-params": params}
    return stream


def _pictures(recording: PlacedRecording, background: Path) -> Iterator[U8]:
    """Planes of Y, U and V one below the other, u8 [3H/2,W], at `FPS`."""
    w, h = recording.width, recording.height
    scene = read_pictures(background, 0.0, 1, (w, h))[0]
    noise = _Noise(recording)
    darken = _dark_table() if recording.is_dark else None
    total, waiting = round(recording.seconds * FPS), sorted(recording.trials, key=lambda trial: trial.begin_s)
    shown: tuple[int, PlacedTrial, list[U8]] | None = None
    for k in range(total):
        if waiting and round(waiting[0].begin_s * FPS) <= k:
            trial = waiting.pop(0)
            shown = (k, trial, _inset(trial, (w, h))) if trial.picture is not None else None
        if shown is not None and k - shown[0] >= round(shown[1].length_s * FPS):
            shown = None
        picture = scene.copy()
        if shown is not None:
            first, trial, inset = shown
            _paste(picture, inset[_there_and_back(k - first, len(inset))], trial.place)
        if darken is not None:
            picture = _darkened(picture, darken, h)
        yield noise.added(picture)


def _inset(trial: PlacedTrial, frame: tuple[int, int]) -> list[U8]:
    if trial.picture is None:
        return []
    height = frame[1] if trial.size >= 1 else max(16, round(trial.size * frame[1] / 2) * 2)
    width = frame[0] if trial.size >= 1 else min(frame[0], round(height * frame[0] / frame[1] / 2) * 2)
    return read_pictures(trial.picture, trial.skip_s, max(1, round(trial.length_s * FPS)), (width, height))


def read_pictures(path: Path, skip_s: float, most: int, size: tuple[int, int]) -> list[U8]:
    """At most ``most`` pictures at `FPS` from ``skip_s`` on (from the end backwards where the clip is shorter), at
    least one: planes u8 [3H/2,W] squeezed to ``size`` (width, height)."""
    import av

    found: list[U8] = []
    with av.open(str(path), metadata_errors="replace") as container:
        length_s = (container.duration or 0) / 1e6
        from_s = max(0.0, min(skip_s, length_s - most / FPS))
        for frame in container.decode(video=0):
            at_s = float(frame.time or 0.0) - from_s
            while at_s >= -1e-6 and len(found) <= at_s * FPS and len(found) < most:
                found.append(frame.reformat(*size, "yuv420p", interpolation="AREA").to_ndarray())
            if len(found) >= most:
                break
        else:
            if not found:
                found.append(frame.reformat(*size, "yuv420p", interpolation="AREA").to_ndarray())
    return found


def _there_and_back(k: int, n: int) -> int:
    """Index of the ``k``-th picture of a clip of ``n`` that plays forwards and backwards in turns."""
    if n == 1:
        return 0
    k %= 2 * n - 2
    return k if k < n else 2 * n - 2 - k


def _paste(picture: U8, inset: U8, place: tuple[float, float]) -> None:
    """Put the planes of ``inset`` into those of ``picture``."""
    (rows, width), (inner_rows, inner_width) = picture.shape, inset.shape
    height, inner_height = rows * 2 // 3, inner_rows * 2 // 3
    x = int(place[0] * (width - inner_width)) // 2 * 2
    y = int(place[1] * (height - inner_height)) // 2 * 2
    picture[y : y + inner_height, x : x + inner_width] = inset[:inner_height]
    for plane in range(2):
        outer = _colour(picture, height, width, plane)
        inner = _colour(inset, inner_height, inner_width, plane)
        outer[y // 2 : (y + inner_height) // 2, x // 2 : (x + inner_width) // 2] = inner


def _colour(planes: U8, height: int, width: int, plane: int) -> U8:
    """U (0) or V (1) of planes in one array, a view u8 [H/2,W/2]."""
    size = height * width
    flat = planes.reshape(-1)[size + plane * size // 4 : size + (plane + 1) * size // 4]
    return flat.reshape(height // 2, width // 2)


def _dark_table() -> tuple[U8, U8]:
    level = np.arange(256) / 255
    luma = (255 * _GAIN * level**_GAMMA + 10).astype(np.uint8)
    return luma, (128 + (np.arange(256) - 128) * 0.5).astype(np.uint8)


def _darkened(picture: U8, tables: tuple[U8, U8], height: int) -> U8:
    dark = np.empty_like(picture)
    np.take(tables[0], picture[:height], out=dark[:height])
    np.take(tables[1], picture[height:], out=dark[height:])
    return dark


class _Noise:
    """A sensor's noise: another piece of a large field in each picture, on luma."""

    def __init__(self, recording: PlacedRecording) -> None:
        self._rng = np.random.default_rng([recording.seed, 1])
        self._shape = (recording.height, recording.width)
        fields = (4, recording.height + _MARGIN, recording.width + _MARGIN)
        self._fields = np.rint(self._rng.normal(0, recording.noise, fields)).astype(np.int16)

    def added(self, picture: U8) -> U8:
        """The picture, changed in place."""
        import cv2

        h, w = self._shape
        field, y, x = (int(self._rng.integers(n)) for n in (len(self._fields), _MARGIN, _MARGIN))
        cv2.add(picture[:h], self._fields[field, y : y + h, x : x + w], picture[:h], None, cv2.CV_8U)
        return picture


def _sound_frames(recording: PlacedRecording) -> Iterator[Any]:
    import av

    whole = compose_sound(recording)
    rate_hz = recording.rate_hz
    first = round(recording.start_s * rate_hz)
    for at in range(0, len(whole), _CHUNK):
        frame = av.AudioFrame.from_ndarray(whole[None, at : at + _CHUNK], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, first + at, Fraction(1, rate_hz)
        yield frame


def compose_sound(recording: PlacedRecording) -> F32:
    """All of its sound at its rate, f32 [n] within -1..1: hiss, and each trial's sound from its first activity on."""
    rng = np.random.default_rng([recording.seed, 2])
    before, rate_hz = recording.sound_first_s, recording.rate_hz
    whole: NDArray[np.float64] = rng.normal(0, HISS, round((before + recording.seconds) * rate_hz))
    for trial in recording.trials:
        if trial.sound is None:
            continue
        sound = decode_audio(trial.sound, rate_hz)
        spans = active_spans(sound, rate_hz)
        sound = sound[round(spans[0][0] * rate_hz) if spans else 0 :][: round(trial.length_s * rate_hz)]
        at = round((before + trial.begin_s) * rate_hz)
        peak = float(np.abs(sound).max()) if len(sound) else 0.0
        whole[at : at + len(sound)] += sound * (trial.level / max(peak, 1e-6))
    return np.clip(whole, -1, 1).astype(np.float32)
