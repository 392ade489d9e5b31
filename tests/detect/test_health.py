from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from detect_parts import GOOD_AUDIO, GOOD_VIDEO, facts

from edge.config.models import HealthConfig
from edge.demand import DecodeState, DecodeStatus, WakeReason
from edge.detect.health import CameraHealthMonitor, HealthStep
from edge.status import AWAITS_TURN, CameraStatus, SourceState
from edge.types import NS_PER_S, Phase


def play(script: Sequence[CameraStatus]) -> list[tuple[float, str, str]]:
    state = CameraHealthMonitor()
    return [
        (one.now_ns / NS_PER_S, step.label, step.phase.value)
        for one in script
        for step in state.advance(one, HealthConfig())
    ]


def first(*script: CameraStatus) -> HealthStep:
    state = CameraHealthMonitor()
    return next(step for one in script for step in state.advance(one, HealthConfig()))


def test_all_well_says_nothing() -> None:
    assert play([facts(t) for t in range(100)]) == []


def test_no_signal_begins_where_the_last_picture_was() -> None:
    lost = replace(GOOD_VIDEO, age_s=10.0)
    step = first(facts(50, lost, state=SourceState.LOST, detail="connection refused"))
    assert (step.label, step.phase, step.begin_ns) == ("no_signal", Phase.BEGIN, 40 * NS_PER_S)
    assert "connection refused" in step.text
    assert play([facts(50, lost), facts(51)]) == [(50, "no_signal", "begin"), (51, "no_signal", "end")]


def test_a_camera_that_never_came_up_is_timed_from_the_first_look() -> None:
    nothing = replace(GOOD_VIDEO, age_s=None)
    script = [facts(100 + t, nothing, None, SourceState.CONNECTING) for t in range(12)]
    assert play(script) == [(110, "no_signal", "begin")]


def test_nothing_is_missed_of_a_camera_that_waits_for_others_to_connect() -> None:
    nothing = replace(GOOD_VIDEO, age_s=None)
    waiting = [facts(100 + t, nothing, None, SourceState.CONNECTING, AWAITS_TURN) for t in range(30)]
    trying = [facts(130 + t, nothing, None, SourceState.CONNECTING) for t in range(12)]
    assert play([*waiting, *trying]) == [(139, "no_signal", "begin")]


def test_a_new_event_never_reaches_back_into_the_last_one() -> None:
    state, lost = CameraHealthMonitor(), replace(GOOD_VIDEO, age_s=12.0)
    script = [facts(50, lost), facts(51), facts(52, lost)]
    steps = [step for one in script for step in state.advance(one, HealthConfig())]
    assert [step.begin_ns // NS_PER_S for step in steps] == [38, 38, 51]


def test_what_cannot_be_known_without_signal_neither_begins_nor_ends() -> None:
    frozen = replace(GOOD_VIDEO, frozen_s=40.0)
    gone = replace(GOOD_VIDEO, age_s=20.0, frozen_s=0.0, quiet_s=99.0)
    quiet = replace(GOOD_AUDIO, quiet_s=99.0)
    assert play([facts(1, frozen), facts(2, gone, quiet), facts(3)]) == [
        (1, "frozen_picture", "begin"),
        (2, "no_signal", "begin"),
        (3, "no_signal", "end"),
        (3, "frozen_picture", "end"),
    ]


def test_dark_and_silent() -> None:
    dark, quiet = replace(GOOD_VIDEO, quiet_s=25.0), replace(GOOD_AUDIO, quiet_s=61.0)
    assert play([facts(90, dark, quiet), facts(91)]) == [
        (90, "dark_picture", "begin"),
        (90, "silent_microphone", "begin"),
        (91, "dark_picture", "end"),
        (91, "silent_microphone", "end"),
    ]
    assert first(facts(90, dark)).begin_ns == 65 * NS_PER_S


def test_sound_that_never_comes_is_a_silent_microphone() -> None:
    step = first(facts(0), facts(200, audio=replace(GOOD_AUDIO, age_s=70.0)))
    assert (step.label, step.begin_ns) == ("silent_microphone", 130 * NS_PER_S)
    assert "no sound has come" in step.text
    assert play([facts(t, audio=None) for t in (0, 200)]) == []


def test_sound_alone_has_a_signal_too() -> None:
    assert play([facts(50, None, replace(GOOD_AUDIO, age_s=12.0))])[0] == (50, "no_signal", "begin")


def test_drift_has_its_own_hysteresis() -> None:
    script = [facts(n, replace(GOOD_VIDEO, drift_ppm=ppm)) for n, ppm in enumerate([299, -301, 260, 239, 260])]
    assert play(script) == [(1, "clock_drift", "begin"), (3, "clock_drift", "end")]


def test_a_camera_whose_pictures_are_limited_is_overloaded_at_the_usual_hop_too() -> None:
    status = DecodeStatus(DecodeState.LIMITED, WakeReason.PICTURE)
    busy = [replace(facts(t), hop_s=0.5, is_thinned=True, decode=status) for t in range(30)]
    step = first(*busy)
    assert (step.label, step.phase) == ("overload", Phase.BEGIN)
    assert "every 0.5 s, and at key pictures only" in step.text


def test_the_end_of_a_recording_is_no_trouble() -> None:
    gone = replace(GOOD_VIDEO, age_s=20.0)
    assert play(
        [facts(1, gone), facts(2, gone, state=SourceState.ENDED), facts(99, gone, state=SourceState.ENDED)]
    ) == [
        (1, "no_signal", "begin"),
        (2, "no_signal", "end"),
    ]
