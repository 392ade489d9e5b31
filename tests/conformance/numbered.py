"""Streams as cameras and recorders send them: numbered pictures with a thing that moves, and clocks of all kinds."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from capture.media import write

SIZE = (320, 192)
FPS = 15
STRIPE = 24
BITS = 10
THING = 40  # its side in pixels
CELL = 5  # its stripes, which a blur levels
COLOUR = (220, 20, 200)
GROUND = (90, 90, 90)
SECONDS = 20.0

Maker = Callable[[Path, Path], Path]
"""(recording, folder) -> the stream's file."""


def place_of(number: int) -> tuple[int, int]:
    """Where the thing stands in picture ``number``: its left and upper edge in pixels."""
    return number * 2 % (SIZE[0] - THING), STRIPE + 40


def picture_of(number: int) -> np.ndarray:
    """Picture ``number`` u8[H,W,3]: its top row tells the number in ten black or white blocks."""
    image = np.full((SIZE[1], SIZE[0], 3), GROUND, np.uint8)
    for bit in range(BITS):
        left = bit * SIZE[0] // BITS
        image[:STRIPE, left : left + SIZE[0] // BITS] = 235 if number >> bit & 1 else 16
    x, y = place_of(number)
    cells = np.indices((THING, THING)).sum(axis=0) // CELL % 2 == 0
    image[y : y + THING, x : x + THING][cells] = COLOUR
    return image


def number_of(image: np.ndarray) -> int:
    """The number that a picture of any size tells."""
    height, width = image.shape[:2]
    row = round(STRIPE / 2 / SIZE[1] * height)
    blocks = image[row, [round((bit + 0.5) * width / BITS) for bit in range(BITS)]].mean(axis=-1)
    return sum(1 << bit for bit in range(BITS) if blocks[bit] > 128)


def recording(path: Path, seconds: float = SECONDS, fps: int = FPS, times: list[float] | None = None) -> Path:
    """Numbered pictures with a tone, a key picture every 30, on a clock that starts at 0; ``times`` of the pictures."""
    stamps = times if times is not None else [k / fps for k in range(round(seconds * fps))]
    numbers = {t: k for k, t in enumerate(stamps)}
    return write(path, seconds, size=SIZE, fps=fps, times=stamps, picture=lambda t: picture_of(numbers[t]))


def ffmpeg(*arguments: object) -> None:
    """Run ffmpeg quietly; its complaint is the error."""
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def transport_stream(offset_s: float, *more: object) -> Maker:
    """MPEG-TS whose clock starts at about ``offset_s``."""

    def make(source: Path, folder: Path) -> Path:
        made = folder / "stream.ts"
        codec = more or ("-c", "copy")
        ffmpeg("-i", source, *codec, "-output_ts_offset", offset_s, "-muxdelay", 0, "-muxpreload", 0, made)
        return made

    return make


def joined_midway(source: Path, folder: Path) -> Path:
    """The reader comes in the middle of a group of pictures, as with a camera that runs already."""
    whole = transport_stream(500)(source, folder).read_bytes()
    made = folder / "joined.ts"
    made.write_bytes(whole[len(whole) * 3 // 10 // 188 * 188 :])
    return made


def comes_back(first_s: float, second_s: float) -> Maker:
    """The stream breaks off and goes on with another start of its clock."""

    def make(source: Path, folder: Path) -> Path:
        before = transport_stream(first_s)(source, folder).read_bytes()
        after = transport_stream(second_s)(source, folder).read_bytes()
        made = folder / "broken.ts"
        made.write_bytes(before[: len(before) // 3 // 188 * 188] + after)
        return made

    return make


def sound_moved(by_s: float) -> Maker:
    """Sound that comes ``by_s`` after the picture, or before it."""

    def make(source: Path, folder: Path) -> Path:
        made = folder / "moved.ts"
        inputs = ("-itsoffset", by_s, "-i", source, "-i", source, "-map", "1:v", "-map", "0:a")
        ffmpeg(*inputs, "-c", "copy", "-output_ts_offset", 500, made)
        return made

    return make


def edit_list(source: Path, folder: Path) -> Path:
    """An MP4 cut without encoding: what lies between the key picture and the cut is hidden by an edit list."""
    made = folder / "edited.mp4"
    ffmpeg("-ss", 3.3, "-i", source, "-c", "copy", made)
    return made


def uneven(source: Path, folder: Path) -> Path:
    """Pictures at changing distances, from 20 ms to 0.4 s, and a pause of a second and a half."""
    rng = np.random.default_rng(7)
    steps = rng.choice([0.02, 0.04, 0.066, 0.1, 0.25, 0.4], 140)
    steps[60] = 1.5
    times = np.round(np.cumsum(steps), 3)
    plain = recording(folder / "uneven.mp4", SECONDS, times=[float(t) for t in times if t < SECONDS])
    return transport_stream(500)(plain, folder)


def seldom(source: Path, folder: Path) -> Path:
    """One picture a second."""
    plain = recording(folder / "seldom.mp4", 40.0, fps=1)
    return transport_stream(500)(plain, folder)


def motion_jpeg(source: Path, folder: Path) -> Path:
    """Every picture on its own, as JPEG."""
    made = folder / "jpeg.mkv"
    ffmpeg("-i", source, "-c:v", "mjpeg", "-q:v", 3, "-c:a", "copy", "-output_ts_offset", 500, made)
    return made


H264_B = ("-c:v", "libx264", "-bf", 3, "-g", 30, "-preset", "veryfast", "-c:a", "copy")
HEVC = ("-c:v", "libx265", "-g", 30, "-preset", "ultrafast", "-x265-params", "log-level=none", "-c:a", "copy")

STREAMS: dict[str, Maker] = {
    "MP4, clock at 0": lambda source, _folder: source,
    "MPEG-TS, clock at 0": transport_stream(0),
    "MPEG-TS, clock at 1.9 s": transport_stream(1.9),
    "MPEG-TS, clock at 500 s": transport_stream(500),
    "MPEG-TS, clock at 95,000 s": transport_stream(95_000),
    "MPEG-TS, 33-bit clock wraps midway": transport_stream(95_440),
    "joined in mid-stream": joined_midway,
    "breaks, comes back later": comes_back(500, 90_000),
    "breaks, comes back earlier": comes_back(500, 3),
    "breaks, comes back a second earlier": comes_back(500, 505.6),
    "B-frames": transport_stream(1.9, *H264_B),
    "HEVC": transport_stream(500, *HEVC),
    "sound 0.4 s late": sound_moved(0.4),
    "sound 0.4 s early": sound_moved(-0.4),
    "uneven picture rate": uneven,
    "one picture a second": seldom,
    "MP4 with an edit list": edit_list,
    "Motion JPEG": motion_jpeg,
}
