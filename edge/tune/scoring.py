"""Scores recordings once with the daemon's own pipeline, on all cores, and shows the progress.

Progress is a bar of media time on a terminal, otherwise a line for each recording.
"""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.assemble import build_derivers, load_profile
from edge.clock import Clock, SystemClock
from edge.config import OFFLINE, LoadedConfig, load, parse
from edge.engine.manifest import find_folder, load_folder
from edge.engine.model import Model
from edge.errors import EdgeError
from edge.logs import mute_other_loggers
from edge.metrics import Metrics
from edge.replay import Replay, ReplayStep
from edge.replay.processes import SPAWN, process_count, run_in_processes
from edge.replay.side_by_side import DEFAULTS
from edge.tune.cache import ScoreCache, ScoringFacts
from edge.tune.recordings import camera_of
from edge.types import Scores, seconds

_log = logging.getLogger(__name__)
LOGGER_NAME = "edge.tune"
OnProgress = Callable[[float], None]
OnFinished = Callable[[str], None]
_NOTHING = np.zeros(0, np.float32)


@contextmanager
def scoring_progress(total_s: float, count: int) -> Iterator[tuple[OnProgress, OnFinished]]:
    """Two functions: one is called with seconds of media as they pass, one with a line for each recording."""
    clock = SystemClock()
    began_ns, passed_s, done = clock.mono_ns(), 0.0, 0

    def line(text: str) -> str:
        speed = passed_s / max(seconds(clock.mono_ns() - began_ns), 1e-3)
        return f"{done} of {count}: {text} ({speed:.1f} times real time)"

    if not sys.stderr.isatty() or not count:

        def advance_silently(media_s: float) -> None:
            nonlocal passed_s
            passed_s += media_s

        def finished(text: str) -> None:
            nonlocal done
            done += 1
            _log.info("%s", line(text))

        yield advance_silently, finished
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("scoring", total=total_s or None)

        def advance(media_s: float) -> None:
            nonlocal passed_s
            passed_s += media_s
            progress.update(task, advance=media_s)

        def ended(text: str) -> None:
            nonlocal done
            done += 1
            progress.update(task, description=f"scoring {done} of {count}")
            progress.console.print(line(text), highlight=False, markup=False)

        yield advance, ended


@dataclass(frozen=True, slots=True)
class ScoringSetup:
    """What a process needs to score: only paths, so that it can be pickled."""

    config: Path | None
    profile: Path | None
    folder: Path
    setting: str

    def load(self) -> LoadedConfig:
        """The configuration, or the defaults without one."""
        return load(self.config, needs=OFFLINE) if self.config is not None else parse(DEFAULTS)


@dataclass(frozen=True, slots=True)
class ScoringResult:
    """One recording was scored, or could not be: ``fault`` says why."""

    path: Path
    facts: ScoringFacts | None
    fault: str = ""


class RecordingScorer:
    """One opened model that recordings go through into the cache."""

    def __init__(self, setup: ScoringSetup, clock: Clock | None = None) -> None:
        """Open the model."""
        loaded = setup.load()
        folder = load_folder(find_folder(loaded.config.model.name))
        version = load_profile(loaded, folder, setup.profile)
        self._clock = clock or SystemClock()
        self._cache = ScoreCache(setup.folder, setup.setting)
        self._model = Model.open(folder, loaded.config.model, 1, Metrics())
        self._config, self._derivers = loaded.config, build_derivers(loaded, folder, version)

    def score(self, path: Path, on_progress: OnProgress) -> ScoringResult:
        """Score ``path`` into the cache; ``on_progress`` is called with seconds of media as they pass."""
        began_ns, last_ns, windows = self._clock.mono_ns(), 0, 0
        try:
            for moment in self._cache.store(path, map(without_features, self._of(path).steps(path))):
                for scores in moment.step.scores:
                    windows += 1
                    on_progress(
                        seconds(scores.media_end.position_ns - last_ns)
                        if scores.media_end.position_ns > last_ns
                        else 0.0
                    )
                    last_ns = max(last_ns, scores.media_end.position_ns)
            facts = ScoringFacts(seconds(last_ns), windows, seconds(self._clock.mono_ns() - began_ns))
            self._cache.commit(path, facts)
        except EdgeError as error:
            return ScoringResult(path, None, str(error))
        return ScoringResult(path, facts)

    def _of(self, path: Path) -> Replay:
        camera = camera_of(path, self._config.cameras)
        known = camera if camera in self._config.cameras else None
        return Replay(self._config, self._model, 0, self._derivers, camera=known)

    def close(self) -> None:
        """Close the model."""
        self._model.close()


def score_all(setup: ScoringSetup, paths: Sequence[Path], on_progress: OnProgress) -> Iterator[ScoringResult]:
    """Score ``paths``, on as many processes as there are cores and recordings; in the order in which they end."""
    if process_count(len(paths)) > 1:
        yield from _side_by_side(setup, paths, on_progress)
    elif paths:
        scorer = RecordingScorer(setup)
        try:
            yield from (scorer.score(path, on_progress) for path in paths)
        finally:
            scorer.close()


def _side_by_side(setup: ScoringSetup, paths: Sequence[Path], on_progress: OnProgress) -> Iterator[ScoringResult]:
    passed = SPAWN.Value("d", 0.0)
    reported_s = 0.0

    def report() -> None:
        nonlocal reported_s
        on_progress(passed.value - reported_s)
        reported_s = passed.value

    yield from run_in_processes(_begin, (setup, passed, logging.getLogger().level), _score, paths, report)


_worker: dict[str, Any] = {}  # state of a worker process, which only gets paths


def _begin(setup: ScoringSetup, passed: Any, level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends the workers
    logging.basicConfig(level=level)
    mute_other_loggers(LOGGER_NAME)
    _worker["setup"], _worker["passed"] = setup, passed


def _score(path: Path) -> ScoringResult:
    passed = _worker["passed"]
    if "scorer" not in _worker:  # here, so that errors of the model reach the caller
        _worker["scorer"] = RecordingScorer(_worker["setup"])

    def add_progress(media_s: float) -> None:
        with passed.get_lock():
            passed.value += media_s

    done: ScoringResult = _worker["scorer"].score(path, add_progress)
    return done


def without_features(moment: ReplayStep) -> ReplayStep:
    """The steps without the features that no decision uses."""
    step = moment.step
    return replace(moment, step=replace(step, scores=[_thin(s) for s in step.scores], rules=(), events=()))


def _thin(scores: Scores) -> Scores:
    return replace(scores, features=None, embedding=_NOTHING)
