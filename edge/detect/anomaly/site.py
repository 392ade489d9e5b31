"""Learns normal models while the daemon runs. No scores until there was enough quiet time; then it follows slowly.

A window is learned some minutes after it was scored, so that it is compared with earlier knowledge and not with the
half second before, and only when no event came in between. All calls are on the engine thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge.detect.anomaly.features import FeaturePoints
from edge.detect.anomaly.model import NormalModel, PartDistances
from edge.detect.anomaly.scorer import (
    ANOMALY,
    ANY_CAMERA,
    LABEL,
    anomaly_finding,
    load_normals,
    ready_cameras,
    to_profile_part,
)
from edge.engine.manifest import Label
from edge.profile import ProfilePart
from edge.types import NS_PER_S, DerivedScore, Scores

LEARN_EVERY: Final = 4
"""One of this many quiet windows is learned."""
DELAY_S: Final = 300.0
SAVE_EVERY_S: Final = 600.0
_BEFORE_EVENT_S: Final = 10.0  # windows this shortly before an event are not learned
LEARN_UNUSUAL_ONE_IN: Final = 300
"""One of this many unusual windows is learned, so that a lasting change becomes normal."""
_UNUSUAL: Final = LABEL.leave
_FADE_S: Final = 3600.0
_HALF_LIFE_S: Final = 14 * 86_400.0


@dataclass(frozen=True, slots=True)
class _WindowDistances:
    key: tuple[int, int]
    views: Mapping[str, FeaturePoints]
    strange: PartDistances


@dataclass(slots=True)
class _CameraNormal:
    normal: NormalModel
    waiting: deque[tuple[int, Mapping[str, FeaturePoints], PartDistances]] = field(default_factory=deque)
    window: _WindowDistances | None = None
    value: float | None = None
    windows: int = 0
    unusual: int = 0
    learned_since_fade: int = 0


class SiteNormal:
    """The label `anomaly` in the daemon: one normal model for each camera, learned while it runs.

    The first ``learn_h`` hours of quiet time are only learned. ``part`` was saved before, or is a profile's; cameras
    without a model of their own start from its model for any camera, as learned. InputError when it cannot be read.
    """

    def __init__(self, hop_s: float, learn_h: float, part: ProfilePart | None = None) -> None:
        self._every_s = hop_s * LEARN_EVERY
        self._wanted = max(learn_h * 3600 / self._every_s, 1.0)
        self._stored = part
        self._normals = load_normals(part) if part is not None else {}
        self._ready = ready_cameras(part) if part is not None else set()
        self._cameras: dict[str, _CameraNormal] = {}
        self._changed = False
        self._saved_ns: int | None = None

    @property
    def labels(self) -> tuple[Label, ...]:
        """`anomaly`."""
        return (LABEL,)

    def learned(self, camera: str) -> float:
        """Share of the first learning that is done, 0..1; at 1 the camera is scored."""
        own = self._camera(camera)
        return 1.0 if camera in self._ready else min(own.normal.windows / self._wanted, 1.0)

    def derive(self, scores: Scores) -> Mapping[str, DerivedScore]:
        """The score of a window; empty during the camera's first learning."""
        own = self._camera(scores.camera)
        window = self._measure(own, scores)
        own.value = None
        if self.learned(scores.camera) < 1 or not own.normal.is_known:
            return {}
        found = anomaly_finding(own.normal, own.normal.assess(window.views, window.strange), scores)
        own.value = found[ANOMALY].value if ANOMALY in found else None
        return found

    def observe(self, scores: Scores, open_labels: Collection[str] = ()) -> None:
        """Learn from a window after `derive`; ``open_labels``: the labels of the events open on its camera."""
        own = self._camera(scores.camera)
        t_ns = scores.t_end_ns
        if set(open_labels) - {ANOMALY}:
            while own.waiting and t_ns - own.waiting[-1][0] < _BEFORE_EVENT_S * NS_PER_S:
                own.waiting.pop()
            return
        own.windows += 1
        if own.windows % LEARN_EVERY == 0 and self._is_wanted(own, ANOMALY in open_labels):
            window = self._measure(own, scores)
            own.waiting.append((t_ns, window.views, window.strange))
        while own.waiting and t_ns - own.waiting[0][0] >= DELAY_S * NS_PER_S:
            self._learn(scores.camera, own)

    def due_save(self, now_ns: int) -> bool:
        """Whether learned data should be saved now."""
        if self._saved_ns is None:
            self._saved_ns = now_ns
        return self._changed and now_ns - self._saved_ns >= SAVE_EVERY_S * NS_PER_S

    def part(self) -> ProfilePart:
        """All learned data, to be saved with `edge.profile.save_part` or into a profile; call `saved` then."""
        normals = {**self._normals, **{name: own.normal for name, own in self._cameras.items()}}
        full = {name for name, normal in normals.items() if normal.windows >= self._wanted}
        return to_profile_part(normals, self._ready | full)

    def saved(self, now_ns: int) -> None:
        """Note that `part` is on disk."""
        self._changed, self._saved_ns = False, now_ns

    def forget(self, camera: str) -> None:
        """Drop the windows that wait to be learned; the learned model stays."""
        if camera in self._cameras:
            own = self._cameras[camera]
            own.waiting.clear()
            own.window = None

    def _camera(self, name: str) -> _CameraNormal:
        if name not in self._cameras:
            if name not in self._normals and ANY_CAMERA in self._normals and self._stored is not None:
                self._normals[name] = load_normals(self._stored)[ANY_CAMERA]
                if ANY_CAMERA in self._ready:
                    self._ready.add(name)
            self._cameras[name] = _CameraNormal(self._normals.get(name) or NormalModel())
        return self._cameras[name]

    def _measure(self, own: _CameraNormal, scores: Scores) -> _WindowDistances:
        key = (scores.media_end.epoch, scores.seq)
        if own.window is None or own.window.key != key:
            views = own.normal.features(scores)
            own.window = _WindowDistances(key, views, own.normal.distances(views))
        return own.window

    def _is_wanted(self, own: _CameraNormal, is_open: bool) -> bool:
        if not is_open and (own.value is None or own.value < _UNUSUAL):
            return True
        own.unusual += 1
        return own.unusual % LEARN_UNUSUAL_ONE_IN == 0

    def _learn(self, camera: str, own: _CameraNormal) -> None:
        _, views, strange = own.waiting.popleft()
        # Distances from a model that has learned little mean nothing; those from a profile's model count at once.
        if camera in self._ready or own.normal.windows >= self._wanted / 2:
            own.normal.add_distances(strange)
        own.normal.add(views)
        own.learned_since_fade += 1
        if own.learned_since_fade * self._every_s >= _FADE_S:
            own.learned_since_fade = 0
            own.normal.decay(0.5 ** (_FADE_S / _HALF_LIFE_S))
        self._changed = True
