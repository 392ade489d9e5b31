"""`edge replay`: options, files, progress and exit code; writes events as JSON lines, and `scores.csv`."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from edge.assemble import build_derivers, load_profile
from edge.config import LoadedConfig
from edge.detect.thresholds import validate
from edge.engine.manifest import Manifest, find_folder, load_folder
from edge.errors import ConfigError, InputError, MediaError
from edge.replay.processes import process_count
from edge.replay.replayer import ReplaySummary
from edge.replay.side_by_side import ReplayedRecording, ReplaySetup, replay_side_by_side
from edge.replay.writers import EventJsonLines, ScoresCsv
from edge.types import NS_PER_S, Event, Scores

log = logging.getLogger(__name__)


def run(
    files: Sequence[Path],
    config_path: Path | None,
    *,
    events: Path | None,
    scores: Path | None,
    start: str | None,
    profile: Path | None = None,
    camera: str | None = None,
) -> int:
    """Replay ``files``: 0, or 2 when any could not be read (the others are still replayed).

    ``profile`` is the site's profile, instead of the configured one. ``camera``: the camera of the recordings. Several
    recordings are replayed side by side; the output is the same, in the order of ``files``.
    """
    setup = ReplaySetup(config_path, profile, camera, parse_start(start))
    loaded = setup.load()
    if camera is not None and (config_path is None or camera not in loaded.config.cameras):
        known = ", ".join(sorted(loaded.config.cameras)) if config_path else "none without -c"
        raise InputError(f"--camera {camera!r}: the configuration has no such camera; there is: {known}")
    manifest = _checked_manifest(setup, loaded)
    with ExitStack() as stack:
        model = f"{manifest.name} {manifest.version}"
        lines = EventJsonLines(_open(stack, events) or sys.stdout, loaded.config, model)
        out = _open(stack, scores)
        table = ScoresCsv(out, manifest.label_names, manifest.geometry.hop_s) if out else None
        if process_count(len(files)) > 1:
            unreadable = _replay_side_by_side(setup, files, lines, out)
        else:
            unreadable = _replay_alone(setup, files, lines, table)
    return 2 if unreadable else 0


def parse_start(text: str | None) -> int:
    """An ISO 8601 time as Unix nanoseconds (UTC unless it has an offset); 1970 for None; InputError if unreadable."""
    if text is None:
        return 0
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError(f"--start {text!r}: write it as 2026-01-31T22:00:00Z") from error
    if time.tzinfo is None:
        time = time.replace(tzinfo=timezone.utc)
    return round(time.timestamp() * NS_PER_S)


def _checked_manifest(setup: ReplaySetup, loaded: LoadedConfig) -> Manifest:
    """The model's manifest with all labels; ConfigError when the rules do not fit them."""
    folder = load_folder(find_folder(loaded.config.model.name))
    derivers = build_derivers(loaded, folder, load_profile(loaded, folder, setup.profile))
    manifest = folder.manifest.with_labels(derivers.labels)
    faults = validate(loaded.config, manifest)
    if faults:
        raise ConfigError([loaded.fault(key, message) for key, message in faults])
    return manifest


@dataclass(frozen=True)
class _RecordingWriter:
    """Writes the results of one recording."""

    path: Path
    lines: EventJsonLines
    table: ScoresCsv | None

    def on_scores(self, scores: Scores) -> None:
        if self.table is not None:
            self.table.write(self.path, scores)

    def on_event(self, event: Event) -> None:
        self.lines.write(self.path, event)


def _replay_alone(
    setup: ReplaySetup, files: Sequence[Path], lines: EventJsonLines, table: ScoresCsv | None
) -> list[Path]:
    """In this process, written as it is found; the recordings that could not be read."""
    opened = setup.open()
    unreadable = []
    try:
        for path in files:
            try:
                _note_done(path, opened.replay.run(path, _RecordingWriter(path, lines, table)))
            except MediaError as error:
                _note_fault(str(error))
                unreadable.append(path)
    finally:
        opened.close()
    return unreadable


def _replay_side_by_side(
    setup: ReplaySetup, files: Sequence[Path], lines: EventJsonLines, out: TextIO | None
) -> list[Path]:
    """In processes; the recordings that could not be read."""
    unreadable = []
    for done in _with_progress(replay_side_by_side(setup, files, scores=out is not None), len(files)):
        for event in done.events:
            lines.write(done.path, event)
        if out is not None and done.scores is not None:
            with done.scores.open(encoding="utf-8", newline="") as rows:
                shutil.copyfileobj(rows, out)
        if done.summary is None:
            _note_fault(done.fault)
            unreadable.append(done.path)
        else:
            _note_done(done.path, done.summary)
    return unreadable


def _note_done(path: Path, done: ReplaySummary) -> None:
    log.info("%s: %.1f s, %d windows, %d events", path, done.media_s, done.windows, done.events)


def _note_fault(text: str) -> None:
    print(f"edge: {text}", file=sys.stderr)


def _open(stack: ExitStack, path: Path | None) -> TextIO | None:
    if path is None:
        return None
    try:
        return stack.enter_context(path.open("w", encoding="utf-8", newline=""))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another path") from error


def _with_progress(results: Iterable[ReplayedRecording], total: int) -> Iterable[ReplayedRecording]:
    """The results, with a progress bar on a terminal."""
    if not sys.stderr.isatty():
        return results
    from rich.console import Console
    from rich.progress import track

    return track(results, "replaying", total=total, console=Console(stderr=True))
