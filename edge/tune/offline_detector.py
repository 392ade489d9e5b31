"""Runs kept steps through the detector: the events that live operation would have given, and the values of rules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.clock import VirtualClock
from edge.config import Config
from edge.detect.background import BackgroundDistribution
from edge.detect.detector import Detector
from edge.detect.limits import EventLimits
from edge.detect.thresholds import Thresholds
from edge.engine.manifest import Manifest
from edge.media_time import MediaTime
from edge.replay import ReplayStep
from edge.types import NS_PER_S, Event, Phase, RuleValues, seconds


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """The values of rules over one recording: local times i64[n] and media times [n] of its windows, ``values``
    f64[n,k], NaN for no value."""

    t_ns: NDArray[np.int64]
    media: tuple[MediaTime, ...]
    names: tuple[str, ...]
    values: NDArray[np.float64]

    @property
    def media_s(self) -> NDArray[np.float64]:
        """Where each window ends, in seconds of the recording [n]."""
        return np.array([one.position_ns for one in self.media], np.float64) / NS_PER_S

    def column(self, name: str) -> NDArray[np.float64]:
        """The values of one rule [n]; all NaN when it was not evaluated."""
        if name not in self.names:
            return np.full(len(self.t_ns), np.nan)
        return self.values[:, self.names.index(name)]


@dataclass(frozen=True, slots=True)
class EventInterval:
    """One event of a label, in seconds of its recording."""

    begin_s: float
    end_s: float
    peak: float


def to_interval(begin: MediaTime, end: MediaTime | None, peak: float) -> EventInterval:
    """Media times as seconds of the recording; without an end, the end is the begin."""
    return EventInterval(seconds(begin.position_ns), seconds((end or begin).position_ns), peak)


@dataclass(frozen=True, slots=True)
class DetectionResult:
    """One recording under one configuration: every phase of every event as live, and the rules' values."""

    events: tuple[Event, ...]
    trace: RuleTrace

    def intervals(self, label: str) -> tuple[EventInterval, ...]:
        """The scene's events of ``label``, in order of their begin."""
        ended = [e for e in self.events if e.phase is Phase.END and e.label == label]
        found = [to_interval(e.media_begin, e.media_end, e.peak) for e in ended if e.media_begin is not None]
        return tuple(sorted(found, key=lambda one: one.begin_s))


class OfflineDetector:
    """Runs one configuration over recordings, one after another; each starts from a clean state.

    ``manifest`` has the derived labels; ``quiet`` is the background distribution for learned thresholds;
    ``wall_start_ns`` is the assumed start of every recording.
    """

    def __init__(
        self, config: Config, manifest: Manifest, quiet: BackgroundDistribution | None = None, wall_start_ns: int = 0
    ) -> None:
        self.config = config
        self._manifest = manifest
        self._quiet = quiet
        self._wall_start_ns = wall_start_ns

    def with_config(self, config: Config) -> OfflineDetector:
        """The same under another configuration."""
        return OfflineDetector(config, self._manifest, self._quiet, self._wall_start_ns)

    def detect(self, moments: Iterable[ReplayStep], camera: str) -> DetectionResult:
        """What `edge replay` would have written of the same recording, and the values behind it."""
        clock = VirtualClock(self._wall_start_ns)
        detector = Detector(self.config, self._manifest, clock, cameras=[camera])
        if self._quiet is not None:
            detector.learn(self._quiet.thresholds(detector.rates()))
        events: list[Event] = []
        gathered = _TraceBuilder()
        for moment in moments:
            clock.advance_to(moment.now_ns)
            for scores in moment.step.scores:
                events += detector.scores(scores)
                values = detector.rule_values(scores)
                gathered.add(values)
            for facts in moment.step.statuses:
                events += detector.health(facts)
        events += detector.end_all("end of recording", clock.mono_ns())
        return DetectionResult(tuple(events), gathered.trace())

    def limits(self, camera: str, label: str) -> EventLimits:
        """The thresholds in force for one label."""
        thresholds = Thresholds(self.config, self._manifest, [camera])
        if self._quiet is not None:
            thresholds.learn(self._quiet.thresholds(thresholds.rates()))
        return thresholds.effective(camera, label).limits


class _TraceBuilder:
    """The rules' values as they come."""

    def __init__(self) -> None:
        self._rows: list[RuleValues] = []
        self._columns: dict[str, int] = {}

    def add(self, values: RuleValues) -> None:
        self._rows.append(values)
        for name in values.values:
            self._columns.setdefault(name, len(self._columns))

    def trace(self) -> RuleTrace:
        names = tuple(self._columns)
        rows = [[np.nan if v is None else v for v in map(row.values.get, names)] for row in self._rows]
        t_ns = np.array([row.t_end_ns for row in self._rows], np.int64)
        values = np.array(rows, np.float64).reshape(len(rows), len(names))
        return RuleTrace(t_ns, tuple(row.media_end for row in self._rows), names, values)
