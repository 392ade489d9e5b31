"""Cuts the clip and spectrogram of a pending event: decides what they may contain, and writes them in small steps."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing

from edge.config import Config
from edge.config.models import EvidenceConfig
from edge.errors import MediaError
from edge.evidence.archive.records import EvidenceFile, FileKind
from edge.evidence.archive.store import EventStore
from edge.evidence.clips.clip import NO_MEDIA, ClipRequest, ClipWriter
from edge.evidence.clips.packet_ring import PacketRange, PacketRing
from edge.evidence.clips.source import ClipSource
from edge.evidence.clips.speech_mute import mute, speech_spans
from edge.evidence.pending_event import ClipMargins, PendingEvent
from edge.evidence.privacy import BlurTracks
from edge.evidence.recent_windows import RecentWindows
from edge.evidence.snapshot import room_or_raise
from edge.evidence.spectrogram import SpectrogramMarks, render_spectrogram
from edge.files import atomic_write
from edge.media_time import MediaSpan, MediaTime
from edge.types import NS_PER_S, seconds

LEAST_LATE_NS = NS_PER_S // 2
"""A clip that begins later than requested by more than this states it."""
PAD_NS = NS_PER_S
"""Media requested of the packet ring on both sides of the clip, for its first and last picture."""

WrittenFile = tuple[FileKind, EvidenceFile]
ClipJob = Generator[WrittenFile | None, None, None]
"""Yields often: None, or a file that is complete. Raises MediaError or SinkError."""


class ClipCutter:
    """Writes the files of a pending event except its pictures."""

    def __init__(
        self,
        config: Config,
        settings: EvidenceConfig,
        store: EventStore,
        packet_rings: Mapping[str, PacketRing],
        window_ns: int,
    ) -> None:
        self._config = config
        self._settings = settings
        self._store = store
        self._packet_rings = packet_rings
        self._window_ns = window_ns
        self._writer = ClipWriter(settings.encoder)

    def reconfigure(self, config: Config, settings: EvidenceConfig) -> None:
        """Apply new settings."""
        self._config, self._settings = config, settings
        if settings.encoder != self._writer.encoder_name:
            self._writer = ClipWriter(settings.encoder)

    def newest_media(self, pending: PendingEvent) -> MediaTime | None:
        """The end of the media in the camera's packet ring, in the event's epoch; None when there is none."""
        ring = self._packet_rings.get(pending.event.camera)
        return ring.newest(pending.begin, pending.event.begin_ns) if ring is not None else None

    def steps(self, pending: PendingEvent, windows: RecentWindows) -> ClipJob:
        """Take the event's packets now and write files from them. MediaError when there are none; no files when
        neither clips nor sound are configured."""
        ring, span = self._packet_rings.get(pending.event.camera), pending.span(ClipMargins.of(self._settings))
        if ring is None or not (self._settings.clips or self._settings.audio):
            return
        begin, end = _padded(span)
        cut = ring.extract(begin, end, pending.local_ns(begin))
        if cut is None:
            raise MediaError(NO_MEDIA)
        yield from self._write(pending, cut, self._request(pending, windows, span), ClipMargins.of(self._settings))

    def _request(self, pending: PendingEvent, windows: RecentWindows, span: MediaSpan) -> ClipRequest:
        settings, epoch = self._settings, pending.begin.epoch
        silent: list[MediaSpan] = []
        if settings.audio and not settings.speech:
            silent = speech_spans(windows.speech_flags(epoch), _padded(span), self._window_ns)
        blur = BlurTracks(windows.timed_boxes(epoch), settings.blur) if settings.blur else None
        masks = self._config.cameras[pending.event.camera].privacy_masks
        return ClipRequest(*span, settings.audio, tuple(silent), masks, blur)

    def _write(self, pending: PendingEvent, cut: PacketRange, request: ClipRequest, margins: ClipMargins) -> ClipJob:
        folder, root = self._store.folder_of(pending.event), self._store.folder
        shown = (request.begin, request.end)
        if self._settings.clips:
            room_or_raise(self._store.room_for(sum(len(packet.data) for packet in cut.packets)), folder)
            job = self._writer.steps(cut, folder, request)
            with closing(job):
                clip = yield from job
            if clip is not None:
                shown = (clip.begin, clip.end)
                event_at_ns = pending.begin.since(clip.begin)
                facts = {
                    **clip.facts,
                    "begin_ns": float(pending.event.wall_begin_ns - event_at_ns),
                    "event_at_s": round(seconds(event_at_ns), 3),
                }
                late_ns = clip.begin.since(request.begin)
                if late_ns > LEAST_LATE_NS:
                    facts["begins_late_s"] = round(seconds(late_ns), 3)
                if pending.is_shortened(margins):
                    facts["shortened"] = "the event went on for longer than evidence.longest_s"
                path = clip.path.relative_to(root).as_posix()
                yield "clip", EvidenceFile(path, clip.path.stat().st_size, facts)
        data = self._spectrogram(pending, cut, request, shown)
        if data is not None:
            path_ns = folder / "spectrogram.png"
            room_or_raise(self._store.room_for(len(data)), path_ns)
            atomic_write(path_ns, data)
            yield "spectrogram", EvidenceFile(path_ns.relative_to(root).as_posix(), len(data), {"type": "image/png"})

    def _spectrogram(
        self, pending: PendingEvent, cut: PacketRange, request: ClipRequest, shown: MediaSpan
    ) -> bytes | None:
        if not request.audio:
            return None
        with closing(ClipSource(cut)) as clip_source:
            sound = clip_source.sound(cut.pts_of(shown[0]), cut.pts_of(shown[1]))
        if sound is None:
            return None
        silent = [(cut.pts_of(a), cut.pts_of(b)) for a, b in request.silent]
        marked = (
            cut.pts_of(pending.begin),
            cut.pts_of(max(pending.begin, pending.end) if pending.is_over else shown[1]),
        )
        try:
            return render_spectrogram(mute(sound, silent), SpectrogramMarks(marked, silent))
        except MediaError:
            return None


def _padded(span: MediaSpan) -> MediaSpan:
    """The span with a margin on both sides: the first picture begins earlier, the last one ends later."""
    return span[0] + -PAD_NS, span[1] + PAD_NS
