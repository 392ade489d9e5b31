"""Live state for the page: written on the engine thread, read from any thread, never waited for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge.buffer.camera import CameraBuffer
from edge.clock import Clock
from edge.config.models import EvidenceConfig
from edge.demand import WakeReason
from edge.detect.explain import clear_boxes
from edge.engine.manifest import Geometry
from edge.errors import InputError
from edge.evidence.clips.speech_mute import MARGIN_NS, SpeechFlag, may_be_speech, speech_spans
from edge.evidence.privacy import blur_boxes
from edge.media_time import MediaTime
from edge.node.inputs import without_letterbox
from edge.pipeline import StepResult
from edge.status import CameraStatus, HeldBack
from edge.types import F32, NS_PER_S, Box, Event, Phase, Scores, nanoseconds
from edge.web.backend import LiveFrame, LiveSamples, LiveScores
from edge.web.hub import Hub

MOST_S = 2.0
LONGEST_S = 7.0
LISTENER_TIMEOUT_NS = 10 * NS_PER_S
RECENT_S = 180
WATCHED_NS = 3 * NS_PER_S  # how long a look at a camera asks for its pictures
MOST_WATCHED = 6  # cameras; who looks at a wall of them gets quiet ones' key pictures, a group of pictures old at most
BLUR_NS = 3 * NS_PER_S // 2  # boxes this much older than the picture are blurred in it too
_NO_SAMPLES = np.zeros(0, np.float32)


class LiveAudio:
    """One camera's live sound for the page, muted where somebody may be speaking, as in clips.

    Unless speech is allowed, a sample is returned only after every window that contains it was scored: about three
    seconds late, and never while sound is not scored. ``newest(out)`` fills f32[n] with the newest samples at
    ``rate_hz`` and returns how many there have been; ``window_ns`` is the length of a window's sound. `observe` is
    called on the engine thread, `samples_after` on any.
    """

    def __init__(self, newest: Callable[[F32], int], rate_hz: int, window_ns: int, clock: Clock) -> None:
        self._newest, self._rate, self._window_ns, self._clock = newest, rate_hz, window_ns, clock
        self._windows: deque[SpeechFlag] = deque(maxlen=64)  # on the axis of sample positions
        self._requested_ns: int | None = None

    def observe(self, scores: Scores) -> None:
        """Note whether somebody may speak in a window that was just scored; does nothing without listeners."""
        now_ns = self._clock.mono_ns()
        if self._requested_ns is None or now_ns - self._requested_ns > LISTENER_TIMEOUT_NS:
            self._windows.clear()
            return
        end = self._time(self._newest(_NO_SAMPLES)) + -max(0, now_ns - scores.t_end_ns)
        if self._windows and end <= self._windows[-1][0]:
            self._windows.clear()  # the sound began anew
        self._windows.append((end, may_be_speech(scores)))

    @property
    def windows_noted(self) -> int:
        """Windows of which it is noted whether somebody may speak: none while nobody listens."""
        return len(self._windows)

    def samples_after(self, after: int, *, speech: bool) -> LiveSamples:
        """The samples from position ``after`` on, at most two seconds; the newest when ``after`` is out of range."""
        self._requested_ns = self._clock.mono_ns()
        windows = tuple(self._windows.copy())
        end = self._newest(_NO_SAMPLES)
        limit = end if speech else self._scored_until(windows)
        first = max(0, limit - round(MOST_S * self._rate), end - round(LONGEST_S * self._rate))
        begin = after if first <= after <= limit else max(first, limit - self._rate // 2)
        if begin >= limit:
            return LiveSamples(max(0, limit), _NO_SAMPLES)
        samples = np.zeros(end - begin, np.float32)
        begin += self._newest(samples) - end  # more came meanwhile
        samples = samples[: max(0, limit - begin)]
        if not speech:
            self._silence(samples, begin, windows)
        return LiveSamples(begin + len(samples), samples)

    def _scored_until(self, windows: Sequence[SpeechFlag]) -> int:
        """The position up to which every window that covers a sample was scored."""
        if not windows:
            return 0
        return max(0, (windows[-1][0].pts_ns - self._window_ns - MARGIN_NS) * self._rate // NS_PER_S)

    def _silence(self, samples: F32, begin: int, windows: Sequence[SpeechFlag]) -> None:
        span = self._time(begin), self._time(begin + len(samples))
        for ends in speech_spans(windows, span, self._window_ns):
            first, last = (round(time.pts_ns * self._rate / NS_PER_S) - begin for time in ends)
            samples[max(0, first) : max(0, last)] = 0.0

    def _time(self, position: int) -> MediaTime:
        """A sample's time on the axis of sample positions."""
        return MediaTime(0, position * NS_PER_S // self._rate)


class LiveState:
    """The newest state of every camera. Changes are published to ``hub``."""

    def __init__(self, buffers: Mapping[str, CameraBuffer], geometry: Geometry, clock: Clock, hub: Hub) -> None:
        self.status: tuple[CameraStatus, ...] = ()
        self.held_back: tuple[HeldBack, ...] = ()
        self._buffers, self._clock, self._hub = buffers, clock, hub
        kept = round(RECENT_S / geometry.hop_s)
        self._recent: dict[str, deque[LiveScores]] = {name: deque(maxlen=kept) for name in buffers}
        self._scored: dict[str, deque[Scores]] = {name: deque(maxlen=4) for name in buffers}
        audio = geometry.audio
        self._audio = {
            name: LiveAudio(buffer.newest_sound, audio.rate_hz, nanoseconds(audio.window_s), clock)
            for name, buffer in buffers.items()
        }
        self._open: dict[str, Event] = {}
        self._watched: dict[str, int] = {}

    def observe(self, step: StepResult) -> None:
        """Note the result of a step and publish it to the hub; on the engine thread, never blocks."""
        shift_ns = self._clock.wall_ns() - self._clock.mono_ns()
        for scores, rules in zip(step.scores, step.rules, strict=False):
            self._note_scores(scores, rules.values, scores.t_end_ns + shift_ns)
        for event in step.events:
            if event.phase is Phase.END:
                self._open.pop(event.id, None)
            else:
                self._open[event.id] = event
            self._hub.publish("event", lambda event=event: event)  # type: ignore[misc]
        if step.statuses:
            self.status = tuple(step.statuses)
            self._hub.publish("facts", lambda: self.status, key="facts")
            held_back = tuple(step.held_back)
            if held_back != self.held_back:
                self.held_back = held_back
                self._hub.publish("held_back", lambda: held_back, key="held_back")

    def open_events(self) -> Sequence[Event]:
        """Events that have begun and not ended."""
        return tuple(self._open.copy().values())

    def recent_scores(self, camera: str) -> Sequence[LiveScores]:
        """The last three minutes, oldest first."""
        return tuple(self._recent[camera].copy())

    def frame(self, camera: str, evidence: EvidenceConfig | None) -> LiveFrame | None:
        """The newest picture; when there are boxes, the picture that they belong to. When ``evidence`` blurs
        anything, always a scored picture: before scoring it is not known what to blur."""
        self._watch(camera)
        classes = evidence.blur if evidence is not None else ()
        scored = tuple(self._scored[camera].copy())
        newest = scored[-1] if scored else None
        boxes = clear_boxes(newest.boxes) if newest is not None else ()
        scored_at = newest.picture if newest is not None else None
        copy = self._buffers[camera].newest_picture(scored_at) if scored_at is not None and (classes or boxes) else None
        if copy is not None and newest is not None and copy.taken_at == scored_at:
            shown = without_letterbox(copy.image, copy.content)
            if classes:
                shown = blur_boxes(shown, _recent_boxes(scored, newest), classes)
            return LiveFrame(copy.number, shown, boxes)
        if classes:
            return None
        copy = self._buffers[camera].newest_picture()
        return LiveFrame(copy.number, without_letterbox(copy.image, copy.content)) if copy is not None else None

    def sound(self, camera: str, out: F32) -> int:
        """Fill f32[n] with the newest sound; the position after its last sample."""
        return self._buffers[camera].newest_sound(out)

    def audio(self, camera: str, after: int, evidence: EvidenceConfig | None) -> LiveSamples:
        """The newest sound for the page, without speech unless ``evidence`` allows it. InputError when ``evidence``
        allows no sound."""
        if evidence is not None and not evidence.audio:
            raise InputError("evidence.audio is false in config.yaml: the sound is analysed and let out nowhere")
        return self._audio[camera].samples_after(after, speech=evidence is not None and evidence.speech)

    def _watch(self, camera: str) -> None:
        """Ask for all pictures of the cameras that somebody looks at, if they are few."""
        until_ns = self._clock.mono_ns() + WATCHED_NS
        self._watched[camera] = until_ns
        if sum(until > until_ns - WATCHED_NS for until in self._watched.copy().values()) <= MOST_WATCHED:
            self._buffers[camera].demand.want(WakeReason.PAGE, until_ns)

    def _note_scores(self, scores: Scores, values: Mapping[str, float | None], wall_ns: int) -> None:
        moment = LiveScores(scores.camera, wall_ns, values, clear_boxes(scores.boxes))
        self._recent[scores.camera].append(moment)
        self._scored[scores.camera].append(scores)
        self._audio[scores.camera].observe(scores)
        self._hub.publish("scores", lambda: moment, key=scores.camera)


def _recent_boxes(scored: Sequence[Scores], newest: Scores) -> list[Box]:
    """The newest boxes and those shortly before, so that moving objects are blurred where they were, too."""
    return [
        box
        for scores in scored
        if scores.media_end.is_on(newest.media_end) and newest.media_end.since(scores.media_end) <= BLUR_NS
        for box in scores.boxes
    ]
