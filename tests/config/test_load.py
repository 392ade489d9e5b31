"""Configuration: what is accepted, and what a person is told when it is not."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import OFFLINE, load, parse
from edge.config.sources import RtspSourceConfig, SensorTopic, redact_url
from edge.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent.parent
CAMERA = "cameras: {yard: {source: {type: file, path: a.mp4}}}\n"
ZONE = "cameras:\n  gate:\n    source: {{type: file, path: a}}\n    zones: {{yard: {}}}\n"


def problems(text: str, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, env=env)
    return caught.value.problems


def test_the_example_loads() -> None:
    loaded = load(ROOT / "config.yaml", env={})
    source = loaded.config.cameras["yard"].source
    assert source is not None
    assert source.type == "file"
    assert loaded.resolve(source.path).is_file()
    assert loaded.config.broker is not None


def test_the_smallest_configuration_has_sane_defaults() -> None:
    config = parse(CAMERA).config
    assert config.topic_root == "edge/home/edge"
    assert config.mqtt is not None
    assert (config.mqtt.host, config.mqtt.port) == ("127.0.0.1", 1883)
    assert config.windows.max_lateness_s > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CAMERA + "evnts: {}", "config.yaml:2: evnts: unknown key; did you mean 'events'?"),
        (
            "cameras:\n  gate:\n    source:\n      type: rtsp\n      url: rtsp://h/1\n      trasport: tcp",
            "config.yaml:6: cameras.gate.source.trasport: unknown key; did you mean 'transport'?",
        ),
        (CAMERA + "mqtt:\n  qos: 1", "config.yaml:3: mqtt.qos: unknown key; valid: "),
        (
            CAMERA + "events:\n  fire: {enter: 0.3, leave: 0.5}",
            "config.yaml:3: events.fire: leave (0.5) is above enter",
        ),
        (
            CAMERA + "events: {fire: {enter: 1.5}}",
            "config.yaml:2: events.fire.enter: must be a probability between 0 and 1",
        ),
        (
            CAMERA + "events: {fire: {enter: 50}}",
            "fire.enter: must be a probability between 0 and 1; did you mean 0.5?",
        ),
        (
            CAMERA + "events: {fire: {leave: 7}}",
            "fire.leave: must be a probability between 0 and 1; did you mean 0.07?",
        ),
        (CAMERA + "events: {fire: {enter: 0}}", "config.yaml:2: events.fire.enter: "),
        (CAMERA + "node: {id: off}", "config.yaml:2: node.id: must be text; put it in quotes"),
        (
            ZONE.format("[[0, 0], [1, 0], [1.4, 1]]"),
            "config.yaml:4: cameras.gate.zones.yard: corner 3 (1.4, 1) is outside",
        ),
        (
            ZONE.format("[[0, 0], [640, 0], [640, 360]]"),
            "corner 2 (640, 0) is outside the picture, which goes from 0 to 1; di",
        ),
        (ZONE.format("[[0, 0], [1, 1]]"), "config.yaml:4: cameras.gate.zones.yard: has 2 corners; an area has 3 to 64"),
        (ZONE.format("[[0, 0], [1, 0], [1]]"), "cameras.gate.zones.yard: corner 3 must be two numbers"),
        (ZONE.format("[[0, 0], [1, 0], [1, .nan]]"), "cameras.gate.zones.yard: corner 3 (1, nan) is outside"),
        (ZONE.format("[[0, 0], [0.5, 0.5], [1, 1]]"), "cameras.gate.zones.yard: has no area"),
        (ZONE.format("0.5"), "cameras.gate.zones.yard: must be a list of corners"),
        (
            ZONE.replace("zones", "lines").format("[[0, 0]]"),
            "config.yaml:4: cameras.gate.lines.yard: has 1 corner; a line has",
        ),
        (
            ZONE.replace("zones", "lines").format("[[0, 0], [0, 0]]"),
            "cameras.gate.lines.yard: needs two different points",
        ),
        ("cameras:\n\tyard: {}", "config.yaml:2: not readable as YAML: a tab; indent with spaces"),
        (
            "cameras:\n  yard:\n    source: x\n\tmicrophone: y",
            "config.yaml:4: not readable as YAML: a tab; indent with spa",
        ),
        (
            "cameras:\n  a:\n    microphone:x\n    zones: {}",
            "at the line before for a colon without the space after it",
        ),
        (
            "cameras:\n  a:\n    source:\n    type: file\n    path:x\n",
            "a colon without the space after it: write `key: value`",
        ),
        (
            CAMERA + "mqtt: {usernam:gate}",
            "config.yaml:2: mqtt.usernam:…: a space is missing after the colon: write `usernam",
        ),
        (CAMERA + "mqtt: {password: *x}", "a value that starts with * needs quotes"),
        (CAMERA + "mqtt: {password: !x y}", "a value that starts with ! needs quotes"),
        ("&a &b c", "config.yaml:1: not readable as YAML: expected '<document start>', but found '<anchor>'"),
        ("cameras: {a: {source: {type: rtps}}}", "cameras.a.source: there is no such type; did you mean 'rtsp'?"),
        (CAMERA + "events: {fire: {enter: high}}", "config.yaml:2: events.fire.enter: "),
        (CAMERA + "events: {fire: {enter: .nan}}", "config.yaml:2: events.fire.enter: "),
        (CAMERA + "node: {id: a}\nnode: {id: b}", "config.yaml:3: node: is given twice; keep one"),
        (CAMERA + "node: {id: 'a/b'}", "config.yaml:2: node.id: "),
        ("cameras: {'a b': {source: {type: file, path: x}}}", "config.yaml:1: cameras.a b: names are letters"),
        ("cameras: {}", "config.yaml:1: cameras: "),
        ("cameras: {a: {source: {type: rtps}}}", "config.yaml:1: cameras.a.source: "),
        ("cameras: {a: {source: {type: v4l2}}}", "give either device"),
        ("cameras: {a: {source: {type: v4l2, device: 0, pipeline: x}}}", "give either device"),
        ("cameras: {a: {microphone: none}}", "has neither a source nor a named microphone"),
        ("cameras: {a: {microphone: hal}}\nmicrophones: {hall: {type: device}}", "no microphone 'hal'; there is: "),
        (CAMERA + "mqtt: {url: 'http://h'}", "must be mqtt://host:1883 or mqtts://host:8883"),
        (CAMERA + "mqtt: {url: 'mqtt://u:p@h'}", "must not hold a login"),
        (CAMERA + "web: {base_url: 'https://u:p@h'}", "web.base_url: must not hold a login"),
        (CAMERA + "mqtt: {ca_file: ca.crt}", "need an mqtts:// url"),
        (CAMERA + "mqtt: {password: a, password_file: b}", "not both"),
        (CAMERA + "metrics: {listen: '9108'}", "must be host:port"),
        (CAMERA + "metrics: {listen: 'h:99999'}", "must be host:port"),
        (CAMERA + "a: [", "config.yaml:2: not readable as YAML"),
        (CAMERA + "a: !!python/object:os.system {}", "not readable as YAML"),
        ("", "must be a mapping"),
        ("- 1", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, expected: str) -> None:
    found = problems(text)
    assert any(expected in problem for problem in found), found


def test_every_problem_is_listed_at_once() -> None:
    found = problems("cameras: {a: {source: {type: file}}}\nnod: {}\nmodel: {runtime: cuda}")
    assert len(found) == 3


def test_variables_come_from_the_environment() -> None:
    text = "cameras: {a: {source: {type: rtsp, url: 'rtsp://u:${PW}@h/1'}}}"
    source = parse(text, env={"PW": "geheim"}).config.cameras["a"].source
    assert isinstance(source, RtspSourceConfig)
    assert source.url.get_secret_value() == "rtsp://u:geheim@h/1"
    assert source.redacted_url == "rtsp://u:***@h/1"
    assert "config.yaml:1: cameras.a.source.url: environment variable PW is not set" in problems(text)


@pytest.mark.parametrize(
    "text",
    [
        "cameras: {a: {source: {type: rtsp, url: 'rtsp://u:geheim@h:port/1'}}}",
        "cameras: {a: {source: {type: rtsp, url: 'http://u:geheim@h/1'}}}",
        "cameras: {a: {source: {type: rtsp, url: ['rtsp://u:geheim@h/1']}}}",
        CAMERA + "mqtt: {password: [geheim]}",
        CAMERA + "mqtt: {url: 'mqtt://u:geheim@h'}",
        CAMERA + "mqtt: {url: 'mqtt://h', pasword: geheim}",
    ],
)
def test_a_secret_never_shows_in_an_error(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert "geheim" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


UNIT = (
    CAMERA + "mqtt: {url: 'mqtt://h', password_file: '${CREDENTIALS_DIRECTORY}/mqtt'}\n"
    "web: {password_file: '${CREDENTIALS_DIRECTORY}/web', listen: '0.0.0.0:80'}\n"
)


def test_what_only_the_service_knows_is_needed_where_it_is_used() -> None:
    """systemd's credentials and EnvironmentFile are there for the daemon alone."""
    loaded = parse(UNIT, env={}, needs=OFFLINE)
    assert (loaded.has_unset("mqtt"), loaded.has_unset("web", "password_file"), loaded.has_unset("cameras")) == (
        True,
        True,
        False,
    )
    assert set(loaded.unset) == {("mqtt", "password_file"), ("web", "password_file")}
    told = loaded.unset["mqtt", "password_file"]
    assert "CREDENTIALS_DIRECTORY is not set: systemd sets it for the service alone" in told
    assert "sudo CREDENTIALS_DIRECTORY=/etc/edge" in told
    (needed,) = (p for p in told_of(UNIT, needs={"mqtt"}))
    assert needed.startswith("config.yaml:2: mqtt.password_file: environment variable CREDENTIALS_DIRECTORY is not set")
    assert len(problems(UNIT)) == 2
    assert parse(UNIT, env={"CREDENTIALS_DIRECTORY": "/run"}, needs=OFFLINE).unset == {}


@pytest.mark.parametrize(
    "text",
    [
        "cameras: {a: {source: {type: rtsp, url: '${URL}'}}}",
        "cameras: {a: {source: {type: rtsp, url: 'rtsp://u:${PW}@h/1'}}}",
        CAMERA + "mqtt: {url: '${URL}'}",
        CAMERA + "web: {base_url: '${URL}'}",
        CAMERA + "describer: {url: '${URL}', model: m}",
    ],
)
def test_an_address_from_a_variable_that_nobody_needs(text: str) -> None:
    assert parse(text, env={}, needs=OFFLINE).unset
    assert "is not set" in str(problems(text))


def told_of(text: str, needs: set[str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, env={}, needs=needs)
    return caught.value.problems


def test_a_login_beside_a_variable_is_refused_as_any() -> None:
    for text in ("mqtt: {url: 'mqtt://u:geheim@${HOST}'}", "web: {base_url: 'https://u:geheim@${HOST}'}"):
        (problem,) = told_of(CAMERA + text, needs={"node"})
        assert "environment variable HOST is not set" in problem
        assert "geheim" not in problem


def test_the_place_of_a_secret_may_be_named() -> None:
    loaded = parse(UNIT, env={"CREDENTIALS_DIRECTORY": "/run/credentials/edge"})
    told = loaded.fault(("mqtt", "password_file"), "/run/credentials/edge/mqtt cannot be read")
    assert told == "config.yaml:2: mqtt.password_file: /run/credentials/edge/mqtt cannot be read"


def test_where_another_kind_of_value_is_a_variable_its_absence_is_told() -> None:
    (problem,) = told_of(CAMERA + "mqtt: {keepalive_s: '${KEEP}'}", needs={"node"})
    assert problem == "config.yaml:2: mqtt.keepalive_s: environment variable KEEP is not set"


def test_what_was_drawn_is_found_where_a_variable_leads(tmp_path: Path) -> None:
    (tmp_path / "drawn.yaml").write_text("events: {fire: {enter: 0.9}}\n", encoding="utf-8")
    path = tmp_path / "config.yaml"
    path.write_text(CAMERA + "node: {data_dir: '${DATA}'}\n", encoding="utf-8")
    assert load(path, env={"DATA": str(tmp_path)}).config.events["fire"].enter == 0.9


def test_a_secret_never_shows_in_a_value() -> None:
    config = parse("cameras: {a: {source: {type: rtsp, url: 'rtsp://u:geheim@h/1'}}}\nmqtt: {password: geheim}").config
    assert "geheim" not in repr(config)
    assert "geheim" not in config.model_dump_json()


def test_sensors_in_both_forms() -> None:
    text = (
        "cameras: {a: {source: {type: file, path: x},"
        " sensors: {temperature: yard/temp, light: {topic: yard/env, path: lux.0}}}}"
    )
    topics = parse(text).config.cameras["a"].sensor_topics()
    assert topics["temperature"] == SensorTopic(topic="yard/temp")
    assert topics["light"].path == "lux.0"
    assert any("sensors" in problem for problem in problems(text.replace("yard/temp", "'yard/#'")))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "missing.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(binary)


@given(st.text(max_size=200))
def test_any_text_is_a_configuration_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse(text, env={})


@given(st.text(max_size=60))
def test_redacting_never_fails(text: str) -> None:
    assert "geheim" not in redact_url(f"rtsp://user:geheim@{text}") or "geheim" in text


def test_what_contradicts_another_section_names_its_line() -> None:
    cameras, rule = "cameras:\n  yard: {source: {type: file, path: a}}\n", "    when: person\n    zones: [gate]\n"
    text = f"{cameras}events:\n  intrusion:\n{rule}"
    with pytest.raises(ConfigError, match=r"config.yaml:6: events.intrusion.zones: none of its cameras has 'gate'"):
        parse(text)
