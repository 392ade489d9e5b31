#!/usr/bin/env python3
"""Compose the bundled sample clip from openly licensed real recordings.

Six shots of real cameras are cut one after another, and real sounds are mixed over them at the levels a
yard microphone would hear. The same inputs and library versions give the same bytes. The ground truth
(`yard.csv`) is written beside the clip: picture times were read off the source frames once and stand in
`SHOTS`; sound times are measured from the mixed sounds' own envelopes.

    python scripts/compose_sample.py --data DIR -o samples/yard.mp4

`DIR` holds the recordings under the relative paths named below; NOTICE says where each comes from.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS = Fraction(25, 2)
WIDTH, HEIGHT = 640, 360
RATE_HZ = 48_000
FADE_S = 0.15
ENVELOPE_S = 0.02
ONSET_DB = -26.0  # a sound is "on" within this of its loudest 20 ms
JOIN_S = 0.7  # barks closer than this are one event

VIDEO = "open/video/surveillance"
ESC10 = "open/audio/esc10"
MAX = "open/audio/max_samples"


@dataclass(frozen=True, slots=True)
class Seen:
    """Something visible from `begin_s` to `end_s`, in the shot's own source time."""

    label: str
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Shot:
    """A stretch of one real video. `zoom` times 640 is the width it is scaled to; `top` its first kept line.

    The 640 columns in the middle are kept.
    """

    path: str
    begin_s: float
    end_s: float
    seen: tuple[Seen, ...] = ()
    top: int = 0
    zoom: float = 1.0

    @property
    def length_s(self) -> float:
        """Seconds of the composed clip that the shot fills."""
        return self.end_s - self.begin_s


@dataclass(frozen=True, slots=True)
class Sound:
    """Real recordings joined end to end, laid from `at_s` (clip time) at `rms_db` (dBFS), cut at `until_s`.

    `label` names the event it is, or is None for ordinary background. `skip_s` drops the start of each file.
    """

    paths: tuple[str, ...]
    at_s: float
    until_s: float
    rms_db: float
    label: str | None = None
    loop: bool = False
    fade_s: float = FADE_S
    skip_s: float = 0.0


CAR = f"{VIDEO}/intel_car-detection.mp4"
WORKER = f"{VIDEO}/intel_preview_worker-zone-detection.mp4"
AISLE = f"{VIDEO}/intel_preview_store-aisle-detection.mp4"
ROOM = f"{VIDEO}/intel_one-by-one-person-detection.mp4"
HOUSE = "open/video/av_events/fire_furg_house6.mp4"

SHOTS = (
    Shot(CAR, 0.0, 20.4, (Seen("vehicle", 4.4, 8.4), Seen("vehicle", 14.4, 19.0))),
    Shot(WORKER, 0.0, 4.64, (Seen("person", 0.0, 4.64),)),
    Shot(AISLE, 0.0, 4.4, (Seen("person", 0.0, 4.4),)),
    Shot(ROOM, 0.0, 22.4, (Seen("person", 5.9, 19.9),)),
    Shot(HOUSE, 12.4, 27.6, (Seen("fire", 12.4, 27.6), Seen("smoke", 12.4, 27.6)), top=36, zoom=1.334),
    Shot(CAR, 19.2, 30.0, (Seen("vehicle", 25.2, 27.85),)),
)
SOUNDS = (
    Sound((f"{MAX}/rain.ogg",), 0.0, 29.44, -44.0, loop=True),
    Sound((f"{MAX}/car_engine.ogg",), 3.6, 9.0, -31.0, fade_s=1.8),
    Sound((f"{ESC10}/1-97392-A-0.ogg",), 9.6, 14.2, -19.0, "dog_bark"),
    Sound((f"{MAX}/car_engine.ogg",), 13.8, 19.6, -30.0, fade_s=2.0),
    Sound((f"{MAX}/typing.ogg",), 29.44, 51.84, -40.0, loop=True),
    Sound((f"{ESC10}/3-152007-D-20.ogg", f"{ESC10}/3-152007-E-20.ogg"), 39.0, 48.6, -22.0, "crying_baby"),
    Sound((HOUSE,), 51.84, 67.04, -54.0, skip_s=12.4),
    Sound(tuple(f"{ESC10}/{name}-12.ogg" for name in ("2-30322-A", "4-170247-B", "2-30322-B", "1-46272-A")),
          51.84, 67.04, -34.0, "fire"),
    Sound((f"{MAX}/birds1.ogg",), 67.04, 77.84, -42.0, loop=True),
    Sound((f"{ESC10}/1-30344-A-0.ogg",), 67.4, 72.4, -23.0, "dog_bark"),
    Sound((f"{MAX}/car_engine.ogg",), 72.2, 76.8, -31.0, fade_s=1.5),
)  # fmt: skip


def main() -> None:
    """Read the recordings, write the clip and its ground truth."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the recordings")
    parser.add_argument("-o", "--out", type=Path, default=Path("samples/yard.mp4"))
    args = parser.parse_args()
    total_s = sum(shot.length_s for shot in SHOTS)
    tracks = [(sound, lay(args.data, sound, total_s)) for sound in SOUNDS]
    mix = np.sum([track for _, track in tracks], axis=0)
    peak = float(np.abs(mix).max())
    if peak > 0.9:
        raise SystemExit(f"the mix peaks at {peak:.2f}: lower a sound's rms_db")
    write_clip(args.out, args.data, mix.astype(np.float32))
    rows = sorted(picture_truth() + sound_truth(tracks))
    with args.out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("t_begin_s", "t_end_s", "label", "modality", "source"))
        writer.writerows((f"{begin:.2f}", f"{end:.2f}", *rest) for begin, end, *rest in rows)
    print(f"{args.out}: {total_s:.1f} s, {args.out.stat().st_size / 1e6:.2f} MB, peak {peak:.2f}, {len(rows)} rows")


def lay(data: Path, sound: Sound, total_s: float) -> np.ndarray:
    """The sound at its level and place in a silent track of the whole clip: f64[n]."""
    need = round((sound.until_s - sound.at_s) * RATE_HZ)
    parts = [samples(data / path, sound.skip_s) for path in sound.paths]
    body = join([part / max(loud_rms(part), 1e-9) for part in parts])
    while sound.loop and len(body) < need:
        body = join([body, body])
    body = body[:need]
    body = body * 10 ** (sound.rms_db / 20) / max(loud_rms(body), 1e-9)
    fade = min(round(sound.fade_s * RATE_HZ), len(body) // 2)
    ramp = np.sin(np.linspace(0, np.pi / 2, fade))
    body[:fade] *= ramp
    body[len(body) - fade :] *= ramp[::-1]
    track = np.zeros(round(total_s * RATE_HZ))
    start = round(sound.at_s * RATE_HZ)
    body = body[: len(track) - start]
    track[start : start + len(body)] = body
    return track


def samples(path: Path, skip_s: float) -> np.ndarray:
    """Mono samples at 48 kHz: f64[n]."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", RATE_HZ)
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.concatenate(parts).astype(np.float64)[round(skip_s * RATE_HZ) :]


def join(parts: list[np.ndarray]) -> np.ndarray:
    """The parts end to end, crossfaded with equal power over the fade length."""
    fade = round(FADE_S * RATE_HZ)
    ramp = np.sin(np.linspace(0, np.pi / 2, fade))
    out = parts[0].copy()
    for part in parts[1:]:
        seam = out[-fade:] * ramp[::-1] + part[:fade] * ramp
        out = np.concatenate([out[:-fade], seam, part[fade:]])
    return out


def envelope_db(track: np.ndarray) -> np.ndarray:
    """Level of each 20 ms, dBFS: f64[n // 960]."""
    step = round(ENVELOPE_S * RATE_HZ)
    power = (track[: len(track) // step * step].reshape(-1, step) ** 2).mean(axis=1)
    return 10 * np.log10(power + 1e-12)


def loud_rms(body: np.ndarray) -> float:
    """RMS over the parts within 26 dB of the loudest, so that pauses do not count."""
    level = envelope_db(body)
    return float(np.sqrt((10 ** (level[level > level.max() + ONSET_DB] / 10)).mean()))


def picture_truth() -> list[tuple[float, float, str, str, str]]:
    """What the shots show, in clip time."""
    rows, start = [], 0.0
    for shot in SHOTS:
        rows += [
            (
                start + seen.begin_s - shot.begin_s,
                start + seen.end_s - shot.begin_s,
                seen.label,
                "video",
                name(shot.path),
            )
            for seen in shot.seen
        ]
        start += shot.length_s
    return rows


def sound_truth(tracks: list[tuple[Sound, np.ndarray]]) -> list[tuple[float, float, str, str, str]]:
    """When each labelled sound is heard, from its own envelope before mixing."""
    rows: list[tuple[float, float, str, str, str]] = []
    for sound, track in tracks:
        if sound.label is None:
            continue
        level = envelope_db(track)
        heard = np.flatnonzero(level > level.max() + ONSET_DB)
        breaks = np.flatnonzero(np.diff(heard) * ENVELOPE_S > JOIN_S)
        firsts, lasts = np.r_[heard[0], heard[breaks + 1]], np.r_[heard[breaks], heard[-1]]
        source = "+".join(name(path) for path in sound.paths)
        for first, last in zip(firsts, lasts, strict=True):
            rows.append((first * ENVELOPE_S, (last + 1) * ENVELOPE_S, sound.label, "audio", source))
    return rows


def name(path: str) -> str:
    """The file's name without its ending: how NOTICE lists it."""
    return Path(path).stem


def pictures(data: Path) -> Iterator[av.VideoFrame]:
    """All shots' frames at the clip's rate: the source frame shown at each output time, 640 x 360."""
    for shot in SHOTS:
        count = round(shot.length_s * FPS)
        with av.open(str(data / shot.path)) as container:
            frames = container.decode(video=0)
            current = upcoming = next(frames)
            for index in range(count):
                due = shot.begin_s + float(index / FPS) + 1e-6
                while upcoming is not None and upcoming.time <= due:
                    current, upcoming = upcoming, next(frames, None)
                yield fit(current, shot)


def fit(frame: av.VideoFrame, shot: Shot) -> av.VideoFrame:
    """Scaled and cut to 640 x 360 as the shot says."""
    width = round(WIDTH * shot.zoom / 2) * 2
    image = frame.reformat(width, round(frame.height * width / frame.width), "rgb24", interpolation="AREA").to_ndarray()
    left = (width - WIDTH) // 2
    cut = image[shot.top : shot.top + HEIGHT, left : left + WIDTH]
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(cut), "rgb24")


def write_clip(out: Path, data: Path, mix: np.ndarray) -> None:
    """Encode H.264 and AAC, interleaved, with nothing in the file that depends on the day."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(out), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        video = container.add_stream("libx264", rate=FPS, options={
            "crf": "26", "preset": "slow", "g": "25", "threads": "1", "flags": "+bitexact"})  # fmt: skip
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("aac", rate=RATE_HZ, layout="mono", options={"flags": "+bitexact"})
        audio.bit_rate = 80_000
        done = 0
        for index, frame in enumerate(pictures(data)):
            frame.pts, frame.time_base = index, 1 / FPS
            container.mux(video.encode(frame.reformat(format="yuv420p")))
            end = min(len(mix), round((index + 1) / FPS * RATE_HZ))
            container.mux(audio.encode(sound_frame(mix, done, end)))
            done = end
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def sound_frame(mix: np.ndarray, begin: int, end: int) -> av.AudioFrame:
    """Samples begin..end as a frame whose pts count samples."""
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(mix[None, begin:end]), "fltp", "mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, begin, Fraction(1, RATE_HZ)
    return frame


if __name__ == "__main__":
    main()
