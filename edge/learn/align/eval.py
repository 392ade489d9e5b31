"""Zero-shot by prompts, measured as a user would: `edge replay --scores` with a prompt for each class name."""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import yaml
from numpy.typing import NDArray

from edge.learn.data import decode_sound
from edge.learn.labels import RATE_HZ, WINDOW_S
from edge.types import F32

ESC50: Final = (
    "dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow", "rain", "sea_waves",
    "crackling_fire", "crickets", "chirping_birds", "water_drops", "wind", "pouring_water", "toilet_flush",
    "thunderstorm", "crying_baby", "sneezing", "clapping", "breathing", "coughing", "footsteps", "laughing",
    "brushing_teeth", "snoring", "drinking_sipping", "door_wood_knock", "mouse_click", "keyboard_typing",
    "door_wood_creaks", "can_opening", "washing_machine", "vacuum_cleaner", "clock_alarm", "clock_tick",
    "glass_breaking", "helicopter", "chainsaw", "siren", "car_horn", "engine", "train", "church_bells", "airplane",
    "fireworks", "hand_saw",
)  # fmt: skip
SETS: Final = ("ESC-50", "ESC-10")
_LOUD: Final = 10.0  # a window within 20 dB of its recording's loudest holds the sound
_PREFIX: Final = "prompt_"  # no label of the model's own has such a name


@dataclass(frozen=True, slots=True)
class Accuracy:
    """``clip`` by the largest of each column over a recording, ``window`` by single rows where the sound is, as a mean
    over recordings; ``classes`` [clip, window, recordings] by name."""

    clip: float
    window: float
    recordings: int
    classes: Mapping[str, tuple[float, float, int]]


def measure_esc50(
    data: Path, engine: str | Path, names: Sequence[str] = ESC50, datasets: tuple[str, ...] = SETS
) -> Accuracy:
    """All prompts competing on what there is of ESC-50 under ``data``; texts are the classes' names and nothing else.

    A single window counts where its level is within 20 dB of the recording's loudest.
    """
    with open(data / "manifest.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"].startswith(datasets) and row["label"] in names]
    files = [data / row["file"] for row in rows]
    scores = replay_prompts(files, engine, {name: name.replace("_", " ") for name in names})
    clip, window = [], []
    for row, path in zip(rows, files, strict=True):
        right = names.index(row["label"])
        times, table = scores[path]
        clip.append(float(table.max(0).argmax() == right))
        loud = levels(decode_sound(path), times)
        window.append(float((table.argmax(1) == right)[loud >= loud.max() / _LOUD].mean()))
    labels = np.array([row["label"] for row in rows])
    by_class = {
        str(name): (
            float(np.mean(np.array(clip)[labels == name])),
            float(np.mean(np.array(window)[labels == name])),
            int((labels == name).sum()),
        )
        for name in np.unique(labels)
    }
    return Accuracy(float(np.mean(clip)), float(np.mean(window)), len(rows), by_class)


def replay_prompts(
    files: Sequence[Path], engine: str | Path, prompts: Mapping[str, str]
) -> dict[Path, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """``edge replay --scores`` over ``files``: for each its rows' times [n] and the prompts' columns [n,prompts].

    RuntimeError with the command's words when it fails. A cell that is empty, since a prompt had no evidence, is 0.
    """
    config = {
        "model": {"name": f"{engine}{'/' if isinstance(engine, Path) else ''}"},
        "cameras": {"recording": {"source": {"type": "file", "path": "recording"}}},
        "mqtt": None,
        "prompts": {f"{_PREFIX}{name}": {"text": text} for name, text in prompts.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        written, table = Path(folder) / "config.yaml", Path(folder) / "scores.csv"
        written.write_text(yaml.safe_dump(config), encoding="utf-8")
        command = [sys.executable, "-m", "edge", "replay", "-c", str(written), "--scores", str(table)]
        done = subprocess.run(
            [*command, "--events", f"{folder}/events.jsonl", *map(str, files)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"edge replay: {done.stderr[-2000:]}")
        return _read(table, list(prompts))


def levels(wave: F32, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The level (RMS) of the window that ends at each time, in seconds."""
    ends = np.round(times * RATE_HZ).astype(int)
    parts = [wave[max(0, end - round(WINDOW_S * RATE_HZ)) : end] for end in ends.tolist()]
    return np.array([float(np.sqrt(np.mean(part**2))) if len(part) else 0.0 for part in parts])


def _read(table: Path, names: list[str]) -> dict[Path, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    times: dict[Path, list[float]] = {}
    values: dict[Path, list[list[float]]] = {}
    with open(table, encoding="utf-8") as file:
        for row in csv.DictReader(file):
            path = Path(row["file"])
            times.setdefault(path, []).append(float(row["t_s"]))
            values.setdefault(path, []).append([float(row[f"{_PREFIX}{name}"] or 0) for name in names])
    return {path: (np.array(times[path]), np.array(values[path])) for path in times}
