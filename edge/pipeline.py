"""The thread-free core: due windows of all cameras -> one batch through the model -> scores -> events.

The daemon, `edge replay` and the tests drive the same `Pipeline.step`; it reads time only through its clock and never
waits. It runs on one thread, the one that opened the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edge.buffer.attention import Attention, EngineLoad
from edge.buffer.camera import CameraBuffer
from edge.buffer.governor import Governor
from edge.buffer.load_meter import LoadMeter, log_changes
from edge.buffer.ready_queue import ReadyQueue
from edge.clock import Clock, core_count
from edge.config import Config
from edge.demand import DecodeState
from edge.detect.attention import WANTED_NS
from edge.detect.background import BackgroundDistribution
from edge.detect.derived import DeriverChain
from edge.detect.detector import Detector
from edge.detect.thresholds import EffectiveThreshold
from edge.engine.model import Model
from edge.metrics import Metrics
from edge.status import CameraStatus, HeldBack, HoldReason, SourceState
from edge.types import (
    NS_PER_S,
    Event,
    Phase,
    RuleValues,
    Scores,
    Window,
    seconds,
)


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step brought forth; ``rules`` has what each camera's rules looked at, one for each of ``scores``.

    ``statuses`` is filled about once a second, and with it ``held_back``: what is held back now or was in the last
    hour. ``ready_ns`` is when the media of the first of its windows was complete, and ``infer_ns`` what the model took.
    ``taken`` windows were begun. ``load`` comes with ``statuses``: how busy the box was lately.
    """

    scores: Sequence[Scores] = ()
    rules: Sequence[RuleValues] = ()
    events: Sequence[Event] = ()
    statuses: Sequence[CameraStatus] = ()
    held_back: Sequence[HeldBack] = ()
    ready_ns: int | None = None
    infer_ns: int = 0
    taken: int = 0
    load: EngineLoad | None = None


class Learner(Protocol):
    """Learns from what passes."""

    def observe(self, scores: Scores, open_labels: Collection[str] = ()) -> None:
        """One window, and the labels of the scene's events that are open on its camera."""
        ...


class Pipeline:
    """Cameras' buffers in, scores and events out.

    Cameras take turns in the order in which they came due, the oldest window of each first. ``newest`` makes a camera
    that fell behind by more than `OVERDUE_NS` jump to its newest due window (live); without it every window is scored
    (recordings). ``state`` says what a camera's source is doing, and a few words on it. ``derivers`` add what follows
    from the model's answer before anything is decided; ``background`` is what thresholds by false alarms a day follow
    from, and ``learners`` are shown every window after it was decided on. At most ``max_rows`` windows are scored in a
    step: what was found of them is told before the next are begun. None: as many as the runtime takes.

    Live cameras are looked at less closely while the box is behind (`edge.buffer.governor`). ``workers_ns`` is the
    processor time of the processes that read some of them.
    """

    STATUS_EVERY_NS = NS_PER_S
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
        derivers: DeriverChain | None = None,
        background: BackgroundDistribution | None = None,
        learners: Sequence[Learner] = (),
        max_rows: int | None = None,
        workers_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self._model = model
        self._derivers = derivers or DeriverChain()
        self._background = background
        self._learners = tuple(learners)
        self._next_learn_ns = clock.mono_ns()
        self._detector = detector
        self._buffers = dict(buffers)
        self._ready = ReadyQueue(self._buffers)
        self._max_rows = min(max_rows or model.max_batch, model.max_batch)
        self._clock = clock
        self._metrics = metrics
        self._newest = dict(newest)
        self._state = state
        self._next_status_ns = clock.mono_ns() + self.STATUS_EVERY_NS
        self._windows = {name: metrics.windows.labels(name) for name in buffers}
        live = [name for name in buffers if newest[name]]
        self._governor = Governor(live, model.manifest.geometry.hop_s)
        self._load_meter = LoadMeter(clock, core_count(), model.workers, workers_ns)
        self._load: EngineLoad | None = None
        self._held_back_totals: Mapping[tuple[str, str, HoldReason], int] = {}

    def step(self, *, wait: bool = True) -> StepResult:
        """Begin windows that are due, at most one of each camera, take what the model has done, and look after the
        cameras' health. Without ``wait``, what is being computed is left to a later step if nothing is done."""
        began_ns = self._clock.mono_ns()
        windows = self._take_windows(began_ns)
        self._load_meter.begin_step(began_ns, is_work=bool(windows))
        self._model.begin(windows)
        output = self._model.collect(wait=wait)
        scores = [self._derivers.enrich(score) for score in output.scores]
        for one in scores:
            self._windows[one.camera].inc()
        self._load_meter.scored += len(scores)
        self._load_meter.infer_ns += output.infer_ns
        self._update_learned_thresholds(began_ns)
        events = [event for one in scores for event in self._detect(one)]
        facts = self._statuses()
        with self._metrics.stage("detect"):
            events += [event for one in facts for event in self._detector.health(one)]
        self._count(events)
        rules = [self._detector.rule_values(one) for one in scores]
        self._adapt_attention(began_ns)
        ready_ns = min((window.ready_ns for window in output.windows), default=None)
        held = self._held_back() if facts else ()
        load = self._load if facts else None
        return StepResult(scores, rules, events, facts, held, ready_ns, output.infer_ns, len(windows), load)

    @property
    def is_computing(self) -> bool:
        """Whether windows were begun whose scores have not come yet."""
        return self._model.is_computing()

    @property
    def may_rest(self) -> bool:
        """Whether windows may gather for a moment: nothing is computed, and no camera's pictures are all decoded, or
        the capture of some lags, which needs the interpreter more."""
        if self.is_computing:
            return False
        demands = [buffer.demand for buffer in self._buffers.values()]
        return any(demand.lags for demand in demands) or not any(demand.is_awake for demand in demands)

    def has_due(self) -> bool:
        """Whether a window of any camera is waiting, or being computed, now."""
        if self.is_computing:
            return True
        now_ns = self._clock.mono_ns()
        with self._metrics.stage("gather"):
            return self._ready.has_due(now_ns)

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

    def thresholds(self) -> list[EffectiveThreshold]:
        """What is in force for every camera and label, and where it came from."""
        return self._detector.thresholds()

    def set_threshold(self, camera: str, label: str, value: float | None) -> None:
        """A new enter threshold from a command, None to take it back; InputError when it cannot be."""
        self._detector.set_threshold(camera, label, value)

    def set_armed(self, camera: str, armed: bool) -> list[Event]:
        """Arm or disarm a camera; the events that disarming ended."""
        return self._detector.set_armed(camera, armed)

    def _detect(self, scores: Scores) -> list[Event]:
        with self._metrics.stage("detect"):
            events = self._detector.scores(scores)
        reason = self._detector.wanted(scores)
        if reason is not None:
            self._buffers[scores.camera].demand.want(reason, scores.t_end_ns + WANTED_NS)
        for learner in self._learners:
            learner.observe(scores, self._detector.open_labels(scores.camera))
        return events

    def _update_learned_thresholds(self, now_ns: int) -> None:
        """Now and then: the thresholds that follow from quiet time, for labels that ask for false alarms a day."""
        if self._background is not None and now_ns >= self._next_learn_ns:
            self._next_learn_ns = now_ns + self.LEARN_EVERY_NS
            self._detector.learn(self._background.thresholds(self._detector.rates()))

    def _take_windows(self, now_ns: int) -> list[Window]:
        windows: list[Window] = []
        rows = self._model.free_rows[: self._max_rows]
        if not rows:
            return windows
        for _ in range(self._ready.collect(now_ns)):
            name = self._ready.pop()
            if self._model.is_computing(name):
                self._ready.append(name)
                continue
            row, newest = rows[len(windows)], self._newest[name]
            with self._metrics.stage("gather"):
                window = self._buffers[name].take(self._model.batch, row, now_ns, newest=newest)
            if window is None:
                continue
            self._ready.append(name)
            self._metrics.wait_s.observe(max(0.0, seconds(window.ready_ns - window.t_end_ns)))
            self._metrics.queue_s.observe(max(0.0, seconds(now_ns - window.ready_ns)))
            windows.append(window)
            if len(windows) == len(rows):
                break
        return windows

    def _adapt_attention(self, now_ns: int) -> None:
        """Now and then: cameras are looked at less closely where the box is behind, more so where there is room."""
        names = self._governor.attention
        if now_ns - self._load_meter.since_ns < self.LOAD_EVERY_NS:
            return
        load = self._load = self._load_meter.take_load(now_ns, sum(self._buffers[name].skipped for name in names))
        if not names:
            return
        open_cameras = {name for name in names if self._detector.open_labels(name)}
        states = {name: self._buffers[name].demand.status.state for name in names}
        limited = {name for name, state in states.items() if state is DecodeState.LIMITED}
        quiet = {name for name, state in states.items() if state in {DecodeState.QUIET, DecodeState.WAKING}}
        off = {name for name in names if self._state(name)[0] is not SourceState.UP}
        lagging = {name for name in names if self._buffers[name].demand.lags}
        changed = self._governor.advance(load, open_cameras, quiet, limited, off, lagging)
        changes = {name: names[name] for name in changed}
        for name, attention in changes.items():
            self._apply(name, attention)
        log_changes(changes, self._model.manifest.geometry.hop_s, load)

    def _apply(self, name: str, attention: Attention) -> None:
        buffer = self._buffers[name]
        buffer.set_stride(attention.stride, list(self._buffers).index(name))
        self._detector.set_stride(name, attention.stride)
        buffer.demand.attend(attention.key_stride, is_limited=attention.is_limited)

    def _statuses(self) -> list[CameraStatus]:
        now_ns = self._clock.mono_ns()
        if now_ns < self._next_status_ns:
            return []
        self._next_status_ns = now_ns + self.STATUS_EVERY_NS
        facts = [buffer.status(now_ns, *self._state(name)) for name, buffer in self._buffers.items()]
        for status in facts:
            if status.av_offset_s is not None:
                self._metrics.av_offset_s.labels(status.camera).set(status.av_offset_s)
        return facts

    def _held_back(self) -> Sequence[HeldBack]:
        """What is held back; what was over since the last call is counted."""
        ever = self._detector.held_ever()
        for (camera, label, reason), count in ever.items():
            more = count - self._held_back_totals.get((camera, label, reason), 0)
            if more > 0:
                self._metrics.held_back.labels(camera, label, reason.value).inc(more)
        self._held_back_totals = ever
        return self._detector.held_back()

    def _count(self, events: Sequence[Event]) -> None:
        for event in events:
            if event.phase is Phase.BEGIN:
                self._metrics.events.labels(event.camera, event.label).inc()
