"""The thread-free core: due windows of all cameras -> one batch through the model -> scores -> events.

The daemon, `edge replay` and the tests drive the same `Pipeline.step`; it reads time only through its clock and never
waits. It runs on one thread, the one that opened the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.buffer.camera import CameraBuffer
from edge.buffer.load import Governor, Load
from edge.clock import Clock
from edge.config import Config
from edge.detect.derived import Derivers
from edge.detect.detector import Detector
from edge.detect.null import QuietTimes
from edge.detect.thresholds import Effective
from edge.engine.model import Model
from edge.facts import CameraFacts, SourceState
from edge.holds import HeldBack, HoldReason
from edge.metrics import Metrics
from edge.types import (
    NS_PER_S,
    Event,
    Phase,
    RuleValues,
    Scores,
    Window,
    nanoseconds,
    seconds,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step brought forth; ``rules`` has what each camera's rules looked at, one for each of ``scores``.

    ``facts`` is filled about once a second, and with it ``held``: what is held back now or was in the last hour.
    ``ready_ns`` is when the media of the first of its windows was complete, and ``infer_ns`` what the model took.
    """

    scores: Sequence[Scores] = ()
    rules: Sequence[RuleValues] = ()
    events: Sequence[Event] = ()
    facts: Sequence[CameraFacts] = ()
    held: Sequence[HeldBack] = ()
    ready_ns: int | None = None
    infer_ns: int = 0


class _Work:
    """What the engine did since `begin_anew`."""

    def __init__(self, now_ns: int) -> None:
        self.since_ns = now_ns
        self.scored = 0
        self._skipped = self._busy_ns = 0
        self._began_ns: int | None = None

    def turn(self, now_ns: int, *, is_work: bool) -> None:
        """A step begins, with windows to score or without: the one before it took until now."""
        if self._began_ns is not None:
            self._busy_ns += now_ns - self._began_ns
        self._began_ns = now_ns if is_work else None

    def begin_anew(self, now_ns: int, skipped: int) -> Load:
        """What was measured so far; ``skipped`` counts all windows ever skipped."""
        load = Load(seconds(now_ns - self.since_ns), seconds(self._busy_ns), self.scored, skipped - self._skipped)
        self.since_ns, self.scored, self._skipped, self._busy_ns = now_ns, 0, skipped, 0
        return load


class Learner(Protocol):
    """Learns from what passes."""

    def observe(self, scores: Scores, open_labels: Collection[str] = ()) -> None:
        """One window, and the labels of the scene's events that are open on its camera."""
        ...


class Pipeline:
    """Cameras' buffers in, scores and events out.

    ``newest`` makes a camera that fell behind jump to its newest due window (live); without it every window is scored
    (recordings). ``state`` says what a camera's source is doing, and a few words on it. ``derivers`` add what follows
    from the model's answer before anything is decided; ``quiet`` is what thresholds by false alarms a day follow from,
    and ``learners`` are shown every window after it was decided on. At most ``at_once`` windows are scored in a step:
    what was found of them is told before the next are begun. None: as many as the runtime takes.

    Live cameras are looked at less often while the engine is behind (`edge.buffer.load`).
    """

    FACTS_EVERY_NS = NS_PER_S
    LOAD_EVERY_NS = 2 * NS_PER_S
    LEARN_EVERY_NS = 600 * NS_PER_S

    def __init__(
        self,
        model: Model,
        detector: Detector,
        buffers: Mapping[str, CameraBuffer],
        clock: Clock,
        metrics: Metrics,
        newest: Mapping[str, bool],
        state: Callable[[str], tuple[SourceState, str]] = lambda _camera: (SourceState.UP, ""),
        derivers: Derivers | None = None,
        quiet: QuietTimes | None = None,
        learners: Sequence[Learner] = (),
        at_once: int | None = None,
    ) -> None:
        self._model = model
        self._derivers = derivers or Derivers()
        self._quiet = quiet
        self._learners = tuple(learners)
        self._next_learn_ns = clock.mono_ns()
        self._detector = detector
        self._buffers = dict(buffers)
        self._order = list(buffers)
        self._at_once = min(at_once or model.max_batch, model.max_batch)
        self._clock = clock
        self._metrics = metrics
        self._newest = dict(newest)
        self._state = state
        self._next_facts_ns = clock.mono_ns() + self.FACTS_EVERY_NS
        self._windows = {name: metrics.windows.labels(name) for name in buffers}
        live = [name for name in buffers if newest[name]]
        self._governor = Governor(live, model.manifest.geometry.hop_s)
        self._work = _Work(clock.mono_ns())
        self._held_ever: Mapping[tuple[str, str, HoldReason], int] = {}

    def step(self) -> Step:
        """Score at most one window of each camera and look after the cameras' health; does not wait."""
        began_ns = self._clock.mono_ns()
        windows = self._gather(began_ns)
        self._work.turn(began_ns, is_work=bool(windows))
        before_s = self._metrics.infer_s.total_s
        scores = [self._derivers.enrich(one) for one in self._model.score(windows)]
        infer_ns = nanoseconds(self._metrics.infer_s.total_s - before_s)
        for one in scores:
            self._windows[one.camera].inc()
        self._work.scored += len(scores)
        self._learn_thresholds(began_ns)
        events = [event for one in scores for event in self._scored(one)]
        facts = self._facts()
        events += [event for one in facts for event in self._detector.health(one)]
        self._count(events)
        rules = [self._detector.rule_values(one) for one in scores]
        self._keep_up(began_ns)
        ready_ns = min((window.ready_ns for window in windows), default=None)
        held = self._held_back() if facts else ()
        return Step(scores, rules, events, facts, held, ready_ns, infer_ns)

    def has_due(self) -> bool:
        """Whether a window of any camera is waiting now."""
        now_ns = self._clock.mono_ns()
        return any(buffer.due(now_ns) for buffer in self._buffers.values())

    def finish(self, reason: str) -> list[Event]:
        """End every open event; ``reason`` goes into its explanation."""
        return self._detector.end_all(reason, self._clock.mono_ns())

    def reconfigure(self, config: Config) -> list[Event]:
        """Take over what can change live (thresholds, severities, health limits); events that this ends."""
        return self._detector.reconfigure(config)

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of all events of the scene that there can be, those of one's own included."""
        return tuple(label.name for label in self._detector.labels)

    def thresholds(self) -> list[Effective]:
        """What is in force for every camera and label, and where it came from."""
        return self._detector.thresholds()

    def set_threshold(self, camera: str, label: str, value: float | None) -> None:
        """A new enter threshold from a command, None to take it back; InputError when it cannot be."""
        self._detector.set_threshold(camera, label, value)

    def set_armed(self, camera: str, armed: bool) -> list[Event]:
        """Arm or disarm a camera; the events that disarming ended."""
        return self._detector.set_armed(camera, armed)

    def _scored(self, scores: Scores) -> list[Event]:
        events = self._detector.scores(scores)
        for learner in self._learners:
            learner.observe(scores, self._detector.open_labels(scores.camera))
        return events

    def _learn_thresholds(self, now_ns: int) -> None:
        """Now and then: the thresholds that follow from quiet time, for labels that ask for false alarms a day."""
        if self._quiet is not None and now_ns >= self._next_learn_ns:
            self._next_learn_ns = now_ns + self.LEARN_EVERY_NS
            self._detector.learn(self._quiet.thresholds(self._detector.rates()))

    def _gather(self, now_ns: int) -> list[Window]:
        windows: list[Window] = []
        for turn, name in enumerate(self._order, 1):
            window = self._buffers[name].take(self._model.batch, len(windows), now_ns, newest=self._newest[name])
            if window is None:
                continue
            self._metrics.wait_s.observe(max(0.0, seconds(window.ready_ns - window.t_end_ns)))
            self._metrics.queue_s.observe(max(0.0, seconds(now_ns - window.ready_ns)))
            windows.append(window)
            if len(windows) == self._at_once:
                self._order = self._order[turn:] + self._order[:turn]
                break
        return windows

    def _keep_up(self, now_ns: int) -> None:
        """Now and then: longer hops where the engine is behind, shorter ones again where there is room."""
        if not self._governor.every or now_ns - self._work.since_ns < self.LOAD_EVERY_NS:
            return
        skipped = sum(self._buffers[name].skipped for name in self._governor.every)
        load = self._work.begin_anew(now_ns, skipped)
        open_cameras = {name for name in self._governor.every if self._detector.open_labels(name)}
        for name in self._governor.advance(load, open_cameras):
            every = self._governor.every[name]
            self._buffers[name].thin(every, list(self._buffers).index(name))
            self._detector.set_every(name, every)
            log.log(
                logging.WARNING if every > 1 else logging.INFO,
                "%s: looked at every %g s now; the engine does %.0f windows a second and skipped %d of %d",
                *(name, every * self._model.manifest.geometry.hop_s, load.scored / load.wall_s),
                *(load.skipped, load.scored + load.skipped),
            )

    def _facts(self) -> list[CameraFacts]:
        now_ns = self._clock.mono_ns()
        if now_ns < self._next_facts_ns:
            return []
        self._next_facts_ns = now_ns + self.FACTS_EVERY_NS
        facts = [buffer.facts(now_ns, *self._state(name)) for name, buffer in self._buffers.items()]
        for one in facts:
            if one.av_offset_s is not None:
                self._metrics.av_offset_s.labels(one.camera).set(one.av_offset_s)
        return facts

    def _held_back(self) -> Sequence[HeldBack]:
        """What is held back; what was over since the last call is counted."""
        ever = self._detector.held_ever()
        for (camera, label, reason), count in ever.items():
            more = count - self._held_ever.get((camera, label, reason), 0)
            if more > 0:
                self._metrics.held_back.labels(camera, label, reason.value).inc(more)
        self._held_ever = ever
        return self._detector.held_back()

    def _count(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.phase is Phase.BEGIN:
                self._metrics.events.labels(event.camera, event.label).inc()
