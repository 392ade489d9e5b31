"""`edge check`: what is wrong is said, with what to do, and the exit code tells it to programs."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest

from edge.cli import main

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


def closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_all_is_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = "events: {fire: {enter: 0.9}, person: {enabled: false}}"
    text = f"{YARD}mqtt: null\n{events}"
    found = check(tmp_path, capsys, text, code=0)
    assert found["cameras.yard"] == [("ok", "picture and sound arrive")]
    assert found["yard/fire"][0][1].startswith("enter 0.9 (config), leave 0.6")
    assert found["yard/person"][0][1].endswith("off")
    assert "self-test" in found["model"][0][1]


def test_the_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-c", str(ROOT / "config.yaml")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("ok ") for line in lines), lines


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
    text = f"{YARD}mqtt: {{url: 'mqtt://127.0.0.1:{closed_port()}'}}"
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
