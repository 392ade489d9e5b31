"""The clip of an event: from a cut of the tape to a file that browsers, phones and Home Assistant play.

Picture and sound are copied as they came. They are decoded and encoded again only where something must not be seen or
heard, or where MP4 cannot hold what the camera sent. A file appears whole or not at all.
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
    """What the clip from ``begin`` to ``end`` may hold.

    ``silent`` are the parts without sound, ``masks`` polygons in 0..1, ``veil`` what is blurred.
    """

    begin: MediaTime
    end: MediaTime
    audio: bool = True
    silent: tuple[MediaSpan, ...] = ()
    masks: Polygons = ()
    veil: BlurTracks | None = None


@dataclass(frozen=True, slots=True)
class EventClip:
    """A clip on the disk, and the media from ``begin`` to ``end`` that it shows."""

    path: Path
    begin: MediaTime
    end: MediaTime
    facts: Mapping[str, float | str]


class ClipWriter:
    """Writes clips. Finds its encoder when first one is needed, the one ``encoder_name`` for by name if it works, and
    uses ``threads`` of the processor for it."""

    def __init__(self, encoder_name: str | None = None, threads: int = 1) -> None:
        self.encoder_name = encoder_name
        self._threads = threads
        self._encoder: EncoderSpec | None = None

    def write(self, cut: PacketRange, folder: Path, request: ClipRequest) -> EventClip | None:
        """``clip.mp4``, or ``clip.m4a`` without picture, in ``folder``; None when nothing may be in it.

        MediaError when there is nothing of that moment or what the camera sent cannot be put into a clip, SinkError
        when the disk refuses.
        """
        job = self.steps(cut, folder, request)
        while True:
            try:
                next(job)
            except StopIteration as done:
                clip: EventClip | None = done.value
                return clip

    def steps(self, cut: PacketRange, folder: Path, request: ClipRequest) -> Generator[None, None, EventClip | None]:
        """`write` in small steps, so that other things can be done in between. Closed early, it leaves nothing."""
        import av

        reel = ClipSource(cut)
        if reel.video is None and not request.audio:
            return None
        span = _span(reel, request)
        if span is None:
            raise MediaError(f"{folder}: {NO_MEDIA}")
        path = folder / ("clip.mp4" if reel.video is not None else "clip.m4a")
        aside = partial_of(path)
        facts: dict[str, float | str] = {}
        try:
            yield from self._write(aside, reel, span, request, facts)
            if not facts:
                return None
            set_shown_duration(aside, span[1] - span[0])
            put_in_place(aside, path)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in _DISK:
                raise SinkError(f"{path}: cannot be written ({error}); make room or check the disk") from error
            raise MediaError(f"{path}: the camera's packets do not make a clip: {error}") from error
        finally:
            reel.close()
            aside.unlink(missing_ok=True)
        return EventClip(path, cut.time_of(span[0]), cut.time_of(span[1]), facts)

    def _write(
        self, aside: Path, reel: ClipSource, span: Span, request: ClipRequest, facts: dict[str, float | str]
    ) -> Generator[None, None, None]:
        """Write all tracks; ``facts`` are filled in when anything was written."""
        import av

        sound = _sound_to_encode(reel, request, span)
        written_facts: dict[str, float | str] = {"seconds": round(seconds(span[1] - span[0]), 3)}
        written_facts["type"] = "audio/mp4" if reel.video is None else "video/mp4"
        silent_s = sum(seconds(b - a) for a, b in _silent(reel, request, span))
        encoder: VideoEncoder | None = None
        written = 0
        with av.open(str(aside), "w", format="mp4", options=_OPTIONS) as out:
            tracks: list[Iterator[Any]] = []
            if reel.video is not None and _is_copied(reel, request):
                tracks.append(_copied(out, reel, Stream.VIDEO, span))
                written_facts |= {"picture": f"{reel.video_codec} as it came"}
                written_facts |= {"width": reel.video.codec_context.width, "height": reel.video.codec_context.height}
            elif reel.video is not None:
                encoder = VideoEncoder(out, reel, self._best_encoder(), _step_ns(reel), self._threads)
                tracks.append(
                    encoder.packets(*span, Redaction(MaskOverlay(request.masks), request.veil, reel.cut.time_of))
                )
                written_facts |= {"picture": f"{self._best_encoder().name} from {reel.video_codec}"}
            if sound is not None:
                tracks.append(iter(sound_packets(out, sound)))
                written_facts |= {"sound": f"aac from {reel.audio_codec}", "silent_s": round(silent_s, 3)}
            elif _is_sound_copied(reel, request, span):
                tracks.append(_copied(out, reel, Stream.AUDIO, span))
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


def _span(reel: ClipSource, request: ClipRequest) -> Span | None:
    """What the clip shows, on the cut's axis: whole pictures, from the one seen at the beginning on."""
    begin_ns, end_ns = reel.cut.pts_of(request.begin), reel.cut.pts_of(request.end)
    if reel.video is None:
        sounds = reel.packets_of(Stream.AUDIO)
        if not sounds:
            return None
        begin_ns = max(begin_ns, sounds[0].pts_ns)
        end_ns = min(end_ns, sounds[-1].pts_ns + sounds[-1].duration_ns)
        return (begin_ns, end_ns) if end_ns > begin_ns else None
    first = next((p.pts_ns for p in reel.packets_of(Stream.VIDEO) if p.is_key), None)
    times = [t for t in reel.picture_times() if first is not None and t >= first]
    if not times or times[0] >= end_ns:
        return None
    begin_ns = max((t for t in times if t <= begin_ns), default=times[0])
    end_ns = min((t for t in times if t >= end_ns), default=times[-1] + _step_ns(reel))
    return (begin_ns, end_ns) if end_ns > begin_ns else None


def _step_ns(reel: ClipSource) -> int:
    """From one picture to the next."""
    return _median_step(reel.picture_times())


def _median_step(times: list[int]) -> int:
    steps = sorted(b - a for a, b in pairwise(times) if b > a)
    return steps[len(steps) // 2] if steps else NS_PER_S // 10


def _is_copied(reel: ClipSource, request: ClipRequest) -> bool:
    if reel.video_codec not in _COPIED_PICTURES or request.masks:
        return False
    times, time_of = reel.picture_times(), reel.cut.time_of
    return request.veil is None or not request.veil.is_needed(time_of(times[0]), time_of(times[-1]))


def _is_sound_copied(reel: ClipSource, request: ClipRequest, span: Span) -> bool:
    return request.audio and reel.audio_codec == "aac" and not _silent(reel, request, span)


def _sound_to_encode(reel: ClipSource, request: ClipRequest, span: Span) -> ClipAudio | None:
    if not request.audio or reel.audio is None or _is_sound_copied(reel, request, span):
        return None
    sound = reel.sound(*span)
    if sound is None:
        return None
    # Blocks of AAC reach into one another: two more of silence, and what is decoded inside is exactly zero.
    return mute(sound, _silent(reel, request, span), around=2 * AAC_BLOCK * max(1, -(-sound.rate_hz // 48_000)))


def _silent(reel: ClipSource, request: ClipRequest, span: Span) -> list[Span]:
    """What of the span is to be silent, on the cut's axis."""
    pts_of = reel.cut.pts_of
    inside = [(max(pts_of(a), span[0]), min(pts_of(b), span[1])) for a, b in request.silent]
    return [(begin_ns, end_ns) for begin_ns, end_ns in inside if end_ns > begin_ns]


def _copied(out: Any, reel: ClipSource, stream: Stream, span: Span) -> Iterator[Any]:
    """Add a stream like the camera's to ``out``; its packets, time 0 at the span's beginning."""
    is_picture = stream is Stream.VIDEO
    track = out.add_stream_from_template(reel.video if is_picture else reel.audio, opaque=True)  # needs no encoder
    if is_picture and reel.video_codec == "hevc":
        track.codec_context.codec_tag = "hvc1"  # the one that Apple's players take
    packets = _from_key(reel.packets_of(stream), span) if is_picture else _within(reel.packets_of(stream), span)
    return _remuxed(reel, packets, track, span[0])


def _from_key(packets: list[Packet], span: Span) -> list[Packet]:
    keys = [i for i, packet in enumerate(packets) if packet.is_key]
    first = max((i for i in keys if packets[i].pts_ns <= span[0]), default=keys[0])
    last = max(i for i, packet in enumerate(packets) if packet.pts_ns < span[1])
    return packets[first : last + 1]


def _within(packets: list[Packet], span: Span) -> list[Packet]:
    step_ns = _median_step(sorted(packet.pts_ns for packet in packets))
    return [p for p in packets if span[0] < p.pts_ns + (p.duration_ns or step_ns) and p.pts_ns < span[1]]


def _remuxed(reel: ClipSource, packets: list[Packet], track: Any, begin_ns: int) -> Iterator[Any]:
    last_ns: int | None = None
    step_ns = _median_step(sorted(packet.pts_ns for packet in packets))
    for packet in packets:
        made = reel.packet(packet)
        made.duration = packet.duration_ns or step_ns  # network cameras do not say
        dts_ns = packet.dts_ns - begin_ns if last_ns is None else max(packet.dts_ns - begin_ns, last_ns + 1)
        made.dts, made.pts, made.stream = dts_ns, max(packet.pts_ns - begin_ns, dts_ns), track
        last_ns = dts_ns
        yield made
