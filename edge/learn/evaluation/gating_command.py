"""`edge learn gating`: the options, which recordings, and the table that is written. Loads nothing heavy."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.learn.evaluation.gating import GatedRun
    from edge.learn.evaluation.sets import DatasetRow

Played = tuple["DatasetRow", "GatedRun"]


def register_gating(parser: argparse.ArgumentParser) -> None:
    """The options of `edge learn gating`, and `main_gating` as its handler."""
    parser.add_argument("--data", default=None, help="data folder with manifest.csv (or EDGE_DATA)")
    parser.add_argument("--engine", type=Path, default=Path("engines/fused"), help="model folder in parts")
    parser.add_argument("--only", default="", metavar="SET,...", help="these sets alone")
    parser.add_argument("--most", type=int, default=20, metavar="N", help="recordings of each set and class at most")
    parser.add_argument("--half", choices=("choose", "prove", "all"), default="prove", help="which of the sources")
    parser.add_argument("--held", action="store_true", help="with quiet before and after each, noise and compression")
    parser.add_argument("files", nargs="*", type=Path, help="recordings of your own instead, without a truth")
    parser.set_defaults(handler=main_gating)


def main_gating(args: argparse.Namespace) -> int:
    """Play and write the table to standard output; 1 when gating lost an event or told one that was not there."""
    from edge.engine.gating.limits import DEFAULT_GATE_LIMITS
    from edge.learn.evaluation.gating import GatingComparison
    from edge.learn.evaluation.gating_report import event_changes, gating_table

    comparison, played = GatingComparison(args.engine, [DEFAULT_GATE_LIMITS]), []
    rows = _rows(args)
    with tempfile.TemporaryDirectory(prefix="edge-gating-") as name:
        for row, path in _paths(rows, Path(name), held=args.held):
            pairs = comparison.compare(path)
            if pairs:
                played.append((row, pairs[0]))
            _say(len(played), len(rows), row.path.name)
    sys.stdout.write(gating_table(played, comparison.costs_s()))
    comparison.close()
    return 1 if any(d.lost or d.new for _, d in event_changes(played)) else 0


def _rows(args: argparse.Namespace) -> Sequence[DatasetRow]:
    from edge.learn.data import find_data_root
    from edge.learn.evaluation.gating import is_tuning_half
    from edge.learn.evaluation.sets import DatasetRow, read_rows, sample_rows

    if args.files:
        return [DatasetRow(path, "files", "", "", path.stem, "", "", "clip") for path in args.files]
    wanted = {name.strip() for name in args.only.split(",") if name.strip()}
    halves = {"choose": (True,), "prove": (False,), "all": (True, False)}[args.half]
    rows = [row for row in read_rows(find_data_root(args.data)) if is_tuning_half(row.group) in halves]
    return sample_rows([row for row in rows if not wanted or row.set_name in wanted], args.most, ())


def _paths(rows: Sequence[DatasetRow], work: Path, *, held: bool) -> Iterator[tuple[DatasetRow, Path]]:
    from edge.learn.evaluation.held import QuietPadding, pad_with_quiet

    for row in rows:
        if not held:
            yield row, row.path
            continue
        path = work / f"{row.path.stem}.mp4"
        pad_with_quiet(row.path, path, QuietPadding())
        yield row, path
        path.unlink()


def _say(done: int, total: int, name: str) -> None:
    from edge.learn.evaluation.command import report_progress

    report_progress(done, total, name)
