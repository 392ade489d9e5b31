"""`edge train gating`: each recording with every part of the model at every hop, and with unchanged inputs left out.

Each recording is decoded and encoded once: a part's outputs are cached by its input, so the second run costs little.
The result is a table, one row a set, of what gating left out and what it changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time as cpu_s
from typing import Final
from zlib import crc32

import numpy as np

from edge.assemble import build_derivers
from edge.config import parse
from edge.engine.contract import Array, TensorSpec
from edge.engine.manifest import ModelFolder, load_folder
from edge.engine.model import Model
from edge.engine.runtime import InferenceGraph, PartsRuntime, RuntimeInfo
from edge.errors import MediaError, ModelError
from edge.metrics import Metrics
from edge.replay import Replay
from edge.signal_change import GateLimits
from edge.train.evaluation.datasets import DATASETS, DatasetRow, labelled_rows
from edge.train.evaluation.metrics import average_precision
from edge.train.evaluation.recordings import REPLAY_CONFIG, DetectedEvent, RecordingResult, ResultCollector

PARTS: Final = ("vision", "audio", "fusion")


@dataclass(frozen=True, slots=True)
class GatedRun:
    """One recording without gating and with it; ``encoded`` and ``reused`` count windows by part."""

    off: RecordingResult
    on: RecordingResult
    encoded: Mapping[str, int]
    reused: Mapping[str, int]

    def share(self, part: str) -> float:
        """Share of windows for which ``part`` was not run."""
        return self.reused[part] / max(1, self.reused[part] + self.encoded[part])


@dataclass(frozen=True, slots=True)
class EventDifference:
    """What gating changed of one recording's events: those of ``lost`` began only without it, of ``new`` only with it.

    ``max_delay_s`` is the greatest delay (or advance) of one that both have.
    """

    lost: tuple[DetectedEvent, ...]
    new: tuple[DetectedEvent, ...]
    max_delay_s: float


class CachedGraph:
    """An `InferenceGraph` that caches its outputs by input, unless ``remembers`` is false.

    ``costs_s`` has the CPU time of every row that was computed.
    """

    def __init__(self, graph: InferenceGraph, remembers: bool = True) -> None:
        self._graph, self._caches = graph, remembers
        self._cache: dict[bytes, dict[str, Array]] = {}
        self.costs_s: list[float] = []

    @property
    def info(self) -> RuntimeInfo:
        """Of the graph."""
        return self._graph.info

    @property
    def chunk(self) -> int:
        """One row: that is what is remembered."""
        return 1

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Of the graph."""
        return self._graph.inputs

    @property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """Of the graph."""
        return self._graph.outputs

    def run(self, feed: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        """From memory where it is there."""
        if not self._caches:
            self._compute(feed, out)
            return
        digest = hashlib.blake2b(digest_size=16)
        for array in feed.values():
            digest.update(np.ascontiguousarray(array).data)
        key = digest.digest()
        if key not in self._cache:
            self._compute(feed, out)
            self._cache[key] = {name: array.copy() for name, array in out.items()}
        for name, array in self._cache[key].items():
            np.copyto(out[name], array)

    def _compute(self, feed: Mapping[str, Array], out: Mapping[str, Array]) -> None:
        began_s = cpu_s()
        self._graph.run(feed, out)
        self.costs_s.append(cpu_s() - began_s)

    def clear(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    def close(self) -> None:
        """Close the graph."""
        self._graph.close()


class GatingComparison:
    """Plays recordings without gating and with it, for each of several limits."""

    def __init__(self, engine: Path, limits: Sequence[GateLimits]) -> None:
        loaded = parse(REPLAY_CONFIG + "model: {runtime: onnx}\n")
        self._folder = load_folder(engine)
        self._derivers = build_derivers(loaded, self._folder, None)
        self._labels = self._folder.manifest.with_labels(self._derivers.labels).label_names
        self._runtime, self._graphs = cached_runtime(self._folder)
        self._metrics = [Metrics() for _ in limits]
        models = [Model(self._folder, self._runtime, Metrics(), None)]
        models += [
            Model(self._folder, self._runtime, metrics, one) for metrics, one in zip(self._metrics, limits, strict=True)
        ]
        self._replays = [Replay(loaded.config, model, 0, self._derivers) for model in models]

    @property
    def folder(self) -> ModelFolder:
        """The model folder."""
        return self._folder

    def compare(self, path: Path) -> list[GatedRun] | None:
        """One recording, a pair for each limits; None when it cannot be read."""
        for graph in self._graphs:
            graph.clear()
        try:
            off = replay_result(self._replays[0], path, self._labels)
            pairs = []
            for metrics, replay in zip(self._metrics, self._replays[1:], strict=True):
                before = part_counts(metrics)
                on = replay_result(replay, path, self._labels)
                after = part_counts(metrics)
                ran, kept = ({part: after[k][part] - before[k][part] for part in PARTS} for k in (0, 1))
                pairs.append(GatedRun(off, on, ran, kept))
        except MediaError:
            return None
        return pairs

    def costs_s(self) -> dict[str, float]:
        """CPU seconds of a row by part, medians over all that were computed."""
        names = ("vision", "audio", "fusion")
        return {n: float(np.median(g.costs_s or [0.0])) for n, g in zip(names, self._graphs, strict=True)}

    def close(self) -> None:
        """Close the model."""
        self._runtime.close()


def cached_runtime(folder: ModelFolder) -> tuple[PartsRuntime, tuple[CachedGraph, CachedGraph, CachedGraph]]:
    """The runtime in parts with its costly parts remembered, and the parts; ModelError where the folder has none."""
    from edge.engine.onnx_graph import OnnxGraph

    parts = folder.manifest.parts
    if parts is None:
        raise ModelError(f"{folder.path}: the model has no parts, so nothing of it can be left out")
    files = (parts.vision, parts.audio, parts.fusion)
    see, hear, fuse = (CachedGraph(OnnxGraph(folder.path / f.file, 1), f is not parts.fusion) for f in files)
    return PartsRuntime(folder, see, hear, fuse, 1), (see, hear, fuse)


def replay_result(replay: Replay, path: Path, labels: tuple[str, ...]) -> RecordingResult:
    """What a replay of one recording gives; MediaError when it cannot be read."""
    collector = ResultCollector(labels)
    return collector.result(replay.run(path, collector).media_s)


def part_counts(metrics: Metrics) -> tuple[dict[str, int], dict[str, int]]:
    """Windows encoded and reused so far, by part, over all cameras."""
    found: list[dict[str, int]] = []
    for counter in (metrics.encoded, metrics.reused):
        samples = [s for family in counter.collect() for s in family.samples if s.name.endswith("_total")]
        found.append({part: int(sum(s.value for s in samples if s.labels["part"] == part)) for part in PARTS})
    return found[0], found[1]


def event_difference(
    off: Sequence[DetectedEvent], on: Sequence[DetectedEvent], apart_s: float = 5.0
) -> EventDifference:
    """Events matched by label, each with the nearest in time; those further apart than ``apart_s`` are different."""
    lost, left, later = [], list(on), 0.0
    for event in off:
        near = [
            other
            for other in left
            if other.label == event.label and abs(other.reported_s - event.reported_s) <= apart_s
        ]
        if not near:
            lost.append(event)
            continue
        found = min(near, key=lambda other: abs(other.reported_s - event.reported_s))
        left.remove(found)
        later = max(later, abs(found.reported_s - event.reported_s))
    return EventDifference(tuple(lost), tuple(left), later)


def is_tuning_half(group: str) -> bool:
    """Half of the sources are for choosing limits, the other half for proving them."""
    return crc32(group.encode()) % 2 == 0


_HEAD = (
    "| set | recordings | windows | pictures reused | sound reused | fusion left out | CPU of the model left out "
    "| events | lost | new | moved at most, s | AP changed at most |\n| --- |" + " --- |" * 11 + "\n"
)


def event_changes(played: Sequence[tuple[DatasetRow, GatedRun]]) -> list[tuple[DatasetRow, EventDifference]]:
    """What gating changed of each recording's events."""
    return [(row, event_difference(pair.off.events, pair.on.events)) for row, pair in played]


def gating_table(played: Sequence[tuple[DatasetRow, GatedRun]], costs_s: Mapping[str, float]) -> str:
    """Markdown: a line a set, one for all, then what was lost or is new. ``costs_s``: CPU of a row by part."""
    names = list(dict.fromkeys(row.set_name for row, _ in played))
    lines = [
        _line(DATASETS[n].title if n in DATASETS else n, [p for p in played if p[0].set_name == n], costs_s)
        for n in names
    ]
    lines.append(_line("**all**", played, costs_s))
    cost = ", ".join(f"{name} {1000 * s:.1f}" for name, s in costs_s.items())
    words = [
        f"- `{row.path.name}`: {what} {event.label} at {event.reported_s:.1f} s"
        for row, d in event_changes(played)
        for what, events in (("lost", d.lost), ("new", d.new))
        for event in events
    ]
    return _HEAD + "\n".join([*lines, "", f"CPU of a row by part, ms: {cost}.", *words, ""])


def saved_share(pair: Sequence[GatedRun], costs_s: Mapping[str, float]) -> float:
    """Share of the parts' CPU time that was left out; all windows cost alike."""
    windows = sum(p.encoded["vision"] + p.reused["vision"] for p in pair)
    left_out = sum(p.reused[part] * costs_s[part] for p in pair for part in PARTS)
    return left_out / max(1e-9, windows * sum(costs_s.values()))


def greatest_precision_change(played: Sequence[tuple[DatasetRow, GatedRun]]) -> float:
    """The greatest difference of average precision (each recording by its highest score) over labels that can be
    judged; NaN where none can."""
    rows, found = [row for row, _ in played], [float("nan")]
    for label in played[0][1].off.labels if played else ():
        which, holds = labelled_rows(rows, label)
        truth = np.array(holds, bool)
        if not truth.any() or truth.all():
            continue
        off, on = (_precision([getattr(played[k][1], side) for k in which], label, truth) for side in ("off", "on"))
        found.append(abs(off - on))
    return float(np.nanmax(found)) if len(found) > 1 else float("nan")


def _precision(answers: Sequence[RecordingResult], label: str, truth: np.ndarray) -> float:
    return average_precision(np.array([answer.peak(label) for answer in answers]), truth)


def _line(title: str, played: Sequence[tuple[DatasetRow, GatedRun]], costs_s: Mapping[str, float]) -> str:
    pairs = [pair for _, pair in played]
    windows = sum(p.encoded["vision"] + p.reused["vision"] for p in pairs)
    share = {part: sum(p.reused[part] for p in pairs) / max(1, windows) for part in PARTS}
    differences = [d for _, d in event_changes(played)]
    moved, ap = max((d.max_delay_s for d in differences), default=0.0), greatest_precision_change(played)
    cells = [
        title, str(len(played)), str(windows), *(f"{share[part]:.0%}" for part in PARTS),
        f"{saved_share(pairs, costs_s):.0%}", str(sum(len(p.off.events) for p in pairs)),
        str(sum(len(d.lost) for d in differences)), str(sum(len(d.new) for d in differences)), f"{moved:.1f}",
        "–" if np.isnan(ap) else f"{ap:.4f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"
