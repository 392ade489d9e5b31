"""Recordings through a model folder: whole and in part, kept on disk, and from the command line to a report."""

from __future__ import annotations

import csv
import sys
from dataclasses import fields, replace
from pathlib import Path

import av
import numpy as np
import pytest

sys.path += [str(Path(__file__).parents[1] / room) for room in ("engine", "capture")]
import media
import toy_model

from edge.cli import main
from edge.config import parse
from edge.engine.model import Model
from edge.errors import MediaError, ModelError
from edge.metrics import Metrics
from edge.replay import Replay
from edge.train.data import decode_audio
from edge.train.evaluation import recordings
from edge.train.evaluation.recordings import RecordingRunner, ReplayJob, remove_stream
from edge.train.evaluation.synthetic import pad_to_onset
from edge.train.evaluation.window_store import StoredReplay
from edge.types import Features, Scores


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return media.write(tmp_path / "clip.mp4", 3.0)


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    (tmp_path / "toy").mkdir()
    return toy_model.toy_folder(tmp_path / "toy").path


def test_a_stream_is_taken_out_without_touching_the_other(tmp_path: Path, clip: Path) -> None:
    assert remove_stream(clip, "video", tmp_path / "sound.mp4")
    assert remove_stream(clip, "audio", tmp_path / "picture.mp4")
    with av.open(str(tmp_path / "sound.mp4")) as sound, av.open(str(tmp_path / "picture.mp4")) as picture:
        assert (len(sound.streams.video), len(sound.streams.audio)) == (0, 1)
        assert (len(picture.streams.video), len(picture.streams.audio)) == (1, 0)
    np.testing.assert_array_equal(decode_audio(tmp_path / "sound.mp4"), decode_audio(clip))
    assert not remove_stream(tmp_path / "sound.mp4", "audio", tmp_path / "nothing.mp4")


def test_answers_are_kept_until_the_file_or_the_model_changes(
    tmp_path: Path, clip: Path, engine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = RecordingRunner(engine, tmp_path / "work")
    jobs = [ReplayJob(clip, view) for view in recordings.STREAM_SELECTIONS] + [ReplayJob(tmp_path / "broken.mp4")]
    (tmp_path / "broken.mp4").write_bytes(b"no media")
    first = dict(bench.run(jobs))
    assert first[jobs[3]] is None
    whole = first[jobs[0]]
    assert whole is not None
    assert len(whole.t_s) == len(whole.values) >= 5
    assert whole.labels == bench.folder.manifest.label_names
    monkeypatch.setattr(recordings, "Replay", None)  # nothing is played
    again = dict(RecordingRunner(engine, tmp_path / "work").run(jobs))
    for job in jobs[:3]:
        np.testing.assert_array_equal(again[job].values, first[job].values)  # type: ignore[union-attr]
    assert all(map(bench.is_done, jobs))
    clip.write_bytes(clip.read_bytes() + b"\0")
    assert [job for job in jobs if not bench.is_done(job)] == jobs[:3]
    bench.clear_cache()
    assert not any(map(bench.is_done, jobs[3:]))


def test_an_onset_is_where_it_was_put(tmp_path: Path, clip: Path) -> None:
    onset_s = pad_to_onset(clip, tmp_path / "onset.wav")
    samples = decode_audio(tmp_path / "onset.wav", 16000)
    before, after = samples[: round((onset_s - 0.1) * 16000)], samples[round((onset_s + 0.1) * 16000) :][:8000]
    assert np.abs(before).max() < 0.01 < np.abs(after).max()


@pytest.mark.learn
def test_one_command_makes_the_report(tmp_path: Path, engine: Path) -> None:
    pytest.importorskip("sklearn")
    rows = [("open/audio/esc10/a.wav", "knock"), ("open/audio/esc10/b.wav", "rain")]
    rows.append(("restricted/video/av_events/c.mp4", "fight"))
    with (tmp_path / "manifest.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["file", "label", "split", "group", "tier", "dataset", "licence"])
        for name, label in rows:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            media.write(path, 1.5, size=None, audio_codec="pcm_s16le") if path.suffix == ".wav" else media.write(
                path, 1.5
            )
            writer.writerow([name, label, "", "", name.split("/")[0], "set", "none"])
    options = ["--data", str(tmp_path), "--engine", str(engine), "--work", str(tmp_path / "work")]
    written = [
        "--out",
        str(tmp_path / "report.md"),
        "--html",
        str(tmp_path / "report.html"),
        "--skip",
        "learned,compute",
    ]
    assert main(["train", "evaluate", *options, *written]) == 0
    text = (tmp_path / "report.md").read_text()
    assert "Model toy" in text
    assert "c.mp4" in text
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert main(["train", "evaluate", *options, "--only", "nosuch"]) == 2


def test_kept_windows_are_told_again_as_they_were(tmp_path: Path, clip: Path, engine: Path) -> None:
    bench, job = RecordingRunner(engine, tmp_path / "work"), ReplayJob(clip, stores_windows=True)
    assert not any(map(bench.is_done, (ReplayJob(clip), job)))
    dict(bench.run([job]))
    assert all(map(bench.is_done, (ReplayJob(clip), job)))
    told, played = Heard(), Heard()
    StoredReplay({clip: bench.windows_path(job)}).run(clip, told)
    config = parse(recordings.REPLAY_CONFIG).config
    model = Model.open(bench.folder, config.model, 1, Metrics())
    Replay(config, model).run(clip, played)
    model.close()
    assert len(told.scores) == len(played.scores) > 4
    for kept, fresh in zip(told.scores, played.scores, strict=True):
        bare = {"embedding": None, "features": None, "evidence": None, "picture": None}
        assert replace(kept, **bare) == replace(fresh, **bare)
        np.testing.assert_array_equal(kept.evidence, fresh.evidence)
        assert kept.features is not None
        assert fresh.features is not None
        for field in fields(Features):
            np.testing.assert_array_equal(getattr(kept.features, field.name), getattr(fresh.features, field.name))
    with pytest.raises(MediaError, match="stored"):
        StoredReplay({}).run(clip, told)


class Heard:
    def __init__(self) -> None:
        self.scores: list[Scores] = []

    def on_scores(self, scores: Scores) -> None:
        self.scores.append(scores)

    def on_event(self, event: object) -> None:
        pass


def test_a_model_exchanged_while_it_is_measured_is_noticed(tmp_path: Path, clip: Path, engine: Path) -> None:
    bench = RecordingRunner(engine, tmp_path / "work")
    text = (engine / "model.yaml").read_text()
    (engine / "model.yaml").write_text(text.replace(bench.folder.manifest.sha256, "0" * 64))
    with pytest.raises(ModelError, match="exchanged"):
        dict(bench.run([ReplayJob(clip)]))


def test_evaluation_without_the_extra_says_what_to_install(
    tmp_path: Path, engine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert main(["train", "evaluate", "--data", str(tmp_path), "--engine", str(engine)]) == 2
    assert "scripts/setup learn" in capsys.readouterr().err
