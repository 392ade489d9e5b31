"""Suggested thresholds into the user's own text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config import parse
from edge.errors import InputError
from edge.tune.config_edit import difference, expected, with_enters

HEAD = "cameras: {a: {source: {type: file, path: x}}}  # one\n"
WRITTEN = {
    "none": "",
    "empty": "events: {}   # later\n",
    "flow in block": "events:\n  # of all\n  defaults: {cooldown_s: 10}  # short\n"
    "  person: {severity: info} # known\n\n# end\n",
    "block": "events:\n  person:\n    # quiet ones\n    severity: info  # why\n    min_s: 2\n\n"
    "  vehicle:\n    enter: 0.5 # old\n# end\n",
    "flow": "events: {person: {severity: info}, vehicle: {enter: 0.7, leave: 0.6}}\n",
    "rate": "events:\n  person: {false_alarms_per_day: 2, severity: info}\n",
    "rate in block": "events:\n  person:\n    false_alarms_per_day: 2  # two\n    severity: info\n",
    "leave": "events:\n  person: {enter: 0.9, leave: 0.8}\n",
    "alias": "events:\n  vehicle: &v {severity: info}\n  person: *v\n",
    "no newline": "events:\n  person: {severity: info}",
    "quoted": 'events:\n  "person": {"severity": "info"}\n',
    "list": "events:\n  vehicle:\n    when:\n      - person\n      - dog_bark\n  # last\n",
    "empty rule": "events:\n  person: {}\n",
    "broken lines": "events:\n  person: {\n    severity: info,  # first\n    min_s: 2   # second\n  }\nhealth: {}\n",
    "trailing comma": "events:\n  person: {severity: info,}\n",
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_the_text_says_what_was_promised_and_keeps_its_comments(text: str) -> None:
    text = HEAD + text
    before = parse(text).config
    after = parse(edited := with_enters(text, {"person": 0.625, "dog_bark": 0.3})).config
    wanted = {name: expected(before, name, enter) for name, enter in (("person", 0.625), ("dog_bark", 0.3))}
    assert after.events == {**before.events, **wanted}
    assert after.model_copy(update={"events": {}}) == before.model_copy(update={"events": {}})
    for comment in (line.split("#", 1)[1].strip() for line in text.splitlines() if "#" in line):
        assert comment in edited
    assert after.events["person"].false_alarms_per_day is None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(set(WRITTEN) - {"alias"})),
    st.dictionaries(st.sampled_from(["person", "vehicle", "fire"]), st.sampled_from([0.05, 0.333, 0.995]), min_size=1),
)
def test_any_thresholds_into_any_text(kind: str, enters: dict[str, float]) -> None:
    edited = with_enters(HEAD + WRITTEN[kind], enters)
    rules = parse(edited).config.events
    assert {label: rules[label].enter for label in enters} == enters
    assert with_enters(edited, enters) == edited


def test_the_difference_is_unified() -> None:
    before = HEAD + "events:\n  person: {enter: 0.5}\n"
    after = with_enters(before, {"person": 0.7})
    lines = difference(before, after, Path("my.yaml")).splitlines()
    assert lines[0] == "--- my.yaml"
    assert "-  person: {enter: 0.5}" in lines
    assert "+  person: {enter: 0.7}" in lines
    assert difference(before, before, Path("my.yaml")) == ""


def test_what_cannot_be_edited_is_said() -> None:
    """An anchor that another rule shares would change both."""
    text = HEAD + "events:\n  vehicle: &v {severity: info}\n  person: *v\n"
    with pytest.raises(InputError, match=r"by hand: events\.vehicle\.enter: 0\.6"):
        with_enters(text, {"vehicle": 0.6})
    assert parse(with_enters(text, {"person": 0.6})).config.events["vehicle"].enter is None
