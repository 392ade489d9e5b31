"""Events taught by examples, held out: ESC-10 by its official folds and surveillance fights by groups.

Recordings were played once through the same replay as in service, and their windows kept (`kept`). Learning is `edge
learn events` itself, and a held-out window is judged by the head that it wrote, which is what `edge replay --profile`
does. A clip's score for a label is the highest of its windows.
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

from edge.config import Config, parse
from edge.detect.taught import NOTHING, labels_of
from edge.detect.taught_features import VERSION, Described, describe_all
from edge.detect.taught_head import from_part
from edge.engine.manifest import load_folder
from edge.engine.model import Model
from edge.errors import InputError
from edge.learn.evaluation.bars import Line
from edge.learn.evaluation.collect import Asked, job_of
from edge.learn.evaluation.kept import KeptReplay, load_scores
from edge.learn.evaluation.metrics import average_precision, bootstrap, roc_auc
from edge.learn.evaluation.recordings import Bench
from edge.learn.evaluation.sets import Row, read_rows
from edge.learn.events.clips import balanced_folds
from edge.learn.events.learn import PART, Request, learn_events
from edge.learn.events.read import CACHE, Reader
from edge.metrics import Metrics
from edge.profile import ProfileFolder

FEW: Final = (5, 20)
_CONFIG: Final = "cameras: {recording: {source: {type: file, path: recording}}}\nmqtt: null\n"


def esc10(asked: Asked, bench: Bench) -> list[Line]:
    """Accuracy of the highest of ten taught labels, learned from 5, 20 and all 32 clips a class of the other folds."""
    rows = [row for row in read_rows(asked.data) if row.set_name == "esc10"]
    labels = sorted({row.label for row in rows})
    with _reader(asked, bench, rows) as (reader, folder):
        heard = {row.path: reader.read(row.path).windows for row in rows}
        found = []
        for per_class in (*FEW, 32):
            right: list[float] = []
            for n, fold in enumerate(sorted({row.split for row in rows})):
                others = [row for row in rows if row.split != fold]
                drawn = _drawn(others, labels, per_class, seed=n)
                judge = _taught(folder, f"esc10-{per_class}-{fold}", drawn, asked)
                test = [row for row in rows if row.split == fold]
                said = [_best(judge(heard[row.path]), labels) for row in test]
                right.append(float(np.mean([a == row.label for a, row in zip(said, test, strict=True)])))
            folds = ", ".join(f"{x:.3f}" for x in right)
            found.append((per_class, float(np.mean(right)), folds))
    few = "; ".join(f"{value:.3f} from {n}" for n, value, _ in found[:-1])
    return [
        Line(f"{n} examples a class", "accuracy, five folds", value, f"folds {folds}" if n != 32 else f"{few} a class",
             bar="esc10" if n == 32 else "")
        for n, value, folds in found
    ]  # fmt: skip


def fights(asked: Asked, bench: Bench) -> list[Line]:
    """Average precision of a taught ``fight``, with sound and with the sound track taken out; five folds of groups."""
    rows = [row for row in read_rows(asked.data) if row.set_name == "fight_surv"]
    fold = balanced_folds([row.label for row in rows], [row.group for row in rows], 5)
    truth = np.array([row.label == "fight" for row in rows])
    lines: list[Line] = []
    with _reader(asked, bench, rows) as (reader, folder):
        whole = [reader.read(row.path).windows for row in rows]
        muted = [tuple(describe_all(load_scores(bench.windows(job_of(row, "picture"))))) for row in rows]
        for most in (20, len(rows)):
            fused, picture = np.zeros(len(rows)), np.zeros(len(rows))
            for n in range(5):
                others = [row for row, f in zip(rows, fold, strict=True) if f != n]
                drawn = _drawn(others, ["fight", "normal"], most, seed=n)
                judge = _taught(folder, f"fights-{most}-{n}", drawn, asked)
                for k in np.flatnonzero(fold == n):
                    fused[k] = judge(whole[k]).get("fight", 0.0)
                    picture[k] = judge(muted[k]).get("fight", 0.0)
            lines += _fight_lines("20 a class" if most == 20 else "all other folds", fused, picture, truth, rows)
    return lines


def _fight_lines(
    setting: str,
    fused: NDArray[np.float64],
    picture: NDArray[np.float64],
    truth: NDArray[np.bool_],
    rows: Sequence[Row],
) -> list[Line]:
    groups = [row.group for row in rows]

    def more(which: NDArray[np.float64], holds: NDArray[np.bool_]) -> float:
        k = which.astype(int)
        return average_precision(fused[k], holds) - average_precision(picture[k], holds)

    gain = bootstrap(more, np.arange(len(rows)).astype(np.float64), truth, groups)
    note = f"ROC AUC {roc_auc(fused, truth):.3f} with sound, {roc_auc(picture, truth):.3f} without; {len(rows)} clips"
    is_bar = setting != "20 a class"
    return [
        Line(f"fights, {setting}", "AP with sound", average_precision(fused, truth), note),
        Line(f"fights, {setting}", "AP without sound", average_precision(picture, truth)),
        Line(f"fights, {setting}", "with sound above without", gain.value,
             f"taught from the other folds, five folds of sources [{gain.low:+.3f}, {gain.high:+.3f}]",
             bar="fight" if is_bar else ""),
    ]  # fmt: skip


class _KeptReader(Reader):
    """Reads the kept windows instead of playing again."""

    def __init__(self, model: Model, config: Config, folder: Path, place: Mapping[Path, Path]) -> None:
        super().__init__(model, config, folder)
        self._replay = KeptReplay(place)  # type: ignore[assignment]


@contextmanager
def _reader(asked: Asked, bench: Bench, rows: Sequence[Row]) -> Iterator[tuple[Reader, Path]]:
    loaded, folder = parse(_CONFIG), asked.work / "taught"
    folder.mkdir(parents=True, exist_ok=True)
    place = {row.path: bench.windows(job_of(row)) for row in rows}
    model = Model.open(load_folder(asked.engine), loaded.config.model, 1, Metrics())
    try:
        yield _KeptReader(model, loaded.config, folder, place), folder
    finally:
        model.close()


def _drawn(rows: Sequence[Row], labels: Sequence[str], most: int, seed: int) -> list[Row]:
    """At most ``most`` of each label, drawn; the same each time."""
    rng = np.random.default_rng([0, seed])
    chosen: list[Row] = []
    for label in labels:
        there = [row for row in rows if row.label == label]
        chosen += [there[k] for k in sorted(rng.permutation(len(there))[:most])]
    return chosen


def _taught(
    folder: Path, name: str, rows: Sequence[Row], asked: Asked
) -> Callable[[Sequence[Described]], Mapping[str, float]]:
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
    config.write_text(f"{_CONFIG}model: {{name: {asked.engine.absolute()}}}\n", encoding="utf-8")
    learn_events(Request(table, profile, config, force=True), _quiet)
    part = ProfileFolder(profile).existing().part(PART)
    if part is None:
        raise InputError(f"{profile}: nothing was learned from {len(rows)} clips")
    head, names = from_part(part, VERSION), [label.name for label in labels_of(part)]

    def judge(windows: Sequence[Described]) -> Mapping[str, float]:
        best = dict.fromkeys(names, NOTHING)
        for window in windows:
            values = head.judge(head.evidence(window))
            if values is not None:
                best = {label: max(best[label], float(values[0, k])) for k, label in enumerate(names)}
        return best

    return judge


def _best(values: Mapping[str, float], labels: Sequence[str]) -> str:
    return max(labels, key=lambda label: values.get(label, 0.0))


@contextmanager
def _quiet(_title: str, _total: int) -> Iterator[Callable[[str], None]]:
    yield lambda _line: None
