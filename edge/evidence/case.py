"""One event while its evidence is gathered: what its clip spans, and when it can be cut. Pure; no files here."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.config.keeping import Evidence
from edge.evidence.archive.records import File, FileKind
from edge.evidence.sights import Sight
from edge.types import NS_PER_S, Event, Kind, Phase, nanoseconds

LATE_NS = 5 * NS_PER_S
"""How long to wait for media that does not come."""
_SLACK_NS = NS_PER_S // 4  # the last picture may end after what was asked for, and its sound must have been judged
_BETTER = 0.02  # by so much a later moment must be stronger for the picture to be taken again


@dataclass(frozen=True, slots=True)
class Reach:
    """How far clips go around an event."""

    before_ns: int
    after_ns: int
    longest_ns: int

    @classmethod
    def of(cls, settings: Evidence) -> Reach:
        """As configured."""
        return cls(*(nanoseconds(s) for s in (settings.before_s, settings.after_s, settings.longest_s)))


@dataclass(slots=True)
class Case:
    """``event`` is its newest phase, ``best`` the window where it was strongest, ``shown`` the one on its picture."""

    event: Event
    best: Sight | None = None
    shown: Sight | None = None
    is_tried: bool = False
    is_cut: bool = False
    files: dict[FileKind, File] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether the event has ended."""
        return self.event.phase is Phase.END

    @property
    def has_media(self) -> bool:
        """Whether it lies on the camera's media clock; trouble with equipment does not."""
        return self.event.kind is Kind.EVENT

    def see(self, sight: Sight) -> None:
        """Another window of its camera."""
        if sight.camera != self.event.camera or self.is_over or sight.epoch != self.event.epoch:
            return
        if self.best is None or _value(sight, self.event.label) > _value(self.best, self.event.label):
            self.best = sight

    def wants_picture(self) -> bool:
        """Whether there is a better moment than the one shown: at once for the first, at the end for a later one."""
        if self.best is None or self.shown is self.best:
            return False
        if self.shown is None:
            return True
        label = self.event.label
        return self.is_over and _value(self.best, label) >= _value(self.shown, label) + _BETTER

    def span(self, reach: Reach) -> tuple[int, int]:
        """What the clip is to show, on the media clock: never longer than allowed, from before the event on."""
        begin_ns = self.event.media_begin_ns - reach.before_ns
        longest_ns = begin_ns + max(reach.longest_ns, reach.before_ns + NS_PER_S)
        if not self.is_over:
            return begin_ns, longest_ns
        return begin_ns, min(self._media_end_ns() + reach.after_ns, longest_ns)

    def is_shortened(self, reach: Reach) -> bool:
        """Whether the event went on for longer than its clip may."""
        return not self.is_over or self._media_end_ns() + reach.after_ns > self.span(reach)[1]

    def local_ns(self, media_ns: int) -> int:
        """Local time of a media time near the event."""
        return self.event.begin_ns + media_ns - self.event.media_begin_ns

    def is_due(self, reach: Reach, now_ns: int, newest: Sight | None, tape_ns: int | None) -> bool:
        """Whether all that the clip shows has come, was judged, or will not come.

        ``newest`` is the camera's last window, ``tape_ns`` up to when its tape reaches; None: not known.
        """
        if self.is_cut or not self.has_media:
            return False
        end_ns = self.span(reach)[1]
        if now_ns >= self.local_ns(end_ns) + LATE_NS:
            return True
        if newest is None or newest.epoch != self.event.epoch:
            return self.is_over
        end_ns += _SLACK_NS
        return newest.media_end_ns >= end_ns and (tape_ns is None or tape_ns >= end_ns)

    def _media_end_ns(self) -> int:
        event = self.event
        if event.media_end_ns is not None:
            return event.media_end_ns
        return event.media_begin_ns + max(0, (event.end_ns or event.begin_ns) - event.begin_ns)


def _value(sight: Sight, label: str) -> float:
    return sight.values.get(label) or 0.0
