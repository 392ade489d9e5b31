"""Writes what a replay found: events as JSON lines, and `scores.csv`."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from edge.config import Config
from edge.publish.payloads import event_payload
from edge.types import Contribution, Event, Scores, seconds

ANOMALY_COLUMN = "anomaly"
CONTRIBUTION_COLUMNS = ("contribution_video", "contribution_audio")


class ScoresCsv:
    """One row for each window: ``file,t_s``, a column for each label, ``anomaly``, and the contributions of picture and
    sound to the top label.

    The first row names the columns unless ``header`` is off. Cells are empty for a window that could not be scored, and
    for a label without its modalities; ``anomaly`` is empty without a normal model.
    """

    def __init__(self, out: TextIO, labels: Sequence[str], hop_s: float, *, header: bool = True) -> None:
        self._labels = [label for label in labels if label != ANOMALY_COLUMN]
        self._hop_s = hop_s
        self._writer = csv.writer(out, lineterminator="\n")
        if header:
            self._writer.writerow(["file", "t_s", *self._labels, ANOMALY_COLUMN, *CONTRIBUTION_COLUMNS])
        self._last: tuple[Path, int, float] | None = None

    def write(self, path: Path, scores: Scores) -> None:
        """Add one window, and before it the empty rows of windows that were left out."""
        t_s = seconds(scores.media_end.position_ns)
        self._fill(path, scores.media_end.epoch, t_s)
        cells = [_cell(scores.values.get(label)) for label in [*self._labels, ANOMALY_COLUMN]]
        present = [label for label in self._labels if label in scores.values]
        top = max(present, key=lambda label: scores.values[label], default=None)
        added = scores.contribution[top] if top is not None else Contribution(0.0, 0.0, 0.0)
        self._writer.writerow([path, f"{t_s:.3f}", *cells, f"{added.video:.4f}", f"{added.audio:.4f}"])
        self._last = (path, scores.media_end.epoch, t_s)

    def _fill(self, path: Path, epoch: int, t_s: float) -> None:
        if self._last is None or self._last[:2] != (path, epoch):
            return
        missing = round((t_s - self._last[2]) / self._hop_s) - 1
        for k in range(1, missing + 1):
            empty = [""] * (len(self._labels) + 3)
            self._writer.writerow([path, f"{self._last[2] + k * self._hop_s:.3f}", *empty])


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


class EventJsonLines:
    """Events as they would be published, one JSON object a line, with ``file`` and the media time ``t_s`` in front."""

    def __init__(self, out: TextIO, config: Config, model: str) -> None:
        self._out = out
        self._config = config
        self._model = model
        self._seq: dict[str, int] = {}

    def write(self, path: Path, event: Event) -> None:
        """Add one phase of one event."""
        seq = self._seq.get(event.id, 0)
        self._seq[event.id] = seq + 1
        node = self._config.node
        payload = event_payload(event, node.site, node.id, self._model, seq)
        begin_ns = 0 if event.media_begin is None else event.media_begin.position_ns
        line = {"file": str(path), "t_s": round(seconds(begin_ns), 3), **payload}
        print(json.dumps(line, ensure_ascii=False, allow_nan=False), file=self._out, flush=True)
