"""What `edge bench` says, from what was measured; its clips; and its place on the command line."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from edge.bench.bench_run import BenchResults, noisy_rules
from edge.bench.capacity import Capacity
from edge.bench.clips import FOLDER, GROUP_S, MOVING, STILL, bundled_clip, looped_clip, phased_clips, probe_clip
from edge.bench.daemon import DaemonMeasurement
from edge.bench.live import SceneCapacity
from edge.bench.machine import MachineLoad
from edge.bench.report import MachineInfo, as_json, conclusions, figure_table, live_cells, report_text
from edge.cli import build_parser
from edge.errors import MediaError

BOX = MachineInfo("a processor", 2, 8.0, 0.1)


def look(cameras: int, **more: object) -> DaemonMeasurement:
    given: dict[str, object] = {
        "cameras": cameras,
        "rss_mb": 200.0,
        "pss_mb": 190.0,
        "ready_s": 1.5,
        "ready_cpu_s": 1.4,
        "cores": 0.1 * cameras,
        "due_share": 1.0,
        "left_out": 0.0,
        "drops": {},
        "stages": {"decode": 60.0, "vision": 40.0},
        "encoded": {"vision": 0.25, "audio": 1.0},
        "end_to_end_s": [0.06],
        "added_s": [0.004, 0.004, 0.03],
        "infer_s": [0.05],
        "wait_s": [0.0],
        "queue_s": [0.002, 0.002, 0.02],
        "scored_hz": 2.0 * cameras,
        "connected": cameras,
        "load": MachineLoad(2, 0.1 * cameras, 0.1, 0.0, 0.04 * cameras, 0.06 * cameras, 0.02),
        "runtime": {},
    }
    return DaemonMeasurement(**{**given, **more})  # type: ignore[arg-type]


def found() -> BenchResults:
    part = {"row_ms": 40.0, "best_ms": 40.0, "full_ms": 40.0, "clock_ms": 40.0, "full_clock_ms": 40.0}
    chosen = {"runtime": "onnx", "version": "1", "device": "cpu", "precision": "fp32", "load_s": 1.0,
              "row_ms": 40.0, "full_ms": 40.0, "parts": {"vision": part}}  # fmt: skip
    measured = {"part": "vision", "cpu_ms": 40.0, "wall_ms": 40.0, "memory_mb": 9.0}
    ways = [
        {**measured, "how": "onnx fp32", "fault": "", "taken": True},
        {**measured, "how": "openvino bf16", "fault": "is off", "taken": False},
    ]
    asked = {"vision": {"operations": 2e9, "bytes": 1e6, "ms": 40.0, "ms_by_kind": {"Conv": 30.0, "Add": 10.0}}}
    return BenchResults(
        ways=ways,
        why="measured here",
        chosen=chosen,
        asked=asked,
        peaks={"fp32": {"a probe": 200e9, "another": 100e9}},
        floors_ms=[90.0, 100.0],
        many=[look(4), look(4)],
        one=look(1),
        moving_holds=Capacity(18, "decoding", {"processor": 18.0}),
        loaded=look(4),
        scenes=[
            SceneCapacity("nothing moving", 18, 20, [look(18), look(20, due_share=0.93, drops={"engine": 3.0})]),
            SceneCapacity("everything moving", 6, None, [look(6)]),
        ],
    )


def test_the_answer_says_how_many_held_what_ends_it_and_how_far_from_the_limit() -> None:
    said = " ".join(conclusions(found()))
    assert "**18** cameras with nothing moving, and not 20 (93.0 % of due windows)" in said
    assert "what ends it: the processor; most of it goes to decoding" in said
    assert "at least **6** cameras with everything moving" in said
    assert "it takes 40.0 ms, so 25 % is reached" in said


def test_without_live_runs_the_answer_is_the_estimate() -> None:
    quick = found()
    quick.scenes = []
    said = " ".join(conclusions(quick))
    assert "about **18** cameras with everything moving" in said
    assert "the limit is decoding" in said


def test_every_live_run_is_a_row() -> None:
    rows = [line for line in report_text(BOX, "720p", found()).splitlines() if line.startswith("| nothing moving | ")]
    assert [row.split(" | ")[1:4] for row in rows] == [["18", "100.0 %", "0"], ["20", "93.0 %", "3 engine"]]
    assert "2 / 20 ms" in rows[0], "windows waited for the model"
    assert live_cells("s", look(4, connected=3))[1] == "4, 3 connected"


def test_a_refused_runtime_is_told_with_its_reason_and_a_busy_box_is_told_too() -> None:
    said = report_text(MachineInfo("a processor", 2, 8.0, 3.0), "720p", found())
    assert "not quiet" in said
    assert "no: is off" in said
    assert "pictures in 25 % of windows" in said


def test_figures_hold_ratios_of_turns_and_latency_as_the_daemon_counts_it() -> None:
    values = {figure.name: figure for figure in figure_table(found()).figures}
    assert values["cost over the floor, 4 cameras, all moving"].value == pytest.approx((100 / 90 + 1.0) / 2)
    assert values["latency added, p99, 4 cameras, all moving"].value == pytest.approx(30.0)
    assert values["throughput over the bare runtime, recordings, all moving"].met is None


def test_the_json_has_no_nan() -> None:
    told = json.dumps(as_json(BOX, "720p", found()), allow_nan=False)
    assert json.loads(told)["measured"]["moving_holds"]["cameras"] == 18


def test_nothing_measured_is_said_as_nothing() -> None:
    assert list(conclusions(BenchResults())) == []
    assert "not measured" in report_text(BOX, "720p", BenchResults())


@pytest.mark.parametrize("kind", [MOVING, STILL])
def test_the_clips_that_come_along_are_a_cameras(kind: str, tmp_path: Path) -> None:
    clip = bundled_clip(kind, tmp_path)
    assert probe_clip(clip.path) == clip
    assert (clip.shown, clip.fps) == ("1280 x 720 h264, 15 fps, aac", 15.0)


def test_a_clip_is_repeated_and_cut_at_whole_pictures(tmp_path: Path) -> None:
    import av

    short = probe_clip(FOLDER / "moving.mp4")
    long = looped_clip(short, 2.5 * short.seconds, tmp_path / "long.mp4")
    with av.open(str(long.path)) as container:
        pts = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert len(pts) == 150
    assert len({b - a for a, b in pairwise(pts)}) == 1


def test_copies_of_a_clip_differ_in_where_their_key_pictures_are(tmp_path: Path) -> None:
    import av

    firsts = []
    for clip in phased_clips(STILL, tmp_path, 2):
        with av.open(str(clip.path)) as container:
            packets = [packet for packet in container.demux(video=0) if packet.pts is not None]
            keys = [float(packet.pts * packet.time_base) for packet in packets if packet.is_keyframe]
            assert len(packets) == clip.seconds * 15
            assert {round(b - a, 3) for a, b in pairwise(keys[1:])} == {GROUP_S}
            firsts.append(round(keys[1], 3))
    assert firsts == [GROUP_S, GROUP_S / 2]


def test_what_is_no_recording_is_said(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("notes")
    with pytest.raises(MediaError, match="recording of a camera"):
        probe_clip(path)


def test_restless_rules_stand_at_the_median_of_each_label(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text("file,t_s,dog,anomaly\nf,0,0.1,\nf,1,0.3,\nf,2,0.2,\nf,3,,\n")
    assert noisy_rules(table) == {"dog": {"enter": 0.2, "leave": 0.2, "min_s": 0, "cooldown_s": 0}}


def test_the_command_line_takes_its_options() -> None:
    args = build_parser().parse_args(["bench", "--quick", "--cameras", "3", "--clip", "a.mp4", "--json", "b.json"])
    assert (args.quick, args.cameras, str(args.clip)) == (True, 3, "a.mp4")
    with pytest.raises(SystemExit):
        build_parser().parse_args(["bench", "--cameras", "0"])
