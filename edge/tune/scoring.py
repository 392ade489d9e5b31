"""The slow pass: recordings through the daemon's own pipeline once, on all cores when there are several."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.assemble import assemble, learned
from edge.clock import Clock, SystemClock
from edge.config import OFFLINE, Loaded, load, parse
from edge.engine.manifest import find_folder, load_folder
from edge.engine.model import Model
from edge.errors import EdgeError, SinkError
from edge.logs import hush
from edge.metrics import Metrics
from edge.replay import Moment, Replay
from edge.tune.cache import Cache, Facts
from edge.tune.progress import OWN
from edge.tune.recordings import camera_of
from edge.types import Scores, seconds

DEFAULTS = "cameras: {recording: {source: {type: file, path: recording}}}\nmqtt: null"
POLL_S = 0.5
_NOTHING = np.zeros(0, np.float32)
Told = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a process needs to score: paths only, so that it can travel."""

    config: Path | None
    profile: Path | None
    folder: Path
    setting: str

    def load(self) -> Loaded:
        """The configuration, or the defaults where none was given."""
        return load(self.config, needs=OFFLINE) if self.config is not None else parse(DEFAULTS)


@dataclass(frozen=True, slots=True)
class Done:
    """One recording was scored, or could not be: ``fault`` says why."""

    path: Path
    facts: Facts | None
    fault: str = ""


class Scorer:
    """One opened model that recordings go through into the cache."""

    def __init__(self, setup: Setup, clock: Clock | None = None) -> None:
        loaded = setup.load()
        folder = load_folder(find_folder(loaded.config.model.name))
        version = learned(loaded, folder, setup.profile)
        self._clock = clock or SystemClock()
        self._cache = Cache(setup.folder, setup.setting)
        self._model = Model.open(folder, loaded.config.model, 1, Metrics())
        self._config, self._derivers = loaded.config, assemble(loaded, folder, version)

    def score(self, path: Path, told: Told) -> Done:
        """Put ``path`` into the cache; ``told`` hears seconds of media as they pass."""
        began_ns, last_ns, windows = self._clock.mono_ns(), 0, 0
        try:
            for moment in self._cache.keep(path, map(lean, self._of(path).moments(path))):
                for scores in moment.step.scores:
                    windows += 1
                    told(
                        seconds(scores.media_end.position_ns - last_ns)
                        if scores.media_end.position_ns > last_ns
                        else 0.0
                    )
                    last_ns = max(last_ns, scores.media_end.position_ns)
            facts = Facts(seconds(last_ns), windows, seconds(self._clock.mono_ns() - began_ns))
            self._cache.finish(path, facts)
        except EdgeError as error:
            return Done(path, None, str(error))
        return Done(path, facts)

    def _of(self, path: Path) -> Replay:
        camera = camera_of(path, self._config.cameras)
        known = camera if camera in self._config.cameras else None
        return Replay(self._config, self._model, 0, self._derivers, camera=known)

    def close(self) -> None:
        """Close the model."""
        self._model.close()


def score_all(setup: Setup, paths: Sequence[Path], told: Told) -> Iterator[Done]:
    """Score ``paths``, on as many processes as there are cores and recordings; in the order in which they end."""
    count = min(len(paths), len(os.sched_getaffinity(0)))
    if count > 1:
        yield from _side_by_side(setup, paths, told, count)
    elif paths:
        scorer = Scorer(setup)
        try:
            yield from (scorer.score(path, told) for path in paths)
        finally:
            scorer.close()


def _side_by_side(setup: Setup, paths: Sequence[Path], told: Told, count: int) -> Iterator[Done]:
    context = multiprocessing.get_context("spawn")
    passed = context.Value("d", 0.0)
    heard = 0.0
    pool = ProcessPoolExecutor(count, context, _begin, (setup, passed, logging.getLogger().level))
    waiting = {pool.submit(_score, path) for path in paths}
    try:
        while waiting:
            ended, waiting = wait(waiting, POLL_S, FIRST_COMPLETED)
            told(passed.value - heard)
            heard = passed.value
            for future in ended:
                yield future.result()
    except BrokenProcessPool as error:
        raise SinkError(
            "a process that scored recordings was killed, perhaps for want of memory; what was scored is kept: "
            "run the same again, or give fewer recordings at once"
        ) from error
    finally:
        if waiting:
            for child in multiprocessing.active_children():
                child.terminate()
        pool.shutdown(cancel_futures=True)


_worker: dict[str, Any] = {}  # of a process of its own, which takes nothing but a path at a time


def _begin(setup: Setup, passed: Any, level: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one who asked ends us
    logging.basicConfig(level=level)
    hush(OWN)
    _worker["setup"], _worker["passed"] = setup, passed


def _score(path: Path) -> Done:
    passed = _worker["passed"]
    if "scorer" not in _worker:  # here, where what is wrong with the model reaches the one who asked
        _worker["scorer"] = Scorer(_worker["setup"])

    def told(media_s: float) -> None:
        with passed.get_lock():
            passed.value += media_s

    done: Done = _worker["scorer"].score(path, told)
    return done


def lean(moment: Moment) -> Moment:
    """Without what no decision looks at."""
    step = moment.step
    return replace(moment, step=replace(step, scores=[_thin(s) for s in step.scores], rules=(), events=()))


def _thin(scores: Scores) -> Scores:
    return replace(scores, features=None, embedding=_NOTHING)
