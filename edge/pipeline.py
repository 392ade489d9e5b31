"""The thread-free core: due windows of all cameras -> one batch through the model -> scores -> events.

The daemon, `edge replay` and the tests drive the same `Pipeline.step`; it reads time only through its clock and never
waits. It runs on one thread, the one that opened the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.buffer.camera import CameraBuffer
from edge.clock import Clock
from edge.config import Config
from edge.detect.derived import Derivers
from edge.detect.detector import Detector
from edge.detect.null import QuietTimes
from edge.detect.thresholds import Effective
from edge.engine.model import Model
from edge.metrics import Metrics
from edge.types import NS_PER_S, CameraFacts, Event, Phase, RuleValues, Scores, SourceState, Window


@dataclass(frozen=True, slots=True)
class Step:
    """What one step brought forth; ``rules`` has what each camera's rules looked at, one for each of ``scores``.

    ``facts`` is filled about once a second.
    """

    scores: Sequence[Scores] = ()
    rules: Sequence[RuleValues] = ()
    events: Sequence[Event] = ()
    facts: Sequence[CameraFacts] = ()


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
    and ``learners`` are shown every window after it was decided on.
    """

    FACTS_EVERY_NS = NS_PER_S
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
    ) -> None:
        self._model = model
        self._derivers = derivers or Derivers()
        self._quiet = quiet
        self._learners = tuple(learners)
        self._next_learn_ns = clock.mono_ns()
        self._detector = detector
        self._buffers = dict(buffers)
        self._order = list(buffers)
        self._clock = clock
        self._metrics = metrics
        self._newest = dict(newest)
        self._state = state
        self._next_facts_ns = clock.mono_ns() + self.FACTS_EVERY_NS

    def step(self) -> Step:
        """Score at most one window of each camera and look after the cameras' health; does not wait."""
        scores = [self._derivers.enrich(one) for one in self._model.score(self._gather())]
        for one in scores:
            self._metrics.windows.labels(one.camera).inc()
        self._learn_thresholds()
        events = [event for one in scores for event in self._scored(one)]
        facts = self._facts()
        events += [event for one in facts for event in self._detector.health(one)]
        self._count(events)
        rules = [self._detector.rule_values(one) for one in scores]
        return Step(scores, rules, events, facts)

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

    def _learn_thresholds(self) -> None:
        """Now and then: the thresholds that follow from quiet time, for labels that ask for false alarms a day."""
        now_ns = self._clock.mono_ns()
        if self._quiet is not None and now_ns >= self._next_learn_ns:
            self._next_learn_ns = now_ns + self.LEARN_EVERY_NS
            self._detector.learn(self._quiet.thresholds(self._detector.rates()))

    def _gather(self) -> list[Window]:
        now_ns = self._clock.mono_ns()
        windows: list[Window] = []
        for name in self._order:
            if len(windows) == self._model.max_batch:
                break
            window = self._buffers[name].take(self._model.batch, len(windows), now_ns, newest=self._newest[name])
            if window is not None:
                windows.append(window)
        if self._order:
            self._order.append(self._order.pop(0))
        return windows

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

    def _count(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.phase is Phase.BEGIN:
                self._metrics.events.labels(event.camera, event.label).inc()
