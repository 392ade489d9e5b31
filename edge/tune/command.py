"""`edge tune` on the command line. Importing this loads neither a runtime nor a media library."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``tune`` to the command line."""
    parser = subparsers.add_parser("tune", help="thresholds that suit a site, from its recordings")
    parser.add_argument(
        "recordings", nargs="+", metavar="RECORDING", help="files, folders of them, or patterns in quotes"
    )
    parser.add_argument("-c", "--config", type=Path, help="the configuration to be tuned; else the defaults")
    parser.add_argument("--labels", type=Path, metavar="CSV", help="what happens in them: file,label,begin_s,end_s")
    parser.add_argument("--profile", type=Path, help="what was learned of the site (edge learn normal, events)")
    parser.add_argument(
        "--false-alarms-per-day", type=_rate, default=1.0, metavar="N", help="what is bearable; default: %(default)g"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("tune"), metavar="FOLDER", help="report, diff and kept scores; default: tune"
    )
    parser.add_argument("--start", metavar="TIME", help="ISO 8601 time at which the recordings start, for schedules")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.set_defaults(handler=main)


def main(args: argparse.Namespace) -> int:
    """Tune and report: 0, or 2 when a recording could not be read (the others are still used)."""
    from edge.tune.workflow import TuneRequest, tune

    request = TuneRequest(
        recordings=tuple(args.recordings),
        config=args.config,
        labels=args.labels,
        profile=args.profile,
        per_day=args.false_alarms_per_day,
        out=args.out,
        start=args.start,
        as_json=args.json,
    )
    return tune(request, sys.stdout)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, such as 0.2 for one in five days")
    return value
