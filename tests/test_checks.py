"""`edge check`: what is wrong is said, with what to do, and the exit code tells it to programs."""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.bench.processes import free_port
from edge.checks.environment import check_page, check_reach, check_sensors
from edge.cli import main
from edge.clock import VirtualClock
from edge.config import parse
from edge.config.models import duplicate_streams
from edge.detect.thresholds import Thresholds
from edge.detect.validation import validate as fitting
from edge.engine.manifest import find_folder, load_folder
from edge.errors import SinkError, install_command
from edge.types import NS_PER_S

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = f"{{type: file, path: '{ROOT}/samples/yard.mp4'}}"
YARD = f"cameras: {{yard: {{source: {SAMPLE}}}}}\n"
RTSP = "cameras: {yard: {source: {type: rtsp, url: 'rtsp://u:geheim@127.0.0.1:9/x', open_timeout_s: 1}}}\n"


def check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, *, code: int
) -> dict[str, list[tuple[str, str]]]:
    """Run `edge check` on a configuration; findings by area."""
    path = tmp_path / "config.yaml"
    path.write_text(f"node: {{data_dir: '{tmp_path}/data'}}\n{text}", encoding="utf-8")
    assert main(["check", "-c", str(path), "--json"]) == code
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is (code == 0)
    areas: dict[str, list[tuple[str, str]]] = {}
    for finding in report["findings"]:
        areas.setdefault(finding["area"], []).append((finding["level"], finding["text"]))
    return areas


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = "events: {fire: {enter: 0.9}, person: {enabled: false}}"
    text = f"{YARD}mqtt: null\n{events}"
    found = check(tmp_path, capsys, text, code=0)
    assert found["cameras.yard"] == [("ok", "picture and sound arrive")]
    assert found["yard/fire"][0][1].startswith("enter 0.9 (config), leave 0.6")
    assert found["yard/person"][0][1].endswith("off")
    assert "self-test" in found["model"][0][1]


ADVICE = "{defaults: {enter: 0.6, min_s: 0}, explosion: {enter: 0.6, min_s: 0}, fire: {enabled: false}}"


def advised(label: str) -> float:
    """The model's own `enter`."""
    return next(x.enter for x in load_folder(find_folder("fused")).manifest.labels if x.name == label)


def test_what_is_below_the_advice_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = check(tmp_path, capsys, f"{YARD}mqtt: null\nevents: {ADVICE}", code=0)
    said = [(level, text.partition("config.yaml:4: ")[2]) for level, text in found["events"]]
    (explosion,) = (text for level, text in said if text.startswith("events.explosion.enter"))
    assert f"explosion enter 0.6 is below the model's advice {advised('explosion'):g}: expect false alarms" in explosion
    brief = [text for level, text in said if "min_s" in text]
    assert len(brief) == 1
    assert brief[0].startswith("events.defaults.min_s: min_s 0 is shorter than the model's advice for person (1 s)")
    assert "fire" not in brief[0]
    assert "explosion" not in brief[0]
    higher = [(level, text) for level, text in said if text.startswith("events.defaults.enter: does not lower")]
    assert [level for level, _ in higher] == ["ok"]
    assert "explosion" not in higher[0][1], "it has its own"
    assert {level for level, text in said if text != higher[0][1]} == {"warning"}
    assert found["yard/explosion"][0][1] == f"enter 0.6 (config), leave 0.4, alert, advised {advised('explosion'):g}"
    assert found["yard/smoke"][0][1].startswith("enter 0.6 (config)")


def test_what_a_default_does_not_lower_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = check(tmp_path, capsys, f"{YARD}mqtt: null\nevents: {{defaults: {{enter: 0.7}}}}", code=0)
    ((level, text),) = found["events"]
    assert level == "ok"
    labels = load_folder(find_folder("fused")).manifest.labels
    kept = ", ".join(f"{x.name} ({x.enter:g})" for x in labels if x.enter > 0.7)
    assert "explosion" in kept
    assert f"events.defaults.enter: does not lower the model's advice for {kept}; to go below it" in text
    assert found["yard/explosion"][0][1].startswith(f"enter {advised('explosion'):g} (model)")
    assert found["yard/fire"][0][1].startswith("enter 0.7 (config)")


def test_a_command_below_the_advice_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.checks.model.saved_thresholds", lambda _: [("yard", "fire", 0.3), ("gone", "fire", 0.1)])
    found = check(tmp_path, capsys, f"{YARD}mqtt: null", code=0)
    assert [level for level, _ in found["yard/fire"]] == ["ok", "warning"]
    assert f"enter 0.3, set by command, is below the model's advice {advised('fire'):g}" in found["yard/fire"][1][1]


def test_the_readme_advises_nothing_below_the_models_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    loaded = parse(blocks[0], tmp_path / "config.yaml", env={"GATE_PASSWORD": "x"})
    manifest = load_folder(find_folder("fused")).manifest
    assert fitting(loaded.config, manifest) == []
    thresholds = Thresholds(loaded.config, manifest)
    for one in thresholds.all_effective():
        advice = thresholds.advice(one.label)
        assert (one.enter >= advice.enter, one.min_s >= advice.min_s) == (True, True), one.label
    assert loaded.config.web is not None
    assert list(check_reach(loaded.config.web)) == []


SAME = """
cameras:
  a: {source: {type: rtsp, url: 'rtsp://u:geheim@192.0.2.5/1'}, record: {type: rtsp, url: 'rtsp://192.0.2.5:554/1/'}}
  b: {source: {type: rtsp, url: 'rtsp://192.0.2.5:554/1'}, record: {type: rtsp, url: 'rtsp://192.0.2.5/2'}}
  c: {source: {type: rtsp, url: 'rtsp://192.0.2.5/1?subtype=2'}}
  d: {source: {type: v4l2, device: 0}}
  e: {source: {type: v4l2, device: /dev/video0}}
  f: {source: {type: file, path: a.mp4}}
  g: {source: {type: file, path: a.mp4}}
  h: {source: {type: rtsp, url: '${HALL}'}}
  i: {source: {type: rtsp, url: '${HALL}'}}
"""


def test_one_stream_for_two_cameras_is_told() -> None:
    loaded = parse(SAME, env={}, needs=())
    lines = [loaded.fault(key, message) for key, message in duplicate_streams(loaded.config)]
    assert [line.partition(": is the stream of ")[::2] for line in lines] == [
        ("config.yaml:3: cameras.a.record.url", "source: leave record out, or give the address of the main stream"),
        ("config.yaml:4: cameras.b.source.url", "cameras.a.source; is it this camera's address?"),
        ("config.yaml:7: cameras.e.source.device", "cameras.d.source; is it this camera's address?"),
    ]


def page(text: str) -> dict[str, str]:
    """What is said of a page, by area, of what is not well."""
    loaded = parse(f"{YARD}web: {text}", env={"PW": "x"}, needs=())
    return {finding.area: finding.text for finding in check_page(loaded) if finding.level != "ok"}


def test_links_that_no_phone_can_follow_and_passwords_in_the_clear_are_told() -> None:
    found = page("{listen: '0.0.0.0:8088', password: geheim}")
    assert "links in alerts have no host and lead nowhere from a phone" in found["web.base_url"]
    assert "http://gate-01.example:8088" in found["web.base_url"]
    assert "passwords and pictures cross the network unencrypted" in found["web.listen"]
    assert set(page("{listen: '0.0.0.0:8088', password: geheim, base_url: 'http://gate:8088'}")) == {"web.listen"}
    assert set(page("{listen: '0.0.0.0:8088', password: geheim, cert_file: a, key_file: b}")) == {"web.base_url"}
    assert page("{listen: '0.0.0.0:8088', password: geheim, base_url: 'https://gate'}") == {}
    assert page("{listen: '127.0.0.1:8088'}") == {}


@contextmanager
def spoken(payloads: dict[str, bytes], on_message: Callable[[str, bytes], None]) -> Iterator[None]:
    for topic, payload in payloads.items():
        on_message(topic, payload)
    yield


def test_sensors_are_shown_with_what_they_say() -> None:
    sensors = (
        "{temperature: yard/t, light: {topic: yard/env, path: lux}, humidity: {topic: yard/env, path: rh}, co2: c}"
    )
    loaded = parse(f"cameras: {{yard: {{source: {SAMPLE}, sensors: {sensors}}}}}")
    manifest, clock = load_folder(find_folder("fused")).manifest, VirtualClock()
    heard = {"yard/t": b"21.5", "yard/env": b'{"lux": 300}'}
    found = list(check_sensors(loaded, manifest, lambda _l, topics, tell: spoken(heard, tell), clock))
    assert [(f.area.removeprefix("cameras.yard.sensors."), f.level) for f in found] == [
        ("temperature", "ok"),
        ("light", "ok"),
        ("humidity", "error"),
        ("co2", "warning"),
    ]
    assert [f.text for f in found[:2]] == ["yard/t: 21.5 °C", "yard/env: 300 lx"]
    assert "there is no 'rh'" in found[2].text
    assert found[3].text.startswith("c: nothing came within 5 s")
    assert clock.mono_ns() == 5 * NS_PER_S
    heard["c"] = b"600"
    heard["yard/env"] = b'{"lux": 300, "rh": 40}'
    at_once = VirtualClock()
    assert all(
        f.level == "ok" for f in check_sensors(loaded, manifest, lambda _l, topics, tell: spoken(heard, tell), at_once)
    )
    assert at_once.mono_ns() == 0


def test_sensors_without_a_broker_are_told() -> None:
    manifest = load_folder(find_folder("fused")).manifest
    text = f"cameras: {{yard: {{source: {SAMPLE}, sensors: {{temperature: yard/t}}}}}}\n"

    def away(*_: object) -> Any:
        raise SinkError("nobody listens at h:1883")

    (found,) = check_sensors(parse(f"{text}mqtt: null"), manifest)
    assert (found.level, "mqtt is off" in found.text) == ("warning", True)
    (found,) = check_sensors(parse(text), manifest, away)
    assert found.text == "not checked: nobody listens at h:1883"
    (found,) = check_sensors(parse(f"{text}broker: {{}}"), manifest, away)
    assert (found.level, "while `edge run`" in found.text) == ("ok", True)
    assert list(check_sensors(parse(YARD), manifest, away)) == []


def test_outside_the_unit_the_rest_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    unit = "mqtt: {url: 'mqtt://192.0.2.1', username: u, password_file: '${CREDENTIALS_DIRECTORY}/mqtt-password'}\n"
    found = check(tmp_path, capsys, f"{YARD}{unit}", code=0)
    assert [level for level, _ in found["config"]] == ["ok", "warning"]
    assert "sudo CREDENTIALS_DIRECTORY=/etc/edge edge check" in found["config"][1][1]
    assert found["mqtt"] == [("warning", "mqtt://192.0.2.1: not tried, for what it needs is not set here")]
    assert found["cameras.yard"] == [("ok", "picture and sound arrive")]
    gate = "cameras: {gate: {source: {type: rtsp, url: 'rtsp://u:${NOT_SET_HERE}@192.0.2.5/1'}}}\nmqtt: null\n"
    found = check(tmp_path, capsys, gate, code=2)
    assert "environment variable NOT_SET_HERE is not set; not tried" in found["config"][1][1]
    assert "cameras.gate" not in found


def test_what_is_missing_is_got_by_a_command_that_works() -> None:
    command = install_command("web")
    assert command.startswith(f"{sys.executable} -m pip install 'fastapi")
    assert "uvicorn" in command
    assert "edge-monitor" not in command
    texts = (*ROOT.rglob("edge/**/*.py"), *ROOT.glob("docs/**/*.md"), ROOT / "README.md")
    named = [path for path in texts if re.search(r"edge-monitor *\[", path.read_text(encoding="utf-8"))]
    assert named == [], "edge-monitor is on no package index"


def test_the_lines_for_people(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert main(["check", "-c", str(ROOT / "config.yaml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines), lines
    assert ": 1 camera, topics" in lines[0]
    assert [record.getMessage() for record in caplog.records] == [], "no module's log stands between"


def test_sound_alone_arrives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 16000))
    found = check(tmp_path, capsys, "cameras: {yard: {source: {type: file, path: sound.wav}}}\nmqtt: null", code=0)
    assert found["cameras.yard"] == [("ok", "sound arrives")]


@pytest.mark.parametrize(
    ("text", "area", "said"),
    [
        ("cameras: {yard: {source: {type: file, path: none.mp4}}}\nmqtt: null", "cameras.yard", "no such file"),
        (
            RTSP + "mqtt: null",
            "cameras.yard",
            "rtsp://u:***@127.0.0.1:9/x",
        ),
        ("cameras: {yard: {source: {type: v4l2, device: 97}}}\nmqtt: null", "cameras.yard", "97"),
        (
            f"{YARD}mqtt: {{url: 'mqtt://no-such-host.invalid'}}",
            "mqtt",
            "no-such-host",
        ),
        (
            f"{YARD}mqtt: null\nevents: {{fier: {{}}}}",
            "events",
            "did you mean 'fire'?",
        ),
        (f"{YARD}mqtt: null\nmodel: {{name: none}}", "model", "there is: fused"),
        ("camera: {}", "config", "did you mean 'cameras'?"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, area: str, said: str
) -> None:
    found = check(tmp_path, capsys, text, code=2)
    assert any(level == "error" and said in words for level, words in found[area]), found[area]
    assert "geheim" not in str(found)


def test_a_broker_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"{YARD}mqtt: {{url: 'mqtt://127.0.0.1:{free_port()}'}}"
    assert check(tmp_path, capsys, text, code=2)["mqtt"][0][0] == "error"


def test_a_damaged_model_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "models" / "fused"
    shutil.copytree(ROOT / "engines" / "fused", folder, ignore=shutil.ignore_patterns("built"))
    graph = folder / "fused.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    found = check(
        tmp_path, capsys, f"model: {{name: '{folder}'}}\ncameras: {{yard: {{source: {SAMPLE}}}}}\nmqtt: null", code=2
    )
    level, words = found["model"][0]
    assert level == "error"
    assert "sha256" in words
    assert "restore" in words
