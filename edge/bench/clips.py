"""The recordings that play as cameras: the two that come along, or one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.errors import MediaError

FOLDER = Path(__file__).resolve().parent / "clips"
MOVING, STILL = "moving", "still"
PLAYED_S = 180.0
"""Longer than a look with its warm-up: the joint of a recording that begins again can be heard and seen."""
GROUP_S = 2.0
"""From one key picture of the bundled clips to the next."""
PHASES = 4
_TINY_S = 1e-6


@dataclass(frozen=True, slots=True)
class BenchClip:
    """A recording and what is in it: ``shown`` says it for people, as in ``1280 x 720 h264, 15 fps, aac``."""

    path: Path
    seconds: float
    fps: float
    shown: str


def bundled_clip(kind: str, folder: Path, lead_s: float = 0.0) -> BenchClip:
    """Three minutes of `moving` or `still` in ``folder``, from the clips that `scripts/bench_clips` made."""
    path = folder / (f"{kind}.mp4" if not lead_s else f"{kind}-{round(1000 * lead_s)}.mp4")
    return looped_clip(probe_clip(FOLDER / f"{kind}.mp4"), PLAYED_S, path, hiss=kind == STILL, lead_s=lead_s)


def phased_clips(kind: str, folder: Path, phases: int = PHASES) -> list[BenchClip]:
    """The clip of `bundled_clip` in ``phases`` copies whose key pictures do not come at the same moments, as those of
    real cameras do not."""
    fps = probe_clip(FOLDER / f"{kind}.mp4").fps
    return [bundled_clip(kind, folder, round(GROUP_S * k / phases * fps) / fps) for k in range(phases)]


def probe_clip(path: Path) -> BenchClip:
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
            return BenchClip(path, container.duration / 1e6, rate, shown)
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: cannot be played ({error}); give a recording of a camera") from error


def looped_clip(clip: BenchClip, seconds: float, path: Path, *, hiss: bool = False, lead_s: float = 0.0) -> BenchClip:
    """``seconds`` of the clip at ``path``, over and over if need be, its packets copied; with ``hiss`` its sound is a
    steady one: the joint of a loop can be heard. Before the first whole turn come ``lead_s`` of its beginning, whole
    pictures of a first group without B-frames."""
    import av

    with av.open(str(path), "w") as out:
        muxer = _LoopMuxer(out, seconds, hiss=hiss)
        begin_s, length_s = 0.0, lead_s or clip.seconds
        while begin_s < seconds:
            with av.open(str(clip.path)) as container:
                muxer.add(container, begin_s, begin_s + length_s)
            begin_s, length_s = begin_s + length_s, clip.seconds
        muxer.end()
    return BenchClip(path, seconds, clip.fps, clip.shown)


class _LoopMuxer:
    """Packets of one clip, one turn after another, into ``out``."""

    RATE_HZ = 48_000
    LEVEL = 0.002  # of full scale: -54 dBFS

    def __init__(self, out: Any, seconds: float, *, hiss: bool) -> None:
        self._out, self._seconds = out, seconds
        self._copies: dict[int, Any] = {}
        self._last: dict[int, int] = {}
        self._sound = out.add_stream("aac", rate=self.RATE_HZ, layout="mono") if hiss else None
        self._samples = 0

    def add(self, container: Any, from_s: float, until_s: float) -> None:
        """One turn, from ``from_s`` of the whole to ``until_s``."""
        streams = [*container.streams.video[:1], *(container.streams.audio[:1] if self._sound is None else ())]
        for stream in streams:
            if stream.index not in self._copies:
                self._copies[stream.index] = self._out.add_stream_from_template(stream)
        for packet in container.demux(streams):
            if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                self._copy(packet, from_s, min(until_s, self._seconds))

    def end(self) -> None:
        """What the encoder still holds."""
        if self._sound is not None:
            self._out.mux(self._sound.encode(None))

    def _copy(self, packet: Any, from_s: float, until_s: float) -> None:
        at_s = from_s + float(packet.dts * packet.time_base)
        shift, index = round(from_s / packet.time_base), packet.stream.index
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        if at_s >= until_s - _TINY_S or packet.dts <= self._last.get(index, packet.dts - 1):
            return  # too late, or a decoder's run-up, which the end of the last turn has covered
        self._last[index] = packet.dts
        packet.stream = self._copies[index]
        self._add_noise(at_s)
        self._out.mux(packet)

    def _add_noise(self, until_s: float) -> None:
        import av
        import numpy as np

        while self._sound is not None and self._samples < until_s * self.RATE_HZ:
            noise = np.random.default_rng(self._samples).normal(0.0, self.LEVEL, (1, self.RATE_HZ))
            frame = av.AudioFrame.from_ndarray(noise.astype(np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = self.RATE_HZ, self._samples
            self._samples += self.RATE_HZ
            self._out.mux(self._sound.encode(frame))
