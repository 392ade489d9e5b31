"""`scripts/placed_events`: proof on placed events that decoding on demand reports what decoding everything reports.

``python -m edge.train.evaluation.placed_events``. Exit code 1 when an event is lost or new, or when
there was none or every picture was decoded, which proves nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from edge.errors import EdgeError
from edge.train.data import find_data_root
from edge.train.evaluation.datasets import read_rows
from edge.train.evaluation.placed_comparison import Decoding, PairedReplay, PlacedComparison, decoding_option
from edge.train.evaluation.placed_report import as_json, markdown_report, summarise
from edge.train.evaluation.placed_trials import PlacedRecording, plan_recordings, sources_of


def main(argv: Sequence[str] | None = None) -> int:
    """Compose, replay, compare, write; the exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    args = arguments(argv)
    second: Decoding = "all" if args.control else "on_demand"
    try:
        decoding_option(second)
        sources = sources_of(read_rows(find_data_root(args.data)), args.half)
        recordings = plan_recordings(sources, args.events, args.each, args.gap, args.seed)
        pairs = [pair for pair in _compared(args, recordings, second) if pair is not None]
    except EdgeError as error:
        print(f"placed_events: {error}", file=sys.stderr)
        return 2
    pairs.sort(key=lambda pair: pair.recording.seed)
    found = summarise(pairs)
    about = f"`scripts/placed_events {' '.join(argv if argv is not None else sys.argv[1:])}`".replace(" `", "`")
    report = markdown_report(found, f"{about}; {len(recordings) - len(pairs)} recordings had no quiet scene.")
    sys.stdout.write(report)
    if args.out is not None:
        args.out.write_text(report, encoding="utf-8")
    if args.json is not None:
        args.json.write_text(json.dumps(as_json(found), indent=1) + "\n", encoding="utf-8")
    return 0 if found.is_proof and (args.control or found.skipped > 0) else 1


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/placed_events", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--events", type=int, default=48, metavar="N", help="how many are placed (default 48)")
    parser.add_argument("--half", choices=("tune", "held", "both"), default="held", help="of the sources, by group")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--each", type=int, default=8, metavar="N", help="placed in one recording")
    parser.add_argument("--gap", type=float, default=15.0, metavar="S", help="quiet between two")
    parser.add_argument("--sensitivity", type=float, default=0.5, metavar="X", help="times the model's thresholds")
    parser.add_argument("--control", action="store_true", help="everything decoded both times: nothing may differ")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    parser.add_argument("--data", default=None, metavar="DIR", help="data folder with manifest.csv (or EDGE_DATA)")
    parser.add_argument("--engine", type=Path, default=Path("engines/fused"), help="model folder in parts")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep recordings in which something differs")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the report here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was counted here")
    return parser.parse_args(argv)


def _compared(
    args: argparse.Namespace, recordings: Sequence[PlacedRecording], second: Decoding
) -> Iterator[PairedReplay | None]:
    """As they are ready."""
    with tempfile.TemporaryDirectory(prefix="edge-placed-") as name:
        given = (args.engine, Path(name), args.sensitivity, second)
        context, workers = get_context("spawn"), min(args.workers, len(recordings))
        with ProcessPoolExecutor(workers, context, _open_comparison, given) as pool:
            running = [pool.submit(_compare, recording, args.keep) for recording in recordings]
            for done, future in enumerate(as_completed(running), 1):
                pair = future.result()
                yield pair
                print(f"… {done} of {len(recordings)} recordings{_difference_text(pair)}", file=sys.stderr, flush=True)


def _difference_text(pair: PairedReplay | None) -> str:
    if pair is None:
        return ": no quiet scene"
    lost, new = len(pair.matches.lost), len(pair.matches.new)
    return f": {pair.recording.seed} has {lost} lost, {new} new" if lost or new else ""


_comparisons: list[PlacedComparison] = []


def _open_comparison(engine: Path, work: Path, sensitivity: float, second: Decoding) -> None:
    _comparisons.append(PlacedComparison(engine, work, sensitivity, second))


def _compare(recording: PlacedRecording, keep: Path | None) -> PairedReplay | None:
    return _comparisons[0].compare(recording, keep)


if __name__ == "__main__":
    sys.exit(main())
