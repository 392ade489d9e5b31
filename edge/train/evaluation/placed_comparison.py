"""Each recording with every picture decoded and with pictures decoded on demand, and what that changed of its events.

Both replays share one model, whose parts remember their outputs by their inputs: where both see the same, both get the
same, and the second costs little.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import process_time as cpu_s
from typing import Any, Final, Literal

import yaml

from edge.assemble import build_derivers
from edge.config import parse
from edge.engine.manifest import ModelFolder, load_folder
from edge.engine.model import Model
from edge.errors import InputError
from edge.metrics import Metrics
from edge.replay import Replay
from edge.signal_change import DEFAULT_GATE_LIMITS
from edge.train.evaluation.gating import CachedGraph, cached_runtime
from edge.train.evaluation.placed_media import compose_recording
from edge.train.evaluation.placed_trials import PlacedRecording
from edge.train.evaluation.recordings import REPLAY_CONFIG
from edge.types import Event, Phase, Scores, seconds

Decoding = Literal["all", "on_demand"]
TOLERANCE_S: Final = 1.0
"""Two windows: events that far apart overlap."""
SCREENED_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class EventSpan:
    """An event of a recording, in seconds of it; ``end_s`` is where it ended or the recording did."""

    label: str
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class EventMatches:
    """Events of two replays: pairs (all decoded, on demand), and those that one alone has."""

    pairs: tuple[tuple[EventSpan, EventSpan], ...]
    lost: tuple[EventSpan, ...]
    new: tuple[EventSpan, ...]


@dataclass(frozen=True, slots=True)
class PairedReplay:
    """One recording's two replays. ``saved_s`` are CPU-seconds apart from the model's that decoding on demand saved,
    of ``spent_s`` with everything decoded; ``windows`` are of both. On demand, ``skipped`` pictures were not decoded
    and the camera woke as often as ``wakes`` says, by reason."""

    recording: PlacedRecording
    matches: EventMatches
    windows: tuple[int, int]
    spent_s: float
    saved_s: float
    skipped: int = 0
    wakes: Mapping[str, int] = field(default_factory=dict)


def match_events(decoded: Sequence[EventSpan], on_demand: Sequence[EventSpan], tolerance_s: float) -> EventMatches:
    """One to one, by label and overlap within ``tolerance_s``; those that begin nearest to each other first."""
    near = sorted(
        (abs(a.begin_s - b.begin_s), i, j)
        for i, a in enumerate(decoded)
        for j, b in enumerate(on_demand)
        if a.label == b.label and a.begin_s - tolerance_s <= b.end_s and b.begin_s - tolerance_s <= a.end_s
    )
    first: dict[int, int] = {}
    second: set[int] = set()
    for _, i, j in near:
        if i not in first and j not in second:
            first[i] = j
            second.add(j)
    return EventMatches(
        tuple((decoded[i], on_demand[j]) for i, j in sorted(first.items())),
        tuple(event for i, event in enumerate(decoded) if i not in first),
        tuple(event for j, event in enumerate(on_demand) if j not in second),
    )


@dataclass(slots=True)
class SpanCollector:
    """Listens to one replay: its events as spans, and how many windows it scored."""

    windows: int = 0
    _now_s: float = 0.0
    _open: dict[str, EventSpan] = field(default_factory=dict)
    _ended: dict[str, EventSpan] = field(default_factory=dict)

    def on_scores(self, scores: Scores) -> None:
        """Count a window."""
        self.windows += 1
        self._now_s = seconds(scores.media_end.position_ns)

    def on_event(self, event: Event) -> None:
        """Note where it begins and ends; health events have no place in the media and are left out."""
        if event.media_begin is None:
            return
        begin_s = seconds(event.media_begin.position_ns)
        if event.phase is Phase.BEGIN:
            self._open[event.id] = EventSpan(event.label, begin_s, begin_s)
        elif event.phase is Phase.END and event.id in self._open:
            end_s = self._now_s if event.media_end is None else seconds(event.media_end.position_ns)
            self._ended[event.id] = replace(self._open.pop(event.id), end_s=max(begin_s, end_s))

    def spans(self) -> list[EventSpan]:
        """All of them, by their begin."""
        left = [replace(span, end_s=max(span.end_s, self._now_s)) for span in self._open.values()]
        return sorted([*self._ended.values(), *left], key=lambda span: (span.begin_s, span.label))


class PlacedComparison:
    """Composes recordings in ``work`` and replays each twice; ``second`` is how pictures are decoded the second time.

    ``sensitivity`` multiplies the model's thresholds, so that more events are reported; 1 leaves the product's.
    InputError where this revision's replay always decodes everything.
    """

    def __init__(self, engine: Path, work: Path, sensitivity: float = 1.0, second: Decoding = "on_demand") -> None:
        self._folder = load_folder(engine)
        loaded = parse(REPLAY_CONFIG + "model: {runtime: onnx}\n" + rules_text(self._folder, sensitivity))
        self._work = work
        self._runtime, self._graphs = cached_runtime(self._folder)
        derivers = build_derivers(loaded, self._folder, None)
        self._replays = [
            Replay(
                loaded.config,
                Model(self._folder, self._runtime, Metrics(), DEFAULT_GATE_LIMITS),
                0,
                derivers,
                **decoding_option(decoding),
            )
            for decoding in ("all", second)
        ]

    def compare(self, recording: PlacedRecording, keep: Path | None = None) -> PairedReplay | None:
        """One recording; None when none of its scenes is quiet. A recording with a difference is copied to ``keep``."""
        scene = self._quiet_scene(recording)
        if scene is None:
            return None
        path = self._work / f"placed-{recording.seed}.ts"
        try:
            compose_recording(recording, scene, path)
            decoded, spent_s = self._replay(0, path)
            before = self._on_demand_counts()
            on_demand, left_s = self._replay(1, path)
            counts = self._on_demand_counts()
            matches = match_events(decoded.spans(), on_demand.spans(), TOLERANCE_S)
            if keep is not None and (matches.lost or matches.new):
                keep.mkdir(parents=True, exist_ok=True)
                (keep / path.name).write_bytes(path.read_bytes())
        finally:
            path.unlink(missing_ok=True)
            for graph in self._graphs:
                graph.clear()
        windows = (decoded.windows, on_demand.windows)
        skipped, *wakes = (counts[name] - before.get(name, 0) for name in counts)
        reasons = {name: n for name, n in zip(list(counts)[1:], wakes, strict=True) if n}
        return PairedReplay(recording, matches, windows, spent_s, spent_s - left_s, skipped, reasons)

    def close(self) -> None:
        """Close the model."""
        self._runtime.close()

    def _on_demand_counts(self) -> dict[str, int]:
        """Pictures that were not decoded so far (``skipped``, first), and wakes by reason."""
        found = {"skipped": 0}
        metrics = self._replays[1].metrics
        for counter in (metrics.skipped_pictures, metrics.wakes):
            for sample in (s for family in counter.collect() for s in family.samples if s.name.endswith("_total")):
                name = sample.labels.get("reason", "skipped")
                found[name] = found.get(name, 0) + int(sample.value)
        return found

    def _quiet_scene(self, recording: PlacedRecording) -> Path | None:
        """The first scene in which nothing is reported while nothing is placed, with every picture decoded."""
        path = self._work / f"scene-{recording.seed}.ts"
        empty = replace(recording, trials=(), seconds=SCREENED_S)
        for scene in recording.scenes:
            compose_recording(empty, scene, path)
            quiet = not self._replay(0, path)[0].spans()
            path.unlink()
            if quiet:
                return scene
        return None

    def _replay(self, which: int, path: Path) -> tuple[SpanCollector, float]:
        """What was found, and the CPU-seconds that were not the model's."""
        collector, began_s, model_s = SpanCollector(), cpu_s(), model_cost_s(self._graphs)
        self._replays[which].run(path, collector)
        return collector, cpu_s() - began_s - (model_cost_s(self._graphs) - model_s)


def model_cost_s(graphs: Sequence[CachedGraph]) -> float:
    """CPU-seconds of all rows that were computed so far."""
    return sum(sum(graph.costs_s) for graph in graphs)


def decoding_option(decoding: Decoding) -> dict[str, Any]:
    """The keyword of `Replay` that decodes so; InputError where it has none and more than everything is asked for."""
    if "decoding" in inspect.signature(Replay).parameters:
        return {"decoding": decoding}
    if decoding == "all":
        return {}
    raise InputError("this revision's replay decodes every picture; there is nothing to compare it with")


def rules_text(folder: ModelFolder, sensitivity: float) -> str:
    """The section ``events`` of config.yaml with every threshold of the model multiplied; empty at 1."""
    if sensitivity == 1:
        return ""
    rules = {
        label.name: {
            "enter": round(sensitivity * label.enter, 4),
            "leave": round(sensitivity * label.leave, 4),
            "min_s": min(label.min_s, 0.5),
        }
        for label in folder.manifest.labels
    }
    return yaml.safe_dump({"events": rules})
