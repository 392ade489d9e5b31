"""The cache of scored recordings: a sub-folder for each recording and setting, written completely or not at all.

A recording is scored again when the file, the model, the profile, or a setting that affects scores changes. The steps
are kept losslessly as arrays. `pack_moments` and `unpack_moments` are inverse, except for ``embedding``, ``features``
and ``picture``, which no decision uses.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.config import Config
from edge.engine.manifest import Manifest, sha256_of
from edge.errors import SinkError
from edge.files import atomic_write
from edge.media_time import MediaTime
from edge.pipeline import StepResult
from edge.profile import ProfileVersion
from edge.replay import ReplayStep
from edge.status import CameraStatus, SensorStatus, SourceState, StreamStatus
from edge.tune.recordings import fingerprint
from edge.types import Box, Contribution, Scores

STEPS_PER_FILE = 2400  # steps in one file; bounds the memory
_DONE = "done.json"
_SETTINGS = ("prompts", "anomaly", "windows", "health")
Arrays = dict[str, NDArray[Any]]
SCHEMA = 2
_NOTHING = np.zeros(0, np.float32)
_PLACE = ("seq", "t_end_ns")
_MEDIA = ("epoch", "pts_ns", "position_ns")


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
    """One scored recording: seconds of media, number of windows, and seconds of scoring."""

    media_s: float
    windows: int
    took_s: float


class ScoreCache:
    """The folder; several processes may write different recordings at once."""

    def __init__(self, folder: Path, setting: str) -> None:
        self._folder = folder
        self._setting = setting

    def facts(self, path: Path) -> ScoringFacts | None:
        """The facts of a kept recording; None when it must be scored. InputError when it cannot be read."""
        try:
            return ScoringFacts(**json.loads((self._place(path) / _DONE).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def moments(self, path: Path, camera: str) -> Iterator[ReplayStep]:
        """The kept steps of a recording, attributed to ``camera``; SinkError when they are damaged."""
        place = self._place(path)
        for file in sorted(place.glob("*.npz")):
            try:
                with file.open("rb") as raw, np.load(raw, allow_pickle=False) as arrays:
                    whole = dict(arrays.items())
                yield from unpack_moments(whole, camera)
            except (OSError, KeyError, ValueError, IndexError, TypeError, BadZipFile) as error:
                raise SinkError(f"{file}: damaged ({error}); remove {place} and tune again") from error

    def store(self, path: Path, moments: Iterable[ReplayStep]) -> Iterator[ReplayStep]:
        """Pass ``moments`` on and keep them, if all arrive. `commit` makes them valid."""
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
        """Note that ``path`` was kept completely."""
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


def pack_moments(moments: Sequence[ReplayStep]) -> Arrays:
    """Arrays that `unpack_moments` makes the same moments of; every step has at most one window (one recording, one
    camera)."""
    windows = [scores for moment in moments for scores in moment.step.scores]
    names = sorted({name for s in windows for name in (*s.values, *s.contribution, *s.reasons)})
    arrays: Arrays = {
        "schema": np.array(SCHEMA),
        "now_ns": np.array([moment.now_ns for moment in moments], np.int64),
        "has_window": np.array([bool(moment.step.scores) for moment in moments], bool),
        "has_facts": np.array([len(moment.step.statuses) for moment in moments], np.uint8),
        "place": np.array([[getattr(s, key) for key in _PLACE] for s in windows], np.int64).reshape(-1, 2),
        "media": np.array([[getattr(s.media_end, key) for key in _MEDIA] for s in windows], np.int64).reshape(-1, 3),
        "coverage": np.array([s.coverage for s in windows], np.float64),
        "ok": np.array([(s.video_ok, s.audio_ok) for s in windows], bool).reshape(-1, 2),
        "content": np.array([s.content for s in windows], np.float64).reshape(-1, 4),
        "values": _smallest([[s.values.get(name, np.nan) for name in names] for s in windows], (len(names),)),
        "contribution": _smallest([_added(s, names) for s in windows], (len(names), 3)),
    }
    arrays |= _pack_boxes(windows) | _pack_tags(windows) | _pack_evidence(windows)
    texts = {
        "names": names,
        "model": windows[0].model if windows else "",
        "reasons": [dict(s.reasons) for s in windows] if any(s.reasons for s in windows) else [],
        "facts": [asdict(one) for moment in moments for one in moment.step.statuses],
    }
    arrays["texts"] = np.frombuffer(json.dumps(texts, separators=(",", ":")).encode(), np.uint8)
    return arrays


def unpack_moments(arrays: Mapping[str, NDArray[Any]], camera: str) -> Iterator[ReplayStep]:
    """The moments, of ``camera``; KeyError or ValueError for arrays that are not `pack_moments`'s."""
    if int(arrays["schema"]) != SCHEMA:
        raise ValueError(f"schema {int(arrays['schema'])}, not {SCHEMA}")
    texts = json.loads(arrays["texts"].tobytes())
    windows = _windows(arrays, texts, camera)
    facts = iter(texts["facts"])
    for now_ns, has_window, count in zip(
        arrays["now_ns"].tolist(), arrays["has_window"].tolist(), arrays["has_facts"].tolist(), strict=True
    ):
        scores = (next(windows),) if has_window else ()
        yield ReplayStep(now_ns, StepResult(scores, (), (), [_facts(next(facts), camera) for _ in range(count)]))


@dataclass(frozen=True, slots=True)
class _RaggedRows:
    """Rows of which every window has a different number."""

    at: NDArray[np.int64]
    rows: list[list[float]]

    def of(self, k: int) -> list[list[float]]:
        return self.rows[int(self.at[k]) : int(self.at[k + 1])]


def _windows(arrays: Mapping[str, NDArray[Any]], texts: Mapping[str, Any], camera: str) -> Iterator[Scores]:
    names, reasons = texts["names"], texts["reasons"]
    boxes, tags = (_RaggedRows(arrays[f"{key}_at"], arrays[key].tolist()) for key in ("boxes", "tags"))
    kinds, words = json.loads(arrays["kinds"].tobytes()), json.loads(arrays["words"].tobytes())
    evidence = _evidence(arrays)
    columns = zip(
        *(arrays[key].tolist() for key in ("place", "media", "coverage", "ok", "content", "values")), strict=True
    )
    for k, (place, media, coverage, ok, content, values) in enumerate(columns):
        added = arrays["contribution"][k].tolist()
        yield Scores(
            camera=camera,
            seq=place[0],
            t_end_ns=place[1],
            media_end=MediaTime(*media),
            values={name: value for name, value in zip(names, values, strict=True) if value == value},  # noqa: PLR0124
            contribution={n: Contribution(*part) for n, part in zip(names, added, strict=True) if part[0] == part[0]},
            embedding=_NOTHING,
            boxes=tuple(Box(kinds[int(row[0])], *row[1:]) for row in boxes.of(k)),
            tags={words[int(row[0])]: row[1] for row in tags.of(k)},
            coverage=coverage,
            video_ok=ok[0],
            audio_ok=ok[1],
            model=texts["model"],
            reasons=reasons[k] if reasons else {},
            evidence=evidence(k),
            content=tuple(content),
        )


def _added(scores: Scores, names: Sequence[str]) -> list[tuple[float, float, float]]:
    parts = (scores.contribution.get(name) for name in names)
    return [(p.video, p.audio, p.sensors) if p is not None else (np.nan,) * 3 for p in parts]


def _smallest(rows: Sequence[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """f32 if that is lossless, else f64."""
    wide = np.array(rows, np.float64).reshape(len(rows), *shape)
    narrow = wide.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float64), wide, equal_nan=True) else wide


def _ragged(key: str, rows: Iterable[Sequence[Sequence[float]]], width: int) -> Arrays:
    lists = list(rows)
    at = np.concatenate([[0], np.cumsum([len(one) for one in lists])]).astype(np.int64)
    return {key: _smallest([row for one in lists for row in one], (width,)), f"{key}_at": at}


def _pack_boxes(windows: Sequence[Scores]) -> Arrays:
    kinds = sorted({box.label for s in windows for box in s.boxes})
    number = {kind: i for i, kind in enumerate(kinds)}
    rows = ([[number[b.label], b.score, b.x1, b.y1, b.x2, b.y2] for b in s.boxes] for s in windows)
    return {**_ragged("boxes", rows, 6), "kinds": np.frombuffer(json.dumps(kinds).encode(), np.uint8)}


def _pack_tags(windows: Sequence[Scores]) -> Arrays:
    words = sorted({name for s in windows for name in s.tags})
    number = {word: i for i, word in enumerate(words)}
    rows = ([[number[name], value] for name, value in s.tags.items()] for s in windows)
    return {**_ragged("tags", rows, 2), "words": np.frombuffer(json.dumps(words).encode(), np.uint8)}


def _pack_evidence(windows: Sequence[Scores]) -> Arrays:
    there = [s.evidence for s in windows if s.evidence is not None]
    maps = np.stack(there).astype(np.float32) if there else np.zeros((0, 1, 1), np.float32)
    return {"evidence": maps, "has_evidence": np.array([s.evidence is not None for s in windows], bool)}


def _evidence(arrays: Mapping[str, NDArray[Any]]) -> Callable[[int], NDArray[np.float32] | None]:
    maps, has = arrays["evidence"], arrays["has_evidence"]
    row = np.cumsum(has) - 1
    return lambda k: maps[row[k]] if has[k] else None


def _facts(raw: dict[str, Any], camera: str) -> CameraStatus:
    video, audio = (StreamStatus(**raw[key]) if raw[key] is not None else None for key in ("video", "audio"))
    sensors = tuple(SensorStatus(**one) for one in raw.get("sensors", ()))
    state = SourceState(raw["state"])
    fixed = {"camera": camera, "state": state, "video": video, "audio": audio, "sensors": sensors}
    return CameraStatus(**{**raw, **fixed})
