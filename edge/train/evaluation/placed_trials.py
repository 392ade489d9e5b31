"""What is placed into recordings that are otherwise quiet: drawn by a seed from real recordings, with its conditions.

A recording has one camera's settings (size, group of pictures, rate control, light); its trials differ in what is seen
and heard, how near, how long, and where in the group of pictures they begin. Sources are split by group as for gating.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

from edge.train.evaluation.datasets import TRUTH, DatasetRow
from edge.train.evaluation.gating import is_tuning_half

Half = Literal["tune", "held", "both"]
FPS: Final = 15
LEAD_S: Final = 20.0
"""Quiet before the first trial: a camera falls quiet in it."""
TAIL_S: Final = 6.0
CANDIDATES: Final = 6
LENGTHS_S: Final = (0.3, 10.0)
_SIZES: Final[Mapping[str, tuple[float, float]]] = {"far": (0.08, 0.25), "near": (0.35, 0.8), "full": (1.0, 1.0)}
_LEVELS: Final = (1.0, 0.3, 0.1)


@dataclass(frozen=True, slots=True)
class PlacedTrial:
    """One placed event, from ``begin_s`` of its recording for ``length_s``.

    ``picture`` is a clip or photograph, from ``skip_s`` of it, ``size`` of the height of the frame at ``place`` (x, y
    of the room that is left, 0..1); None where nothing is seen. ``sound`` is mixed in at ``level`` of full scale; None
    where nothing is heard. ``phase`` is the share of the group of pictures that is over when it begins.
    """

    begin_s: float
    length_s: float
    phase: float
    picture: Path | None
    skip_s: float
    size: float
    place: tuple[float, float]
    sound: Path | None
    level: float

    @property
    def end_s(self) -> float:
        """Where it is over."""
        return self.begin_s + self.length_s


@dataclass(frozen=True, slots=True)
class PlacedRecording:
    """One recording to compose; ``scenes`` are backgrounds, of which the first that is quiet is taken.

    Its clock begins at ``start_s``, its sound ``sound_first_s`` before its pictures; ``noise`` is the sensor's in grey
    levels (sigma).
    """

    seed: int
    width: int
    height: int
    group_s: float
    b_frames: int
    rate_control: Literal["CBR", "VBR"]
    is_dark: bool
    noise: float
    scenes: tuple[Path, ...]
    start_s: float
    rate_hz: int
    sound_first_s: float
    seconds: float
    trials: tuple[PlacedTrial, ...]


@dataclass(frozen=True, slots=True)
class PlacedSources:
    """Real recordings: clips, photographs of things, sounds with a label of the model and others, and still scenes."""

    clips: tuple[Path, ...]
    photographs: tuple[Path, ...]
    known_sounds: tuple[Path, ...]
    other_sounds: tuple[Path, ...]
    scenes: tuple[Path, ...]


def sources_of(rows: Sequence[DatasetRow], half: Half) -> PlacedSources:
    """The recordings of one half of the groups."""
    halves = {"tune": (True,), "held": (False,), "both": (True, False)}[half]
    chosen = [row for row in rows if is_tuning_half(row.group) in halves]
    pictures = [row for row in chosen if row.kind == "picture"]
    sounds = [row for row in chosen if row.kind == "sound"]
    return PlacedSources(
        tuple(row.path for row in chosen if row.kind == "clip"),
        tuple(row.path for row in pictures if row.label in TRUTH),
        tuple(row.path for row in sounds if row.label in TRUTH),
        tuple(row.path for row in sounds if row.label not in TRUTH and row.set_name != "room_silence"),
        tuple(row.path for row in pictures if row.label in ("normal", "none")),
    )


def plan_recordings(
    sources: PlacedSources, trials: int, each: int = 8, gap_s: float = 15.0, seed: int = 1
) -> list[PlacedRecording]:
    """Recordings with ``trials`` in all, ``each`` in one, at least ``gap_s`` of quiet between two. The same seed gives
    the same recordings, whatever ``trials`` is."""
    sizes = [min(each, trials - first) for first in range(0, trials, each)]
    return [_recording(sources, count, gap_s, 1000 * seed + k, k) for k, count in enumerate(sizes)]


def _recording(sources: PlacedSources, count: int, gap_s: float, seed: int, index: int) -> PlacedRecording:
    rng = np.random.default_rng(seed)
    group_s, is_large = (1.0, 2.0)[index % 2], index % 12 == 5
    trials: list[PlacedTrial] = []
    free_s = LEAD_S
    for k in range(count):
        trials.append(_trial(sources, rng, free_s, group_s, (k + index) % 4))
        free_s = trials[-1].end_s + gap_s
    return PlacedRecording(
        seed=seed,
        width=1280 if is_large else 640,
        height=720 if is_large else 360,
        group_s=group_s,
        b_frames=2 if index // 2 % 2 else 0,
        rate_control="CBR" if index // 4 % 2 else "VBR",
        is_dark=index % 3 == 2,
        noise=float(rng.uniform(0.5, 3.0)),
        scenes=tuple(sources.scenes[k] for k in rng.permutation(len(sources.scenes))[:CANDIDATES]),
        start_s=round(float(rng.uniform(10, 50_000)), 1),
        rate_hz=16_000 if index % 5 == 4 else 32_000,
        sound_first_s=round(float(rng.uniform(0.0, 0.5)), 2),
        seconds=free_s - gap_s + TAIL_S,
        trials=tuple(trials),
    )


def _trial(
    sources: PlacedSources, rng: np.random.Generator, free_s: float, group_s: float, quarter: int
) -> PlacedTrial:
    phase = (quarter + float(rng.random())) / 4
    begin_s = (np.ceil(free_s / group_s) + phase) * group_s
    length_s = float(np.exp(rng.uniform(*np.log(LENGTHS_S))))
    modality = ("silent", "loud", "sound")[int(rng.integers(3))]
    size = rng.uniform(*_SIZES[("far", "near", "full")[int(rng.integers(3))]])
    picture = sound = None
    if modality != "sound":
        picture = _one_of(sources.photographs if rng.random() < 0.2 else sources.clips, rng)
    if modality != "silent":
        sound = _one_of(sources.known_sounds if rng.random() < 0.75 else sources.other_sounds, rng)
    return PlacedTrial(
        begin_s=round(float(begin_s) * FPS) / FPS,
        length_s=max(1, round(length_s * FPS)) / FPS,
        phase=phase,
        picture=picture,
        skip_s=float(rng.uniform(0.0, 4.0)),
        size=float(size),
        place=(float(rng.random()), float(rng.random())),
        sound=sound,
        level=_LEVELS[int(rng.integers(len(_LEVELS)))],
    )


def _one_of(paths: Sequence[Path], rng: np.random.Generator) -> Path:
    return paths[int(rng.integers(len(paths)))]


def conditions_of(recording: PlacedRecording, trial: PlacedTrial | None) -> dict[str, str]:
    """The value of every condition of a trial, or of what happened outside of all trials."""
    found = {
        "light": "dark" if recording.is_dark else "light",
        "rate control": recording.rate_control,
        "group of pictures": f"{recording.group_s:g} s",
        "B-frames": "with" if recording.b_frames else "without",
        "picture": f"{recording.width} x {recording.height}",
        "sound's rate": f"{recording.rate_hz // 1000} kHz",
    }
    if trial is None:
        return {**found, "trial": "none near"}
    heard = "sound alone" if trial.picture is None else "loud" if trial.sound is not None else "silent"
    size = (
        "not seen"
        if trial.picture is None
        else "full frame"
        if trial.size >= 1
        else "far"
        if trial.size < 0.3
        else "near"
    )
    band = "under 1 s" if trial.length_s < 1 else "1 to 3 s" if trial.length_s < 3 else "3 to 10 s"
    quarter = min(3, int(4 * trial.phase))
    return {"length": band, "sound": heard, "size": size,
            "begin in the group": f"quarter {quarter + 1}", **found}  # fmt: skip


def trial_at(
    recording: PlacedRecording, begin_s: float, before_s: float = 1.0, after_s: float = 4.0
) -> PlacedTrial | None:
    """The trial that an event belongs to which begins at ``begin_s`` of the recording; None far from all."""
    near = [t for t in recording.trials if t.begin_s - before_s <= begin_s <= t.end_s + after_s]
    return min(near, key=lambda trial: abs(trial.begin_s - begin_s), default=None)
