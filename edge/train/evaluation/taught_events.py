"""Taught events on held-out clips: ESC-10 by its official folds, surveillance fights by groups.

The recordings were replayed once as in service, and their windows stored (`window_store`). Learning is `edge learn
events` itself; the head that it wrote scores the held-out windows, as `edge replay --profile` does. A clip's score for
a label is the highest of its windows.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.adapt.events import PART, LearningRequest, learn_events
from edge.adapt.examples import balanced_folds
from edge.adapt.recordings import CACHE, RecordingReader
from edge.config import Config, parse
from edge.detect.taught import SILENT_PROBABILITY, load_head, taught_labels
from edge.detect.taught_features import VERSION, TaughtFeatures, extract_all
from edge.engine.manifest import load_folder
from edge.engine.model import Model
from edge.errors import InputError
from edge.metrics import Metrics
from edge.profile import ProfileFolder
from edge.train.evaluation.datasets import DatasetRow, read_rows
from edge.train.evaluation.goals import ProtocolFigure
from edge.train.evaluation.metrics import average_precision, bootstrap_interval, roc_auc
from edge.train.evaluation.recordings import REPLAY_CONFIG, RecordingRunner
from edge.train.evaluation.run import EvaluationOptions, replay_job
from edge.train.evaluation.window_store import StoredReplay, load_scores

FEW_SHOT_COUNTS: Final = (5, 20)


def esc10_accuracy(options: EvaluationOptions, runner: RecordingRunner) -> list[ProtocolFigure]:
    """Accuracy of the highest of ten taught labels, learned from 5, 20 and all 32 clips a class of the other folds."""
    rows = [row for row in read_rows(options.data) if row.set_name == "esc10"]
    labels = sorted({row.label for row in rows})
    with _reader(options, runner, rows) as (reader, folder):
        windows_of = {row.path: reader.read(row.path).windows for row in rows}
        found = []
        for per_class in (*FEW_SHOT_COUNTS, 32):
            right: list[float] = []
            for n, fold in enumerate(sorted({row.split for row in rows})):
                others = [row for row in rows if row.split != fold]
                drawn = _sample_rows(others, labels, per_class, seed=n)
                classify = _learn_profile(folder, f"esc10-{per_class}-{fold}", drawn, options)
                test = [row for row in rows if row.split == fold]
                predicted = [_best_label(classify(windows_of[row.path]), labels) for row in test]
                right.append(float(np.mean([a == row.label for a, row in zip(predicted, test, strict=True)])))
            folds = ", ".join(f"{x:.3f}" for x in right)
            found.append((per_class, float(np.mean(right)), folds))
    few = "; ".join(f"{value:.3f} from {n}" for n, value, _ in found[:-1])
    return [
        ProtocolFigure(
            f"{n} examples a class",
            "accuracy, five folds",
            value,
            f"folds {folds}" if n != 32 else f"{few} a class",
            bar="esc10" if n == 32 else "",
        )
        for n, value, folds in found
    ]


def fight_precision(options: EvaluationOptions, runner: RecordingRunner) -> list[ProtocolFigure]:
    """Average precision of a taught ``fight``, with sound and with the sound track taken out; five folds of groups."""
    rows = [row for row in read_rows(options.data) if row.set_name == "fight_surv"]
    fold = balanced_folds([row.label for row in rows], [row.group for row in rows], 5)
    truth = np.array([row.label == "fight" for row in rows])
    lines: list[ProtocolFigure] = []
    with _reader(options, runner, rows) as (reader, folder):
        whole = [reader.read(row.path).windows for row in rows]
        muted = [tuple(extract_all(load_scores(runner.windows_path(replay_job(row, "picture"))))) for row in rows]
        for most in (20, len(rows)):
            fused, picture = np.zeros(len(rows)), np.zeros(len(rows))
            for n in range(5):
                others = [row for row, f in zip(rows, fold, strict=True) if f != n]
                drawn = _sample_rows(others, ["fight", "normal"], most, seed=n)
                classify = _learn_profile(folder, f"fights-{most}-{n}", drawn, options)
                for k in np.flatnonzero(fold == n):
                    fused[k] = classify(whole[k]).get("fight", 0.0)
                    picture[k] = classify(muted[k]).get("fight", 0.0)
            lines += _fight_lines("20 a class" if most == 20 else "all other folds", fused, picture, truth, rows)
    return lines


def _fight_lines(
    setting: str,
    fused: NDArray[np.float64],
    picture: NDArray[np.float64],
    truth: NDArray[np.bool_],
    rows: Sequence[DatasetRow],
) -> list[ProtocolFigure]:
    groups = [row.group for row in rows]

    def more(which: NDArray[np.float64], holds: NDArray[np.bool_]) -> float:
        k = which.astype(int)
        return average_precision(fused[k], holds) - average_precision(picture[k], holds)

    gain = bootstrap_interval(more, np.arange(len(rows)).astype(np.float64), truth, groups)
    note = f"ROC AUC {roc_auc(fused, truth):.3f} with sound, {roc_auc(picture, truth):.3f} without; {len(rows)} clips"
    is_bar = setting != "20 a class"
    return [
        ProtocolFigure(f"fights, {setting}", "AP with sound", average_precision(fused, truth), note),
        ProtocolFigure(f"fights, {setting}", "AP without sound", average_precision(picture, truth)),
        ProtocolFigure(f"fights, {setting}", "with sound above without", gain.value,
             f"taught from the other folds, five folds of sources [{gain.low:+.3f}, {gain.high:+.3f}]",
             bar="fight" if is_bar else ""),
    ]  # fmt: skip


class _StoredReader(RecordingReader):
    """Reads the kept windows instead of playing again."""

    def __init__(self, model: Model, config: Config, folder: Path, place: Mapping[Path, Path]) -> None:
        super().__init__(model, config, folder)
        self._replay = StoredReplay(place)  # type: ignore[assignment]


@contextmanager
def _reader(
    options: EvaluationOptions, runner: RecordingRunner, rows: Sequence[DatasetRow]
) -> Iterator[tuple[RecordingReader, Path]]:
    loaded, folder = parse(REPLAY_CONFIG), options.work / "taught"
    folder.mkdir(parents=True, exist_ok=True)
    place = {row.path: runner.windows_path(replay_job(row)) for row in rows}
    model = Model.open(load_folder(options.engine), loaded.config.model, 1, Metrics())
    try:
        yield _StoredReader(model, loaded.config, folder, place), folder
    finally:
        model.close()


def _sample_rows(rows: Sequence[DatasetRow], labels: Sequence[str], most: int, seed: int) -> list[DatasetRow]:
    """At most ``most`` of each label, drawn; the same each time."""
    rng = np.random.default_rng([0, seed])
    chosen: list[DatasetRow] = []
    for label in labels:
        there = [row for row in rows if row.label == label]
        chosen += [there[k] for k in sorted(rng.permutation(len(there))[:most])]
    return chosen


def _learn_profile(
    folder: Path, name: str, rows: Sequence[DatasetRow], options: EvaluationOptions
) -> Callable[[Sequence[TaughtFeatures]], Mapping[str, float]]:
    """Learn from ``rows`` into a profile of its own; a function from a clip's windows to its highest values."""
    profile = folder / name
    shutil.rmtree(profile, ignore_errors=True)
    profile.mkdir(parents=True)
    (profile / CACHE).symlink_to((folder / CACHE).absolute(), target_is_directory=True)
    table = profile / "examples.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "group"])
        writer.writerows([row.path.absolute(), row.label, row.group] for row in rows)
    config = profile / "config.yaml"
    config.write_text(f"{REPLAY_CONFIG}model: {{name: {options.engine.absolute()}}}\n", encoding="utf-8")
    learn_events(LearningRequest(table, profile, config, force=True), _no_progress)
    part = ProfileFolder(profile).require_current().part(PART)
    if part is None:
        raise InputError(f"{profile}: nothing was learned from {len(rows)} clips")
    head, names = load_head(part, VERSION), [label.name for label in taught_labels(part)]

    def judge(windows: Sequence[TaughtFeatures]) -> Mapping[str, float]:
        best = dict.fromkeys(names, SILENT_PROBABILITY)
        for window in windows:
            values = head.classify(head.evidence(window))
            if values is not None:
                best = {label: max(best[label], float(values[0, k])) for k, label in enumerate(names)}
        return best

    return judge


def _best_label(values: Mapping[str, float], labels: Sequence[str]) -> str:
    return max(labels, key=lambda label: values.get(label, 0.0))


@contextmanager
def _no_progress(_title: str, _total: int) -> Iterator[Callable[[str], None]]:
    yield lambda _line: None
