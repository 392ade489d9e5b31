"""Nothing is held back in silence: every score above its threshold without an event has a reason, and is counted."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from itertools import pairwise

import media_times
import pytest
from detect_parts import NIGHT_NS, Player, at, rules

from edge.detect.hysteresis import Hysteresis
from edge.detect.limits import MOST_OBJECTS, SAME_OBJECT_IOU, EventLimits, EventSubject, LimitKind, ScoreSample
from edge.detect.tracking import iou
from edge.status import HeldBack, HoldReason
from edge.types import NS_PER_S, Phase

HOP = NS_PER_S // 2
GLASS = {"glass_break": 0.9, "person": 0.0}
QUICK = "min_s: 0, merge_s: 0, cooldown_s: 0"


def of(player: Player, label: str) -> HeldBack | None:
    return next((one for one in player.detector.held_back() if one.label == label), None)


def reason(player: Player, label: str) -> HoldReason | None:
    held = of(player, label)
    return None if held is None else held.reason


def counts(player: Player, label: str) -> Mapping[HoldReason, int]:
    held = of(player, label)
    return {} if held is None else held.this_hour


def hear(player: Player, *values: float) -> list[HoldReason | None]:
    """Windows with these scores of glass breaking; why each has no event."""
    told = []
    for value in values:
        player.window(values={"glass_break": value, "person": 0.0})
        told.append(reason(player, "glass_break"))
    return told


def test_what_has_not_lasted_for_min_s_is_waiting() -> None:
    player = Player(rules("events: {glass_break: {enter: 0.6, leave: 0.4, min_s: 1, merge_s: 0}}"))
    waiting = HoldReason.WAITING
    assert hear(player, 0.9, 0.9, 0.9) == [waiting, waiting, None], "the third begins an event"
    assert counts(player, "glass_break") == {}, "what was told after all was not held back"
    player = Player(rules("events: {glass_break: {enter: 0.6, leave: 0.4, min_s: 1, merge_s: 0}}"))
    assert hear(player, 0.9, 0.5, 0.1) == [waiting, waiting, None]
    assert counts(player, "glass_break") == {waiting: 1}


def test_what_comes_within_the_cooldown_is_told_as_such() -> None:
    player = Player(rules("events: {glass_break: {enter: 0.6, leave: 0.4, min_s: 0, merge_s: 0, cooldown_s: 5}}"))
    assert hear(player, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1)[2::2] == [HoldReason.COOLDOWN] * 2
    assert counts(player, "glass_break") == {HoldReason.COOLDOWN: 2}
    hear(player, *[0.1] * 8)
    (begun,) = [e for e in player.window(values=GLASS) if e.label == "glass_break"]
    assert "2 more were held back since the last one (cooldown_s)" in begun.why


def test_what_is_beyond_most_per_hour_is_told_as_such() -> None:
    player = Player(rules(f"events: {{glass_break: {{enter: 0.6, leave: 0.4, {QUICK}, most_per_hour: 2}}}}"))
    assert hear(player, *[0.9, 0.1] * 2) == [None] * 4
    assert hear(player, *[0.9, 0.1] * 3) == [HoldReason.RATE_LIMITED, None] * 3
    held = of(player, "glass_break")
    assert held is not None
    assert (held.camera, held.this_hour, held.limited) == ("gate", {HoldReason.RATE_LIMITED: 3}, 3)
    hear(player, 0.93)
    held = of(player, "glass_break")
    assert held is not None
    assert (held.score, held.enter, held.since_wall_ns) == (0.93, 0.6, NIGHT_NS + 10 * HOP)
    assert player.detector.held_ever() == {("gate", "glass_break", HoldReason.RATE_LIMITED): 3}


def test_what_comes_again_within_merge_s_is_counted_and_is_no_hold() -> None:
    player = Player(rules("events: {glass_break: {enter: 0.6, leave: 0.4, min_s: 0, merge_s: 3}}"))
    assert hear(player, 0.9, 0.1, 0.9, 0.9, 0.1, 0.1, 0.9) == [None] * 7
    assert counts(player, "glass_break") == {HoldReason.MERGED: 2}
    assert player.detector.held_back()[0].limited == 0


def test_what_a_disarmed_camera_sees_is_told_as_such() -> None:
    player = Player(rules("events: {glass_break: {enter: 0.6, min_s: 0, merge_s: 0}, fire: {even_disarmed: true}}"))
    player.detector.set_armed("gate", armed=False)
    assert hear(player, 0.1, 0.9, 0.9, 0.1) == [None, HoldReason.DISARMED, HoldReason.DISARMED, None]
    assert counts(player, "glass_break") == {HoldReason.DISARMED: 1}
    player.window(values={"fire": 0.9})
    assert reason(player, "fire") is HoldReason.WAITING, "a rule that goes on is not disarmed"


def test_what_comes_out_of_hours_is_told_as_such() -> None:
    player = Player(rules("events: {glass_break: {enter: 0.6, min_s: 0, schedule: '08:00-18:00'}}"))
    assert hear(player, 0.9, 0.1) == [HoldReason.OUTSIDE_SCHEDULE] * 2, "it may come again within merge_s"
    player = Player(
        rules("events: {glass_break: {enter: 0.6, min_s: 0, schedule: '08:00-18:00'}}"), NIGHT_NS - 11 * HOUR
    )
    assert hear(player, 0.9, 0.1) == [None, None]


def test_who_is_outside_of_the_zone_or_has_not_stayed_is_told_as_such() -> None:
    player = Player(rules("events: {person: {zones: [yard], min_s: 0, after_s: 2, merge_s: 0}}"))
    player.walk([0.2, 0.2])
    assert reason(player, "person") is HoldReason.OUTSIDE_ZONE
    player.walk([0.55, 0.6, 0.6])
    assert reason(player, "person") is HoldReason.WAITING
    player.walk([0.6, 0.6])
    assert reason(player, "person") is None
    assert [e.label for e in player.detector.end_all("over", 0)] == ["person"]
    assert counts(player, "person") == {}


def test_what_one_sense_alone_tells_is_told_as_such() -> None:
    player = Player(rules("events: {fire: {agree: true, min_s: 0, merge_s: 0}}"))
    player.window(values={"fire": 0.7})
    assert reason(player, "fire") is HoldReason.NOT_AGREED
    player.window(values={"fire": 0.7}, audio_ok=False)
    assert reason(player, "fire") is HoldReason.LOW_COVERAGE


def test_what_too_little_was_seen_of_is_told_as_such() -> None:
    player = Player(rules("events: {glass_break: {min_s: 0}}"))
    player.window(values=GLASS, coverage=0.01)
    assert reason(player, "glass_break") is HoldReason.LOW_COVERAGE


def test_what_is_below_is_no_hold() -> None:
    player = Player(rules("events: {glass_break: {enter: 0.6, leave: 0.4, min_s: 0}}"))
    assert hear(player, 0.59, 0.5, 0.0) == [None] * 3
    assert player.detector.held_back() == ()


def test_a_hold_is_over_when_nothing_comes_any_more() -> None:
    player = Player(rules("events: {glass_break: {min_s: 0}}"))
    player.detector.set_armed("gate", armed=False)
    player.window(values=GLASS)
    player.detector.expire("gate", 14 * NS_PER_S)
    assert reason(player, "glass_break") is HoldReason.DISARMED
    player.detector.expire("gate", 16 * NS_PER_S)
    assert reason(player, "glass_break") is None
    assert counts(player, "glass_break") == {HoldReason.DISARMED: 1}


def test_an_hour_later_it_counts_no_more() -> None:
    player = Player(rules("events: {glass_break: {min_s: 0, merge_s: 0, cooldown_s: 60}}"))
    hear(player, *[0.9, 0.1] * 3)
    assert counts(player, "glass_break") == {HoldReason.COOLDOWN: 2}
    player.clock.advance_to(3601 * NS_PER_S)
    assert player.detector.held_back() == ()


HOUR = 3600 * NS_PER_S
FEW = EventLimits(0.6, 0.4, 0, 0, 0, 12, LimitKind.REPETITIONS)


def begins(
    samples: Iterable[tuple[float, float | None, EventSubject]],
    limits: EventLimits = FEW,
    state: Hysteresis | None = None,
) -> list[float]:
    """When events begin, of (seconds, value, subject)."""
    state, found = state or Hysteresis(HOP), []
    for t_s, value, subject in samples:
        t_ns = round(t_s * NS_PER_S)
        found += [
            t_s
            for step in state.advance(ScoreSample(t_ns, media_times.at(t_ns), value, None, subject), limits)
            if step.phase is Phase.BEGIN
        ]
    return found


def every(
    period_s: float, until_s: float, value: float = 0.9, subject: EventSubject | None = None
) -> list[tuple[float, float | None, EventSubject]]:
    """A second of a score every so often, as a looped recording has it."""
    shown = subject or EventSubject()
    return [
        (n * period_s + late, late_value, shown)
        for n in range(int(until_s // period_s))
        for late, late_value in ((0.0, value), (0.5, value), (1.0, 0.0))
    ]


def test_a_fire_every_minute_and_a_half_is_never_silent_for_long() -> None:
    """The bundled clip on a loop for three hours: as before for the first quarter of an hour, then told on and on."""
    told = begins(every(85.0, 3 * 3600))
    gaps = [later - earlier for earlier, later in pairwise(told)]
    assert told[:12] == [85.0 * n for n in range(12)]
    assert max(gaps) <= 300 + 85
    assert len(told) < 60, "repetitions do not all come through"
    hard = begins(every(85.0, 3 * 3600), EventLimits(0.6, 0.4, 0, 0, 0, 12))
    assert max(later - earlier for earlier, later in pairwise(hard)) > 2400, "as configured"


def busy() -> tuple[Hysteresis, EventSubject]:
    """A state that has told its twelve within ten minutes, all of one person by the door."""
    state, person = Hysteresis(HOP), EventSubject(((1, at(0.2)),), ("path",))
    assert len(begins(every(50.0, 600, 0.7, person), state=state)) == 12
    return state, person


@pytest.mark.parametrize(
    ("subject", "value", "is_told"),
    [
        (EventSubject(((1, at(0.2)),), ("path",)), 0.7, False),
        (EventSubject(((2, at(0.21)),), ("path",)), 0.7, False),
        (EventSubject(((1, at(0.2)),), ("path", "yard")), 0.7, True),
        (EventSubject(((2, at(0.8)),), ("path",)), 0.7, True),
        (EventSubject(((1, at(0.8)),), ("path",)), 0.7, False),
        (EventSubject(((1, at(0.2)),), ("path",)), 0.81, True),
    ],
    ids=["the same", "seen anew at its place", "another zone", "somebody else", "the same walks on", "clearly higher"],
)
def test_what_is_new_is_no_repetition(subject: EventSubject, value: float, is_told: bool) -> None:
    state, _ = busy()
    assert begins([(610.0, value, subject)], state=state) == ([610.0] if is_told else [])


def test_somebody_new_who_came_through_the_same_door_is_told_as_they_walk_on() -> None:
    state, _ = busy()
    walk = [(610 + n / 2, 0.7, EventSubject(((2, at(0.2 + n / 50)),), ("path",))) for n in range(4)]
    shared = [iou(at(0.2), at(0.2 + n / 50)) for n in range(4)]
    assert [share < SAME_OBJECT_IOU for share in shared] == [False, False, False, True]
    assert begins(walk, state=state) == [611.5]


def test_a_spaced_limit_is_never_silent_for_long_but_lets_nothing_through_for_being_new() -> None:
    """What is of severity info or warning: a count meant for chatter, still without an hour of silence."""
    spaced = EventLimits(0.6, 0.4, 0, 0, 0, 12, LimitKind.SPACED)
    told = begins(every(85.0, 3 * 3600), spaced)
    assert max(later - earlier for earlier, later in pairwise(told)) <= 300 + 85
    state, _ = busy()
    assert begins([(610.0, 0.99, EventSubject(((2, at(0.8)),), ("yard",)))], spaced, state) == []


def test_an_hour_later_everything_is_new() -> None:
    state, person = busy()
    assert begins([(3600 + 600.0, 0.7, person)], state=state) == [4200.0]


def test_a_count_that_is_configured_holds_back_what_is_new_too() -> None:
    state, _ = busy()
    hard = EventLimits(0.6, 0.4, 0, 0, 0, 12)
    assert begins([(610.0, 0.99, EventSubject(((2, at(0.8)),), ("yard",)))], hard, state) == []
    assert state.holding.now is not None
    assert state.holding.now.reason is HoldReason.RATE_LIMITED


def test_what_is_remembered_is_bounded() -> None:
    state = Hysteresis(HOP)
    crowd = [
        (
            n / 2,
            0.9 if n % 2 else 0.0,
            EventSubject(tuple((10 * n + k, at(0.1 * k)) for k in range(10)), (f"zone{n % 5}",)),
        )
        for n in range(2000)
    ]
    begins(crowd[:1000], state=state)
    before = len(pickle.dumps(state))
    begins(crowd[1000:], state=state)
    assert len(pickle.dumps(state)) < min(1.5 * before, 150 * MOST_OBJECTS)


def test_the_limit_follows_from_severity_unless_a_count_is_given() -> None:
    player = Player(rules("events: {person: {severity: warning}, fire: {most_per_hour: 3}}"))
    told = {e.label: (e.most_per_hour, e.limit) for e in player.detector.thresholds() if e.camera == "gate"}
    assert told == {
        "person": (12, LimitKind.SPACED),
        "glass_break": (12, LimitKind.REPETITIONS),
        "fire": (3, LimitKind.HARD),
    }


def test_a_new_person_is_told_though_the_count_is_reached() -> None:
    """Through the detector: tracks and zones reach the limit."""
    player = Player(rules("events: {person: {min_s: 0, merge_s: 0, cooldown_s: 0}}"))
    begun = [e for _ in range(20) for x in ([at(0.2)], []) for e in player.window(x) if e.phase is Phase.BEGIN]
    assert len(begun) == 12, "one person whose score flickers"
    assert reason(player, "person") is None
    assert counts(player, "person") == {HoldReason.RATE_LIMITED: 8}
    new = [e for e in player.window([at(0.2), at(0.8)]) if e.phase is Phase.BEGIN]
    assert [e.label for e in new] == ["person"]
    assert "8 more were held back since the last one (most_per_hour)" in new[0].why
