"""Protocols for what is learned on top of the model; results are cached beside those of recordings.

Each protocol gives figures: setting, name, value, number of clips, and the goal that it answers, if any.

- Prompts: zero-shot, as a user would write them, from the class names of ESC-50 alone.
- Taught events: `taught_events`.
- Anomaly: frame-level ROC AUC on UCSD Ped2 (Mahadevan, Li, Bhalodia, Vasconcelos: Anomaly Detection in Crowded Scenes,
  CVPR 2010), as that data set is usually measured. The scores come from::

      edge learn normal DATA/restricted/video/ucsd_ped2/training/*.mp4 -o PROFILE
      edge replay --profile PROFILE --scores CSV --events /dev/null DATA/restricted/video/ucsd_ped2/testing/*.mp4
"""

from __future__ import annotations

import csv
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from edge import assemble
from edge.clock import SystemClock
from edge.config import parse
from edge.detect.derived import PromptDeriver
from edge.errors import EdgeError, InputError
from edge.train.data import decode_audio
from edge.train.evaluation.datasets import DatasetRow, read_rows
from edge.train.evaluation.goals import ProtocolFigure
from edge.train.evaluation.metrics import roc_auc
from edge.train.evaluation.recordings import RecordingRunner
from edge.train.evaluation.run import EvaluationOptions, read_json, replay_job, write_json
from edge.train.evaluation.synthetic import RATE_HZ
from edge.train.evaluation.window_store import load_scores
from edge.train.labels import WINDOW_S
from edge.types import seconds

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EvaluationProtocol:
    """One protocol: its name, its sets, what it is, and the function that measures it."""

    name: str
    title: str
    sets: tuple[str, ...]
    measure: Callable[[EvaluationOptions, RecordingRunner], Sequence[ProtocolFigure]]


def _esc10(options: EvaluationOptions, runner: RecordingRunner) -> Sequence[ProtocolFigure]:
    from edge.train.evaluation.taught_events import esc10_accuracy

    return esc10_accuracy(options, runner)


def _fights(options: EvaluationOptions, runner: RecordingRunner) -> Sequence[ProtocolFigure]:
    from edge.train.evaluation.taught_events import fight_precision

    return fight_precision(options, runner)


def _prompts(options: EvaluationOptions, runner: RecordingRunner) -> Sequence[ProtocolFigure]:
    return prompt_accuracy(options, runner)


def _ped2(options: EvaluationOptions, runner: RecordingRunner) -> Sequence[ProtocolFigure]:
    return ped2_auc(options, runner)


PROTOCOLS: Final[tuple[EvaluationProtocol, ...]] = (
    EvaluationProtocol("prompts", "ESC-50 and ESC-10 by prompts", ("esc10", "esc50_part"), _prompts),
    EvaluationProtocol("esc10", "ESC-10 from examples", ("esc10",), _esc10),
    EvaluationProtocol("fights", "surveillance fights from examples", ("fight_surv",), _fights),
    EvaluationProtocol("ped2", "UCSD Ped2, normal learned from its training clips", ("ucsd_ped2",), _ped2),
)


def run_protocols(
    options: EvaluationOptions, runner: RecordingRunner, protocols: Sequence[EvaluationProtocol] = PROTOCOLS
) -> dict[str, Any]:
    """Every protocol whose sets were asked for, by name: title, lines, seconds, or why it was not measured."""
    clock = SystemClock()
    results: dict[str, Any] = {}
    for protocol in protocols:
        if protocol.name in options.skip or (options.only and not set(protocol.sets) & set(options.only)):
            continue
        place = runner.cache / f"learned-{protocol.name}.json"
        cached: Mapping[str, Any] | None = read_json(place)
        if cached is None:
            _log.info("measuring: %s", protocol.title)
            begun_ns = clock.mono_ns()
            try:
                lines = [asdict(line) for line in protocol.measure(options, runner)]
            except (ImportError, AttributeError, EdgeError, OSError, RuntimeError, ValueError) as error:
                _log.warning("%s: not measured: %s", protocol.title, error)
                results[protocol.name] = {"title": protocol.title, "lines": [], "failed": type(error).__name__}
                continue
            cached = {"title": protocol.title, "lines": lines, "seconds": (clock.mono_ns() - begun_ns) / 1e9}
            write_json(place, cached)
        results[protocol.name] = cached
    return results


ESC50: Final = (
    "dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow", "rain", "sea_waves",
    "crackling_fire", "crickets", "chirping_birds", "water_drops", "wind", "pouring_water", "toilet_flush",
    "thunderstorm", "crying_baby", "sneezing", "clapping", "breathing", "coughing", "footsteps", "laughing",
    "brushing_teeth", "snoring", "drinking_sipping", "door_wood_knock", "mouse_click", "keyboard_typing",
    "door_wood_creaks", "can_opening", "washing_machine", "vacuum_cleaner", "clock_alarm", "clock_tick",
    "glass_breaking", "helicopter", "chainsaw", "siren", "car_horn", "engine", "train", "church_bells", "airplane",
    "fireworks", "hand_saw",
)  # fmt: skip


_PREFIX: Final = "prompt_"
_LOUDNESS_RATIO: Final = 10.0  # a window within 20 dB of its recording's loudest holds the sound


def prompt_accuracy(options: EvaluationOptions, runner: RecordingRunner) -> list[ProtocolFigure]:
    """All fifty names of ESC-50 as prompts, competing on what there is of it: ESC-10 and the ESC-50 part.

    On stored windows: a clip by its highest window, and single windows within 20 dB of the clip's loudest, as a mean
    over clips. The texts are the names alone.
    """
    config = {
        "cameras": {"recording": {"source": {"type": "file", "path": "recording"}}},
        "mqtt": None,
        "prompts": {f"{_PREFIX}{name}": {"text": name.replace("_", " ")} for name in ESC50},
    }
    derived = assemble.build_prompts(parse(yaml.safe_dump(config)), runner.folder)
    rows = [row for row in read_rows(options.data) if row.set_name in {"esc10", "esc50_part"} and row.label in ESC50]
    rows = [row for row in rows if runner.windows_path(replay_job(row)).exists()]
    if not rows:
        raise InputError("no windows of ESC-10 or the ESC-50 part are kept")
    right = np.array([_prompt_hits(row, derived, runner, ESC50) for row in rows])
    part = np.array([row.set_name == "esc50_part" for row in rows])
    setting = f"{len(rows)} clips of {len({row.label for row in rows})} classes, 50 prompts"
    alone = right[part].mean(0) if part.any() else np.full(2, np.nan)
    note = f"without ESC-10, of which parts were trained on ({int(part.sum())} clips): "
    return [
        ProtocolFigure(
            setting, "accuracy, 5 s clips", float(right[:, 0].mean()), f"{note}{alone[0]:.3f}", bar="esc50_5s"
        ),
        ProtocolFigure(
            setting, "accuracy, 2 s windows", float(right[:, 1].mean()), f"{note}{alone[1]:.3f}", bar="esc50_2s"
        ),
    ]


def _prompt_hits(
    row: DatasetRow, derived: PromptDeriver, runner: RecordingRunner, names: Sequence[str]
) -> tuple[float, float]:
    """Whether the clip's highest prompt is the right one, and in what share of its loud windows it is."""
    windows = load_scores(runner.windows_path(replay_job(row)))
    derived.forget(windows[0].camera)
    times, lines = [], []
    for scores in windows:
        found = derived.derive(scores)
        times.append(seconds(scores.media_end.position_ns))
        lines.append([found[_PREFIX + name].value if _PREFIX + name in found else 0.0 for name in names])
    table, loud = np.array(lines), _window_levels(row, times)
    correct = names.index(row.label)
    is_loud = loud >= loud.max() / _LOUDNESS_RATIO
    return float(table.max(0).argmax() == correct), float((table.argmax(1) == correct)[is_loud].mean())


def ped2_auc(options: EvaluationOptions, runner: RecordingRunner) -> list[ProtocolFigure]:
    """`edge learn normal` on the training clips, `edge replay --profile` on the test clips, then the frames' AUC."""
    rows = [row for row in read_rows(options.data) if row.set_name == "ucsd_ped2"]
    training, testing = ([str(row.path) for row in rows if row.split == split] for split in ("training", "testing"))
    if not training or not testing:
        raise InputError("no clips of ucsd_ped2 to learn from or to test on")
    profile = runner.cache / "ped2"
    shutil.rmtree(profile, ignore_errors=True)
    config, table = runner.cache / "ped2.yaml", runner.cache / "ped2.csv"
    config.write_text(
        "cameras: {recording: {source: {type: file, path: recording}}}\nmqtt: null\n"
        f"model: {{name: {options.engine.absolute()}}}\n",
        encoding="utf-8",
    )
    _run_edge("learn", "normal", *training, "-o", str(profile), "-c", str(config))
    _run_edge("replay", *testing, "-c", str(config), "--profile", str(profile), "--scores", str(table), "--events",
          str(runner.cache / "ped2.jsonl"))  # fmt: skip
    auc = measure_ped2(options.data, table)
    note = f"{len(testing)} test clips; causal: a frame has the score of the last window that ended before it"
    return [
        ProtocolFigure("site-learned", "frame AUC", auc.raw, note, bar="ped2_raw"),
        ProtocolFigure(
            "site-learned", "frame AUC, each clip scaled to 0..1", auc.normalised, note, bar="ped2_normalised"
        ),
    ]


def _window_levels(row: DatasetRow, times: Sequence[float]) -> NDArray[np.float64]:
    """Root mean square of the window that ends at each time."""
    wave = decode_audio(row.path, RATE_HZ)
    ends = [round(t * RATE_HZ) for t in times]
    parts = [wave[max(0, end - round(WINDOW_S * RATE_HZ)) : end] for end in ends]
    return np.array([float(np.sqrt(np.mean(part.astype(np.float64) ** 2))) if len(part) else 0.0 for part in parts])


def _run_edge(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "edge", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgeError(f"edge {' '.join(arguments[:2])}: exit code {done.returncode}: {done.stderr[-500:]}")


F64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
PED2_FPS: Final = 10.0
PED2_LABELS: Final = "labels/ucsd_ped2_test_intervals.csv"


class FrameAuc(NamedTuple):
    """One area over all clips' frames: from the scores as they are, and after min-max within each clip."""

    raw: float
    normalised: float


@dataclass(frozen=True, slots=True)
class AnomalyCurve:
    """One clip's scores: ends of windows in media seconds and values, both [n], in order."""

    t_s: F64
    values: F64

    def causal(self, frames: int) -> F64:
        """Each frame's score: that of the latest window that ended at or before it; the first one before that."""
        at = np.searchsorted(self.t_s, np.arange(frames) / PED2_FPS + 1e-6, side="right") - 1
        return np.asarray(self.values[np.maximum(at, 0)])

    def interpolated(self, frames: int) -> F64:
        """Each frame's score, linear between the windows around it (looks ahead by up to one hop)."""
        return np.interp(np.arange(frames) / PED2_FPS, self.t_s, self.values)


def measure_ped2(data_root: Path, scores_csv: Path, *, interpolate: bool = False) -> FrameAuc:
    """Frame-level AUC over all clips of the labels that are in ``scores_csv``; without ``interpolate`` it is causal.

    InputError when a file cannot be read or no clip of the labels is in it.
    """
    truth, curves = read_truth(data_root / PED2_LABELS), read_curves(scores_csv)
    clips = sorted(set(truth) & set(curves))
    if not clips:
        raise InputError(f"{scores_csv}: no test clip of {data_root / PED2_LABELS} is in it; replay testing/*.mp4")
    scored = [_frame_scores(curves[clip], len(truth[clip]), interpolate) for clip in clips]
    labels = np.concatenate([truth[clip] for clip in clips])
    normalised = np.concatenate([_min_max(one) for one in scored])
    return FrameAuc(roc_auc(np.concatenate(scored), labels), roc_auc(normalised, labels))


def read_truth(path: Path) -> dict[str, Bool]:
    """Clip -> which frames are anomalous; InputError when it cannot be read."""
    truth: dict[str, Bool] = {}
    for row in _csv_rows(path):
        frames = np.zeros(int(row["n_frames"]), np.bool_)
        frames[int(row["start_frame_1based"]) - 1 : int(row["end_frame_1based_inclusive"])] = True
        truth[row["clip"]] = truth.get(row["clip"], np.zeros_like(frames)) | frames
    return truth


def read_curves(path: Path) -> dict[str, AnomalyCurve]:
    """Name of the recording without its ending -> its anomaly; InputError when there is none."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in _csv_rows(path):
        if row.get("anomaly"):
            found.setdefault(Path(row["file"]).stem, []).append((float(row["t_s"]), float(row["anomaly"])))
    if not found:
        raise InputError(
            f"{path}: the column anomaly is empty; replay with the --profile that `edge learn normal` made"
        )
    return {clip: AnomalyCurve(*np.array(sorted(points)).T) for clip, points in found.items()}


def _frame_scores(curve: AnomalyCurve, frames: int, interpolate: bool) -> F64:
    return curve.interpolated(frames) if interpolate else curve.causal(frames)


def _min_max(scores: F64) -> F64:
    low, high = float(scores.min()), float(scores.max())
    return np.asarray((scores - low) / max(high - low, 1e-12))


def _csv_rows(path: Path) -> list[Mapping[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
