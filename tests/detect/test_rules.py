"""Rules at work: where, when, together, agreed and armed, from scores to events."""

from __future__ import annotations

import math
from collections.abc import Iterable

from detect_parts import NIGHT_NS, PLACES, Player, at, rules, scores

from edge.config import parse
from edge.types import NS_PER_S, Contribution, Event, Phase

BEGIN, UPDATE, END = Phase.BEGIN, Phase.UPDATE, Phase.END


def told(events: Iterable[Event]) -> list[tuple[str, Phase]]:
    return [(event.label, event.phase) for event in events]


def test_intrusion_is_a_person_in_the_zone_for_long_enough() -> None:
    player = Player(rules("events: {person: {enabled: false}, intrusion: {when: person, zones: [yard], after_s: 2}}"))
    assert player.walk([0.3, 0.35, 0.4, 0.45]) == []
    assert player.seen == {"glass_break": 0.0, "fire": 0.0, "intrusion": 0.0}
    (begin,) = player.walk([0.55, 0.6, 0.65, 0.72, 0.74])
    assert player.seen["intrusion"] == 0.9
    assert (begin.label, begin.phase, begin.threshold, begin.zones) == ("intrusion", BEGIN, 0.6, ("yard", "path"))
    assert begin.why == "intrusion 0.90 (enter 0.60): person in yard for 2 s, mostly sound (+3.1), sees person 0.90"
    assert begin.contribution == Contribution(0.2, 3.1, 0.0)
    (end,) = player.walk([0.45, 0.4, *[0.3] * 10])
    assert (end.phase, end.end_ns, end.zones) == (END, begin.begin_ns, ("yard", "path"))
    assert end.why == "intrusion ended after 0.0 s, peak 0.90 (left): no person is in yard any more"


def test_what_a_rule_looks_at() -> None:
    """The score where it holds, 0 where it was seen not to, None where nothing could tell."""
    player = Player(rules("events: {person: {zones: [yard]}}"))
    player.window([at(0.8)])
    assert player.seen["person"] == 0.9
    player.window([at(0.2)])
    assert player.seen["person"] == 0.0
    player.window([at(0.8)], video_ok=False)
    assert player.seen["person"] is None
    player.window([at(0.8)], coverage=0.1)
    assert player.seen["person"] is None


def test_boxes_inside_come_first() -> None:
    player = Player(rules("events: {person: {zones: [yard], min_s: 0}}"))
    (begin,) = player.window([at(0.2, score=0.95), at(0.9, score=0.4), at(0.7, score=0.6)])
    assert [box.score for box in begin.boxes] == [0.6, 0.4, 0.95]


def test_zones_entered_later_are_told_with_the_next_phase() -> None:
    player = Player(rules("events: {person: {min_s: 0, merge_s: 0}}"))
    events = [*player.walk([0.4, 0.55, 0.62, 0.74]), *player.window()]
    assert [event.zones for event in events] == [(), ("yard", "path")]


def test_loitering_is_of_one_object_and_not_of_many() -> None:
    player = Player(rules("events: {loitering: {when: person, after_s: 3}}"))
    passing = [
        event for x in (0.05, 0.05, 0.05, 0.5, 0.5, 0.5, 0.95, 0.95, 0.95) * 2 for event in player.window([at(x)])
    ]
    assert "loitering" not in {event.label for event in passing}
    stays = [event for _ in range(8) for event in player.window([at(0.5)])]
    assert ("loitering", BEGIN) in told(stays)


def test_a_line_is_crossed_in_its_direction() -> None:
    made = rules("events: {person: {enabled: false}, out: {when: person, lines: [door], direction: to_left}}")
    player = Player(made)
    assert player.walk([0.3, 0.4, 0.6, 0.7]) == []
    (begin,) = player.walk([0.6, 0.4])
    assert begin.why.startswith("out 0.90 (enter 0.60): person crossed door to the left, ")
    (end,) = player.walk([0.3] * 10)
    assert (end.end_ns, end.why) == (
        begin.begin_ns,
        "out ended after 0.0 s, peak 0.90 (left): no person crosses door any more",
    )


def test_tailgating_is_two_crossings_in_a_short_time() -> None:
    text = "events: {person: {enabled: false}, tail: {sequence: [person, person], lines: [door], within_s: 3}}"
    player = Player(rules(text))
    assert player.walk([0.3, 0.4, 0.6, 0.7, 0.8]) == []
    (begin,) = [event for pair in ((0.3, 0.85), (0.4, 0.87), (0.6, 0.9)) for event in player.window(map(at, pair))]
    assert begin.why.startswith("tail 0.90 (enter 0.60): person crossed door to the right, person 0.90 2.5 s before")
    together = Player(rules(text))
    side_by_side = [(at(x, 0.9), at(x + 0.02, 0.5)) for x in (0.3, 0.4, 0.6)]
    assert told(event for boxes in side_by_side for event in together.window(boxes)) == [("tail", BEGIN)]


def test_a_break_in_is_glass_and_then_somebody() -> None:
    own = "break_in: {sequence: [glass_break, person], within_s: 20, zones: [yard]}"
    text = f"{{person: {{enabled: false}}, glass_break: {{enabled: false}}, {own}}}"
    player = Player(rules(f"events: {text}"))
    assert player.window([at(0.9)]) == []
    player.window()
    player.window(values={"glass_break": 0.7})
    assert [event for _ in range(23) for event in player.window([at(0.2)])] == []
    (begin,) = player.window([at(0.8)])
    assert (begin.label, begin.score, begin.threshold, begin.zones) == ("break_in", 0.7, 0.6, ("yard", "path"))
    assert "glass_break 0.70 12 s before" in begin.why
    late = Player(rules(f"events: {text}"))
    late.window(values={"glass_break": 0.7})
    assert [event for _ in range(41) for event in late.window()] == []
    assert late.window([at(0.8)]) == []


def test_all_of_is_in_any_order() -> None:
    player = Player(rules("events: {both: {all_of: [fire, glass_break], within_s: 5, enter: 0.5}}"))
    quiet = {"fire": 0.0, "glass_break": 0.0}
    player.window(values=quiet | {"glass_break": 0.55})
    for _ in range(3):
        player.window(values=quiet)
    events = player.window(values=quiet | {"fire": 0.8})
    assert told(events) == [("both", BEGIN)]
    assert player.seen["both"] == 0.55
    assert "glass_break 0.55 2 s before" in events[0].why


def test_any_of_several_takes_the_highest() -> None:
    player = Player(rules("events: {defaults: {min_s: 0}, alert: {when: [glass_break, fire], severity: warning}}"))
    events = player.window(values={"glass_break": 0.7, "fire": 0.2})
    assert told(events) == [("glass_break", BEGIN), ("alert", BEGIN)]
    assert (events[1].severity, player.seen["alert"]) == ("warning", 0.7)
    assert events[1].why.startswith("alert 0.70 (enter 0.60): mostly sound")


def test_agreement_wants_both_to_say_so_alone() -> None:
    player = Player(rules("events: {fire: {agree: true, min_s: 0}}"))

    def window(video: float, audio: float, sensors: float = 0.0) -> float | None:
        added = {"fire": Contribution(video, audio, sensors)}
        player.window(values={"fire": 0.99}, contribution=added)
        return player.seen["fire"]

    full = math.log(0.99 / 0.01)
    assert window(full + 4, 0.02) == 0.0  # the picture alone: without it the odds are e^-4
    assert window(0.02, full + 4) == 0.0
    assert window(full, 0.1) == 0.99  # without the picture it is still 0.5
    assert window(0.7, 0.7) == 0.99  # each alone is as sure: what each adds to the other is little
    assert window(0.0, 0.0, sensors=9.0) == 0.0  # sensors alone
    player.window(values={"fire": 0.99}, audio_ok=False)
    assert player.seen["fire"] is None


def test_agreement_is_told() -> None:
    player = Player(rules("events: {fire: {agree: true, min_s: 0, merge_s: 0}}"))
    (begin,) = player.window(values={"fire": 0.9}, contribution={"fire": Contribution(0.7, 0.7, 0.0)}, tags={})
    assert begin.why == "fire 0.90 (enter 0.50): picture alone 0.82 and sound alone 0.82 agree"
    (end,) = player.window(values={"fire": 0.9}, contribution={"fire": Contribution(9.0, 0.7, 0.0)})
    assert end.why.endswith("(left): picture and sound do not agree any more")


def test_a_schedule_decides_by_the_time_of_the_window() -> None:
    made = rules('events: {person: {schedule: "22:00-23:01", min_s: 0}}')
    player = Player(made, NIGHT_NS + 50 * NS_PER_S)
    (begin,) = player.window([at(0.5)])
    assert begin.why.endswith("within 22:00-23:01")
    (end,) = [event for _ in range(40) for event in player.window([at(0.5)])]
    assert end.end_ns == 19 * NS_PER_S // 2
    assert end.why == "person ended after 9.5 s, peak 0.90 (schedule): its hours, 22:00-23:01, are over"
    assert player.seen["person"] == 0.0


def test_a_schedule_for_all_and_one_that_is_always_on() -> None:
    player = Player(rules("events: {defaults: {min_s: 0, schedule: 08:00-20:00}, fire: {schedule: always}}"))
    assert told(player.window([at(0.5)], values={"fire": 0.9})) == [("fire", BEGIN)]
    other = Player(rules("events: {defaults: {min_s: 0, schedule: 22:00-06:00}}"))
    assert other.window([at(0.5)])[0].why.endswith("within 22:00-06:00")


def test_what_goes_on_even_disarmed() -> None:
    player = Player(rules("events: {defaults: {min_s: 0, merge_s: 0}, fire: {even_disarmed: true}}"))
    player.window([at(0.5)], values={"fire": 0.9})
    assert told(player.detector.set_armed("gate", False)) == [("person", END)]
    assert told(player.window([at(0.5)], values={"fire": 0.0})) == [("fire", END)]
    assert list(player.seen) == ["fire"]


def test_cameras_restrict_a_rule_and_so_do_places() -> None:
    made = rules("events: {fire: {cameras: [hall], min_s: 0}, person: {zones: [yard], min_s: 0}}")
    player = Player(made)
    assert told(player.window([at(0.9)], values={"fire": 0.9})) == [("person", BEGIN)]
    on_hall = player.detector.scores(scores(1, {"fire": 0.9, "person": 0.9}, camera="hall"))
    assert told(on_hall) == [("fire", BEGIN)]
    enabled = {(e.camera, e.label): e.enabled for e in player.detector.thresholds()}
    assert (enabled["gate", "fire"], enabled["hall", "person"]) == (False, False)


def test_rules_change_live() -> None:
    player = Player(rules("events: {defaults: {min_s: 0, merge_s: 0}, a: {when: person, zones: [yard]}}"))
    assert told(player.window([at(0.6)])) == [("person", BEGIN), ("a", BEGIN)]
    other = PLACES.replace("[0.5, 0], [1, 0], [1, 1], [0.5, 1]", "[0, 0], [0.3, 0], [0.3, 1], [0, 1]")
    again = parse(other + "events: {defaults: {min_s: 0, merge_s: 0}, b: {when: person, zones: [yard]}}").config
    assert told(player.detector.reconfigure(again)) == [("a", END)]
    assert [label.name for label in player.detector.labels] == ["person", "glass_break", "fire", "b"]
    assert player.window([at(0.6)]) == []
    assert told(player.window([at(0.2)])) == [("b", BEGIN)]
    player.detector.set_threshold("gate", "b", 0.95)
    assert {e.label: e.enter for e in player.detector.thresholds() if e.camera == "gate"}["b"] == 0.95


def test_what_was_begun_of_a_sequence_outlives_a_change_of_other_rules() -> None:
    text = "events: {seq: {sequence: [glass_break, person]}"
    player = Player(rules(text + "}"))
    player.window(values={"glass_break": 0.7})
    player.detector.reconfigure(rules(text + ", fire: {enter: 0.9}}"))
    assert ("seq", BEGIN) in told(player.window([at(0.2)]))


def test_a_reload_is_no_way_around_the_cooldown() -> None:
    player = Player(rules("events: {person: {min_s: 0, merge_s: 0}}"))
    assert told(player.window([at(0.5)])) == [("person", BEGIN)]
    assert told(player.detector.reconfigure(rules("events: {person: {enabled: false}}"))) == [("person", END)]
    player.detector.reconfigure(rules("events: {person: {min_s: 0, merge_s: 0}}"))
    assert player.walk([0.5] * 50) == []


def test_a_repeated_window_changes_nothing() -> None:
    player = Player(rules("events: {person: {min_s: 0}, t: {sequence: [person, person], lines: [door]}}"))
    player.walk([0.4])
    first = scores(0.5, {"person": 0.9}, boxes=(at(0.6),))
    player.detector.scores(first)
    before = player.detector.rule_values(first)
    assert player.detector.scores(first) == []
    assert player.detector.rule_values(first) == before
    assert player.detector.rule_values(scores(9, {})).values == {}
