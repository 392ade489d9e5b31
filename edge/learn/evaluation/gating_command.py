"""`edge learn gating`: the options, which recordings, and the table that is written. Loads nothing heavy."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.learn.evaluation.gating import Pair
    from edge.learn.evaluation.sets import Row

Played = tuple["Row", "Pair"]


def add_gating(parser: argparse.ArgumentParser) -> None:
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
    from edge.engine.gating.limits import LIMITS
    from edge.learn.evaluation.gating import Twice
    from edge.learn.evaluation.gating_report import changes, table

    twice, played = Twice(args.engine, [LIMITS]), []
    rows = _rows(args)
    with tempfile.TemporaryDirectory(prefix="edge-gating-") as name:
        for row, path in _paths(rows, Path(name), held=args.held):
            pairs = twice.play(path)
            if pairs:
                played.append((row, pairs[0]))
            _say(len(played), len(rows), row.path.name)
    sys.stdout.write(table(played, twice.costs_s()))
    twice.close()
    return 1 if any(d.lost or d.new for _, d in changes(played)) else 0


def _rows(args: argparse.Namespace) -> Sequence[Row]:
    from edge.learn.data import data_root
    from edge.learn.evaluation.gating import is_for_choosing
    from edge.learn.evaluation.sets import Row, pick, read_rows

    if args.files:
        return [Row(path, "files", "", "", path.stem, "", "", "clip") for path in args.files]
    wanted = {name.strip() for name in args.only.split(",") if name.strip()}
    halves = {"choose": (True,), "prove": (False,), "all": (True, False)}[args.half]
    rows = [row for row in read_rows(data_root(args.data)) if is_for_choosing(row.group) in halves]
    return pick([row for row in rows if not wanted or row.set_name in wanted], args.most, ())


def _paths(rows: Sequence[Row], work: Path, *, held: bool) -> Iterator[tuple[Row, Path]]:
    from edge.learn.evaluation.held import Holding, hold

    for row in rows:
        if not held:
            yield row, row.path
            continue
        path = work / f"{row.path.stem}.mp4"
        hold(row.path, path, Holding())
        yield row, path
        path.unlink()


def _say(done: int, total: int, name: str) -> None:
    from edge.learn.evaluation.command import say

    say(done, total, name)
