"""Whatever is played to many rules at once: the same comes out again, live as in a replay, and nothing floods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detect_parts import Player, at, rules
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.types import NS_PER_S, Event, Phase

BEGIN = Phase.BEGIN
SCRIPT = st.lists(
    st.tuples(
        st.lists(
            st.tuples(st.floats(0.05, 0.95), st.sampled_from([0.5, 0.9]), st.sampled_from([0.2, 0.9])), max_size=3
        ),
        st.sampled_from([0.0, 0.5, 0.9]),
        st.booleans(),
        st.sampled_from([1.0, 1.0, 0.2]),
    ),
    max_size=60,
)
MANY = """
events:
  defaults: {min_s: 0, cooldown_s: 2, merge_s: 1, most_per_hour: 3}
  intrusion: {when: person, zones: [yard], after_s: 1}
  crossing: {when: person, lines: [door]}
  tail: {sequence: [person, person], lines: [door], within_s: 5}
  both: {all_of: [glass_break, person], within_s: 4, zones: [path]}
  fire: {agree: true, schedule: 23:00-23:01}
"""


def play(script: list[tuple[Any, ...]], late_ns: Sequence[int] = (0,)) -> tuple[list[Event], list[Any]]:
    """Events and rule values; each window ends ``late_ns`` later by the local clock than by the media's."""
    player, events, looked = Player(rules(MANY)), [], []
    for n, (boxes, heard, video_ok, coverage) in enumerate(script):
        given_ = {"values": {"glass_break": heard, "fire": heard}, "video_ok": video_ok, "coverage": coverage}
        late = n * NS_PER_S // 2 + late_ns[n % len(late_ns)]
        events += player.window([at(x, y, s) for x, y, s in boxes], **given_, t_end_ns=late)
        looked.append(dict(player.seen))
    return events, looked


@settings(deadline=None, max_examples=50)
@given(SCRIPT)
def test_a_replay_decides_the_same_and_nothing_floods(script: list[tuple[Any, ...]]) -> None:
    events, looked = play(script)
    assert (events, looked) == play(script)
    begins: dict[str, int] = {}
    for event in events:
        begins[event.label] = begins.get(event.label, 0) + (event.phase is BEGIN)
        assert (event.media_end is None) == (event.end_ns is None)
    assert max(begins.values(), default=0) <= 3
    for values in looked:
        assert all(value is None or 0 <= value <= 1 for value in values.values())


@settings(deadline=None, max_examples=50)
@given(SCRIPT, st.lists(st.integers(0, 40_000_000), min_size=1, max_size=7))
def test_live_decides_as_a_replay_does(script: list[tuple[Any, ...]], late_ns: list[int]) -> None:
    """Local time trembles live; decisions go by the media's."""

    def decided(of: tuple[list[Event], list[Any]]) -> Any:
        kept = [(e.label, e.phase, e.media_begin, e.media_end, e.peak, e.zones) for e in of[0]]
        return kept, of[1]

    assert decided(play(script, late_ns)) == decided(play(script))
