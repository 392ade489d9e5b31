"""Trials of senses: the clips that are composed, what they are scored by, and what the table says."""

from __future__ import annotations

import csv
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

pytest.importorskip("sklearn")
from edge.errors import InputError
from edge.train.evaluation import sense_trials
from edge.train.evaluation.recordings import RecordingResult, ReplayJob
from edge.train.evaluation.sense_report import sense_table
from edge.train.evaluation.sense_trials import SenseCondition, SenseTrial, run_sense_trials

pytestmark = pytest.mark.learn


def data_folder(root: Path) -> Path:
    """Four photographs and four sounds, as the manifest of the data folder has them."""
    rows = []
    for n, label in enumerate(("fire", "fire", "normal", "normal")):
        file = root / "restricted" / "images" / "fire_cair" / f"{label}{n}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(file), np.full((90, 120, 3), 40 * n + 60, np.uint8))
        rows.append((file, label, ""))
    for n, label in enumerate(("crackling_fire", "rain", "sneezing", "dog")):
        file = root / "open" / "audio" / "esc10" / f"{n}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file), "wb") as out:
            out.setparams((1, 2, 8000, 0, "NONE", ""))
            out.writeframes((3000 * np.sin(np.arange(8000) / (n + 2))).astype(np.int16).tobytes())
        rows.append((file, label, "fold5"))
    with (root / "manifest.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "label", "split", "group", "licence", "tier", "dataset"])
        table.writerows([path.relative_to(root), label, split, path.stem, "", "x", "x"] for path, label, split in rows)
    return root


class Judge:
    """Scores what is put in: a fire by sound alone."""

    def __init__(self) -> None:
        self.jobs: list[ReplayJob] = []

    def run(self, jobs: Sequence[ReplayJob]) -> Iterator[tuple[ReplayJob, RecordingResult | None]]:
        for job in jobs:
            self.jobs.append(job)
            heard = job.view != "picture" and int(job.path.stem) < 2
            values = np.array([[0.1], [0.9 if heard else 0.2]], np.float32)
            yield job, RecordingResult(np.array([0.5, 1.0]), values, ("fire",), (), 4.0)


def test_the_pairs_are_composed_once_and_replayed_in_every_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sense_trials, "CONDITIONS", (SenseCondition("fire", "both worse", 2, 0),))
    data, judge, told = data_folder(tmp_path / "data"), Judge(), list[str]()
    for _ in range(2):
        (trial,) = run_sense_trials(data, judge, tmp_path / "work", lambda *args: told.append(args[2]))  # type: ignore[arg-type]
    assert trial.shown.tolist() == [True, True, False, False]
    assert trial.precision("whole") == trial.precision("sound") == 1.0
    assert trial.better == "sound"
    assert {job.view for job in judge.jobs} == {"whole", "picture", "sound"}
    clip = judge.jobs[0].path
    with av.open(str(clip)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        first = next(container.decode(video))
        assert first.time == pytest.approx(1000, abs=0.2)
        assert first.to_ndarray(format="gray").mean() < 40  # darker than any of the photographs
        assert audio.sample_rate == 32000
    assert sense_table([trial], {"fire": 0.5}).rows[0][:2] == ["fire", "both worse"]
    assert told == ["fire, both worse"] * 2


def test_the_gain_is_that_over_the_better_sense() -> None:
    shown = np.array([True] * 10 + [False] * 10)
    good, weak = np.linspace(0.99, 0.01, 20), np.array([0.5, 0.4] * 10)
    trial = SenseTrial(SenseCondition("fire", "x", 0, 0), {"whole": weak, "picture": good, "sound": weak}, shown)
    gain, low, high = trial.gain()
    assert gain == pytest.approx(trial.precision("whole") - 1.0)
    assert low <= gain <= high <= 0
    assert trial.share("picture", 0.6, shown=True) == pytest.approx(0.8)
    assert trial.share("picture", 0.6, shown=False) == 0


def test_without_the_sets_it_says_what_is_missing(tmp_path: Path) -> None:
    data = data_folder(tmp_path)
    for file in data.rglob("*.png"):
        file.unlink()
    with pytest.raises(InputError, match="fire_cair"):
        run_sense_trials(data, Judge(), tmp_path / "work", lambda *_: None)  # type: ignore[arg-type]
