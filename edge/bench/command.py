"""`edge bench` on the command line. Importing this loads neither a runtime nor a media library."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path

log = logging.getLogger(__name__)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `edge bench`."""
    parser = subparsers.add_parser("bench", help="how many cameras this box holds, and where its time goes")
    parser.add_argument("--quick", action="store_true", help="the estimate alone, about 30 seconds")
    parser.add_argument("--cameras", type=_count, metavar="N", help="try this many live cameras, without a search")
    parser.add_argument("--clip", type=Path, metavar="FILE", help="a recording of your own camera to play instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything that was measured here")
    parser.set_defaults(handler=main)


def main(args: argparse.Namespace) -> int:
    """Measure and print; 0."""
    from edge.bench.bench_run import BenchPlan, BenchRun
    from edge.bench.clips import MOVING, STILL, phased_clips, probe_clip
    from edge.bench.daemon import BenchSetup, embedded_broker
    from edge.bench.report import MachineInfo, as_json, report_text
    from edge.engine.manifest import DEFAULT_MODEL, find_folder, load_folder

    box = MachineInfo.current()
    plan = BenchPlan(1, 1.0, 3.0, False) if args.quick else BenchPlan(2, 2.0, 5.0, True, args.cameras)
    hop_s = load_folder(find_folder(DEFAULT_MODEL)).manifest.geometry.hop_s
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder, embedded_broker() as port:
        if port is None:
            _print_progress("no broker here (extra `broker`): latency is not measured")
        moving = [probe_clip(args.clip.absolute())] if args.clip else phased_clips(MOVING, Path(folder))
        still = [] if args.clip else phased_clips(STILL, Path(folder))
        results = BenchRun(BenchSetup(Path(folder), port, hop_s), plan, moving, still, _print_progress).run()
    about = moving[0].shown + (f" ({args.clip.name})" if args.clip else ", the clips that come along")
    print(report_text(box, about, results))
    if args.json is not None:
        args.json.write_text(json.dumps(as_json(box, about, results), indent=1) + "\n", encoding="utf-8")
    return 0


def _print_progress(what: str) -> None:
    print(f"… {what}", file=sys.stderr, flush=True)


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 256")
    return int(text)
