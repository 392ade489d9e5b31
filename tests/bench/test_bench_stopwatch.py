"""The stopwatch: whose time is whose, and that the daemon tells it."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

import pytest

from edge.bench.clips import FOLDER
from edge.bench.processes import MeasuredProgram, module_command, pause
from edge.bench.stopwatch import STAGES, ObservedHistogram, StageStopwatch, answer, stage_of, time_by_stage
from edge.metrics import Metrics, untimed


class Hand:
    """A thread's CPU clock that moves when told."""

    def __init__(self) -> None:
        self.now_ns = 1000

    def thread_ns(self) -> int:
        return self.now_ns


def only_this(hand: Hand, total_ns: int) -> StageStopwatch:
    me = threading.current_thread()
    return StageStopwatch(hand.thread_ns, lambda thread: total_ns if thread is me else None)


def test_a_stage_has_its_own_time_without_that_of_the_stages_within() -> None:
    hand = Hand()
    watch = only_this(hand, 1000)
    with watch.stage("gather"):
        hand.now_ns += 100
        with watch.stage("scale"):
            hand.now_ns += 300
        hand.now_ns += 50
    hand.now_ns += 7  # outside of all stages
    found = watch.read(process_ns=1600)
    assert found["scale"] == pytest.approx(300e-9)
    assert found["gather"] == pytest.approx(150e-9)
    assert found["other"] == pytest.approx(1150e-9)  # the thread's remaining 550 ns, and 600 ns of no thread of ours
    assert sum(found.values()) == pytest.approx(1600e-9)


def test_a_stage_that_fails_is_left_again() -> None:
    hand = Hand()
    watch = only_this(hand, 100)
    with contextlib.suppress(ValueError), watch.stage("detect"):
        hand.now_ns += 40
        raise ValueError
    hand.now_ns += 60
    assert watch.read(100)["detect"] == pytest.approx(40e-9)


def test_stages_of_two_threads_are_apart() -> None:
    hand = Hand()
    watch = StageStopwatch(hand.thread_ns, lambda _thread: None)

    def other() -> None:
        with watch.stage("audio"):
            hand.now_ns += 20

    with watch.stage("vision"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    found = watch.read(0)
    assert found["audio"] == pytest.approx(20e-9)
    assert found["vision"] == pytest.approx(20e-9)  # one hand for both threads: it moved within this stage too


@pytest.mark.parametrize(("name", "stage"), [("capture:yard", "decode"), ("engine", "detect"), ("MainThread", "other")])
def test_a_thread_works_for_the_stage_of_its_name(name: str, stage: str) -> None:
    assert stage_of(name) == stage


def test_what_was_spent_between_two_readings() -> None:
    found = time_by_stage({"vision": 1.0, "audio": 2.0, "fusion": 0.5}, {"vision": 4.0, "audio": 3.0, "fusion": 0.5})
    assert found == {"vision": 3.0, "audio": 1.0}


def test_latencies_are_kept_value_by_value_until_they_are_taken() -> None:
    watch = StageStopwatch(lambda: 0, lambda _thread: None)
    metrics = Metrics(watch.stage, ObservedHistogram)
    metrics.infer_s.observe(0.25)
    metrics.infer_s.observe(0.5)
    metrics.added_s.observe(0.125)
    found = answer(watch, metrics, 0)
    assert (found["infer_s"], found["added_s"], found["end_to_end_s"]) == ([0.25, 0.5], [0.125], [])
    assert answer(watch, metrics, 0)["infer_s"] == []
    assert metrics.registry.get_sample_value("edge_infer_seconds_sum") == 0.75


def test_without_a_benchmark_a_stage_is_one_shared_nothing() -> None:
    metrics = Metrics()
    assert metrics.stage is untimed
    assert metrics.stage("decode") is metrics.stage("publish")


@pytest.mark.slow
def test_the_daemon_passes_every_stage(tmp_path: Path) -> None:
    source = {"type": "file", "path": str(FOLDER / "moving.mp4"), "loop": True}
    config = {"node": {"data_dir": "var"}, "mqtt": None, "cameras": {"yard": {"source": source}}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    with MeasuredProgram(module_command("edge.bench.stopwatch", "config.yaml"), tmp_path) as program:
        program.wait_ready()
        missing, calls = set(STAGES), 0
        while missing or not calls:
            told = program.query()
            calls += len(told["infer_s"])
            missing = {stage for stage in STAGES if told["stages"][stage] <= 0}
            pause(0.05)
