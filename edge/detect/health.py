"""Health events: from the measured status of a camera to trouble with its equipment. Pure.

While a condition is unknown (a frozen picture while there is no signal), nothing begins and nothing ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge.config.models import HealthConfig
from edge.demand import DecodeState
from edge.status import CameraStatus, SourceState, StreamStatus
from edge.types import Phase, nanoseconds, seconds

NO_SIGNAL = "no_signal"
FROZEN_PICTURE = "frozen_picture"
DARK_PICTURE = "dark_picture"
SILENT_MICROPHONE = "silent_microphone"
CLOCK_DRIFT = "clock_drift"
OVERLOAD = "overload"
HEALTH_LABELS = (NO_SIGNAL, FROZEN_PICTURE, DARK_PICTURE, SILENT_MICROPHONE, CLOCK_DRIFT, OVERLOAD)
SEVERITIES = {NO_SIGNAL: "alert"}
SEVERITY = "warning"
_DRIFT_OVER = 0.8  # drift is over below this share of the limit


@dataclass(frozen=True, slots=True)
class HealthCondition:
    """One condition now: ``is_there`` is None for unknown, ``since_ns`` is when it began."""

    label: str
    is_there: bool | None
    since_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class HealthStep:
    """A health event began or ended at ``now_ns``."""

    label: str
    phase: Phase
    begin_ns: int
    now_ns: int
    text: str


class CameraHealthMonitor:
    """The open health events of one camera."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        self._first_ns: int | None = None

    def advance(self, facts: CameraStatus, limits: HealthConfig) -> list[HealthStep]:
        """Compare ``facts`` with the limits; what began or ended. A source that awaits its turn is not missed."""
        if self._first_ns is None or facts.awaits_turn:
            self._first_ns = facts.now_ns
        steps = []
        for trouble in _conditions(facts, limits, self._first_ns, frozenset(self._open)):
            began = self._open.get(trouble.label)
            if trouble.is_there and began is None:
                began = max(trouble.since_ns, self._ended.get(trouble.label, trouble.since_ns))
                self._open[trouble.label] = began
                steps.append(HealthStep(trouble.label, Phase.BEGIN, began, facts.now_ns, trouble.text))
            elif trouble.is_there is False and began is not None:
                del self._open[trouble.label]
                self._ended[trouble.label] = facts.now_ns
                steps.append(HealthStep(trouble.label, Phase.END, began, facts.now_ns, trouble.text))
        return steps

    def end(self, reason: str, now_ns: int) -> list[HealthStep]:
        """End all open health events."""
        steps = [HealthStep(label, Phase.END, began, now_ns, reason) for label, began in self._open.items()]
        self._ended.update(dict.fromkeys(self._open, now_ns))
        self._open.clear()
        return steps


def _conditions(
    facts: CameraStatus, limits: HealthConfig, first_ns: int, open_labels: frozenset[str]
) -> Iterator[HealthCondition]:
    signal = _no_signal(facts, limits, first_ns)
    yield signal
    ended = facts.state is SourceState.ENDED
    unknown = bool(signal.is_there) or facts.video is None or facts.video.age_s is None
    if facts.video is not None:
        yield _lasting(facts, FROZEN_PICTURE, facts.video.frozen_s, limits.frozen_s, unknown, ended,
                       "the picture has not changed for {:.0f} s; look whether the camera hangs")  # fmt: skip
        yield _lasting(facts, DARK_PICTURE, facts.video.quiet_s, limits.dark_s, unknown, ended,
                       "the picture has been dark for {:.0f} s; is the lens covered, the light out?")  # fmt: skip
    if facts.audio is not None:
        yield _silent(facts, facts.audio, limits, first_ns, bool(signal.is_there), ended)
    yield _drift(facts, limits, CLOCK_DRIFT in open_labels, bool(signal.is_there), ended)
    yield _overload(facts)


def _no_signal(facts: CameraStatus, limits: HealthConfig, first_ns: int) -> HealthCondition:
    stream = facts.video or facts.audio
    if stream is None or facts.state is SourceState.ENDED:
        return HealthCondition(
            NO_SIGNAL, False, facts.now_ns, "the recording ended" if stream else "nothing is expected"
        )
    age_s = stream.age_s if stream.age_s is not None else seconds(facts.now_ns - first_ns)
    if age_s < limits.no_signal_s:
        return HealthCondition(NO_SIGNAL, False, facts.now_ns, "the signal is back")
    detail = f" ({facts.detail})" if facts.detail else ""
    text = f"no signal for {age_s:.0f} s, source {facts.state.value}{detail}; look at power, cable and address"
    return HealthCondition(NO_SIGNAL, True, facts.now_ns - nanoseconds(age_s), text)


def _lasting(
    facts: CameraStatus, label: str, lasted_s: float, limit_s: float, unknown: bool, ended: bool, text: str
) -> HealthCondition:
    since_ns = facts.now_ns - nanoseconds(lasted_s)
    if ended:
        return HealthCondition(label, False, facts.now_ns, "the recording ended")
    if unknown:
        return HealthCondition(label, None, facts.now_ns, "")
    is_there = lasted_s >= limit_s
    return HealthCondition(label, is_there, since_ns, text.format(lasted_s) if is_there else "it is over")


def _silent(
    facts: CameraStatus, audio: StreamStatus, limits: HealthConfig, first_ns: int, no_signal: bool, ended: bool
) -> HealthCondition:
    """Below the silence level for too long, or no sound delivered at all while there is a picture."""
    age_s = audio.age_s if audio.age_s is not None else seconds(facts.now_ns - first_ns)
    missing = age_s >= limits.silent_s
    text = (
        "no sound has come for {:.0f} s; look at the microphone and its connection"
        if missing
        else "the microphone has been silent for {:.0f} s; is it muted or unplugged?"
    )
    return _lasting(facts, SILENT_MICROPHONE, max(age_s, audio.quiet_s) if missing else audio.quiet_s,
                    limits.silent_s, no_signal, ended, text)  # fmt: skip


def _drift(facts: CameraStatus, limits: HealthConfig, was_open: bool, no_signal: bool, ended: bool) -> HealthCondition:
    measured = [s.drift_ppm for s in (facts.video, facts.audio) if s is not None and s.drift_ppm is not None]
    if ended:
        return HealthCondition(CLOCK_DRIFT, False, facts.now_ns, "the recording ended")
    if no_signal or not measured:
        return HealthCondition(CLOCK_DRIFT, None, facts.now_ns, "")
    worst = max(measured, key=abs)
    is_there = abs(worst) >= limits.drift_ppm * (_DRIFT_OVER if was_open else 1.0)
    text = f"the source's clock drifts by {worst:+.0f} ppm; picture and sound may part: restart the source"
    return HealthCondition(CLOCK_DRIFT, is_there, facts.now_ns, text if is_there else "it is over")


def _overload(facts: CameraStatus) -> HealthCondition:
    """The camera is looked at less closely, because the box cannot keep up."""
    if not facts.is_thinned:
        return HealthCondition(OVERLOAD, False, facts.now_ns, "it is looked at as often as before")
    is_limited = facts.decode is not None and facts.decode.state is DecodeState.LIMITED
    how = f"looked at every {facts.hop_s:g} s" + (", and at key pictures only" if is_limited else " only")
    text = f"the box cannot keep up: {how}; give it fewer cameras or a faster runtime"
    return HealthCondition(OVERLOAD, True, facts.now_ns, text)
