"""One report over the data folder, through onnxruntime: precision, removed modalities, false alarms.

Sets outside `open` are only ever measured here; nothing is trained, chosen or calibrated on them.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.learn import labels as L
from edge.learn.data import decode_sound, decode_video, read_photo
from edge.learn.stream import Answers, Media, play

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `manifest.csv` as far as it matters here."""

    path: Path
    label: str
    dataset: str
    split: str
    tier: str


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """`labels` maps the set's own names to ours; everything else in it is a negative."""

    name: str
    dataset: str
    kind: str
    labels: dict[str, str]
    split: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """Average precision of one label on one set, its base rate, and recall and false alarms at `enter`."""

    set_name: str
    label: str
    positives: int
    negatives: int
    average_precision: float
    recall: float
    false_rate: float


SETS: Final = (
    EvaluationSet("ESC-10 fold 5 (open)", "ESC-10", "sound",
                  {"dog": "dog_bark", "crackling_fire": "fire", "crying_baby": "crying_baby"}, "fold5"),
    EvaluationSet("ESC-50 part (NC)", "ESC-50 (part)", "sound",
                  {"glass_breaking": "glass_break", "siren": "siren", "clock_alarm": "alarm"}),
    EvaluationSet("UrbanSound8K part (NC)", "UrbanSound8K (folds 1,2,10 + part of 3)", "sound",
                  {"dog_bark": "dog_bark", "gun_shot": "gunshot", "siren": "siren"}),
    EvaluationSet("screams v speech (R)", "scream set", "sound", {"scream": "scream"}),
    EvaluationSet("glass v background (R)", "glass_5_to_1sec", "sound", {"glass_breaking": "glass_break"}),
    EvaluationSet("forest gunshots (R)", "R. Carioni thesis", "sound", {"gun_shot": "gunshot"}),
    EvaluationSet("office sounds (R)", "DCASE2016 Task 2 train", "sound", {"knock": "door_knock"}),
    EvaluationSet("fire photographs (R)", "Fire-Detection-Image-Dataset", "photo", {"fire": "fire"}),
)  # fmt: skip


def read_rows(root: Path) -> list[Row]:
    """Every media row of the manifest."""
    with open(root / "manifest.csv", encoding="utf-8") as f:
        return [
            Row(root / r["file"], r["label"], r["dataset"], r["split"], r["tier"])
            for r in csv.DictReader(f) if r["label"] != "yolo_box" and (root / r["file"]).exists()
        ]  # fmt: skip


def evaluate_sets(engine: Path, root: Path, most: int = 24) -> list[Result]:
    """Average precision per set and label, at most `most` recordings of each of the set's classes."""
    rows, results = read_rows(root), []
    for chosen in SETS:
        picked = _pick(
            (r for r in rows if r.dataset.startswith(chosen.dataset) and (not chosen.split or r.split == chosen.split)),
            most,
        )
        answers = play(engine, [_load(r, chosen.kind) for r in picked])
        for theirs, ours in chosen.labels.items():
            if any(a.media.label == theirs for a in answers):
                results.append(_result(chosen.name, ours, answers, lambda label, t=theirs: label == t))  # type: ignore[misc]
                _log.info("%s", results[-1])
    return results


def evaluate_clips(engine: Path, root: Path, most: int = 40) -> list[Result]:
    """Clips with picture and sound: fire against fight-set, fall and street clips, as a whole and in part."""
    rows = read_rows(root)
    video = [r for r in rows if r.path.suffix == ".mp4"]
    fires = [r for r in video if r.dataset == "AV events" and r.label == "fire"]
    smokes = [r for r in rows if r.label == "smoke"][:most]
    quiet = _pick(
        (r for r in video if r.label in ("normal", "normal_person", "normal_car", "normal_bottle", "normal_crowd")),
        most,
    )
    media = [_load(r, "clip") for r in [*fires, *quiet]]
    results = []
    for name, cut in (("fused", _whole), ("picture only", _mute), ("sound only", _blind)):
        kept = [m for m in map(cut, media) if m.audio is not None or m.pictures is not None]
        answers = play(engine, kept, limit=16)
        results.append(
            _result(
                f"fire clip (open, flames trained on) v ordinary clips, {name}",
                "fire",
                answers,
                lambda label: label == "fire",
            )
        )
        _log.info("%s", results[-1])
    stills = play(engine, [_load(r, "photo") for r in smokes] + [_first(m) for m in media if m.label != "fire"])
    results.append(
        _result("wildfire smoke photographs (R) v ordinary clips", "smoke", stills, lambda label: label == "smoke")
    )
    return results


def false_alarms(engine: Path, root: Path, most: int = 30) -> tuple[float, dict[str, int], dict[str, float]]:
    """Hours of ordinary material played, events begun (over `enter`, until under `leave`) and the peak, by label."""
    rows = read_rows(root)
    ordinary = (
        "normal",
        "normal_person",
        "normal_car",
        "normal_bottle",
        "normal_crowd",
        "background_outdoor",
        "background_silence",
        "speech_clean",
    )
    chosen = _pick(
        (r for r in rows if r.label in ordinary and r.path.suffix in (".mp4", ".ogg") and r.dataset != "UCSD Ped2"),
        most,
    )
    chosen += _pick(
        (
            r
            for r in rows
            if r.dataset == "ESC-10"
            and r.split == "fold5"
            and r.label in ("rain", "sea_waves", "clock_tick", "helicopter", "chainsaw", "rooster", "sneezing")
        ),
        8,
    )
    answers = play(engine, [_load(r, "clip" if r.path.suffix == ".mp4" else "sound") for r in chosen], limit=160)
    hours = sum(len(a.logits) for a in answers) * L.HOP_S / 3600
    events, peaks = {x.name: 0 for x in L.LABELS}, {x.name: 0.0 for x in L.LABELS}
    for answer in answers:
        p = 1 / (1 + np.exp(-np.stack(answer.logits)))
        for c, label in enumerate(L.LABELS):
            events[label.name] += _begins(p[:, c], label.enter, label.leave)
            peaks[label.name] = max(peaks[label.name], float(p[:, c].max()))
    return hours, events, peaks


def average_precision(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Area under precision over recall, step-wise, ties broken against us."""
    order = np.lexsort((truth, -scores))
    hits = truth[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((precision * hits).sum() / max(1, hits.sum()))


def report(sets: list[Result], clips: list[Result], alarms: tuple[float, dict[str, int], dict[str, float]]) -> str:
    """The tables as Markdown."""
    lines = [
        "| set | label | positives / negatives | AP | recall at `enter` | negatives over `enter` |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.set_name} | {r.label} | {r.positives} / {r.negatives} | {r.average_precision:.3f} |"
        f" {r.recall:.2f} | {r.false_rate:.3f} |"
        for r in [*sets, *clips]
    ]
    hours, events, peaks = alarms
    lines += [
        "",
        f"Ordinary material, {hours:.2f} h (events begun, highest probability):",
        "",
        "| label | events | an hour | peak |",
        "|---|---|---|---|",
    ]
    lines += [f"| {name} | {n} | {n / hours:.1f} | {peaks[name]:.2f} |" for name, n in events.items()]
    return "\n".join(lines) + "\n"


def _pick(rows: Iterable[Row], most: int) -> list[Row]:
    """At most `most` a class, evenly spread over the sorted files."""
    by: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda r: str(r.path)):
        by.setdefault(row.label, []).append(row)
    return [
        group[i]
        for group in by.values()
        for i in sorted({int(x) for x in np.linspace(0, len(group) - 1, min(most, len(group)))})
    ]


def _load(row: Row, kind: str) -> Media:
    media = Media(row.path.name, row.label)
    if kind == "photo":
        media.pictures = np.repeat(read_photo(row.path)[None], 8, 0)
    elif kind == "sound":
        media.audio = decode_sound(row.path)
    else:
        media.pictures = decode_video(row.path, limit_s=60)
        try:
            media.audio = decode_sound(row.path)
        except ValueError:
            media.audio = None
    return media


def _whole(m: Media) -> Media:
    return Media(m.name, m.label, m.audio, m.pictures)


def _mute(m: Media) -> Media:
    return Media(m.name, m.label, None, m.pictures)


def _blind(m: Media) -> Media:
    return Media(m.name, m.label, m.audio, None)


def _first(m: Media) -> Media:
    return Media(m.name, m.label, None, None if m.pictures is None else m.pictures[:8])


def _result(name: str, label: str, answers: list[Answers], positive: Callable[[str], bool]) -> Result:
    scores = np.array([a.score(label) for a in answers])
    truth = np.array([positive(a.media.label) for a in answers])
    enter = next(x.enter for x in L.LABELS if x.name == label)
    over = scores > np.log(enter / (1 - enter))
    recall, false_rate = (float(over[which].mean()) if which.any() else 0.0 for which in (truth, ~truth))
    precision = average_precision(scores, truth)
    return Result(name, label, int(truth.sum()), int((~truth).sum()), precision, recall, false_rate)


def _begins(p: NDArray[np.float64], enter: float, leave: float) -> int:
    count, inside = 0, False
    for x in p:
        if not inside and x >= enter:
            count, inside = count + 1, True
        elif inside and x < leave:
            inside = False
    return count
