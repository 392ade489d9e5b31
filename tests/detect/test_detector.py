from __future__ import annotations

from dataclasses import replace

import pytest
from detect_parts import GOOD_VIDEO, MANIFEST, config, facts, scores
from media_times import at

from edge.clock import VirtualClock
from edge.detect.detector import Detector
from edge.errors import InputError
from edge.types import NS_PER_S, Contribution, Event, EventKind, Phase

WALL_NS = 1_767_225_600 * NS_PER_S  # 2026-01-01


def detector(extra: str = "", clock: VirtualClock | None = None) -> Detector:
    return Detector(config(extra), MANIFEST, clock or VirtualClock(WALL_NS))


def play(subject: Detector, clock: VirtualClock, values: list[float], label: str = "person") -> list[Event]:
    """One window each half second, scored 0.2 s after its end."""
    events = []
    for n, value in enumerate(values):
        clock.advance_to(n * NS_PER_S // 2 + NS_PER_S // 5)
        events += subject.scores(scores(n / 2, {label: value}))
    return events


def test_the_life_of_an_event() -> None:
    clock = VirtualClock(WALL_NS)
    begin, end = play(detector(clock=clock), clock, [0.1, 0.7, 0.8, 0.87, *[0.2] * 7])
    assert begin.kind is EventKind.EVENT
    assert (begin.phase, begin.label, begin.camera) == (Phase.BEGIN, "person", "gate")
    assert (begin.begin_ns, begin.media_begin) == (NS_PER_S // 2, at(NS_PER_S // 2 + 7))
    assert begin.wall_begin_ns == WALL_NS + NS_PER_S // 2
    assert (begin.threshold, begin.severity, begin.end_ns) == (0.6, "alert", None)
    assert begin.contribution == Contribution(0.2, 3.1, 0.0)
    assert len(begin.boxes) == 2
    assert begin.tags == (("Shatter", 0.81), ("Glass", 0.4))
    assert (end.phase, end.id, end.end_ns) == (Phase.END, begin.id, 3 * NS_PER_S // 2)
    assert end.wall_begin_ns == begin.wall_begin_ns
    assert (end.score, end.peak) == (0.2, 0.87)
    assert (begin.media_end, end.media_end) == (None, at(3 * NS_PER_S // 2 + 7))
    assert end.why == "person ended after 1.0 s, peak 0.87 (left): the score fell to 0.20"


def test_ids_are_pinned_and_repeatable() -> None:
    def ids() -> list[str]:
        clock = VirtualClock(WALL_NS)
        return [event.id for event in play(detector("node: {id: box}", clock), clock, [0.7, 0.7, 0.7])]

    assert ids() == ids() == ["19982bf178879509"]


def test_wall_time_is_fixed_at_the_beginning() -> None:
    class Stepping(VirtualClock):
        step_ns = 0

        def wall_ns(self) -> int:
            return super().wall_ns() + self.step_ns

    clock = Stepping(WALL_NS)
    subject = detector("events: {defaults: {merge_s: 0}}", clock)
    (begin,) = play(subject, clock, [0.7, 0.7, 0.7])
    clock.step_ns = 3600 * NS_PER_S
    (end,) = subject.scores(scores(1.5, {"person": 0.1}))
    assert (end.id, end.wall_begin_ns) == (begin.id, begin.wall_begin_ns)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("glass_break", "glass_break 0.87 (enter 0.60): mostly sound (+3.1), sounds like Shatter 0.81"),
        (
            "fire",
            "fire 0.87 (enter 0.50): mostly sound (+3.1), sounds like Shatter 0.81, sees 2 x person 0.90",
        ),
        ("person", "person 0.87 (enter 0.60): mostly sound (+3.1), sees 2 x person 0.90"),
    ],
)
def test_why_is_one_plain_sentence(label: str, expected: str) -> None:
    subject = detector("events: {defaults: {min_s: 0}}")
    (begin,) = subject.scores(scores(1, {label: 0.87}))
    assert begin.why == expected


def test_why_names_two_modalities_that_agree_and_none_that_do_not_help() -> None:
    for contribution, expected in [
        (Contribution(2.0, 1.8, 0.1), "fire 0.90 (enter 0.50): picture (+2.0) and sound (+1.8)"),
        (Contribution(-0.1, 0.0, 0.0), "fire 0.90 (enter 0.50)"),
    ]:
        subject = detector("events: {fire: {min_s: 0}}")
        given = scores(1, {"fire": 0.9}, contribution={"fire": contribution}, boxes=(), tags={})
        assert subject.scores(given)[0].why == expected


def test_too_little_coverage_is_a_hole_and_not_a_zero() -> None:
    subject = detector("events: {person: {min_s: 0}}")
    assert [e.phase for e in subject.scores(scores(0, {"person": 0.9}))] == [Phase.BEGIN]
    assert subject.scores(scores(0.5, {"person": 0.0}, coverage=0.3)) == []
    (end,) = subject.scores(scores(10.5, {"person": 0.0}, coverage=0.3))
    assert (end.phase, end.end_ns) == (Phase.END, 0)
    assert "lost" in end.why


@pytest.mark.parametrize(
    ("label", "changes"),
    [
        ("person", {"video_ok": False}),
        ("glass_break", {"audio_ok": False}),
    ],
)
def test_a_label_without_its_modality_is_a_hole(label: str, changes: dict[str, bool]) -> None:
    subject = detector("events: {defaults: {min_s: 0, merge_s: 0}}")
    assert len(subject.scores(scores(0, {label: 0.9}))) == 1
    assert subject.scores(scores(0.5, {label: 0.0}, **changes)) == []
    assert len(subject.scores(scores(1, {label: 0.0}))) == 1


def test_sensors_alone_can_evidence_a_label() -> None:
    subject = detector("events: {defaults: {min_s: 0}}")
    contribution = {"glass_break": Contribution(0, 0, 2.5)}
    (begin,) = subject.scores(scores(0, {"glass_break": 0.9}, audio_ok=False, contribution=contribution))
    assert begin.why == "glass_break 0.90 (enter 0.60): mostly sensors (+2.5)"


def test_facts_notice_an_event_whose_camera_went_quiet() -> None:
    subject = detector("events: {person: {min_s: 0}}")
    subject.scores(scores(0, {"person": 0.9}))
    assert subject.health(facts(15)) == []
    (end,) = subject.health(facts(16))
    assert (end.phase, end.label, end.end_ns) == (Phase.END, "person", 0)


def test_health_events_have_the_same_shape() -> None:
    clock = VirtualClock(WALL_NS)
    subject = detector(clock=clock)
    clock.advance_to(50 * NS_PER_S)
    (begin,) = subject.health(facts(50, replace(GOOD_VIDEO, age_s=12.0)))
    assert (begin.kind, begin.label, begin.severity) == (EventKind.HEALTH, "no_signal", "alert")
    assert begin.begin_ns == 38 * NS_PER_S
    assert begin.wall_begin_ns == WALL_NS + 38 * NS_PER_S
    (end,) = subject.health(facts(51))
    assert (end.id, end.phase, end.end_ns) == (begin.id, Phase.END, 51 * NS_PER_S)
    assert end.why == "no_signal ended after 13 s: the signal is back"


def test_disarming_ends_events_but_not_those_of_the_equipment() -> None:
    subject = detector("events: {person: {min_s: 0}}")
    subject.scores(scores(0, {"person": 0.9}))
    subject.health(facts(0, replace(GOOD_VIDEO, age_s=12.0)))
    (end,) = subject.set_armed("gate", False)
    assert (end.label, end.phase) == ("person", Phase.END)
    assert "disarmed" in end.why
    assert subject.scores(scores(60, {"person": 0.9})) == []
    assert subject.set_armed("gate", True) == []
    assert [e.phase for e in subject.scores(scores(61, {"person": 0.9}))] == [Phase.BEGIN]
    assert [e.label for e in subject.end_all("shutdown", 0)] == ["person", "no_signal"]


def test_end_all_ends_everything_once() -> None:
    subject = detector("events: {defaults: {min_s: 0}}")
    subject.scores(scores(0, {"person": 0.9, "fire": 0.9}))
    ended = subject.end_all("shutdown", NS_PER_S)
    assert [(e.label, e.phase) for e in ended] == [("person", Phase.END), ("fire", Phase.END)]
    assert all("shutdown" in e.why for e in ended)
    assert subject.end_all("shutdown", NS_PER_S) == []


def test_a_reload_keeps_open_events_and_applies_the_new_limits() -> None:
    subject = detector("events: {person: {min_s: 0}}")
    (begin,) = subject.scores(scores(0, {"person": 0.9}))
    assert subject.reconfigure(config("events: {person: {enter: 0.95, leave: 0.8, merge_s: 0}}")) == []
    (end,) = subject.scores(scores(0.5, {"person": 0.7}))
    assert (end.id, end.phase, end.threshold) == (begin.id, Phase.END, 0.6)


def test_a_reload_ends_what_it_switches_off() -> None:
    subject = detector("events: {defaults: {min_s: 0}}")
    subject.scores(scores(0, {"person": 0.9, "fire": 0.9}))
    (end,) = subject.reconfigure(config("events: {person: {enabled: false}}"))
    assert (end.label, end.phase) == ("person", Phase.END)
    only_yard = config().model_copy(update={"cameras": {"yard": config().cameras["yard"]}})
    subject.health(facts(0, replace(GOOD_VIDEO, age_s=12.0)))
    assert [e.label for e in subject.reconfigure(only_yard)] == ["fire", "no_signal"]
    assert subject.scores(scores(60, {"fire": 0.9})) == []


def test_a_threshold_command_holds_from_the_next_window() -> None:
    subject = detector("events: {person: {min_s: 0}}")
    assert subject.scores(scores(0, {"person": 0.5})) == []
    assert subject.set_threshold("gate", "person", 0.5).leave == 0.3333
    assert len(subject.scores(scores(0.5, {"person": 0.5}))) == 1
    with pytest.raises(InputError):
        subject.set_threshold("gate", "nothing", 0.5)


def test_cameras_do_not_disturb_each_other() -> None:
    subject = detector("events: {person: {min_s: 0}}")
    subject.scores(scores(0, {"person": 0.9}))
    (other,) = subject.scores(scores(0, {"person": 0.9}, camera="yard"))
    assert other.camera == "yard"
    assert len({event.id for event in subject.end_all("shutdown", NS_PER_S)}) == 2


def test_cameras_may_be_given_for_recordings() -> None:
    subject = Detector(config("events: {person: {min_s: 0}}"), MANIFEST, VirtualClock(), cameras=["clip"])
    assert len(subject.scores(scores(0, {"person": 0.9}, camera="clip"))) == 1
    assert subject.scores(scores(0, {"person": 0.9})) == []
