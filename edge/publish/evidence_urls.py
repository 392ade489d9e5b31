"""URLs of an event's evidence. They follow from its id, before any file is written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.config import Config
from edge.publish.payloads import EvidenceLinks
from edge.types import Event

_FILES = {
    "clip": "clip.mp4",
    "snapshot": "snapshot.jpg",
    "thumbnail": "thumbnail.jpg",
    "spectrogram": "spectrogram.png",
}


@dataclass(frozen=True, slots=True)
class EvidenceUrls:
    """``base`` is the URL of the page, ``""`` for paths only, or None without a page: then there are no links.

    ``kept``: by camera, the kinds of files that the configuration keeps of its events.
    """

    base: str | None
    kept: Mapping[str, frozenset[str]]

    def of(self, event: Event) -> EvidenceLinks:
        """The links of one event; None for files that will not be kept."""
        files = {kind: self.file(event.camera, event.id, kind) for kind in _FILES}
        return EvidenceLinks(page=self.page(event.camera, event.id), **files)

    def page(self, camera: str, event_id: str) -> str | None:
        """The page of an event."""
        return None if self.base is None or camera not in self.kept else f"{self.base}/events/{event_id}"

    def file(self, camera: str, event_id: str, kind: str) -> str | None:
        """The URL of one file of an event."""
        if self.base is None or kind not in _FILES or kind not in self.kept.get(camera, ()):
            return None
        return f"{self.base}/api/events/{event_id}/{_FILES[kind]}"


NO_URLS = EvidenceUrls(None, {})


def evidence_urls(config: Config) -> EvidenceUrls:
    """The URLs of the configured page."""
    base = None if config.web is None else (config.web.base_url or "")
    return EvidenceUrls(
        base, {} if config.evidence is None else {name: kept_kinds(config, name) for name in config.cameras}
    )


def kept_kinds(config: Config, camera: str) -> frozenset[str]:
    """The kinds of files that are kept of a camera's events."""
    if config.evidence is None:
        return frozenset()
    has_picture = config.cameras[camera].source is not None
    has_sound = config.evidence.audio and config.cameras[camera].microphone != "none"
    wanted = {
        "clip": config.evidence.clips and (has_picture or has_sound),
        "snapshot": has_picture,
        "thumbnail": has_picture,
        "spectrogram": has_sound,
    }
    return frozenset(kind for kind, is_kept in wanted.items() if is_kept)
