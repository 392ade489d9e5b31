"""Tuning from end to end: score what is not in the cache, decide, sweep, suggest, write."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from edge.assemble import build_derivers, load_background, load_profile
from edge.clock import SystemClock
from edge.config import OFFLINE, Config, LoadedConfig, parse
from edge.detect.background import LEAST_MINUTES, MAX_EXTRAPOLATION, MINUTES_A_DAY
from edge.detect.rules import custom_labels
from edge.detect.thresholds import validate
from edge.engine.manifest import Label, find_folder, load_folder
from edge.errors import ConfigError, InputError, SinkError
from edge.logs import other_loggers_muted
from edge.replay.command import parse_start
from edge.tune import config_edit, labels, recordings
from edge.tune.cache import ScoreCache, scoring_key
from edge.tune.offline_detector import OfflineDetector
from edge.tune.report import report_html
from edge.tune.result import LabelTuning, TuningResult, TuningTimes, as_json, as_table
from edge.tune.scoring import LOGGER_NAME, ScoringSetup, score_all, scoring_progress
from edge.tune.suggest import ThresholdSuggestion, background_thresholds, suggest_by_background, suggest_by_labels
from edge.tune.sweep import ThresholdSweep, TunedRecording, sweep_thresholds, with_enter
from edge.types import seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TuneRequest:
    """The arguments of the command line."""

    recordings: tuple[str, ...]
    config: Path | None = None
    labels: Path | None = None
    profile: Path | None = None
    per_day: float = 1.0
    out: Path = Path("tune")
    start: str | None = None
    as_json: bool = False


@dataclass(frozen=True)
class _TuneContext:
    """The shared values of one run."""

    loaded: LoadedConfig
    judge: OfflineDetector
    known: tuple[Label, ...]
    hop_ns: int
    cache: ScoreCache
    setup: ScoringSetup


def tune(request: TuneRequest, out: TextIO) -> int:
    """Do all of it: 0, or 2 when a recording could not be read. InputError for input that is wrong."""
    with other_loggers_muted(LOGGER_NAME):
        outcome = run_tuning(request)
    text = as_json(outcome) if request.as_json else as_table(outcome, request.out)
    _write(
        request.out,
        {"suggestion.diff": outcome.diff, "suggestion.json": as_json(outcome), "report.html": report_html(outcome)},
    )
    print(text, file=out)
    for fault in outcome.unreadable:
        print(f"edge: {fault}", file=sys.stderr)
    return 2 if outcome.unreadable else 0


def run_tuning(request: TuneRequest) -> TuningResult:
    """Everything but writing; InputError for input that is wrong, or when no recording can be read."""
    clock = SystemClock()
    bench = _open(request)
    paths = recordings.find_recordings(request.recordings)
    truth, remarks = _truth(request, paths, bench)
    began_ns = clock.mono_ns()
    scored_s, unreadable = _score(bench, paths)
    scored_ns = clock.mono_ns()
    kept = [path for path in paths if _is_kept(bench.cache, path)]
    if not kept:
        raise InputError("\n".join(["no recording could be read", *unreadable]))
    results = [_recording(bench, path, truth.get(path, ())) for path in kept]
    rows = _rows(bench, results, request)
    config = _applied(bench, rows)
    judge = bench.judge.with_config(config)
    after = [judge.detect(r.moments(), r.camera) if config != bench.judge.config else r.judged for r in results]
    diff, undone = _difference(bench, rows)
    remarks += _about_time(request, bench.loaded.config)
    passed = TuningTimes(
        sum(_media_s(bench.cache, path) for path in kept),
        scored_s,
        seconds(scored_ns - began_ns),
        seconds(clock.mono_ns() - scored_ns),
    )
    return TuningResult(
        tuple(results),
        tuple(after),
        tuple(rows),
        request.per_day,
        request.labels is not None,
        diff,
        (*remarks, *undone),
        tuple(unreadable),
        passed,
    )


def _open(request: TuneRequest) -> _TuneContext:
    blank = ScoringSetup(request.config, request.profile, request.out / "cache", "")
    loaded = blank.load()
    folder = load_folder(find_folder(loaded.config.model.name))
    version = load_profile(loaded, folder, request.profile)
    manifest = folder.manifest.with_labels(build_derivers(loaded, folder, version).labels)
    faults = validate(loaded.config, manifest)
    if faults:
        raise ConfigError([loaded.fault(key, message) for key, message in faults])
    key = scoring_key(loaded.config, folder.manifest, version)
    judge = OfflineDetector(loaded.config, manifest, load_background(manifest, version), parse_start(request.start))
    return _TuneContext(
        loaded,
        judge,
        (*manifest.labels, *custom_labels(loaded.config, manifest)),
        manifest.geometry.hop_ns,
        ScoreCache(blank.folder, key),
        ScoringSetup(request.config, request.profile, blank.folder, key),
    )


def _truth(request: TuneRequest, paths: Sequence[Path], bench: _TuneContext) -> tuple[labels.Truth, list[str]]:
    if request.labels is None:
        return {}, []
    return labels.read_labels(request.labels, paths, [label.name for label in bench.known])


def _score(bench: _TuneContext, paths: Sequence[Path]) -> tuple[float, list[str]]:
    """Score new recordings; seconds of media scored now, and the recordings that could not be read."""
    missing, unreadable = [], []
    for path in paths:
        try:
            if bench.cache.facts(path) is None:
                missing.append(path)
        except InputError as error:
            unreadable.append(str(error))
    scored_s = 0.0
    total_s = sum(recordings.length_s(path) for path in missing)
    with scoring_progress(total_s, len(missing)) as (on_progress, finished):
        for done in score_all(bench.setup, missing, on_progress):
            if done.facts is None:
                unreadable.append(done.fault)
            else:
                scored_s += done.facts.media_s
            speed = f"{done.facts.media_s:.0f} s" if done.facts is not None else done.fault
            finished(f"{done.path.name}: {speed}")
    return scored_s, unreadable


def _is_kept(cache: ScoreCache, path: Path) -> bool:
    try:
        return cache.facts(path) is not None
    except InputError:
        return False


def _media_s(cache: ScoreCache, path: Path) -> float:
    facts = cache.facts(path)
    return facts.media_s if facts is not None else 0.0


def _recording(bench: _TuneContext, path: Path, spans: tuple[labels.LabelledSpan, ...]) -> TunedRecording:
    camera = recordings.camera_of(path, bench.loaded.config.cameras)
    judged = bench.judge.detect(bench.cache.moments(path, camera), camera)
    return TunedRecording(path, camera, judged, spans, lambda: bench.cache.moments(path, camera))


def _rows(bench: _TuneContext, results: Sequence[TunedRecording], request: TuneRequest) -> list[LabelTuning]:
    quiet = background_thresholds(bench.known, bench.hop_ns, results, request.per_day)
    known_rules = {name for r in results for name in r.judged.trace.names}
    rows = []
    for label in bench.known:
        name = label.name
        if name not in known_rules:
            continue
        enter, minutes = quiet[name]
        swept = sweep_thresholds(bench.judge, results, name, bench.hop_ns, () if enter is None else (enter,))
        has_spans = any(r.spans_of(name) for r in results)
        rows.append(LabelTuning(swept, _suggestion(swept, request, label, enter, minutes, has_spans=has_spans)))
        _log.debug("%s: %s", name, rows[-1].suggestion.remark or "suggested")
    return rows


def _suggestion(
    swept: ThresholdSweep, request: TuneRequest, label: Label, enter: float | None, minutes: int, *, has_spans: bool
) -> ThresholdSuggestion:
    if request.labels is not None and has_spans:
        return suggest_by_labels(swept, request.per_day, label.enter / 2)
    least = max(LEAST_MINUTES, int(MINUTES_A_DAY / MAX_EXTRAPOLATION / request.per_day) + 1)
    return suggest_by_background(swept, enter, request.per_day, minutes, least)


def _about_time(request: TuneRequest, config: Config) -> list[str]:
    timed = [name for name, rule in config.events.items() if rule.schedule]
    if request.start is not None or not timed:
        return []
    return [f"{', '.join(timed)}: judged as if the recordings had begun in 1970; give --start for schedules"]


def _applied(bench: _TuneContext, rows: Sequence[LabelTuning]) -> Config:
    """The configuration with everything that is suggested."""
    config = bench.loaded.config
    for row in rows:
        if row.suggestion.after is not None:
            config = with_enter(config, row.sweep.label, row.suggestion.after.enter)
    return config


def _difference(bench: _TuneContext, rows: Sequence[LabelTuning]) -> tuple[str, list[str]]:
    """The diff, and what must be changed elsewhere."""
    path = bench.setup.config
    enters = {r.sweep.label: r.suggestion.after.enter for r in rows if r.suggestion.after is not None}
    if path is None:
        lines = "".join(f"  {name}: {{enter: {enter:g}}}\n" for name, enter in enters.items())
        return config_edit.difference("", f"events:\n{lines}" if lines else "", Path("config.yaml")), []
    text = path.read_text(encoding="utf-8")
    written = parse(text, path, needs=OFFLINE).config.events
    drawn = [name for name in enters if written.get(name) != bench.loaded.config.events.get(name)]
    remarks = [f"{name} was drawn on the page: change it there to enter {enters.pop(name):g}" for name in drawn]
    try:
        return config_edit.difference(text, config_edit.with_enters(text, enters, path), path), remarks
    except InputError as error:
        return "", [*remarks, str(error)]


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files that have content; delete those of an earlier run that would be empty."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            if text:
                (folder / name).write_text(text, encoding="utf-8")
            else:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise SinkError(f"{folder}: cannot be written ({error.strerror}); give another --out") from error
