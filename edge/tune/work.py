"""Tuning from end to end: score what is not kept, decide, sweep, suggest, write."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from edge.assemble import assemble, learned, quiet_times
from edge.clock import SystemClock
from edge.config import OFFLINE, Config, Loaded, parse
from edge.detect.null import FARTHEST, LEAST_MINUTES, MINUTES_A_DAY
from edge.detect.rules import rule_labels
from edge.detect.thresholds import check
from edge.engine.manifest import Label, find_folder, load_folder
from edge.errors import ConfigError, InputError, SinkError
from edge.logs import own_lines
from edge.replay.command import parse_start
from edge.tune import edit, labels, recordings
from edge.tune.cache import Cache, setting
from edge.tune.judge import Judge
from edge.tune.outcome import Outcome, Pass, Row
from edge.tune.page import page
from edge.tune.progress import OWN, shown
from edge.tune.quiet import quiet_enters
from edge.tune.scoring import Setup, score_all
from edge.tune.suggest import Suggestion, by_labels, by_quiet
from edge.tune.sweep import Recording, Sweep, sweep, with_enter
from edge.tune.tables import as_json, as_table
from edge.types import seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line."""

    recordings: tuple[str, ...]
    config: Path | None = None
    labels: Path | None = None
    profile: Path | None = None
    per_day: float = 1.0
    out: Path = Path("tune")
    start: str | None = None
    as_json: bool = False


@dataclass(frozen=True)
class _Bench:
    """What everything here works with."""

    loaded: Loaded
    judge: Judge
    known: tuple[Label, ...]
    hop_ns: int
    cache: Cache
    setup: Setup


def tune(request: Request, out: TextIO) -> int:
    """Do all of it: 0, or 2 when a recording could not be read. InputError for input that is wrong."""
    with own_lines(OWN):
        outcome = work(request)
    text = as_json(outcome) if request.as_json else as_table(outcome, request.out)
    _write(
        request.out,
        {"suggestion.diff": outcome.diff, "suggestion.json": as_json(outcome), "report.html": page(outcome)},
    )
    print(text, file=out)
    for fault in outcome.unreadable:
        print(f"edge: {fault}", file=sys.stderr)
    return 2 if outcome.unreadable else 0


def work(request: Request) -> Outcome:
    """Everything but writing; InputError for input that is wrong, or when no recording can be read."""
    clock = SystemClock()
    bench = _open(request)
    paths = recordings.find(request.recordings)
    truth, remarks = _truth(request, paths, bench)
    began_ns = clock.mono_ns()
    scored_s, unreadable = _score(bench, paths)
    scored_ns = clock.mono_ns()
    kept = [path for path in paths if _is_kept(bench.cache, path)]
    if not kept:
        raise InputError("\n".join(["no recording could be read", *unreadable]))
    heard = [_recording(bench, path, truth.get(path, ())) for path in kept]
    rows = _rows(bench, heard, request)
    config = _applied(bench, rows)
    judge = bench.judge.other(config)
    after = [judge.judge(r.moments(), r.camera) if config != bench.judge.config else r.judged for r in heard]
    diff, undone = _difference(bench, rows)
    remarks += _about_time(request, bench.loaded.config)
    passed = Pass(
        sum(_media_s(bench.cache, path) for path in kept),
        scored_s,
        seconds(scored_ns - began_ns),
        seconds(clock.mono_ns() - scored_ns),
    )
    return Outcome(
        tuple(heard),
        tuple(after),
        tuple(rows),
        request.per_day,
        request.labels is not None,
        diff,
        (*remarks, *undone),
        tuple(unreadable),
        passed,
    )


def _open(request: Request) -> _Bench:
    blank = Setup(request.config, request.profile, request.out / "cache", "")
    loaded = blank.load()
    folder = load_folder(find_folder(loaded.config.model.name))
    version = learned(loaded, folder, request.profile)
    manifest = folder.manifest.plus(assemble(loaded, folder, version).labels)
    faults = check(loaded.config, manifest)
    if faults:
        raise ConfigError([loaded.fault(key, message) for key, message in faults])
    key = setting(loaded.config, folder.manifest, version)
    judge = Judge(loaded.config, manifest, quiet_times(manifest, version), parse_start(request.start))
    return _Bench(
        loaded,
        judge,
        (*manifest.labels, *rule_labels(loaded.config, manifest)),
        manifest.geometry.hop_ns,
        Cache(blank.folder, key),
        Setup(request.config, request.profile, blank.folder, key),
    )


def _truth(request: Request, paths: Sequence[Path], bench: _Bench) -> tuple[labels.Truth, list[str]]:
    if request.labels is None:
        return {}, []
    return labels.read(request.labels, paths, [label.name for label in bench.known])


def _score(bench: _Bench, paths: Sequence[Path]) -> tuple[float, list[str]]:
    """Seconds of media that were scored now, and what could not be read."""
    missing, unreadable = [], []
    for path in paths:
        try:
            if bench.cache.facts(path) is None:
                missing.append(path)
        except InputError as error:
            unreadable.append(str(error))
    scored_s = 0.0
    total_s = sum(recordings.length_s(path) for path in missing)
    with shown(total_s, len(missing)) as (told, finished):
        for done in score_all(bench.setup, missing, told):
            if done.facts is None:
                unreadable.append(done.fault)
            else:
                scored_s += done.facts.media_s
            speed = f"{done.facts.media_s:.0f} s" if done.facts is not None else done.fault
            finished(f"{done.path.name}: {speed}")
    return scored_s, unreadable


def _is_kept(cache: Cache, path: Path) -> bool:
    try:
        return cache.facts(path) is not None
    except InputError:
        return False


def _media_s(cache: Cache, path: Path) -> float:
    facts = cache.facts(path)
    return facts.media_s if facts is not None else 0.0


def _recording(bench: _Bench, path: Path, spans: tuple[labels.Span, ...]) -> Recording:
    camera = recordings.camera_of(path, bench.loaded.config.cameras)
    judged = bench.judge.judge(bench.cache.moments(path, camera), camera)
    return Recording(path, camera, judged, spans, lambda: bench.cache.moments(path, camera))


def _rows(bench: _Bench, heard: Sequence[Recording], request: Request) -> list[Row]:
    quiet = quiet_enters(bench.known, bench.hop_ns, heard, request.per_day)
    looked_at = {name for r in heard for name in r.judged.trace.names}
    rows = []
    for label in bench.known:
        name = label.name
        if name not in looked_at:
            continue
        enter, minutes = quiet[name]
        swept = sweep(bench.judge, heard, name, bench.hop_ns, () if enter is None else (enter,))
        has_spans = any(r.of(name) for r in heard)
        rows.append(Row(swept, _suggestion(swept, request, label, enter, minutes, has_spans=has_spans)))
        _log.debug("%s: %s", name, rows[-1].suggestion.remark or "suggested")
    return rows


def _suggestion(
    swept: Sweep, request: Request, label: Label, enter: float | None, minutes: int, *, has_spans: bool
) -> Suggestion:
    if request.labels is not None and has_spans:
        return by_labels(swept, request.per_day, label.enter / 2)
    least = max(LEAST_MINUTES, int(MINUTES_A_DAY / FARTHEST / request.per_day) + 1)
    return by_quiet(swept, enter, request.per_day, minutes, least)


def _about_time(request: Request, config: Config) -> list[str]:
    timed = [name for name, rule in config.events.items() if rule.schedule]
    if request.start is not None or not timed:
        return []
    return [f"{', '.join(timed)}: judged as if the recordings had begun in 1970; give --start for schedules"]


def _applied(bench: _Bench, rows: Sequence[Row]) -> Config:
    """The configuration with everything that is suggested."""
    config = bench.loaded.config
    for row in rows:
        if row.suggestion.after is not None:
            config = with_enter(config, row.sweep.label, row.suggestion.after.enter)
    return config


def _difference(bench: _Bench, rows: Sequence[Row]) -> tuple[str, list[str]]:
    """What to paste, and what must be put in elsewhere."""
    path = bench.setup.config
    enters = {r.sweep.label: r.suggestion.after.enter for r in rows if r.suggestion.after is not None}
    if path is None:
        lines = "".join(f"  {name}: {{enter: {enter:g}}}\n" for name, enter in enters.items())
        return edit.difference("", f"events:\n{lines}" if lines else "", Path("config.yaml")), []
    text = path.read_text(encoding="utf-8")
    written = parse(text, path, needs=OFFLINE).config.events
    drawn = [name for name in enters if written.get(name) != bench.loaded.config.events.get(name)]
    remarks = [f"{name} was drawn on the page: change it there to enter {enters.pop(name):g}" for name in drawn]
    try:
        return edit.difference(text, edit.with_enters(text, enters, path), path), remarks
    except InputError as error:
        return "", [*remarks, str(error)]


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write what there is; of what is empty no file is there afterwards, nor one of an earlier run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            if text:
                (folder / name).write_text(text, encoding="utf-8")
            else:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise SinkError(f"{folder}: cannot be written ({error.strerror}); give another --out") from error
