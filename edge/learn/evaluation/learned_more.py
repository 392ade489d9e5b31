"""Prompts and anomaly, held out: sounds asked for by their names alone, and a site's normal learned from walkers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
import yaml
from numpy.typing import NDArray

from edge import assemble
from edge.config import parse
from edge.detect.prompts import PromptDeriver
from edge.errors import EdgeError, InputError
from edge.learn.evaluation.bars import ProtocolFigure
from edge.learn.evaluation.collect import EvaluationOptions, replay_job
from edge.learn.evaluation.kept import load_scores
from edge.learn.evaluation.onsets import RATE_HZ, decode_mono
from edge.learn.evaluation.recordings import RecordingRunner
from edge.learn.evaluation.sets import DatasetRow, read_rows
from edge.types import seconds

_PREFIX: Final = "prompt_"
_LOUDNESS_RATIO: Final = 10.0  # a window within 20 dB of its recording's loudest holds the sound
_WINDOW_S: Final = 2.0


def prompt_accuracy(options: EvaluationOptions, runner: RecordingRunner) -> list[ProtocolFigure]:
    """All fifty names of ESC-50 as prompts, competing on what there is of it: ESC-10 and the ESC-50 part.

    As `edge.learn.align.eval.measure_esc50`, on kept windows: a clip by the highest of its windows, and single
    windows within 20 dB of the clip's loudest, as a mean over clips. Texts are the names and nothing else.
    """
    from edge.learn.align.eval import ESC50

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
    from edge.learn.normal.eval import measure_ped2

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
    wave = decode_mono(row.path)
    ends = [round(t * RATE_HZ) for t in times]
    parts = [wave[max(0, end - round(_WINDOW_S * RATE_HZ)) : end] for end in ends]
    return np.array([float(np.sqrt(np.mean(part.astype(np.float64) ** 2))) if len(part) else 0.0 for part in parts])


def _run_edge(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "edge", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgeError(f"edge {' '.join(arguments[:2])}: exit code {done.returncode}: {done.stderr[-500:]}")
