"""`edge learn precision`: what fewer bits cost on the evaluation set, beside 32 bits on the same recordings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from edge.learn.evaluation.collect import Asked, Say
    from edge.learn.evaluation.recordings import Answer, Job
    from edge.learn.evaluation.sets import Row

ALLOWED: Final = 0.005
"""What a label's average precision may lose."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One label in 32 bits and in fewer: average precision and recall over recordings, events told of recordings
    without it, and the mean and largest difference of a window's probability."""

    label: str
    positives: int
    negatives: int
    precision: tuple[float, float]
    recall: tuple[float, float]
    false_events: tuple[int, int]
    mean: float
    worst: float

    @property
    def lost(self) -> float:
        """Average precision that is lost; NaN where there is none."""
        return self.precision[0] - self.precision[1]


def add_precision(parser: argparse.ArgumentParser) -> None:
    """The options of `edge learn precision`, and its handler."""
    parser.add_argument("--data", default=None, help="data folder with manifest.csv (or EDGE_DATA)")
    parser.add_argument("--engine", type=Path, default=Path("engines/fused"), help="model folder, its graphs built")
    parser.add_argument("--runtime", default="onnx", help="as in config.yaml; default: onnx")
    parser.add_argument("--precision", default="int8", help="as in config.yaml; default: int8")
    parser.add_argument("--only", default="", metavar="SET,...", help="these sets alone")
    parser.add_argument("--most", type=int, default=20, metavar="N", help="recordings of each set and class at most")
    parser.add_argument("--work", type=Path, default=Path("build/evaluate"), help="answers kept from run to run")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that play recordings")
    parser.set_defaults(handler=main_precision)


def main_precision(args: argparse.Namespace) -> int:
    """Play what is missing and print the table; 1 where a label lost more than is allowed."""
    from edge.learn.data import data_root
    from edge.learn.evaluation.collect import Asked
    from edge.learn.evaluation.command import say

    only = tuple(name.strip() for name in args.only.split(",") if name.strip())
    asked = Asked(data_root(args.data), args.engine, args.work, only, args.most, args.workers, skip=("learned",))
    costs = measure(asked, {"runtime": args.runtime, "precision": args.precision, "gating": "off"}, say)
    sys.stdout.write(table(costs, f"{args.precision} on {args.runtime}"))
    return int(any(cost.lost > ALLOWED for cost in costs))


def measure(asked: Asked, model: Mapping[str, str], say: Say) -> list[Cost]:
    """Every label that the recordings judge, with positives and negatives."""
    from edge.learn.evaluation.collect import chosen_rows, job_of, play
    from edge.learn.evaluation.recordings import Bench

    rows = [row for row in chosen_rows(asked) if row.set_name != "ucsd_ped2"]
    jobs = [job_of(row) for row in rows]
    plain = {**model, "runtime": "onnx", "precision": "fp32"}
    answers = [play(Bench(asked.engine, asked.work, asked.workers, one), jobs, say) for one in (plain, model)]
    labels = Bench(asked.engine, asked.work).folder.manifest.label_names
    return [cost for label in labels if (cost := _cost(label, rows, jobs, answers)) is not None]


def table(costs: Sequence[Cost], name: str) -> str:
    """Markdown."""
    lines = [
        f"| label | with / without it | AP fp32 | AP {name} | lost | recall | false events | mean, worst difference |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {c.label} | {c.positives} / {c.negatives} | {c.precision[0]:.3f} | {c.precision[1]:.3f} | {c.lost:+.4f} | "
        f"{c.recall[0]:.2f} / {c.recall[1]:.2f} | {c.false_events[0]} / {c.false_events[1]} | "
        f"{c.mean:.4f}, {c.worst:.2f} |"
        for c in costs
    ]
    return "\n".join(lines) + "\n"


def _cost(
    label: str, rows: Sequence[Row], jobs: Sequence[Job], answers: Sequence[Mapping[Job, Answer | None]]
) -> Cost | None:
    from edge.learn.evaluation.figures import Scored, figures

    triples = [(row, answers[0][job], answers[1][job]) for row, job in zip(rows, jobs, strict=True)]
    pairs = [(row, a, b) for row, a, b in triples if a is not None and b is not None]
    plain = figures([Scored(row, a) for row, a, _ in pairs], label, replicates=0)
    fewer = figures([Scored(row, b) for row, _, b in pairs], label, replicates=0)
    if not plain.positives or not plain.negatives:
        return None
    columns = [(a.column(label), b.column(label)) for _, a, b in pairs]
    apart = np.concatenate([np.abs(x - y) for x, y in columns if len(x) == len(y)] or [np.zeros(1)])
    return Cost(
        label,
        plain.positives,
        plain.negatives,
        (plain.precision.value, fewer.precision.value),
        (plain.recall, fewer.recall),
        (plain.false_events, fewer.false_events),
        float(apart.mean()),
        float(apart.max()),
    )
