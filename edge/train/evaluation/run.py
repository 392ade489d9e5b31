"""Runs all measurements of the report and caches the slow ones on disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge.engine.manifest import Label
from edge.errors import InputError
from edge.files import atomic_write
from edge.train.data import decode_audio, open_recordings
from edge.train.evaluation.datasets import (
    COMPLETE_SETS,
    DATASETS,
    DatasetRow,
    mark_training_sources,
    read_rows,
    sample_rows,
)
from edge.train.evaluation.label_metrics import ScoredRecording
from edge.train.evaluation.recordings import (
    STREAM_SELECTIONS,
    RecordingResult,
    RecordingRunner,
    ReplayJob,
    StreamSelection,
)
from edge.train.evaluation.synthetic import RATE_HZ, OnsetLatency, active_spans, onset_latency, pad_to_onset

_log = logging.getLogger(__name__)

ABLATED_SETS: Final = ("fight_surv", "av_events")
"""Sets whose recordings are also played without their sound and without their picture."""
STORED_SETS: Final = ("esc10", "esc50_part", "fight_surv")
"""Sets that prompts and taught events are tried on: their windows are kept whole."""
PROTOCOL_SETS: Final = {"esc10": "esc10", "fight_surv": "fights"}
"""Sets of which a protocol of `edge.train.evaluation.protocols` needs every recording."""
LATENCY_RECORDINGS: Final = 4
STRIDES: Final = (2, 4)
"""Of so many windows one is scored where looks are long: every 1 s and every 2 s."""
LONG_ENOUGH_S: Final = 4.0
"""Recordings of less say nothing of long looks."""
_NOT_SCORED: Final = ("ucsd_ped2",)
"""Measured by its own protocol (`edge.train.evaluation.protocols`): without a normal learned there is no anomaly."""

ProgressCallback = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """What the command line asked for."""

    data: Path
    engine: Path
    work: Path
    only: tuple[str, ...] = ()
    most: int = 20
    workers: int = 1
    yamnet: Path | None = None
    weights: Path | None = None
    skip: tuple[str, ...] = ()

    @property
    def whole(self) -> frozenset[str]:
        """The sets of which everything is taken: those with a goal, and those that a protocol needs all of."""
        needed = {name for name, protocol in PROTOCOL_SETS.items() if not {"learned", protocol} & set(self.skip)}
        return COMPLETE_SETS | needed


@dataclass(slots=True)
class EvaluationResults:
    """All results; the report rests on these alone."""

    model: str
    digest: str
    labels: tuple[Label, ...]
    command: str
    most: int
    whole_sets: frozenset[str] = COMPLETE_SETS
    rows: Sequence[DatasetRow] = ()
    whole: Sequence[ScoredRecording] = ()
    cut: Mapping[StreamSelection, Sequence[ScoredRecording]] = field(default_factory=dict)
    unreadable: Sequence[str] = ()
    looks: Mapping[int, Sequence[ScoredRecording]] = field(default_factory=dict)
    spans: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    latencies: Sequence[OnsetLatency] = ()
    yamnet: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    learned: Mapping[str, Any] = field(default_factory=dict)
    ablation: Mapping[str, Any] | None = None
    compute: Mapping[str, Any] | None = None


def select_rows(options: EvaluationOptions) -> list[DatasetRow]:
    """The recordings that are asked for; InputError names sets that are not there."""
    rows = read_rows(options.data)
    known = {row.set_name for row in rows}
    unknown = sorted(set(options.only) - known)
    if unknown:
        raise InputError(f"--only {','.join(unknown)}: no such set; there is: {', '.join(sorted(known))}")
    trained = [r.path for r in open_recordings(options.data) if not r.held_out]
    rows = [row for row in mark_training_sources(rows, trained) if row.set_name in DATASETS]
    return [
        row
        for row in sample_rows(rows, options.most, options.whole)
        if not options.only or row.set_name in options.only
    ]


def run_evaluation(
    options: EvaluationOptions, results: EvaluationResults, runner: RecordingRunner, progress: ProgressCallback
) -> None:
    """Fill ``results`` but for what is learned, the ablation and the cost."""
    rows = results.rows = select_rows(options)
    played = [row for row in rows if row.set_name not in _NOT_SCORED]
    jobs = [replay_job(row) for row in played]
    jobs += [replay_job(row, view) for row in played if row.set_name in ABLATED_SETS for view in STREAM_SELECTIONS[1:]]
    answers = run_jobs(runner, jobs, progress)
    results.unreadable = [job.path.name for job in jobs if answers[job] is None and job.view == "whole"]
    results.whole = _scored(played, answers, "whole")
    cut = [row for row in played if row.set_name in ABLATED_SETS and answers[replay_job(row, "sound")] is not None]
    results.cut = {view: _scored(cut, answers, view) for view in STREAM_SELECTIONS}
    if "looks" not in options.skip:
        results.looks = _long_looks(runner, results.whole, progress)
    results.spans = activity_spans(runner, played)
    if "latency" not in options.skip:
        results.latencies = measure_latencies(runner, played, results.labels, progress)
    if options.yamnet is not None:
        results.yamnet = yamnet_scores(options.yamnet, options.work, played, progress)


def replay_job(row: DatasetRow, view: StreamSelection = "whole") -> ReplayJob:
    """How ``row`` is played."""
    return ReplayJob(row.path, view, stores_windows=row.set_name in STORED_SETS and view != "sound")


def run_jobs(
    runner: RecordingRunner, jobs: Sequence[ReplayJob], progress: ProgressCallback
) -> dict[ReplayJob, RecordingResult | None]:
    """Every job's result; reports progress."""
    results: dict[ReplayJob, RecordingResult | None] = {}
    for job, answer in runner.run(jobs):
        results[job] = answer
        progress(len(results), len(set(jobs)), job.path.name)
    return results


def _long_looks(
    runner: RecordingRunner, whole: Sequence[ScoredRecording], progress: ProgressCallback
) -> dict[int, list[ScoredRecording]]:
    """The recordings that are long enough, by how many windows are passed over: 1 for every window."""
    long = [one for one in whole if one.result.media_s >= LONG_ENOUGH_S]
    looks = {1: long}
    jobs = {s: {ReplayJob(one.row.path, stride=s): one.row for one in long} for s in STRIDES}
    answers = run_jobs(runner, [job for by_job in jobs.values() for job in by_job], progress)
    for stride, by_job in jobs.items():
        looks[stride] = [
            ScoredRecording(row, answer) for job, row in by_job.items() if (answer := answers[job]) is not None
        ]
    return looks


def activity_spans(runner: RecordingRunner, rows: Iterable[DatasetRow]) -> dict[str, list[tuple[float, float]]]:
    """Where each recording with an event is active: by its level for sounds, as a whole for pictures and clips."""
    place = runner.cache.parent / "spans.json"
    known: dict[str, list[tuple[float, float]]] = read_json(place) or {}
    for row in rows:
        key = str(row.path)
        if key not in known:
            known[key] = active_spans(decode_audio(row.path, RATE_HZ), RATE_HZ) if row.kind == "sound" else [(0.0, 1e9)]
    write_json(place, known)
    return known


def measure_latencies(
    runner: RecordingRunner, rows: Sequence[DatasetRow], labels: Sequence[Label], progress: ProgressCallback
) -> list[OnsetLatency]:
    """From the sample at which a sound begins to the report of its event, on recordings composed for it."""
    folder = runner.cache.parent / "onsets"
    folder.mkdir(exist_ok=True)
    jobs: dict[ReplayJob, tuple[str, float]] = {}
    for label in labels:
        heard = [r for r in rows if r.kind == "sound" and "audio" in label.modalities and r.truth(label.name)]
        step = max(1, len(heard) // LATENCY_RECORDINGS)
        for row in heard[::step][:LATENCY_RECORDINGS]:
            out = folder / f"{row.set_name}-{row.path.stem}.wav"
            jobs[ReplayJob(out)] = (label.name, pad_to_onset(row.path, out))
    answers = run_jobs(runner, list(jobs), progress)
    return [
        OnsetLatency(label, job.path.name, onset_latency(answer, label, onset_s))
        for job, (label, onset_s) in jobs.items()
        if (answer := answers[job]) is not None
    ]


def yamnet_scores(
    folder: Path, work: Path, rows: Sequence[DatasetRow], progress: ProgressCallback
) -> dict[str, dict[str, float]]:
    """YAMNet's scores by label and path, of recordings with sound alone."""
    place = work / "yamnet.json"
    known: dict[str, dict[str, float]] = read_json(place) or {}
    sounds = [row for row in rows if row.kind == "sound"]
    todo = [row for row in sounds if str(row.path) not in known]
    if todo:
        from edge.train.evaluation.yamnet import Yamnet

        net = Yamnet(folder)
        for k, row in enumerate(todo):
            known[str(row.path)] = net.scores(row.path)
            progress(k + 1, len(todo), f"YAMNet {row.path.name}")
        write_json(place, known)
    labels = next(iter(known.values()), {})
    return {label: {str(row.path): known[str(row.path)][label] for row in sounds} for label in labels}


def read_json(path: Path) -> Any:
    """What `write_json` wrote; None where there is nothing."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    atomic_write(path, json.dumps(value, indent=1))


def _scored(
    rows: Iterable[DatasetRow], answers: Mapping[ReplayJob, RecordingResult | None], view: StreamSelection
) -> list[ScoredRecording]:
    return [ScoredRecording(row, answer) for row in rows if (answer := answers.get(replay_job(row, view))) is not None]
