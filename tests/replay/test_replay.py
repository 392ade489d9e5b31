"""`edge replay`: what goes in, what comes out, and that it is the same each time."""

from __future__ import annotations

import csv
import json
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from edge.cli import main
from edge.engine.manifest import find_folder, load_folder
from edge.replay import camera_name
from edge.replay.command import parse_start

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "samples" / "yard.mp4"


def write_wav(path: Path, rate: int, channels: int, seconds: float = 3.0) -> Path:
    n = round(rate * seconds)
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(n) / rate)).astype("<i2")
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.repeat(tone, channels).tobytes())
    return path


def write_video(path: Path, width: int, height: int, fps: int, frames: int) -> Path:
    rng = np.random.default_rng(1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            picture = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


def write_picture(path: Path) -> Path:
    picture = av.VideoFrame.from_ndarray(np.full((120, 160, 3), 90, np.uint8), format="rgb24")
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mjpeg" if path.suffix == ".jpg" else "png", rate=1)
        stream.width, stream.height = 160, 120
        stream.pix_fmt = "yuvj420p" if path.suffix == ".jpg" else "rgb24"
        for packet in [*stream.encode(picture), *stream.encode()]:
            out.mux(packet)
    return path


def replay(tmp_path: Path, *files: Path, code: int = 0) -> tuple[list[dict[str, str]], list[dict[str, object]]]:
    scores, events = tmp_path / "scores.csv", tmp_path / "events.jsonl"
    assert main(["replay", *map(str, files), "--scores", str(scores), "--events", str(events)]) == code
    with scores.open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    return rows, [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]


def test_the_table_has_a_column_a_label_and_two_rows_a_second(tmp_path: Path) -> None:
    rows, _ = replay(tmp_path, write_wav(tmp_path / "tone.wav", 48000, 2))
    labels = list(load_folder(find_folder("fused")).manifest.label_names)
    expected = ["file", "t_s", *labels, "anomaly", "contribution_video", "contribution_audio"]
    assert list(rows[0]) == expected
    times = [float(row["t_s"]) for row in rows]
    assert np.allclose(np.diff(times), 0.5)
    assert times[-1] == pytest.approx(3.0, abs=0.5)
    for row in rows:
        assert all(0 <= float(row[label]) <= 1 for label in labels)
        assert row["anomaly"] == ""
        assert float(row["contribution_video"]) == 0.0


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 1), (44100, 2), (48000, 2)])
def test_sound_of_any_rate(tmp_path: Path, rate: int, channels: int) -> None:
    rows, _ = replay(tmp_path, write_wav(tmp_path / "tone.wav", rate, channels))
    assert len(rows) >= 5


@pytest.mark.parametrize(("width", "height", "fps"), [(638, 358, 7), (320, 240, 60), (180, 320, 25), (64, 48, 1)])
def test_pictures_of_any_size_and_rate(tmp_path: Path, width: int, height: int, fps: int) -> None:
    rows, _ = replay(tmp_path, write_video(tmp_path / "v.mp4", width, height, fps, 3 * fps))
    assert all(float(row["contribution_audio"]) == 0.0 for row in rows if row["contribution_audio"])
    assert sum(row["person"] != "" for row in rows) >= 2


@pytest.mark.parametrize("name", ["p.jpg", "p.png"])
def test_a_still_picture(tmp_path: Path, name: str) -> None:
    rows, _ = replay(tmp_path, write_picture(tmp_path / name))
    assert len(rows) == 6


def test_what_cannot_be_read_is_named_and_the_rest_is_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, garbage = tmp_path / "empty.mp4", tmp_path / "garbage.mp4"
    empty.touch()
    garbage.write_bytes(np.random.default_rng(2).bytes(50_000))
    good = write_wav(tmp_path / "tone.wav", 16000, 1)
    rows, _ = replay(tmp_path, empty, garbage, tmp_path / "missing.mp4", good, code=2)
    assert {row["file"] for row in rows} == {str(good)}
    said = capsys.readouterr().err
    assert all(name in said for name in ("empty.mp4", "garbage.mp4", "missing.mp4"))


def test_a_truncated_recording_gives_what_is_there(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", 320, 240, 10, 60)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    rows, _ = replay(tmp_path, cut)
    assert 2 <= len(rows) <= 10


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    results = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        replay(folder, SAMPLE)
        results.append(((folder / "scores.csv").read_bytes(), (folder / "events.jsonl").read_bytes()))
    assert results[0] == results[1]
    assert len(results[0][1].splitlines()) >= 6


def test_several_recordings_give_the_bytes_that_they_give_one_by_one(tmp_path: Path) -> None:
    tone = write_wav(tmp_path / "tone.wav", 16000, 1, 6.0)
    files = [tone, SAMPLE, write_video(tmp_path / "v.mp4", 320, 240, 10, 30)]
    scores, events = b"", b""
    for path in files:
        replay(tmp_path, path)
        header, rows = (tmp_path / "scores.csv").read_bytes().split(b"\n", 1)
        scores += rows if scores else header + b"\n" + rows
        events += (tmp_path / "events.jsonl").read_bytes()
    replay(tmp_path, *files)
    assert (tmp_path / "scores.csv").read_bytes() == scores
    assert (tmp_path / "events.jsonl").read_bytes() == events
    assert events


def test_the_start_time_sets_the_events_times(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    assert main(["replay", str(SAMPLE), "--events", str(events), "--start", "2026-01-31T22:00:00Z"]) == 0
    assert json.loads(events.read_text().splitlines()[0])["begin"].startswith("2026-01-31T22:0")


def test_bad_options_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(SAMPLE), "--start", "yesterday"]) == 2
    assert main(["replay", str(SAMPLE), "--scores", str(tmp_path / "no" / "folder.csv")]) == 2
    assert main(["replay", str(SAMPLE), "-c", str(tmp_path / "none.yaml")]) == 2
    said = capsys.readouterr().err
    assert "2026-01-31T22:00:00Z" in said
    assert "cannot be written" in said
    assert "cannot be read" in said


def test_names_and_times() -> None:
    assert camera_name(Path("a/night 1 (copy).mp4")) == "night_1_copy"
    assert camera_name(Path("§§.wav")) == "recording"
    assert parse_start(None) == 0
    assert parse_start("1970-01-01T00:00:01+00:00") == parse_start("1970-01-01 00:00:01") == 10**9
