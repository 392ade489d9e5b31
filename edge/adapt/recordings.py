"""Replays marked recordings as in service, and caches their descriptions on disk."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import wave
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.adapt.examples import NO_EVENT, REMAINDER, Example, LabelledClip, stack_windows
from edge.config import Config
from edge.detect.taught_features import MODALITY, VERSION, TaughtFeatures, extract_all
from edge.engine.model import Model
from edge.errors import MediaError, SinkError
from edge.files import atomic_path
from edge.replay.replayer import Replay
from edge.types import F32, Event, Scores, seconds

_log = logging.getLogger(__name__)
ProgressFactory = Callable[[str, int], AbstractContextManager[Callable[[str], None]]]
"""Begins a piece of work of so many steps and gives a function to call after each, with a line worth reading or ""."""

CACHE: Final = "cache"
CACHE_LIMIT: Final = 2000  # recordings whose descriptions are kept
_EVENT_TAIL_S: Final = 1.0  # how long after its marked end an event may still be in the window


@dataclass(frozen=True, slots=True)
class DescribedRecording:
    """A recording described: its windows' end in media seconds [n], their features, and the model's own values
    by label [n]."""

    digest: str
    t_s: NDArray[np.float64]
    windows: tuple[TaughtFeatures, ...]
    model: Mapping[str, F32]


@dataclass
class _ScoreCollector:
    scores: list[Scores] = field(default_factory=list)

    def on_scores(self, scores: Scores) -> None:
        self.scores.append(scores)

    def on_event(self, event: Event) -> None:
        """Ignored."""


class RecordingReader:
    """Reads recordings through an opened model; ``folder`` keeps what was read, by content and model."""

    def __init__(self, model: Model, config: Config, folder: Path) -> None:
        self._model = model
        self._replay = Replay(config, model)
        self._folder = folder / CACHE
        self._stamp = f"{model.manifest.sha256[:16]}-{VERSION}"
        self.silence = self._silence_embedding()

    def read(self, path: Path) -> DescribedRecording:
        """A recording's description, from disk where it is there. MediaError: unreadable, or nothing to see or hear."""
        digest = file_digest(path)
        kept = self.load_cached(digest)
        if kept is not None:
            return kept
        found = self._replay_recording(path, digest)
        if not any(w.sound is not None or w.picture is not None for w in found.windows):
            raise MediaError(f"{path}: has neither picture nor sound; take it out or record it again")
        self._store(found)
        return found

    def reread(self, path: Path, digest: str) -> DescribedRecording | None:
        """A recording that was read before, from disk or its file if that is still the same; else None."""
        try:
            return self.load_cached(digest) or (self.read(path) if file_digest(path) == digest else None)
        except MediaError:
            return None

    def load_cached(self, digest: str) -> DescribedRecording | None:
        """What is on disk of a recording that was read before with this model; None when it is not there."""
        file = self._file(digest)
        try:
            with np.load(file, allow_pickle=False) as stored:
                return _from_arrays(digest, {name: stored[name] for name in stored.files})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            _log.warning("%s is damaged; the recording is read again", file)
            return None

    def _replay_recording(self, path: Path, digest: str) -> DescribedRecording:
        collected = _ScoreCollector()
        self._replay.run(path, collected)
        scores = collected.scores
        model = {
            name: np.array([s.values.get(name, np.nan) for s in scores], np.float32)
            for name in self._model.manifest.label_names
        }
        times = np.array([seconds(s.media_end.position_ns) for s in scores], np.float64)
        return DescribedRecording(digest, times, tuple(extract_all(scores)), model)

    def _silence_embedding(self) -> F32:
        """The sound embedding of silence, from a silent recording."""
        with tempfile.TemporaryDirectory(prefix="edge-silence-") as folder:
            path = Path(folder) / "silence.wav"
            with wave.open(str(path), "wb") as out:
                out.setparams((1, 2, 32000, 0, "NONE", ""))
                out.writeframes(bytes(2 * 32000 * 3))
            collected = _ScoreCollector()
            self._replay.run(path, collected)
        last = collected.scores[-1].features if collected.scores else None
        return np.zeros(0, np.float32) if last is None else last.sound

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}-{self._stamp}.npz"

    def _store(self, recording: DescribedRecording) -> None:
        try:
            with atomic_path(self._file(recording.digest)) as partial, partial.open("wb") as file:
                np.savez(file, **_to_arrays(recording))  # type: ignore[arg-type]
            for old in sorted(self._folder.glob("*.npz"), key=lambda p: p.stat().st_mtime)[:-CACHE_LIMIT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise SinkError(f"{self._folder}: cannot be written ({error.strerror}); make room there") from error


def file_digest(path: Path) -> str:
    """A name for a file's content; MediaError when it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); put the path right or take it out") from error
    return digest.hexdigest()


def clips_of(example: Example, recording: DescribedRecording, silence: F32) -> list[LabelledClip]:
    """The marked part of a recording as a clip; where only a part is marked, the rest as one without event.

    A window belongs to the part that it ends in or within a second after; windows that reach into both are left out.
    """
    end = recording.t_s
    begin_s, end_s = example.start_s or 0.0, example.end_s if example.end_s is not None else np.inf
    inside = (end > begin_s) & (end <= end_s + _EVENT_TAIL_S)
    if not inside.any() and len(end):
        inside[int(np.argmin(np.abs(end - begin_s)))] = True
    key = f"{recording.digest}:{begin_s:g}-{end_s:g}"
    clips = [_clip(key, example.label, example, recording, inside, silence)]
    outside = (end <= begin_s) | (end > end_s + 2 * _EVENT_TAIL_S + _EVENT_TAIL_S)
    if example.label != NO_EVENT and outside.any():
        clips.append(_clip(f"{key}{REMAINDER}", NO_EVENT, example, recording, outside, silence))
    return [clip for clip in clips if clip.has_sound.any() or clip.has_picture.any()]


def read_all(
    examples: Sequence[Example], reader: RecordingReader, progress: ProgressFactory
) -> tuple[list[tuple[Example, DescribedRecording]], list[str]]:
    """All that can be read, and a line for each that cannot."""
    recordings, faults = [], []
    with progress("reading clips", len(examples)) as advance:
        for example in examples:
            try:
                recordings.append((example, reader.read(example.path)))
                advance("")
            except MediaError as error:
                faults.append(str(error))
                advance(f"{error}; left out")
    return recordings, faults


def _clip(
    key: str, label: str, example: Example, recording: DescribedRecording, chosen: NDArray[np.bool_], silence: F32
) -> LabelledClip:
    windows = [w for w, ok in zip(recording.windows, chosen, strict=True) if ok]
    rows, has_sound, has_picture = stack_windows(windows, silence)
    model = {
        name: float(np.nanmax(values[chosen]))
        for name, values in recording.model.items()
        if not np.isnan(values[chosen]).all()
    }
    group = example.group or recording.digest  # the same recording twice is one group
    return LabelledClip(key, str(example.path), label, group, rows, has_sound, has_picture, model)


def _to_arrays(recording: DescribedRecording) -> dict[str, NDArray[Any]]:
    names = list(recording.model)
    arrays: dict[str, NDArray[Any]] = {
        "t_s": recording.t_s,
        "labels": np.array(names),
        "model": np.stack([recording.model[n] for n in names]) if names else np.zeros((0, 0), np.float32),
    }
    for source in MODALITY:
        given = [w.source(source) for w in recording.windows]
        there = [n for n, v in enumerate(given) if v is not None]
        arrays[f"{source}.at"] = np.array(there, np.int64)
        if there:
            arrays[source] = np.stack([v for v in given if v is not None]).astype(np.float32)
    return arrays


def _from_arrays(digest: str, arrays: Mapping[str, NDArray[Any]]) -> DescribedRecording:
    count = len(arrays["t_s"])
    by_source: dict[str, list[F32 | None]] = {}
    for source in MODALITY:
        rows: list[F32 | None] = [None] * count
        for n, at in enumerate(arrays[f"{source}.at"]):
            rows[int(at)] = arrays[source][n]
        by_source[source] = rows
    windows = tuple(TaughtFeatures(**{s: by_source[s][n] for s in MODALITY}) for n in range(count))
    model = {str(name): arrays["model"][n] for n, name in enumerate(arrays["labels"])}
    return DescribedRecording(digest, arrays["t_s"], windows, model)
