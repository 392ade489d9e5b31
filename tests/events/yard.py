"""The sample recording's events in a store, with their meaning at the height of each: what search is judged on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edge.clock import VirtualClock
from edge.config import parse
from edge.engine.manifest import find_folder, load_folder
from edge.engine.model import Model
from edge.evidence.archive.store import EventStore
from edge.metrics import Metrics
from edge.replay import Replay
from edge.types import F32, Event, Scores

ROOT = Path(__file__).resolve().parent.parent.parent
CONFIG = "cameras: {yard: {source: {type: file, path: yard.mp4}}}\nmqtt: null"


@dataclass
class Kept:
    """A listener that keeps each event with what the window with its highest value meant."""

    store: EventStore
    heights: dict[str, float] = field(default_factory=dict)
    meanings: dict[str, F32] = field(default_factory=dict)
    windows: dict[str, Scores] = field(default_factory=dict)

    def on_scores(self, scores: Scores) -> None:
        self.windows[scores.camera] = scores

    def on_event(self, event: Event) -> None:
        scores = self.windows.get(event.camera)
        value = scores.values.get(event.label, 0.0) if scores is not None else 0.0
        if scores is not None and scores.features is not None and value > self.heights.get(event.id, -1.0):
            self.heights[event.id] = value
            self.meanings[event.id] = scores.features.aligned.copy()
        self.store.put(event, "fused", self.meanings.get(event.id))


def keep_yard(folder: Path, wall_start_ns: int) -> EventStore:
    """Replay the sample into a store below ``folder``."""
    loaded = parse(CONFIG)
    model_folder = load_folder(find_folder("fused"))
    model = Model.open(model_folder, loaded.config.model, 1, Metrics())
    store = EventStore(folder, VirtualClock(wall_start_ns))
    try:
        Replay(loaded.config, model, wall_start_ns).run(ROOT / "samples/yard.mp4", Kept(store))
    finally:
        model.close()
    return store
