"""The recordings that play as cameras: the two that come along, or one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import MediaError

FOLDER = Path(__file__).resolve().parent / "clips"
MOVING, STILL = "moving", "still"


@dataclass(frozen=True, slots=True)
class Clip:
    """A recording and what is in it: ``shown`` says it for people, as in ``1280 x 720 h264, 15 fps, aac``."""

    path: Path
    seconds: float
    shown: str


def bundled(kind: str) -> Clip:
    """`moving` or `still`, made by `scripts/bench_clips`."""
    return looked_at(FOLDER / f"{kind}.mp4")


def looked_at(path: Path) -> Clip:
    """A recording of one's own; MediaError when it cannot be read or has no picture."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video or not container.duration:
                raise MediaError(f"{path}: has no moving picture; give a recording of a camera")
            video = container.streams.video[0]
            rate = float(video.average_rate or 0)
            shown = f"{video.width} x {video.height} {video.codec_context.name}, {rate:g} fps"
            shown += "".join(f", {audio.codec_context.name}" for audio in container.streams.audio[:1]) or ", no sound"
            return Clip(path, container.duration / 1e6, shown)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: cannot be played ({error}); give a recording of a camera") from error


def lengthened(clip: Clip, at_least_s: float, path: Path) -> Clip:
    """The clip several times over in one file at ``path``, its packets copied."""
    import av

    times = max(1, -int(-at_least_s // clip.seconds))
    with av.open(str(path), "w") as out:
        copies: dict[int, Any] = {}
        last: dict[int, int] = {}
        for turn in range(times):
            with av.open(str(clip.path)) as container:
                for stream in (*container.streams.video[:1], *container.streams.audio[:1]):
                    if stream.index not in copies:
                        copies[stream.index] = out.add_stream_from_template(stream)
                for packet in container.demux([s for s in container.streams if s.index in copies]):
                    if packet.dts is None or packet.pts is None or packet.time_base is None:
                        continue
                    shift, index = round(turn * clip.seconds / packet.time_base), packet.stream.index
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    if packet.dts <= last.get(index, packet.dts - 1):
                        continue  # a decoder's run-up, which the end of the last turn has covered
                    last[index] = packet.dts
                    packet.stream = copies[index]
                    out.mux(packet)
    return Clip(path, times * clip.seconds, clip.shown)
