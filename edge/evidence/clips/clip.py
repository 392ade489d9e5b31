"""Writes the clip of an event: from a range of packets to a file that browsers, phones and Home Assistant play.

Picture and sound are copied as the camera sent them. They are decoded and encoded again only to mask, blur or mute
something, or when MP4 cannot hold them. A file appears complete or not at all. Runs on the evidence thread.
"""

from __future__ import annotations

import errno
import heapq
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge.errors import MediaError, SinkError
from edge.evidence.clips.edit_list import set_shown_duration
from edge.evidence.clips.encode import AAC_BLOCK, EncoderSpec, Redaction, VideoEncoder, best_encoder, sound_packets
from edge.evidence.clips.packet_ring import PacketRange
from edge.evidence.clips.source import ClipAudio, ClipSource
from edge.evidence.clips.speech_mute import Span, mute
from edge.evidence.privacy import BlurTracks, MaskOverlay, Polygons
from edge.files import partial_of, put_in_place
from edge.media_time import MediaSpan, MediaTime
from edge.types import NS_PER_S, Packet, Stream, seconds

NO_MEDIA = (
    "no picture or sound of that moment is kept: the stream had just begun or broke off, or it is longer ago than "
    "evidence.ring_mb holds"
)
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
_COPIED_PICTURES = ("h264", "hevc", "vp9", "av1")
_OPTIONS = {
    "movflags": "faststart",
    "movie_timescale": "90000",
    "video_track_timescale": "90000",
    "avoid_negative_ts": "disabled",  # what lies before the beginning is hidden by an edit list, not moved
}


@dataclass(frozen=True, slots=True)
class ClipRequest:
    """What the clip from ``begin`` to ``end`` may contain.

    ``silent`` are the parts without sound, ``masks`` polygons in 0..1, ``veil`` what is blurred.
    """

    begin: MediaTime
    end: MediaTime
    audio: bool = True
    silent: tuple[MediaSpan, ...] = ()
    masks: Polygons = ()
    blur: BlurTracks | None = None


@dataclass(frozen=True, slots=True)
class EventClip:
    """A clip on the disk, and the media from ``begin`` to ``end`` that it shows."""

    path: Path
    begin: MediaTime
    end: MediaTime
    facts: Mapping[str, float | str]


class ClipWriter:
    """Writes clips. Chooses an encoder when it first needs one: ``encoder_name`` if that works, else the best. It
    encodes with ``threads`` threads."""

    def __init__(self, encoder_name: str | None = None, threads: int = 1) -> None:
        self.encoder_name = encoder_name
        self._threads = threads
        self._encoder: EncoderSpec | None = None

    def write(self, cut: PacketRange, folder: Path, request: ClipRequest) -> EventClip | None:
        """Write ``clip.mp4``, or ``clip.m4a`` without picture, into ``folder``; None when it may contain nothing.

        MediaError when there is no media of that moment or it does not make a clip, SinkError when the disk fails.
        """
        job = self.steps(cut, folder, request)
        while True:
            try:
                next(job)
            except StopIteration as done:
                clip: EventClip | None = done.value
                return clip

    def steps(self, cut: PacketRange, folder: Path, request: ClipRequest) -> Generator[None, None, EventClip | None]:
        """`write` in small steps, so that other work can be done in between. Closed early, it leaves no file."""
        import av

        clip_source = ClipSource(cut)
        if clip_source.video is None and not request.audio:
            return None
        span = _span(clip_source, request)
        if span is None:
            raise MediaError(f"{folder}: {NO_MEDIA}")
        path = folder / ("clip.mp4" if clip_source.video is not None else "clip.m4a")
        aside = partial_of(path)
        facts: dict[str, float | str] = {}
        try:
            yield from self._write(aside, clip_source, span, request, facts)
            if not facts:
                return None
            set_shown_duration(aside, span[1] - span[0])
            put_in_place(aside, path)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _DISK:
                raise SinkError(f"{path}: cannot be written ({error}); make room or check the disk") from error
            raise MediaError(f"{path}: the camera's packets do not make a clip: {error}") from error
        finally:
            clip_source.close()
            aside.unlink(missing_ok=True)
        return EventClip(path, cut.time_of(span[0]), cut.time_of(span[1]), facts)

    def _write(
        self, aside: Path, clip_source: ClipSource, span: Span, request: ClipRequest, facts: dict[str, float | str]
    ) -> Generator[None, None, None]:
        """Write all tracks; fills in ``facts`` when anything was written."""
        import av

        sound = _sound_to_encode(clip_source, request, span)
        written_facts: dict[str, float | str] = {"seconds": round(seconds(span[1] - span[0]), 3)}
        written_facts["type"] = "audio/mp4" if clip_source.video is None else "video/mp4"
        silent_s = sum(seconds(b - a) for a, b in _silent(clip_source, request, span))
        encoder: VideoEncoder | None = None
        written = 0
        with av.open(str(aside), "w", format="mp4", options=_OPTIONS) as out:
            tracks: list[Iterator[Any]] = []
            if clip_source.video is not None and _is_copied(clip_source, request):
                tracks.append(_copied(out, clip_source, Stream.VIDEO, span))
                written_facts |= {"picture": f"{clip_source.video_codec} as it came"}
                written_facts |= {
                    "width": clip_source.video.codec_context.width,
                    "height": clip_source.video.codec_context.height,
                }
            elif clip_source.video is not None:
                encoder = VideoEncoder(out, clip_source, self._best_encoder(), _step_ns(clip_source), self._threads)
                tracks.append(
                    encoder.packets(*span, Redaction(MaskOverlay(request.masks), request.blur, clip_source.cut.time_of))
                )
                written_facts |= {"picture": f"{self._best_encoder().name} from {clip_source.video_codec}"}
            if sound is not None:
                tracks.append(iter(sound_packets(out, sound)))
                written_facts |= {"sound": f"aac from {clip_source.audio_codec}", "silent_s": round(silent_s, 3)}
            elif _is_sound_copied(clip_source, request, span):
                tracks.append(_copied(out, clip_source, Stream.AUDIO, span))
                written_facts["sound"] = "aac as it came"
            for packet in heapq.merge(*tracks, key=lambda packet: packet.dts * packet.time_base):
                out.mux(packet)
                written += 1
                yield
            if encoder is not None and encoder.size == (0, 0):
                raise MediaError(f"{aside.parent}: no picture of the camera's packets could be decoded")
            if encoder is not None:
                written_facts |= {"width": encoder.size[0], "height": encoder.size[1]}
        facts.update(written_facts if written else {})

    def _best_encoder(self) -> EncoderSpec:
        self._encoder = self._encoder or best_encoder(self.encoder_name)
        if self._encoder is None:
            raise MediaError("no encoder for pictures here: install an av that has libvpx, or one with hardware H.264")
        return self._encoder


def _span(clip_source: ClipSource, request: ClipRequest) -> Span | None:
    """The span of the clip on the axis of its packets: whole pictures, from the one shown at the beginning."""
    begin_ns, end_ns = clip_source.cut.pts_of(request.begin), clip_source.cut.pts_of(request.end)
    if clip_source.video is None:
        sounds = clip_source.packets_of(Stream.AUDIO)
        if not sounds:
            return None
        begin_ns = max(begin_ns, sounds[0].pts_ns)
        end_ns = min(end_ns, sounds[-1].pts_ns + sounds[-1].duration_ns)
        return (begin_ns, end_ns) if end_ns > begin_ns else None
    first = next((p.pts_ns for p in clip_source.packets_of(Stream.VIDEO) if p.is_key), None)
    times = [t for t in clip_source.picture_times() if first is not None and t >= first]
    if not times or times[0] >= end_ns:
        return None
    begin_ns = max((t for t in times if t <= begin_ns), default=times[0])
    end_ns = min((t for t in times if t >= end_ns), default=times[-1] + _step_ns(clip_source))
    return (begin_ns, end_ns) if end_ns > begin_ns else None


def _step_ns(clip_source: ClipSource) -> int:
    """Time from one picture to the next."""
    return _median_step(clip_source.picture_times())


def _median_step(times: list[int]) -> int:
    steps = sorted(b - a for a, b in pairwise(times) if b > a)
    return steps[len(steps) // 2] if steps else NS_PER_S // 10


def _is_copied(clip_source: ClipSource, request: ClipRequest) -> bool:
    if clip_source.video_codec not in _COPIED_PICTURES or request.masks:
        return False
    times, time_of = clip_source.picture_times(), clip_source.cut.time_of
    return request.blur is None or not request.blur.is_needed(time_of(times[0]), time_of(times[-1]))


def _is_sound_copied(clip_source: ClipSource, request: ClipRequest, span: Span) -> bool:
    return request.audio and clip_source.audio_codec == "aac" and not _silent(clip_source, request, span)


def _sound_to_encode(clip_source: ClipSource, request: ClipRequest, span: Span) -> ClipAudio | None:
    if not request.audio or clip_source.audio is None or _is_sound_copied(clip_source, request, span):
        return None
    sound = clip_source.sound(*span)
    if sound is None:
        return None
    # Blocks of AAC overlap: two more blocks of silence make the decoded samples inside exactly zero.
    return mute(sound, _silent(clip_source, request, span), around=2 * AAC_BLOCK * max(1, -(-sound.rate_hz // 48_000)))


def _silent(clip_source: ClipSource, request: ClipRequest, span: Span) -> list[Span]:
    """The muted parts of the span, on the axis of the packets."""
    pts_of = clip_source.cut.pts_of
    inside = [(max(pts_of(a), span[0]), min(pts_of(b), span[1])) for a, b in request.silent]
    return [(begin_ns, end_ns) for begin_ns, end_ns in inside if end_ns > begin_ns]


def _copied(out: Any, clip_source: ClipSource, stream: Stream, span: Span) -> Iterator[Any]:
    """Add a copy of the camera's stream to ``out``; its packets, with time 0 at the span's beginning."""
    is_picture = stream is Stream.VIDEO
    track = out.add_stream_from_template(
        clip_source.video if is_picture else clip_source.audio, opaque=True
    )  # needs no encoder
    if is_picture and clip_source.video_codec == "hevc":
        track.codec_context.codec_tag = "hvc1"  # the tag that Apple's players accept
    packets = (
        _from_key(clip_source.packets_of(stream), span) if is_picture else _within(clip_source.packets_of(stream), span)
    )
    return _remuxed(clip_source, packets, track, span[0])


def _from_key(packets: list[Packet], span: Span) -> list[Packet]:
    keys = [i for i, packet in enumerate(packets) if packet.is_key]
    first = max((i for i in keys if packets[i].pts_ns <= span[0]), default=keys[0])
    last = max(i for i, packet in enumerate(packets) if packet.pts_ns < span[1])
    return packets[first : last + 1]


def _within(packets: list[Packet], span: Span) -> list[Packet]:
    step_ns = _median_step(sorted(packet.pts_ns for packet in packets))
    return [p for p in packets if span[0] < p.pts_ns + (p.duration_ns or step_ns) and p.pts_ns < span[1]]


def _remuxed(clip_source: ClipSource, packets: list[Packet], track: Any, begin_ns: int) -> Iterator[Any]:
    last_ns: int | None = None
    step_ns = _median_step(sorted(packet.pts_ns for packet in packets))
    for packet in packets:
        made = clip_source.packet(packet)
        made.duration = packet.duration_ns or step_ns  # network cameras state none
        dts_ns = packet.dts_ns - begin_ns if last_ns is None else max(packet.dts_ns - begin_ns, last_ns + 1)
        made.dts, made.pts, made.stream = dts_ns, max(packet.pts_ns - begin_ns, dts_ns), track
        last_ns = dts_ns
        yield made
