"""`edge replay`: options, files, progress and exit code; writes events as JSON lines, and `scores.csv`."""

from __future__ import annotations

import csv
import json
import logging
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from edge.assemble import build_derivers, load_background, load_profile
from edge.config import OFFLINE, Config, load, parse
from edge.detect.thresholds import validate
from edge.engine.manifest import find_folder, load_folder
from edge.engine.model import Model
from edge.errors import ConfigError, InputError, MediaError
from edge.metrics import Metrics
from edge.publish.payloads import event_payload
from edge.replay.replayer import Replay
from edge.types import NS_PER_S, Contribution, Event, Scores, seconds

log = logging.getLogger(__name__)
ANOMALY_COLUMN = "anomaly"
CONTRIBUTION_COLUMNS = ("contribution_video", "contribution_audio")
_DEFAULTS = "cameras: {recording: {source: {type: file, path: recording}}}\nmqtt: null"


class ScoresCsv:
    """One row for each window: ``file,t_s``, a column for each label, ``anomaly``, and the contributions of picture and
    sound to the top label.

    Cells are empty for a window that could not be scored, and for a label without its modalities; ``anomaly`` is empty
    without a normal model.
    """

    def __init__(self, out: TextIO, labels: Sequence[str], hop_s: float) -> None:
        self._labels = [label for label in labels if label != ANOMALY_COLUMN]
        self._hop_s = hop_s
        self._writer = csv.writer(out, lineterminator="\n")
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

    ``profile`` is the site's profile, instead of the configured one. ``camera``: the camera of the recordings.
    """
    loaded = load(config_path, needs=OFFLINE) if config_path else parse(_DEFAULTS)
    if camera is not None and (config_path is None or camera not in loaded.config.cameras):
        known = ", ".join(sorted(loaded.config.cameras)) if config_path else "none without -c"
        raise InputError(f"--camera {camera!r}: the configuration has no such camera; there is: {known}")
    folder = load_folder(find_folder(loaded.config.model.name))
    version = load_profile(loaded, folder, profile)
    derivers = build_derivers(loaded, folder, version)
    manifest = folder.manifest.with_labels(derivers.labels)
    faults = validate(loaded.config, manifest)
    if faults:
        raise ConfigError([loaded.fault(key, message) for key, message in faults])
    wall_start_ns = parse_start(start)
    model = Model.open(folder, loaded.config.model, 1, Metrics())
    with ExitStack() as stack:
        stack.callback(model.close)
        lines = EventJsonLines(_open(stack, events) or sys.stdout, loaded.config, model.name)
        out = _open(stack, scores)
        geometry = folder.manifest.geometry
        table = ScoresCsv(out, manifest.label_names, geometry.hop_s) if out else None
        replay = Replay(loaded.config, model, wall_start_ns, derivers, load_background(manifest, version), camera)
        unreadable = [
            path for path in _with_progress(files) if not _replay(replay, _RecordingWriter(path, lines, table))
        ]
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


def _replay(replay: Replay, writer: _RecordingWriter) -> bool:
    try:
        done = replay.run(writer.path, writer)
    except MediaError as error:
        print(f"edge: {error}", file=sys.stderr)
        return False
    log.info("%s: %.1f s, %d windows, %d events", writer.path, done.media_s, done.windows, done.events)
    return True


def _open(stack: ExitStack, path: Path | None) -> TextIO | None:
    if path is None:
        return None
    try:
        return stack.enter_context(path.open("w", encoding="utf-8", newline=""))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give another path") from error


def _with_progress(files: Sequence[Path]) -> Iterable[Path]:
    """The files, with a progress bar on a terminal when there are several."""
    if len(files) < 2 or not sys.stderr.isatty():
        return files
    from rich.console import Console
    from rich.progress import track

    return track(files, "replaying", console=Console(stderr=True))
