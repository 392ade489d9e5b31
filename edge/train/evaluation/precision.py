"""`edge train precision`: what TensorRT's fewer bits cost on the evaluation set, beside 32 bits on a CPU."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from edge.train.evaluation.datasets import DatasetRow
    from edge.train.evaluation.recordings import RecordingResult, ReplayJob
    from edge.train.evaluation.run import EvaluationOptions, ProgressCallback

MAX_LOSS: Final = 0.005
"""What a label's average precision may lose."""


@dataclass(frozen=True, slots=True)
class PrecisionCost:
    """One label in 32 bits and in fewer: average precision and recall over recordings, events told of recordings
    without it, and the mean and largest difference of a window's probability."""

    label: str
    positives: int
    negatives: int
    average_precision: tuple[float, float]
    recall: tuple[float, float]
    false_events: tuple[int, int]
    mean: float
    worst: float

    @property
    def average_precision_loss(self) -> float:
        """Average precision that is lost; NaN where there is none."""
        return self.average_precision[0] - self.average_precision[1]


def register_precision(parser: argparse.ArgumentParser) -> None:
    """The options of `edge train precision`, and its handler."""
    parser.add_argument("--data", default=None, help="data folder with manifest.csv (or EDGE_DATA)")
    parser.add_argument("--engine", type=Path, default=Path("engines/fused"), help="model folder, its engine built")
    parser.add_argument("--runtime", default="tensorrt", help="as in config.yaml; default: tensorrt")
    parser.add_argument("--precision", default="int8", help="as in config.yaml; default: int8")
    parser.add_argument("--only", default="", metavar="SET,...", help="these sets alone")
    parser.add_argument("--most", type=int, default=20, metavar="N", help="recordings of each set and class at most")
    parser.add_argument("--work", type=Path, default=Path("build/evaluate"), help="answers kept from run to run")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that play recordings")
    parser.set_defaults(handler=main_precision)


def main_precision(args: argparse.Namespace) -> int:
    """Play what is missing and print the table; 1 where a label lost more than is allowed."""
    from edge.train.data import find_data_root
    from edge.train.evaluation.command import report_progress
    from edge.train.evaluation.run import EvaluationOptions

    only = tuple(name.strip() for name in args.only.split(",") if name.strip())
    options = EvaluationOptions(
        find_data_root(args.data), args.engine, args.work, only, args.most, args.workers, skip=("learned",)
    )
    costs = measure_costs(
        options, {"runtime": args.runtime, "precision": args.precision, "gating": "off"}, report_progress
    )
    sys.stdout.write(precision_table(costs, f"{args.precision} on {args.runtime}"))
    return int(any(cost.average_precision_loss > MAX_LOSS for cost in costs))


def measure_costs(
    options: EvaluationOptions, model: Mapping[str, str], progress: ProgressCallback
) -> list[PrecisionCost]:
    """Every label that the recordings judge, with positives and negatives."""
    from edge.train.evaluation.recordings import RecordingRunner
    from edge.train.evaluation.run import replay_job, run_jobs, select_rows

    rows = [row for row in select_rows(options) if row.set_name != "ucsd_ped2"]
    jobs = [replay_job(row) for row in rows]
    plain = {**model, "runtime": "onnx", "precision": "fp32"}
    answers = [
        run_jobs(RecordingRunner(options.engine, options.work, options.workers, one), jobs, progress)
        for one in (plain, model)
    ]
    labels = RecordingRunner(options.engine, options.work).folder.manifest.label_names
    return [cost for label in labels if (cost := _cost(label, rows, jobs, answers)) is not None]


def precision_table(costs: Sequence[PrecisionCost], name: str) -> str:
    """Markdown."""
    lines = [
        f"| label | with / without it | AP fp32 | AP {name} | lost | recall | false events | mean, worst difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {c.label} | {c.positives} / {c.negatives} | {c.average_precision[0]:.3f} | "
        f"{c.average_precision[1]:.3f} | {c.average_precision_loss:+.4f} | "
        f"{c.recall[0]:.2f} / {c.recall[1]:.2f} | {c.false_events[0]} / {c.false_events[1]} | "
        f"{c.mean:.4f}, {c.worst:.2f} |"
        for c in costs
    ]
    return "\n".join(lines) + "\n"


def _cost(
    label: str,
    rows: Sequence[DatasetRow],
    jobs: Sequence[ReplayJob],
    answers: Sequence[Mapping[ReplayJob, RecordingResult | None]],
) -> PrecisionCost | None:
    from edge.train.evaluation.label_metrics import ScoredRecording, measure_label

    triples = [(row, answers[0][job], answers[1][job]) for row, job in zip(rows, jobs, strict=True)]
    pairs = [(row, a, b) for row, a, b in triples if a is not None and b is not None]
    plain = measure_label([ScoredRecording(row, a) for row, a, _ in pairs], label, replicates=0)
    fewer = measure_label([ScoredRecording(row, b) for row, _, b in pairs], label, replicates=0)
    if not plain.positives or not plain.negatives:
        return None
    columns = [(a.column(label), b.column(label)) for _, a, b in pairs]
    apart = np.concatenate([np.abs(x - y) for x, y in columns if len(x) == len(y)] or [np.zeros(1)])
    return PrecisionCost(
        label,
        plain.positives,
        plain.negatives,
        (plain.average_precision.value, fewer.average_precision.value),
        (plain.recall, fewer.recall),
        (plain.false_events, fewer.false_events),
        float(apart.mean()),
        float(apart.max()),
    )
