"""Replays several recordings in processes side by side; what each gave comes in the order of the recordings.

Scores go through a temporary folder, because those of a long recording need not fit into memory.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge.assemble import build_derivers, load_background, load_profile
from edge.config import OFFLINE, LoadedConfig, load, parse
from edge.engine.manifest import find_folder, load_folder
from edge.engine.model import Model
from edge.errors import MediaError
from edge.metrics import Metrics
from edge.replay.processes import in_order, run_in_processes
from edge.replay.replayer import Replay, ReplaySummary
from edge.replay.writers import ScoresCsv
from edge.types import Event, Scores

DEFAULTS = "cameras: {recording: {source: {type: file, path: recording}}}\nmqtt: null"


@dataclass(frozen=True, slots=True)
class ReplaySetup:
    """What a process needs to replay: only paths and times, so that it can be pickled.

    ``profile`` is the site's profile, instead of the configured one. ``camera``: the camera of the recordings.
    """

    config: Path | None
    profile: Path | None
    camera: str | None
    wall_start_ns: int

    def load(self) -> LoadedConfig:
        """The configuration, or the defaults without one."""
        return load(self.config, needs=OFFLINE) if self.config is not None else parse(DEFAULTS)

    def open(self) -> OpenedReplay:
        """Open the model; errors of configuration, profile and model pass through."""
        loaded = self.load()
        folder = load_folder(find_folder(loaded.config.model.name))
        version = load_profile(loaded, folder, self.profile)
        derivers = build_derivers(loaded, folder, version)
        manifest = folder.manifest.with_labels(derivers.labels)
        model = Model.open(folder, loaded.config.model, 1, Metrics())
        replay = Replay(
            loaded.config, model, self.wall_start_ns, derivers, load_background(manifest, version), self.camera
        )
        return OpenedReplay(replay, manifest.label_names, manifest.geometry.hop_s, model.close)


@dataclass(frozen=True, slots=True)
class OpenedReplay:
    """A replay with an open model: its labels, the model's hop, and how to close it."""

    replay: Replay
    labels: Sequence[str]
    hop_s: float
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class ReplayedRecording:
    """What one recording gave: its events, and the rows of its scores in a file. ``fault``: why it could not be read.

    Until then both hold what was found.
    """

    path: Path
    events: Sequence[Event]
    scores: Path | None
    summary: ReplaySummary | None
    fault: str = ""


def replay_side_by_side(setup: ReplaySetup, files: Sequence[Path], *, scores: bool) -> Iterator[ReplayedRecording]:
    """Replay ``files``, in their order; with ``scores`` each has a file of rows until the next one is asked for."""
    with TemporaryDirectory(prefix="edge-replay-") as folder:
        jobs = [
            _Job(number, path, Path(folder) / f"{number}.csv" if scores else None) for number, path in enumerate(files)
        ]
        for done in in_order(run_in_processes(_begin, (setup, logging.getLogger().level), _work, jobs)):
            yield done
            if done.scores is not None:
                done.scores.unlink()


@dataclass(frozen=True, slots=True)
class _Job:
    number: int
    path: Path
    scores: Path | None


class _Collector:
    """Keeps events, and writes rows of scores."""

    def __init__(self, path: Path, table: ScoresCsv | None) -> None:
        self._path, self._table = path, table
        self.events: list[Event] = []

    def on_scores(self, scores: Scores) -> None:
        if self._table is not None:
            self._table.write(self._path, scores)

    def on_event(self, event: Event) -> None:
        self.events.append(event)


_worker: dict[str, Any] = {}  # state of a worker process, which only gets paths


def _begin(setup: ReplaySetup, level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends the workers
    logging.basicConfig(level=max(level, logging.WARNING) if level > logging.DEBUG else level)
    _worker["setup"] = setup


def _work(job: _Job) -> tuple[int, ReplayedRecording]:
    if "opened" not in _worker:  # here, so that errors of the model reach the caller
        _worker["opened"] = _worker["setup"].open()
    opened: OpenedReplay = _worker["opened"]
    if job.scores is None:
        return job.number, _replay(opened, job, None)
    with job.scores.open("w", encoding="utf-8", newline="") as out:
        return job.number, _replay(opened, job, ScoresCsv(out, opened.labels, opened.hop_s, header=False))


def _replay(opened: OpenedReplay, job: _Job, table: ScoresCsv | None) -> ReplayedRecording:
    collector = _Collector(job.path, table)
    try:
        summary = opened.replay.run(job.path, collector)
    except MediaError as error:
        return ReplayedRecording(job.path, collector.events, job.scores, None, str(error))
    return ReplayedRecording(job.path, collector.events, job.scores, summary)
