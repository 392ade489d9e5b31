"""Whatever is played to a detector, what comes out is well formed and repeatable."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from detect_parts import GOOD_VIDEO, MANIFEST, config, facts, scores
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import VirtualClock
from edge.detect.detector import Detector
from edge.types import NS_PER_S, Event, Phase

CONFIGS = (
    config("events: {defaults: {min_s: 0, cooldown_s: 2}}"),
    config("events: {person: {enabled: false}, fire: {enter: 0.9, cooldown_s: 0}}"),
    config("events: {defaults: {severity: info}, person: {enter: 0.3, leave: 0.1}, fire: {enter: 0.3, leave: 0.1}}"),
)
HOPS = st.tuples(
    st.just("scores"),
    st.sampled_from([1, 1, 1, 2, 30]),
    st.sampled_from(["gate", "yard"]),
    st.floats(0, 1),
    st.sampled_from([1.0, 1.0, 0.3]),
    st.booleans(),
)
OTHER = st.one_of(
    st.tuples(st.just("health"), st.sampled_from([0.1, 30.0, None]), st.sampled_from([0.0, 60.0])),
    st.tuples(st.just("armed"), st.sampled_from(["gate", "yard"]), st.booleans()),
    st.tuples(st.just("threshold"), st.sampled_from(["gate", "yard"]), st.sampled_from([None, 0.2, 0.95])),
    st.tuples(st.just("config"), st.integers(0, 2)),
)
SCRIPTS = st.lists(st.one_of(HOPS, HOPS, HOPS, OTHER), max_size=80)


def play(script: list[tuple[Any, ...]]) -> list[Event]:
    clock = VirtualClock(1_767_225_600 * NS_PER_S)
    subject = Detector(CONFIGS[0], MANIFEST, clock)
    events: list[Event] = []
    t_s = 0.0
    for action, *given_ in script:
        if action == "scores":
            hops, camera, value, coverage, video_ok = given_
            t_s += hops / 2
            clock.advance_to(round((t_s + 0.2) * NS_PER_S))
            values = {"person": value, "fire": 1 - value, "glass_break": value * value}
            events += subject.scores(scores(t_s, values, camera=camera, coverage=coverage, video_ok=video_ok))
        elif action == "health":
            age_s, frozen_s = given_
            clock.advance(NS_PER_S)
            video = replace(GOOD_VIDEO, age_s=age_s, frozen_s=frozen_s)
            events += subject.health(facts(clock.mono_ns() / NS_PER_S, video))
        elif action == "armed":
            events += subject.set_armed(*given_)
        elif action == "threshold":
            subject.set_threshold(given_[0], "person", given_[1])
        else:
            events += subject.reconfigure(CONFIGS[given_[0]])
    return events + subject.end_all("shutdown", clock.mono_ns())


@given(SCRIPTS)
def test_every_event_begins_once_and_ends_once(script: list[tuple[Any, ...]]) -> None:
    opened: dict[tuple[str, str], Event] = {}
    seen: set[str] = set()
    for event in play(script):
        key = (event.camera, event.label)
        if event.phase is Phase.BEGIN:
            assert key not in opened
            assert event.id not in seen
            assert event.end_ns is None
            seen.add(event.id)
            opened[key] = event
            continue
        begun = opened[key]
        fixed = ("id", "kind", "begin_ns", "media_begin", "wall_begin_ns", "threshold", "severity")
        assert all(getattr(event, name) == getattr(begun, name) for name in fixed)
        assert event.peak >= begun.peak
        if event.phase is Phase.END:
            assert event.end_ns is not None
            assert event.end_ns >= event.begin_ns
            del opened[key]
    assert not opened


@given(SCRIPTS)
def test_a_replay_gives_the_same_events(script: list[tuple[Any, ...]]) -> None:
    assert play(script) == play(script)
