"""A camera's recent windows, with what clips, snapshots and near misses need of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.evidence.clips.speech_mute import SpeechFlag, may_be_speech
from edge.media_time import MediaTime
from edge.types import F32, Box, Rect, RuleValues, Scores


@dataclass(frozen=True, slots=True)
class RecentWindow:
    """One window. ``values`` are the inputs of the rules, else the scores; ``meaning`` f32[2,D] as in `Features`.

    ``boxes`` and ``heat`` belong to the picture taken at ``picture``, the newest in the window.
    """

    camera: str
    t_end_ns: int
    media_end: MediaTime
    picture: MediaTime | None
    values: Mapping[str, float | None]
    boxes: Sequence[Box]
    heat: F32 | None
    content: Rect
    meaning: F32 | None
    has_picture: bool
    is_speech: bool

    @property
    def moment(self) -> MediaTime:
        """The time of its newest picture, or its end when it has none."""
        return self.picture or self.media_end

    @classmethod
    def of(cls, scores: Scores, rules: RuleValues | None) -> RecentWindow:
        """The parts of a window that are kept."""
        return cls(
            scores.camera,
            scores.t_end_ns,
            scores.media_end,
            scores.picture,
            rules.values if rules is not None else scores.values,
            tuple(scores.boxes),
            scores.evidence,
            scores.content,
            scores.features.aligned if scores.features is not None else None,
            scores.video_ok,
            may_be_speech(scores),
        )


class RecentWindows:
    """The windows of one camera within ``keep_ns`` of the newest."""

    def __init__(self, keep_ns: int) -> None:
        self._keep_ns = keep_ns
        self._all: deque[RecentWindow] = deque()

    def add(self, window: RecentWindow) -> None:
        """Add the newest window."""
        self._all.append(window)
        while self._all[0].t_end_ns < window.t_end_ns - self._keep_ns:
            self._all.popleft()

    @property
    def newest(self) -> RecentWindow | None:
        """The last window; None before the first."""
        return self._all[-1] if self._all else None

    def strongest(self, label: str, since: MediaTime) -> RecentWindow | None:
        """The window since ``since``, of its epoch, in which ``label`` was highest; else the newest."""
        there = [s for s in self._all if s.media_end.is_on(since) and s.media_end >= since]
        valued = [s for s in there if s.values.get(label) is not None]
        if valued:
            return max(valued, key=lambda s: s.values.get(label) or 0.0)
        return there[-1] if there else None

    def speech_flags(self, epoch: int) -> list[SpeechFlag]:
        """When each window of an epoch ended, and whether speech may have been in it."""
        return [(s.media_end, s.is_speech) for s in self._all if s.media_end.epoch == epoch]

    def timed_boxes(self, epoch: int) -> list[tuple[MediaTime, Sequence[Box]]]:
        """The boxes of each window of an epoch that had a picture, and when that was taken."""
        return [(s.moment, s.boxes) for s in self._all if s.media_end.epoch == epoch and s.has_picture]
