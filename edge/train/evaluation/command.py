"""`edge train evaluate`, `senses` and `gating`: options, progress and output. Imports nothing heavy."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge.errors import InputError

if TYPE_CHECKING:
    from edge.train.evaluation.datasets import DatasetRow
    from edge.train.evaluation.gating import GatedRun

_log = logging.getLogger(__name__)
PROGRESS_EVERY: Final = 25


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Give `edge train` its commands `evaluate`, `senses` and `gating`."""
    _register_evaluate(subparsers)
    _register_senses(subparsers)
    _register_gating(subparsers)


def _register_evaluate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("evaluate", help="measure an engine folder on the data folder, in one report")
    parser.add_argument("--data", default=None, help="data folder with manifest.csv (or EDGE_DATA)")
    parser.add_argument("--engine", type=Path, default=Path("engines/fused"), help="model folder to measure")
    parser.add_argument("--only", default="", metavar="SET,...", help="these sets alone")
    parser.add_argument("--most", type=int, default=20, metavar="N", help="recordings of each set and class at most")
    parser.add_argument("--work", type=Path, default=Path("build/evaluate"), help="answers kept from run to run")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that play recordings")
    parser.add_argument(
        "--out", type=Path, default=None, metavar="FILE", help="write the report as Markdown, plots beside it"
    )
    parser.add_argument("--html", type=Path, default=None, metavar="FILE", help="write it as one HTML file too")
    parser.add_argument(
        "--yamnet", type=Path, default=None, metavar="DIR", help="a SavedModel of YAMNet to compare with"
    )
    parser.add_argument(
        "--weights", type=Path, default=None, help="starting weights, for the bare loop of separate nets"
    )
    parser.add_argument(
        "--skip", default="", metavar="PART,...", help="leave out: looks, latency, learned, compute, or a protocol"
    )
    parser.add_argument("--fresh", action="store_true", help="forget the answers kept of this model")
    parser.set_defaults(handler=main_evaluate)


def main_evaluate(args: argparse.Namespace) -> int:
    """Measure and write; the Markdown goes to standard output when no file is given."""
    from edge.train.evaluation.document import markdown, write_report
    from edge.train.evaluation.metrics import scikit_metrics
    from edge.train.evaluation.protocols import run_protocols
    from edge.train.evaluation.recordings import RecordingRunner
    from edge.train.evaluation.report import report_blocks
    from edge.train.evaluation.run import EvaluationOptions, EvaluationResults, read_json, run_evaluation

    scikit_metrics()  # before hours of replay, not after them
    options = EvaluationOptions(
        data=_data(args.data),
        engine=args.engine,
        work=args.work,
        only=_names(args.only),
        most=args.most,
        workers=args.workers,
        yamnet=args.yamnet,
        weights=args.weights,
        skip=_names(args.skip),
    )
    if options.most < 1:
        raise InputError("--most must be at least 1")
    runner = RecordingRunner(options.engine, options.work, options.workers)
    if args.fresh:
        runner.clear_cache()
    manifest = runner.folder.manifest
    results = EvaluationResults(
        f"{manifest.name} {manifest.version}", manifest.sha256[:16], manifest.labels, _command(args), options.most
    )
    results.whole_sets = options.whole
    run_evaluation(options, results, runner, report_progress)
    if "learned" not in options.skip:
        results.learned = run_protocols(options, runner)
    results.ablation = read_json(options.engine / "ablation.json") or read_json(options.work / "ablation.json")
    if "compute" not in options.skip:
        results.compute = read_json(options.work / "compute.json")
    report = report_blocks(results)
    if args.out is not None:
        write_report(report, args.out, args.html)
        _log.info("written: %s", args.out)
    else:
        sys.stdout.write(markdown(report, "images"))
    return 0


def report_progress(done: int, total: int, name: str) -> None:
    """One line now and then, or one that is written over on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done}/{total} {name[:50]:50}" + ("\n" if done == total else ""))
    elif done % PROGRESS_EVERY == 0 or done == total:
        _log.info("%d of %d: %s", done, total, name)


def _data(argument: str | None) -> Path:
    from edge.train.data import find_data_root

    return find_data_root(argument)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _command(args: argparse.Namespace) -> str:
    parts = ["edge train evaluate --data DIR", f"--most {args.most}"]
    parts += [f"--only {args.only}"] if args.only else []
    parts += ["--yamnet DIR"] if args.yamnet else []
    parts += [f"--skip {args.skip}"] if args.skip else []
    return " ".join(parts)


def _register_senses(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser("senses", help="what a second sense adds, with either or both made worse")
    parser.add_argument("--data", default=None, help="data folder with manifest.csv (or EDGE_DATA)")
    parser.add_argument("--engine", type=Path, default=Path("engines/fused"), help="model folder to measure")
    parser.add_argument("--work", type=Path, default=Path("build/evaluate"), help="clips and answers, kept")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that play recordings")
    parser.add_argument(
        "--out", type=Path, default=None, metavar="FILE",
        help="write the table into this Markdown file, between its two marks, and plots to images/ beside it",
    )  # fmt: skip
    parser.set_defaults(handler=main_senses)


def main_senses(args: argparse.Namespace) -> int:
    """Replay the pairs; write table and plots into a document, or the table to standard output."""
    from edge.train.evaluation.document import markdown
    from edge.train.evaluation.metrics import scikit_metrics
    from edge.train.evaluation.recordings import RecordingRunner
    from edge.train.evaluation.sense_report import check_document, sense_blocks, sense_table, write_sense_report
    from edge.train.evaluation.sense_trials import run_sense_trials

    scikit_metrics()
    if args.out is not None:
        check_document(args.out)
    runner = RecordingRunner(args.engine, args.work, args.workers)
    trials = run_sense_trials(_data(args.data), runner, args.work / "senses", report_progress)
    enters = {label.name: label.enter for label in runner.folder.manifest.labels}
    if args.out is None:
        sys.stdout.write(markdown([sense_table(trials, enters)], ""))
    else:
        write_sense_report(sense_blocks(trials, enters), args.out)
        _log.info("written: %s", args.out)
    return 0


Played = tuple["DatasetRow", "GatedRun"]


def _register_gating(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    help_text = "what computing only what changed saves and changes, on the data folder"
    parser = subparsers.add_parser("gating", help=help_text)
    parser.add_argument("--data", default=None, help="data folder with manifest.csv (or EDGE_DATA)")
    parser.add_argument("--engine", type=Path, default=Path("engines/fused"), help="model folder in parts")
    parser.add_argument("--only", default="", metavar="SET,...", help="these sets alone")
    parser.add_argument("--most", type=int, default=20, metavar="N", help="recordings of each set and class at most")
    parser.add_argument("--half", choices=("choose", "prove", "all"), default="prove", help="which of the sources")
    parser.add_argument("--held", action="store_true", help="with quiet before and after each, noise and compression")
    parser.add_argument("files", nargs="*", type=Path, help="recordings of your own instead, without a truth")
    parser.set_defaults(handler=main_gating)


def main_gating(args: argparse.Namespace) -> int:
    """Replay and write the table to standard output; 1 when gating lost or added an event."""
    from edge.signal_change import DEFAULT_GATE_LIMITS
    from edge.train.evaluation.gating import GatingComparison, event_changes, gating_table
    from edge.train.evaluation.metrics import scikit_metrics

    if not args.files:
        scikit_metrics()  # recordings of one's own have no truth to measure
    comparison, played = GatingComparison(args.engine, [DEFAULT_GATE_LIMITS]), []
    rows = _rows(args)
    with tempfile.TemporaryDirectory(prefix="edge-gating-") as name:
        for row, path in _paths(rows, Path(name), held=args.held):
            pairs = comparison.compare(path)
            if pairs:
                played.append((row, pairs[0]))
            report_progress(len(played), len(rows), row.path.name)
    sys.stdout.write(gating_table(played, comparison.costs_s()))
    comparison.close()
    return 1 if any(d.lost or d.new for _, d in event_changes(played)) else 0


def _rows(args: argparse.Namespace) -> Sequence[DatasetRow]:
    from edge.train.data import find_data_root
    from edge.train.evaluation.datasets import DatasetRow, read_rows, sample_rows
    from edge.train.evaluation.gating import is_tuning_half

    if args.files:
        return [DatasetRow(path, "files", "", "", path.stem, "", "", "clip") for path in args.files]
    wanted = {name.strip() for name in args.only.split(",") if name.strip()}
    halves = {"choose": (True,), "prove": (False,), "all": (True, False)}[args.half]
    rows = [row for row in read_rows(find_data_root(args.data)) if is_tuning_half(row.group) in halves]
    return sample_rows([row for row in rows if not wanted or row.set_name in wanted], args.most, ())


def _paths(rows: Sequence[DatasetRow], work: Path, *, held: bool) -> Iterator[tuple[DatasetRow, Path]]:
    from edge.train.evaluation.synthetic import QuietPadding, pad_with_quiet

    for row in rows:
        if not held:
            yield row, row.path
            continue
        path = work / f"{row.path.stem}.mp4"
        pad_with_quiet(row.path, path, QuietPadding())
        yield row, path
        path.unlink()
