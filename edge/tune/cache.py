"""What recordings gave, kept in a folder: a sub-folder a recording and setting, written whole or not at all.

A recording is scored again when the file, the model, what was learned, or a setting that scores follow from changes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from edge import __version__
from edge.config import Config
from edge.engine.manifest import Manifest, sha256_of
from edge.errors import SinkError
from edge.files import atomic_write
from edge.profile import ProfileVersion
from edge.replay import ReplayStep
from edge.tune.packed import SCHEMA, pack_moments, unpack_moments
from edge.tune.recordings import fingerprint

STEPS_PER_FILE = 2400  # steps in one file: what bounds the memory
_DONE = "done.json"
_SETTINGS = ("prompts", "anomaly", "windows", "health")


def scoring_key(config: Config, manifest: Manifest, version: ProfileVersion | None) -> str:
    """A digest of everything beside the recording that scores follow from."""
    raw = config.model_dump(mode="json")
    learned = [] if version is None else [(p.name, sha256_of(p)) for p in sorted(version.path.glob("*.npz"))]
    runtime = [getattr(config.model, key) for key in ("runtime", "precision")]
    masks = {name: spec["privacy_masks"] for name, spec in raw["cameras"].items() if spec.get("privacy_masks")}
    parts = [SCHEMA, __version__, manifest.sha256, runtime, learned, masks, {key: raw.get(key) for key in _SETTINGS}]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True, default=str).encode(), digest_size=12).hexdigest()


@dataclass(frozen=True, slots=True)
class ScoringFacts:
    """What one recording came to: seconds of media, windows, and seconds that the scoring took."""

    media_s: float
    windows: int
    took_s: float


class ScoreCache:
    """The folder; several processes may write different recordings at once."""

    def __init__(self, folder: Path, setting: str) -> None:
        self._folder = folder
        self._setting = setting

    def facts(self, path: Path) -> ScoringFacts | None:
        """What is kept of a recording; None when it must be scored. InputError when it cannot be read."""
        try:
            return ScoringFacts(**json.loads((self._place(path) / _DONE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def moments(self, path: Path, camera: str) -> Iterator[ReplayStep]:
        """The kept steps of a recording, as of ``camera``; SinkError when they are damaged."""
        place = self._place(path)
        for file in sorted(place.glob("*.npz")):
            try:
                with file.open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
                    whole = dict(arrays.items())
                yield from unpack_moments(whole, camera)
            except (OSError, KeyError, ValueError, IndexError, TypeError, BadZipFile) as error:
                raise SinkError(f"{file}: damaged ({error}); remove {place} and tune again") from error

    def store(self, path: Path, moments: Iterable[ReplayStep]) -> Iterator[ReplayStep]:
        """Pass ``moments`` on and keep them; nothing is kept unless all came. `commit` makes it count."""
        aside = self._aside(path)
        try:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            waiting: list[ReplayStep] = []
            number = 0
            for moment in moments:
                waiting.append(moment)
                yield moment
                if len(waiting) == STEPS_PER_FILE:
                    np.savez_compressed(aside / f"{number:05d}.npz", **pack_moments(waiting))  # type: ignore[arg-type]
                    waiting, number = [], number + 1
            np.savez_compressed(aside / f"{number:05d}.npz", **pack_moments(waiting))  # type: ignore[arg-type]
        except OSError as error:
            raise SinkError(f"{aside}: cannot be written ({error.strerror}); give another --out") from error

    def commit(self, path: Path, facts: ScoringFacts) -> None:
        """Everything of ``path`` was kept."""
        place, aside = self._place(path), self._aside(path)
        text = json.dumps({"media_s": facts.media_s, "windows": facts.windows, "took_s": facts.took_s})
        try:
            atomic_write(aside / _DONE, text)
            shutil.rmtree(place, ignore_errors=True)
            aside.replace(place)
        except OSError as error:
            raise SinkError(f"{place}: cannot be written ({error.strerror}); give another --out") from error

    def _place(self, path: Path) -> Path:
        return self._folder / f"{fingerprint(path)}-{self._setting}"

    def _aside(self, path: Path) -> Path:
        place = self._place(path)
        return place.with_name(place.name + ".new")
