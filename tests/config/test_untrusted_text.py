"""Configurations as people and mishaps write them: one line each, and no password in any of them."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import load, parse
from edge.config.explain import LONGEST_MESSAGE, MOST_PROBLEMS
from edge.config.yaml_reader import BYTES_AT_MOST, NODES_AT_MOST
from edge.errors import ConfigError

CAMERA = "cameras: {yard: {source: {type: file, path: a.mp4}}}\n"
SECRET = "geh31mW0rt"
URL = f"rtsp://user:{SECRET}@192.0.2.5:554/1"


def problems(text: str, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, env=env)
    assert caught.value.__cause__ is None
    assert all("\n" not in problem for problem in caught.value.problems)
    return caught.value.problems


MISHAPS = [
    f"cameras:\n  gate:\n    source:\n      type: rtsp\n      url:{URL}\n",
    f"cameras:\n  gate:\n    source:\n      url:{URL}\n",
    f"cameras: {{gate: {{source: {{type: rtsp, url:{URL}}}}}}}",
    f"cameras: {{gate: {{source: {{type: '{URL}', url: x}}}}}}",
    f"cameras: {{gate: {{source: {{type: rtsp, url: {URL}, {URL}}}}}}}",
    f"cameras: {{gate: {{source: '{URL}'}}}}",
    f"cameras: {{gate: {{source: {{type: file, path: '{URL}'}}}}}}",
    f"cameras: {{gate: {{source: {{type: v4l2, device: '{URL}'}}}}}}",
    f"cameras: {{gate: {{source: {{type: rtsp, ulr: '{URL}'}}}}}}",
    f"cameras: {{gate: {{microphone: '{URL}'}}}}",
    f"cameras: {{gate: {{source: {{type: rtsp, url: '{URL}'}}, microphone: {SECRET}}}}}",
    f"cameras: {{'{URL}': {{microphone: hall}}}}",
    f"cameras:\n  - {URL}\n",
    f"cameras: {URL}\n",
    f"{CAMERA}mqtt: {{password: *{SECRET}}}",
    f"{CAMERA}mqtt: {{password: &{SECRET} }}\nweb: {{password: &{SECRET} x}}",
    f"{CAMERA}mqtt: {{password: !{SECRET} x}}",
    f"{CAMERA}mqtt: {{password: !{SECRET}!x y}}",
    f"{CAMERA}mqtt: {{password: !!int {SECRET}}}",
    f"{CAMERA}mqtt: {{password: !!bool {SECRET}}}",
    f"{CAMERA}mqtt: {{password: !!timestamp {SECRET}}}",
    f"{CAMERA}mqtt: {{password:{SECRET}}}",
    f"{CAMERA}mqtt: {{password: ab,{SECRET}}}",
    f"{CAMERA}mqtt: {{password{SECRET}}}",
    f"{CAMERA}mqtt: {{password{SECRET}: 1}}",
    f"{CAMERA}mqtt: {{password: [{SECRET}]}}",
    f"{CAMERA}mqtt: {{password: {{{SECRET}: 1}}}}",
    f"{CAMERA}mqtt:\n  password: @{SECRET}\n",
    f"{CAMERA}mqtt:\n  password: `{SECRET}\n",
    f"{CAMERA}mqtt:\n  password: %{SECRET}\n",
    f"{CAMERA}mqtt:\n  password: ab: {SECRET}\n",
    f"{CAMERA}mqtt:\n  password: '{SECRET}\n",
    f'{CAMERA}mqtt:\n  password: "\\q{SECRET}"\n',
    f"{CAMERA}mqtt:\n  password {SECRET}\n  username: u\n",
    f"{CAMERA}mqtt:\n\tpassword: {SECRET}\n",
    f"{CAMERA}mqtt:\npassword: {SECRET}\n",
    f"{CAMERA}mqtt: {SECRET}\n",
    f"{CAMERA}mqtt: {{url: 'mqtt://u:{SECRET}@h'}}",
    f"{CAMERA}mqtt: {{url: '{URL}', keepalive_s: '{URL}'}}",
    f"{CAMERA}events: {{fire: {{schedule: '{URL}'}}}}",
    f"{CAMERA}events: {{fire: {{cameras: ['{URL}']}}}}",
    f"{CAMERA}location: {{timezone: '{URL}'}}",
    f"{CAMERA}web: {{listen: '{URL}'}}",
    f"{CAMERA}web: {{listen: '0.0.0.0:80', pasword: '{SECRET}'}}",
    f"{CAMERA}'{URL}': 1",
    f"{CAMERA}? [{URL}]\n: 1",
    f"{CAMERA}{URL}",
    f"{CAMERA}%{URL}\n",
    f"{CAMERA}mqtt: {{password: {SECRET}\0}}",
    f'{CAMERA}mqtt: {{password: "{SECRET}\\0"}}',
]


@pytest.mark.parametrize("text", MISHAPS)
def test_no_mishap_shows_a_password(text: str) -> None:
    for problem in problems(text):
        assert SECRET not in problem


def told(text: str, **env: str) -> str:
    """What is said of a configuration that may also be a right one."""
    try:
        parse(text, env=env)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", MISHAPS)
def test_what_the_environment_holds_shows_as_little(text: str) -> None:
    assert SECRET not in told(text.replace(SECRET, "${PW}"), PW=SECRET)


WITH_PASSWORD = (
    CAMERA + "mqtt: {url: 'mqtt://h', password: PW}\n",
    CAMERA + "mqtt:\n  url: mqtt://h\n  password: PW\n  keepalive_s: 30\n",
    "cameras: {yard: {source: {type: rtsp, url: 'rtsp://user:PW@192.0.2.5:554/1'}}}\n",
    "cameras:\n  yard:\n    source:\n      type: rtsp\n      url: rtsp://user:PW@192.0.2.5:554/1\n",
)


@given(
    st.sampled_from(WITH_PASSWORD),
    st.booleans(),
    st.integers(0, 90),
    st.integers(0, 3),
    st.text(alphabet="{}[]:,'\"*&!%@`#|>-?\\ \t\nab~", max_size=3),
)
def test_no_slip_of_the_finger_shows_a_password(text: str, is_before: bool, at: int, removed: int, typed: str) -> None:
    """A valid configuration with something typed into it, something taken out, anywhere but within the password."""
    before, after = text.split("PW")
    if is_before:
        before = before[:at] + typed + before[at + removed :]
    else:
        after = after[:at] + typed + after[at + removed :]
    assert SECRET not in told(before + SECRET + after)


_TEN_TIMES = "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in pairwise("abcdefghijklm")
)
_MERGED = "".join(f"b{i + 1}: &b{i + 1} {{<<: [{', '.join([f'*b{i}'] * 10)}]}}\n" for i in range(12))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [x, x, x]\n" + _TEN_TIMES, f"more than {NODES_AT_MOST} values"),
        ("b0: &b0 {k: v}\n" + _MERGED, f"more than {NODES_AT_MOST} values"),
        ("a: &a [*a]", "alias that is not there"),
        ("a: " + "[" * 5000, "nested more than 32 deep"),
        ("a: " + "{b: " * 5000, "nested more than 32 deep"),
        ("- " * 5000 + "a", "nested more than 32 deep"),
        ("\n".join("  " * i + "a:" for i in range(400)), "nested more than 32 deep"),
        ("? " * 5000 + "a", "nested more than 32 deep"),
        (CAMERA + "x: " + "y" * BYTES_AT_MOST, "is larger than 256 kB"),
        (CAMERA + "x: [" + "1," * NODES_AT_MOST + "]", f"more than {NODES_AT_MOST} values"),
        (CAMERA.replace("a.mp4", '"a\\0b"'), "cameras.yard.source.path: holds a NUL character"),
        (CAMERA.replace("a.mp4", '"a\\ud800b"'), "cameras.yard.source.path: holds half a character"),
        (CAMERA.replace("a.mp4", "a\0b"), "config.yaml:1: not readable as YAML: the character U+0000"),
        ("1: {}\n2: " + "9" * 5000, "a number or date that there cannot be"),
        (CAMERA + "x: 2026-99-99", "a number or date that there cannot be"),
    ],
    ids=range(15),
)
def test_what_would_hang_or_break_is_one_line(text: str, said: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert said in found[0]


def test_a_long_message_is_cut() -> None:
    for text in (CAMERA + f"? {'k' * 240_000}\n: 1", CAMERA.replace("}}}", f"}}, microphone: {'m' * 240_000}}}}}")):
        (problem,) = problems(text)
        assert len(problem) < LONGEST_MESSAGE + 100
        assert "…" in problem


def test_of_very_many_problems_the_first_are_told() -> None:
    keys = "".join(f"key{i}: 1\n" for i in range(1000))
    for text in (CAMERA + keys, CAMERA + "mqtt: {" + "url: u, " * 1001 + "}", CAMERA + f"x: '{'${A}' * 1000}'"):
        found = problems(text)
        assert len(found) == MOST_PROBLEMS + 1
        assert re.search(r"config.yaml: 95\d more problems like these", found[-1])


def test_the_commonest_password_hides_no_key() -> None:
    (problem,) = problems(CAMERA + "mqtt: {password: password, password_file: x}")
    assert problem == "config.yaml:2: mqtt: give password or password_file, not both"


def test_a_terminal_is_not_written_to_by_a_configuration() -> None:
    (problem,) = problems(CAMERA + 'events: {fire: {schedule: "\\e[2J\\a"}}')
    assert problem.isprintable()


def test_aliases_that_people_use_still_work() -> None:
    text = (
        "cameras:\n  a: {source: {type: file, path: x}, zones: &zones {door: [[0, 0], [1, 0], [1, 1]]}}\n"
        "  b: {source: {type: file, path: y}, zones: *zones}\n"
        "events:\n  fire: &loud {enter: 0.7, cooldown_s: 5}\n  smoke: {<<: *loud, enter: 0.6}\n"
    )
    config = parse(text).config
    assert config.cameras["b"].zones == config.cameras["a"].zones
    assert (config.events["smoke"].enter, config.events["smoke"].cooldown_s) == (0.6, 5)
    assert "config.yaml:2: cameras.b.zones.door: corner 3" in problems(text.replace("[1, 1]]", "[1, 2]]"))[1]


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(ConfigError, match="larger than 256 kB"):
        load(path)
