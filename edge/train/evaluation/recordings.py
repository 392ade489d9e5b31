"""Replays recordings, whole or with one stream removed, and caches the results on disk.

A result's key is the digest of the model folder, of the file and of what was removed: a second report with the same
weights replays nothing, and a new recording costs only its own replay.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge.assemble import build_derivers
from edge.config import parse
from edge.engine.manifest import ModelFolder, load_folder
from edge.engine.model import Model
from edge.errors import MediaError, ModelError
from edge.files import atomic_path
from edge.metrics import Metrics
from edge.replay import Replay
from edge.train.evaluation.window_store import save_scores
from edge.types import Event, Phase, Scores, seconds

F32 = NDArray[np.float32]
StreamSelection = Literal["whole", "picture", "sound"]
STREAM_SELECTIONS: Final[tuple[StreamSelection, ...]] = ("whole", "picture", "sound")

_SCHEMA: Final = 2
REPLAY_CONFIG: Final = "cameras: {recording: {source: {type: file, path: recording}}}\nmqtt: null\n"
"""The configuration with which every recording is replayed."""


@dataclass(frozen=True, slots=True)
class DetectedEvent:
    """An event of a recording: its label, where it begins, and the media time at which it was reported."""

    label: str
    begin_s: float
    reported_s: float


@dataclass(frozen=True, slots=True)
class RecordingResult:
    """Scores and events of one recording: ``values`` [N,C] at ``t_s`` [N], NaN where not scored."""

    t_s: NDArray[np.float64]
    values: F32
    labels: tuple[str, ...]
    events: tuple[DetectedEvent, ...]
    media_s: float

    def column(self, label: str) -> NDArray[np.float64]:
        """The scores of ``label``, NaN-free; empty when nothing was scored or the model has no such label."""
        if label not in self.labels:
            return np.zeros(0)
        values = self.values[:, self.labels.index(label)].astype(np.float64)
        return values[np.isfinite(values)]

    def peak(self, label: str) -> float:
        """The highest score of ``label``; 0 when nothing was scored."""
        column = self.column(label)
        return float(column.max()) if len(column) else 0.0


@dataclass(frozen=True, slots=True)
class ReplayJob:
    """One recording to replay, which of its streams, whether its windows are stored whole (`window_store`), and of how
    many windows one is scored."""

    path: Path
    view: StreamSelection = "whole"
    stores_windows: bool = False
    stride: int = 1


class ResultCollector:
    """Listens to the replay of one recording; ``stores_windows`` keeps its windows whole."""

    def __init__(self, labels: tuple[str, ...], *, stores_windows: bool = False) -> None:
        self._labels, self._stores_windows = labels, stores_windows
        self.windows: list[Scores] = []
        self._t_s: list[float] = []
        self._values: list[list[float]] = []
        self._events: list[DetectedEvent] = []

    def on_scores(self, scores: Scores) -> None:
        """Add a window."""
        self._t_s.append(seconds(scores.media_end.position_ns))
        self._values.append([scores.values.get(label, float("nan")) for label in self._labels])
        if self._stores_windows:
            self.windows.append(scores)

    def on_event(self, event: Event) -> None:
        """Add an event where it begins."""
        if event.phase is Phase.BEGIN and event.media_begin is not None:
            begin_s = seconds(event.media_begin.position_ns)
            self._events.append(DetectedEvent(event.label, begin_s, self._t_s[-1] if self._t_s else 0.0))

    def result(self, media_s: float) -> RecordingResult:
        """What was collected, of a recording of ``media_s`` seconds."""
        values = np.array(self._values, np.float32).reshape(-1, len(self._labels))
        return RecordingResult(np.array(self._t_s), values, self._labels, tuple(self._events), media_s)


class RecordingRunner:
    """Runs jobs through one model folder and caches their results in ``cache``.

    Jobs are spread over ``workers`` processes, each with a model of its own. ``model``: runtime and precision, as in
    config.yaml; their results are cached apart.
    """

    def __init__(self, engine: Path, cache: Path, workers: int = 1, model: Mapping[str, str] | None = None) -> None:
        self._folder = load_folder(engine)
        self._engine, self._workers = engine, workers
        self._model = dict(model or {})
        self.digest = _digest_of(self._folder)
        self._cache = cache / "-".join([self.digest[:16], *self._model.values()])
        self._cache.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> ModelFolder:
        """The model folder that is measured."""
        return self._folder

    @property
    def cache(self) -> Path:
        """The folder of everything that these weights gave."""
        return self._cache

    def clear_cache(self) -> None:
        """Delete the cached results of these weights."""
        for file in self._cache.glob("*.npz"):
            file.unlink()

    def windows_path(self, job: ReplayJob) -> Path:
        """The file of the windows of a job that stores them."""
        return self._path_of(job).with_suffix(".windows.npz")

    def run(self, jobs: Sequence[ReplayJob]) -> Iterator[tuple[ReplayJob, RecordingResult | None]]:
        """Every job's result, in the order in which they are ready; None where the file cannot be read."""
        todo = []
        for job in dict.fromkeys(jobs):
            if self.is_done(job):
                yield job, load_result(self._path_of(job))
            else:
                todo.append(job)
        if self._workers < 2 or len(todo) < 4:
            if todo:
                player = _ReplayWorker(self._engine, self.digest, self._model)
                for job in todo:
                    there = self.is_done(job)  # another report with the same folder may have come first
                    yield (
                        job,
                        load_result(self._path_of(job))
                        if there
                        else self._store(job, player.play(job, self.windows_path(job))),
                    )
                player.close()
            return
        yield from self._run_parallel(todo)

    def _run_parallel(self, todo: Sequence[ReplayJob]) -> Iterator[tuple[ReplayJob, RecordingResult | None]]:
        context = get_context("spawn")
        given = (self._engine, self.digest, self._model)
        with ProcessPoolExecutor(self._workers, context, _open_worker, given) as pool:
            running = {pool.submit(_run_job, job, self.windows_path(job)): job for job in todo}
            for done in as_completed(running):
                job = running[done]
                yield job, self._store(job, done.result())

    def _store(self, job: ReplayJob, answer: RecordingResult | None) -> RecordingResult | None:
        save_result(self._path_of(job), answer)
        return answer

    def is_done(self, job: ReplayJob) -> bool:
        place = self._path_of(job)
        return place.exists() and (
            not job.stores_windows or self.windows_path(job).exists() or load_result(place) is None
        )

    def _path_of(self, job: ReplayJob) -> Path:
        often = f"-{job.stride}" if job.stride > 1 else ""
        return self._cache / f"{_file_digest(job.path)}-{job.view}{often}.npz"


def save_result(path: Path, answer: RecordingResult | None) -> None:
    """Write a result atomically."""
    facts: dict[str, Any] = {"readable": answer is not None}
    arrays: dict[str, NDArray[Any]] = {}
    if answer is not None:
        facts |= {"labels": answer.labels, "media_s": answer.media_s}
        facts["begun"] = [[b.label, b.begin_s, b.reported_s] for b in answer.events]
        arrays = {"t_s": answer.t_s, "values": answer.values}
    with atomic_path(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, facts=np.array(json.dumps(facts)), **arrays)  # type: ignore[arg-type]


def load_result(path: Path) -> RecordingResult | None:
    """What `save_result` wrote."""
    with np.load(path) as held:
        facts: Mapping[str, Any] = json.loads(str(held["facts"]))
        if not facts["readable"]:
            return None
        begun = tuple(DetectedEvent(*b) for b in facts["begun"])
        return RecordingResult(held["t_s"], held["values"], tuple(facts["labels"]), begun, facts["media_s"])


def remove_stream(path: Path, stream: Literal["video", "audio"], out: Path) -> bool:
    """Copy a recording's packets to ``out`` (a suffix for the container) without its picture or its sound; False when
    nothing would be left."""
    import av

    with av.open(str(path), metadata_errors="replace") as source:
        kept = source.streams.audio[:1] if stream == "video" else source.streams.video[:1]
        if not kept:
            return False
        with av.open(str(out), "w") as target:
            copy = target.add_stream_from_template(kept[0])
            for packet in source.demux(kept[0]):
                if packet.dts is not None:
                    packet.stream = copy
                    target.mux(packet)
    return True


class _ReplayWorker:
    """A model and the replay around it, as `edge replay` has them."""

    def __init__(self, engine: Path, digest: str, model: Mapping[str, str]) -> None:
        loaded = parse(REPLAY_CONFIG + (f"model: {json.dumps(model)}\n" if model else ""))
        folder = load_folder(engine)
        if _digest_of(folder) != digest:
            raise ModelError(f"{engine}: was exchanged while it was measured; measure a copy of it, or start again")
        derivers = build_derivers(loaded, folder, None)
        self._model = Model.open(folder, loaded.config.model, 1, Metrics())
        self._labels = folder.manifest.with_labels(derivers.labels).label_names
        self._open_replay = partial(Replay, loaded.config, self._model, 0, derivers)

    def play(self, job: ReplayJob, windows: Path) -> RecordingResult | None:
        """One recording; None when it cannot be read or nothing of it is left. ``windows``: where it may keep them."""
        keep = windows if job.stores_windows else None
        if job.view == "whole":
            return self._result(job, job.path, keep)
        with tempfile.TemporaryDirectory(prefix="edge-evaluate-") as name:
            cut = Path(name) / f"{job.path.stem}.mp4"
            removed: Literal["video", "audio"] = "audio" if job.view == "picture" else "video"
            return self._result(job, cut, keep) if remove_stream(job.path, removed, cut) else None

    def close(self) -> None:
        self._model.close()

    def _result(self, job: ReplayJob, path: Path, keep: Path | None) -> RecordingResult | None:
        collector = ResultCollector(self._labels, stores_windows=keep is not None)
        try:
            played = self._open_replay(stride=job.stride).run(path, collector)
        except MediaError:
            return None
        if keep is not None:
            save_scores(keep, collector.windows)
        return collector.result(played.media_s)


_workers: list[_ReplayWorker] = []


def _open_worker(engine: Path, digest: str, model: Mapping[str, str]) -> None:
    _workers.append(_ReplayWorker(engine, digest, model))


def _run_job(job: ReplayJob, windows: Path) -> RecordingResult | None:
    return _workers[0].play(job, windows)


def _digest_of(folder: ModelFolder) -> str:
    """Of the graph, and of the thresholds that events depend on."""
    labels = json.dumps([label.model_dump() for label in folder.manifest.labels], sort_keys=True)
    return hashlib.sha256(f"{_SCHEMA} {folder.manifest.sha256} {labels}".encode()).hexdigest()


def _file_digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=12).hexdigest()
