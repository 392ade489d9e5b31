"""How well taught events do on recordings that nothing was learned from, through the commands that people use.

Everything goes through ``python -m edge learn events`` and ``python -m edge replay --scores``; a clip's score for a
label is the highest of its column. Wants the data folder with its `manifest.csv`.
"""

from __future__ import annotations

import csv
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import EdgeError
from edge.learn.events.clips import balanced_folds
from edge.learn.events.measure import area_under_roc, average_precision

_log = logging.getLogger(__name__)
F64 = NDArray[np.float64]
Row = Mapping[str, str]
WORK: Final = Path("build/taught")
"""Where profiles and muted copies are kept, unless another folder is given."""

_AT_ONCE: Final = 100  # files a replay


@dataclass(frozen=True, slots=True)
class Esc10:
    """Accuracy of the highest of ten columns, by official fold and their mean; ``confused`` counts (was, said); which
    folds' versions the gate refused (they were taken all the same)."""

    per_class: int
    accuracy: float
    folds: Sequence[float]
    confused: Mapping[tuple[str, str], int]
    refused: Sequence[int]


@dataclass(frozen=True, slots=True)
class Separation:
    """Average precision, area under the ROC curve, and accuracy at 0.5 of one way of looking."""

    average_precision: float
    area: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Fights:
    """Held-out clips of all folds together: with sound, with their sound taken away, and both again of the
    clips whose sound track is not silent; ``scores`` by file (with sound, without)."""

    clips: int
    fused: Separation
    picture: Separation
    heard_clips: int
    fused_heard: Separation
    picture_heard: Separation
    scores: Mapping[str, tuple[float, float]]
    refused: Sequence[int]


def measure_esc10(data_root: Path, per_class: int = 20, work: Path = WORK, seed: int = 0) -> Esc10:
    """ESC-10 (`open/audio/esc10`): for each official fold, learn ``per_class`` clips a class drawn from the other four
    and judge the fold. ``work`` keeps profiles, so that a second run is quicker."""
    rows = _rows(data_root, "open/audio/esc10/")
    labels = sorted({row["label"] for row in rows})
    folds = sorted({row["split"] for row in rows})
    accuracies: list[float] = []
    confused: dict[tuple[str, str], int] = {}
    refused: list[int] = []
    before: Path | None = None
    for n, fold in enumerate(folds):
        rng = np.random.default_rng([seed, n])
        chosen: list[Row] = []
        for label in labels:
            there = [row for row in rows if row["split"] != fold and row["label"] == label]
            chosen += [there[k] for k in sorted(rng.permutation(len(there))[:per_class])]
        profile = work / f"esc10-{per_class}-{seed}-{fold}"
        refused += [n + 1] if not _learn(data_root, chosen, profile, before, ()) else []
        before = profile
        test = [row for row in rows if row["split"] == fold]
        scores = replay_maxima([data_root / row["file"] for row in test], profile)
        said = [max(labels, key=lambda label: found.get(label, 0.0)) for found in scores]
        right = [a == row["label"] for a, row in zip(said, test, strict=True)]
        for a, row in zip(said, test, strict=True):
            if a != row["label"]:
                confused[row["label"], a] = confused.get((row["label"], a), 0) + 1
        accuracies.append(float(np.mean(right)))
        _log.info("ESC-10, %d a class, %s: %.4f", per_class, fold, accuracies[-1])
    return Esc10(per_class, float(np.mean(accuracies)), accuracies, confused, refused)


def measure_fights(data_root: Path, work: Path = WORK, folds: int = 5) -> Fights:
    """Surveillance fights (`restricted/video/fight_surv`, labels fight and normal): group folds; a held-out
    clip is judged with its sound and with the sound track taken out, by the same profile."""
    rows = _rows(data_root, "restricted/video/fight_surv/")
    fold = balanced_folds([row["label"] for row in rows], [row["group"] for row in rows], folds)
    fused, picture = np.zeros(len(rows)), np.zeros(len(rows))
    refused: list[int] = []
    before: Path | None = None
    for n in range(folds):
        profile = work / f"fights-{n + 1}"
        learned = [row for row, f in zip(rows, fold, strict=True) if f != n]
        refused += [n + 1] if not _learn(data_root, learned, profile, before, ()) else []
        before = profile
        test = np.flatnonzero(fold == n)
        files = [data_root / rows[k]["file"] for k in test]
        muted = [without_sound(file, work / "muted" / file.name) for file in files]
        fused[test] = [found.get("fight", 0.0) for found in replay_maxima(files, profile)]
        picture[test] = [found.get("fight", 0.0) for found in replay_maxima(muted, profile)]
        _log.info("fights, part %d of %d done", n + 1, folds)
    is_fight = np.array([row["label"] == "fight" for row in rows])
    heard = np.array([float(row["audio_rms"] or 0) > 0 for row in rows])
    return Fights(
        len(rows),
        _separation(fused, is_fight),
        _separation(picture, is_fight),
        int(heard.sum()),
        _separation(fused[heard], is_fight[heard]),
        _separation(picture[heard], is_fight[heard]),
        {row["file"]: (float(a), float(b)) for row, a, b in zip(rows, fused, picture, strict=True)},
        refused,
    )


def replay_maxima(files: Sequence[Path], profile: Path) -> list[dict[str, float]]:
    """By file, the highest value of each label's column."""
    found: dict[str, dict[str, float]] = {}
    for start in range(0, len(files), _AT_ONCE):
        part = files[start : start + _AT_ONCE]
        table = profile / "scores.csv"
        _edge("replay", *map(str, part), "--profile", str(profile), "--scores", str(table), "--events", os.devnull)
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                best = found.setdefault(row["file"], {})
                for label, cell in row.items():
                    if cell and label not in ("file", "t_s"):
                        best[label] = max(best.get(label, float(cell)), float(cell))
    return [found.get(str(file), {}) for file in files]


def without_sound(source: Path, target: Path) -> Path:
    """A copy of a video's picture stream, packets as they are; ``target`` if it is there already."""
    if target.exists():
        return target
    import av

    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}")
    with av.open(str(source)) as given, av.open(str(partial), "w", format=target.suffix[1:]) as out:
        stream = given.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in given.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    partial.replace(target)
    return target


def _learn(data_root: Path, rows: Sequence[Row], profile: Path, before: Path | None, options: Sequence[str]) -> bool:
    """Learn into ``profile``, with what ``before`` has read; whether the gate let it pass (it is taken anyway)."""
    shutil.rmtree(profile, ignore_errors=True) if not (profile / "cache").is_dir() else _forget_versions(profile)
    profile.mkdir(parents=True, exist_ok=True)
    if before is not None:
        shutil.copytree(before / "cache", profile / "cache", dirs_exist_ok=True)
    table = profile / "examples.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "group"])
        writer.writerows([(data_root / row["file"]).absolute(), row["label"], row["group"]] for row in rows)
    command = ("learn", "events", str(table), "-o", str(profile), *options)
    if _edge(*command, allowed=(0, 1)) == 0:
        return True
    _edge(*command, "--force")
    return False


def _forget_versions(profile: Path) -> None:
    for child in profile.iterdir():
        if child.is_dir() and child.name.isdigit():
            shutil.rmtree(child)
    (profile / "current").unlink(missing_ok=True)


def _edge(*arguments: str, allowed: Sequence[int] = (0,)) -> int:
    """Run one command; EdgeError with what it said when it fails."""
    done = subprocess.run([sys.executable, "-m", "edge", *arguments], capture_output=True, text=True, check=False)
    if done.returncode not in allowed:
        raise EdgeError(f"edge {' '.join(arguments[:2])}: exit code {done.returncode}: {done.stderr[-800:]}")
    return done.returncode


def _separation(values: F64, is_event: NDArray[Any]) -> Separation:
    right = float(((values >= 0.5) == is_event).mean())
    return Separation(average_precision(values, is_event), area_under_roc(values, is_event), right)


def _rows(data_root: Path, prefix: str) -> list[Row]:
    with (data_root / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows: list[Row] = [row for row in csv.DictReader(file) if row["file"].startswith(prefix)]
    if not rows:
        raise EdgeError(f"{data_root / 'manifest.csv'}: no rows of {prefix}; is this the data folder?")
    return rows
