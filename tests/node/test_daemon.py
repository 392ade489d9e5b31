"""`edge run` as a process: the sample clip through, live reload, signals, a held data folder, bugs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from daemon_parts import Daemon, config_text, course, eager, events_in, wait_for

from edge.cli import main


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(config_text(tmp_path / "data"), encoding="utf-8")
    return path


def live(path: Path, more: str = "mqtt: null\n") -> None:
    """Rewrite the configuration so that the sample plays for ever, as a camera would."""
    text = config_text(path.parent / "data", more=more)
    path.write_text(text.replace("pace: fast", "pace: live, loop: true"), encoding="utf-8")


def test_a_recording_through_the_daemon_gives_what_replay_gives(config: Path, tmp_path: Path) -> None:
    daemon = Daemon(config)
    assert daemon.process.wait(240) == 0, daemon.text()
    assert "every recording has ended" in daemon.text()
    lived = events_in(tmp_path / "data" / "events.jsonl")
    replayed = tmp_path / "replayed.jsonl"
    sample = Path(__file__).resolve().parent.parent.parent / "samples" / "yard.mp4"
    assert main(["replay", str(sample), "-c", str(config), "--events", str(replayed)]) == 0
    assert course(lived) == course(events_in(replayed))
    assert {"person", "dog_bark"} <= {event["label"] for event in lived}


def test_a_saved_file_changes_thresholds_and_a_wrong_one_changes_nothing(config: Path) -> None:
    live(config)
    daemon = Daemon(config)
    try:
        daemon.wait_ready()
        live(config, more="mqtt: null\nevents: {fier: {enter: 0.5}}\n")
        wait_for(lambda: "did you mean 'fire'?" in daemon.text(), "the fault is logged")
        live(config, more="mqtt: null\nevents: {fire: {enter: 0.5}}\n")
        wait_for(lambda: daemon.text().count(" reloaded") >= 1, "the reload is logged")
        live(config, more="mqtt: null\nwindows: {min_coverage: 0.7}\n")
        wait_for(lambda: "needs a restart: windows" in daemon.text(), "what needs a restart is named")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for(lambda: daemon.text().count("needs a restart: windows") >= 2, "SIGHUP reloads too")
        assert daemon.process.poll() is None
    finally:
        assert daemon.stop() == 0


def test_two_daemons_do_not_share_a_data_folder(config: Path) -> None:
    live(config)
    first = Daemon(config)
    try:
        first.wait_ready()
        second = Daemon(config)
        assert second.process.wait(60) == 2
        assert "another daemon" in second.text()
    finally:
        assert first.stop(signal.SIGINT) == 0


def test_open_events_end_at_shutdown(config: Path, tmp_path: Path) -> None:
    live(config, more="mqtt: null\n" + eager("{enter: 0.002, leave: 0.0001, min_s: 0}"))
    daemon = Daemon(config)
    path = tmp_path / "data" / "events.jsonl"
    wait_for(lambda: events_in(path), "an event")
    assert daemon.stop() == 0
    events = events_in(path)
    begun = {event["id"] for event in events if event["phase"] == "begin"}
    ended = {event["id"]: event["why"] for event in events if event["phase"] == "end"}
    assert begun == set(ended)
    assert any("shutdown" in why for why in ended.values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model: {name: nothing}\ncameras: {yard: {source: {type: file, path: x}}}\n", "no model named 'nothing'"),
        ("model: {runtime: tensorrt}\ncameras: {yard: {source: {type: file, path: x}}}\nmqtt: null\n", "TensorRT"),
    ],
)
def test_what_cannot_work_is_said_at_start(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"node: {{data_dir: '{tmp_path}/data'}}\n{text}", encoding="utf-8")
    daemon = Daemon(path)
    assert daemon.process.wait(60) in {1, 2}
    assert said in daemon.text()
    assert "Traceback" not in daemon.text()


def test_an_unwritable_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    path = tmp_path / "config.yaml"
    path.write_text(config_text(tmp_path / "data"), encoding="utf-8")
    daemon = Daemon(path)
    assert daemon.process.wait(60) == 2
    assert "data folder cannot be written" in daemon.text()


DEAF = """
import cv2, numpy
from edge.node import daemon, evidence_worker
image = numpy.zeros((1080, 1920, 3), numpy.uint8)
def busy(self, cancel):
    while True:
        cv2.GaussianBlur(image, (0, 0), 3)
evidence_worker.EvidenceWorker.run = busy
evidence_worker.EvidenceWorker.CLOSING_S = daemon.JOIN_EVIDENCE_S = 0.1
"""


def test_a_thread_that_does_not_stop_ends_with_the_process_and_aborts_nothing(config: Path) -> None:
    """Python would end it inside C++: `terminate called without an active exception`, SIGABRT."""
    live(config, more="mqtt: null\nevidence: {}\n")
    daemon = Daemon(config, first=DEAF)
    daemon.wait_ready()
    assert daemon.stop() == 0
    assert "evidence is still being written" in daemon.text()
    assert "terminate called" not in daemon.text()
    assert daemon.text().rstrip().endswith("edge.node.daemon: stopped"), "what was said is written"
