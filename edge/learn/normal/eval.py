"""Frame-level ROC AUC of the column `anomaly` on UCSD Ped2's test clips, as that data set is usually measured.

Mahadevan, Li, Bhalodia, Vasconcelos: Anomaly Detection in Crowded Scenes, CVPR 2010. The scores come from::

    edge learn normal DATA/restricted/video/ucsd_ped2/training/*.mp4 -o PROFILE
    edge replay --profile PROFILE --scores CSV --events /dev/null DATA/restricted/video/ucsd_ped2/testing/*.mp4
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.errors import InputError
from edge.learn.evaluation.metrics import roc_auc

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
